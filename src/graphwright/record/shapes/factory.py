# ruff: noqa: FBT001, FBT002  (a rule takes the op's own arguments)

"""Shape rules of ops that make new tensors, from nothing or in the form of another.

In:  sizes, dtype, device, memory format.   Out: the new tensor's spec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import (
    Shape,
    format_strides,
    strides_like,
)
from graphwright.record.sizes import Extent, SymbolicSize
from graphwright.record.specs import TensorSpec

_CPU: Final = torch.device("cpu")


def _new(
    shape: Shape, dtype: torch.dtype | None, device: torch.device | None, memory_format: Any = None
) -> TensorSpec:
    if memory_format is torch.preserve_format:
        message = "unsupported memory format Preserve"
        raise RuntimeError(message)
    strides = format_strides(shape, memory_format or torch.contiguous_format, ())
    return TensorSpec(shape, strides, dtype or torch.get_default_dtype(), device or _CPU)


def _sized(
    size: Sequence[Extent],
    *_rest: object,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    memory_format: Any = None,
    **_options: object,
) -> TensorSpec:
    return _new(tuple(size), dtype, device, memory_format)


def _full(
    size: Sequence[Extent],
    value: Any,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return _new(tuple(size), dtype or _dtype_of_fill(value), device)


def _dtype_of_fill(value: Any) -> torch.dtype:
    if isinstance(value, bool):
        return torch.bool
    if isinstance(value, int | SymbolicSize):
        return torch.int64
    if isinstance(value, complex):
        return torch.complex128 if torch.get_default_dtype() is torch.float64 else torch.complex64
    return torch.get_default_dtype()


def _empty_strided(
    size: Sequence[Extent],
    stride: Sequence[Extent],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return TensorSpec(
        tuple(size), tuple(stride), dtype or torch.get_default_dtype(), device or _CPU
    )


def _like(
    self: TensorSpec,
    *_rest: object,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    memory_format: Any = None,
    **_options: object,
) -> TensorSpec:
    strides = format_strides(self.shape, memory_format, self.strides)
    return TensorSpec(self.shape, strides, dtype or self.dtype, device or self.device)


def _new_sized(
    self: TensorSpec,
    size: Sequence[Extent],
    *_rest: object,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return _new(tuple(size), dtype or self.dtype, device or self.device)


def _new_empty_strided(
    self: TensorSpec,
    size: Sequence[Extent],
    stride: Sequence[Extent],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return TensorSpec(tuple(size), tuple(stride), dtype or self.dtype, device or self.device)


def _arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    if end is None:
        start, end = 0, start
    if dtype is torch.int64:
        start, end, step = (
            number if isinstance(number, SymbolicSize) else int(number)
            for number in (start, end, step)
        )
    if step == 0:
        msg = "step must be nonzero"
        raise ValueError(msg)
    numbers = (start, end, step)
    is_integral = all(isinstance(number, int | SymbolicSize) for number in numbers)
    length: Extent
    if is_integral:
        length = end - start if step == 1 else -((start - end) // step)
        length = length if length >= 0 else 0
    else:
        length = max(math.ceil((float(end) - float(start)) / float(step)), 0)
    return _new((length,), dtype or (torch.int64 if is_integral else None), device)


def _linspace(
    _start: Any,
    _end: Any,
    steps: Extent,
    *_rest: object,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return _new((steps,), dtype, device)


def _eye(
    n: Extent,
    m: Any = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return _new((n, n if m is None else m), dtype, device)


def _scalar_tensor(
    _value: Any,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return _new((), dtype, device)


def _clone(self: TensorSpec, *, memory_format: Any = None) -> TensorSpec:
    return _like(self, memory_format=memory_format)


def same_memory(self: TensorSpec) -> TensorSpec:
    """Give a tensor laid out like a copy of all the memory that `self` views; one that overlaps itself is compacted."""
    overlaps = any(
        stride == 0 and extent > 1 for extent, stride in zip(self.shape, self.strides, strict=True)
    )
    strides = strides_like(self.shape, self.strides) if overlaps else self.strides
    offset = 0 if overlaps else self.offset
    return TensorSpec(self.shape, strides, self.dtype, self.device, offset)


def _copy(self: TensorSpec, src: TensorSpec, non_blocking: bool = False) -> TensorSpec:
    del non_blocking
    if len(src.shape) > len(self.shape):
        msg = f"copy: a tensor of shape {src.shape} does not fit one of shape {self.shape}"
        raise ValueError(msg)
    for own, other in zip(reversed(self.shape), reversed(src.shape), strict=False):
        if other != 1 and own != other:
            msg = f"copy: a tensor of shape {src.shape} does not fit one of shape {self.shape}"
            raise ValueError(msg)
    return same_memory(self)


def _tri_indices(
    rows: int,
    columns: int,
    offset: int = 0,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    count = sum(min(max(row + 1 + offset, 0), columns) for row in range(rows))
    return _new((2, count), dtype or torch.int64, device)


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.empty.memory_format": _sized,
    "aten.zeros": _sized,
    "aten._efficientzerotensor": _sized,
    "aten.ones": _sized,
    "aten.rand": _sized,
    "aten.randn": _sized,
    "aten.full": _full,
    "aten.empty_strided": _empty_strided,
    "aten.empty_like": _like,
    "aten.zeros_like": _like,
    "aten.ones_like": _like,
    "aten.full_like": _like,
    "aten.rand_like": _like,
    "aten.randn_like": _like,
    "aten.randint_like": _like,
    "aten.new_empty": _new_sized,
    "aten.new_zeros": _new_sized,
    "aten.new_ones": _new_sized,
    "aten.new_full": _new_sized,
    "aten.new_empty_strided": _new_empty_strided,
    "aten.arange": _arange,
    "aten.linspace": _linspace,
    "aten.logspace": _linspace,
    "aten.eye": _eye,
    "aten.scalar_tensor": _scalar_tensor,
    "aten.clone": _clone,
    "aten.copy": _copy,
    "aten._to_copy": _like,
    "aten.tril_indices": _tri_indices,
}
