"""Calculate what a program needs of a call's floats.

In: floats and ints of the call and of the program.   Out: floats, truths, tensors; `MISSING` where a calculation raises.
Keeps: Python's own arithmetic, so that what the program gets is what it would have calculated itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from graphwright.ir.calculations import FUNCTIONS, Operation
from graphwright.runtime.checks import extents_of
from graphwright.runtime.reading import MISSING


def _try_calculate(function: Callable[..., Any], *operands: Any) -> object:
    try:
        result = function(*operands)
    except (ArithmeticError, ValueError):
        return MISSING
    return result if type(result) in (float, int, bool) else MISSING


CALCULATIONS: Final[Mapping[Operation, Callable[..., object]]] = {
    operation: functools.partial(_try_calculate, function)
    for operation, function in FUNCTIONS.items()
}
"""Functions that give the result of an operation, or `MISSING` where Python raises or gives no such number or truth."""


def size_at(dim: int, tensor: torch.Tensor) -> int:
    """Give one of a tensor's sizes."""
    return extents_of(tensor)[dim]


def make_float_tensor(number: Any) -> torch.Tensor:
    """Make the tensor that holds a float."""
    return torch.scalar_tensor(number, dtype=torch.float64, device="cpu")
