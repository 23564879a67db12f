"""Element types of results: eager's type promotion, in one place.

In:  specs and Python numbers.   Out: a dtype, or the device that a result lives on.
Keeps: the three classes of operands that torch tells apart (tensors with dimensions, zero-dimensional tensors, Python
numbers); a lower class decides only where it is of a higher kind (bool < integer < float < complex).
"""

from __future__ import annotations

import torch

from graphwright.record.sizes import SymbolicSize
from graphwright.record.specs import TensorSpec

Number = bool | int | float | complex | SymbolicSize
Operand = TensorSpec | Number


def number_dtype(number: Number) -> torch.dtype:
    """Give the dtype that a Python number counts as."""
    if isinstance(number, bool):
        return torch.bool
    if isinstance(number, int | SymbolicSize):
        return torch.int64
    if isinstance(number, float):
        return torch.get_default_dtype()
    return torch.complex128 if torch.get_default_dtype() is torch.float64 else torch.complex64


def result_dtype(*operands: Operand) -> torch.dtype:
    """Give the dtype that operands promote to."""
    wide: torch.dtype | None = None
    scalar: torch.dtype | None = None
    number: torch.dtype | None = None
    for operand in operands:
        if isinstance(operand, TensorSpec):
            if operand.shape:
                wide = _join(wide, operand.dtype)
            else:
                scalar = _join(scalar, operand.dtype)
        else:
            number = _join(number, number_dtype(operand))
    result = _combine(wide, _combine(scalar, number))
    if result is None:
        msg = "no operands"
        raise ValueError(msg)
    return result


def float_dtype(*operands: Operand) -> torch.dtype:
    """Give the promoted dtype, integers becoming the default float type."""
    return as_float(result_dtype(*operands))


def as_float(dtype: torch.dtype) -> torch.dtype:
    """Give the dtype itself if it is floating or complex, else the default float type."""
    return dtype if dtype.is_floating_point or dtype.is_complex else torch.get_default_dtype()


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """Give the dtype of a complex type's parts; other types stay."""
    return dtype.to_real() if dtype.is_complex else dtype


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Give what a sum or product accumulates to: integers and bools widen to int64."""
    return dtype if dtype.is_floating_point or dtype.is_complex else torch.int64


def result_device(*operands: Operand) -> torch.device:
    """Give the device of a result: that of the first operand that is not a zero-dimensional CPU tensor."""
    found: torch.device | None = None
    for operand in operands:
        if not isinstance(operand, TensorSpec):
            continue
        if found is None or (found.type == "cpu" and operand.device.type != "cpu"):
            found = operand.device
    if found is None:
        msg = "no tensor among the operands"
        raise ValueError(msg)
    return found


def _join(first: torch.dtype | None, second: torch.dtype) -> torch.dtype:
    if first is None or first is second:
        return second
    return torch.promote_types(first, second)


def _combine(higher: torch.dtype | None, lower: torch.dtype | None) -> torch.dtype | None:
    if higher is None or lower is None:
        return lower if higher is None else higher
    if _rank(lower) <= _rank(higher):
        return higher
    if lower.is_complex and higher.is_floating_point:
        return higher.to_complex()
    return torch.promote_types(higher, lower)


def _rank(dtype: torch.dtype) -> int:
    if dtype.is_complex:
        return 3
    if dtype.is_floating_point:
        return 2
    return 0 if dtype is torch.bool else 1
