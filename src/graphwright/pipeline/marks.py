"""What a user says of a tensor's sizes before it is passed to a compiled function.

In: a tensor, a dimension.   Out: marks, which the tensor object carries and which `SymbolChoice` reads.
Keeps: a mark belongs to the tensor object, not to its memory: views and copies have none.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec
import torch

from graphwright.capture import mark_outside

_ATTRIBUTE: Final = "_graphwright_marks"


class MarkKind(enum.Enum):
    """What was said of a size."""

    DYNAMIC = "dynamic"
    """It changes; a program for which it cannot is an error."""
    MAYBE_DYNAMIC = "maybe_dynamic"
    """It may change."""
    STATIC = "static"
    """It does not, or code for each of its values is wanted."""


class Mark(msgspec.Struct, frozen=True):
    """A mark of one dimension."""

    kind: MarkKind
    minimum: int | None = None
    maximum: int | None = None


def marks_of(tensor: torch.Tensor) -> dict[int, Mark]:
    """Give the marks of a tensor, by dimension."""
    found: dict[int, Mark] = getattr(tensor, _ATTRIBUTE, {})
    return found


@mark_outside
def mark_dynamic(
    tensor: torch.Tensor, dim: int, *, min: int | None = None, max: int | None = None
) -> None:
    """Say that a size changes from call to call: it is a symbol from the first compile on, whatever `dynamic=` says.

    A program that cannot leave the size open is refused with `gw.errors.Unsupported`.

    Args:
        tensor: an argument of a compiled function.
        dim: the dimension; negative ones count from the last.
        min: the least size that the compiled variant serves.
        max: the greatest one.

    Raises:
        IndexError: the tensor has no such dimension.
        ValueError: the present size is not in the range.
    """
    size = tensor.shape[dim]
    if (min is not None and size < min) or (max is not None and size > max):
        message = f"size {size} of dimension {dim} is not between {min} and {max}"
        raise ValueError(message)
    _mark(tensor, dim, Mark(MarkKind.DYNAMIC, min, max))


@mark_outside
def maybe_mark_dynamic(tensor: torch.Tensor, dim: int) -> None:
    """Say that a size may change: as `mark_dynamic`, but a program that cannot leave it open is compiled for the size as it is.

    Raises:
        IndexError: the tensor has no such dimension.
    """
    _mark(tensor, dim, Mark(MarkKind.MAYBE_DYNAMIC))


@mark_outside
def mark_static(tensor: torch.Tensor, dim: int | None = None) -> None:
    """Say that a size is never a symbol: each of its values is compiled for.

    Args:
        tensor: an argument of a compiled function.
        dim: the dimension; None for all of them.

    Raises:
        IndexError: the tensor has no such dimension.
    """
    for place in range(tensor.ndim) if dim is None else (dim,):
        _mark(tensor, place, Mark(MarkKind.STATIC))


def _mark(tensor: torch.Tensor, dim: int, mark: Mark) -> None:
    if not -tensor.ndim <= dim < tensor.ndim:
        message = f"dimension {dim} of a tensor of {tensor.ndim} dimensions"
        raise IndexError(message)
    setattr(tensor, _ATTRIBUTE, {**marks_of(tensor), dim % tensor.ndim: mark})
