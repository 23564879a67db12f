"""Views of tensors that require a gradient, made while gradients are off.

In: a stand-in that the program hands on.   Out: whether it is such a view, and where in its base it lies.

Such a view says that it requires a gradient, as its base does, and sends none back. A graph cannot give it; it is taken of its base once
the graph has run. Autograd refuses uses of it once its base was written to: that is no view that can be taken later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from graphwright.capture.machine import Machine
from graphwright.record import AbstractTensor, has_flags


class PlaceInBase(NamedTuple):
    """Where a view lies: numbers as the program holds them."""

    base: AbstractTensor
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    first: int
    """Where it begins, in elements from where the base does."""


def is_view_without_history(machine: Machine, tensor: AbstractTensor) -> bool:
    """Tell whether a tensor is one.

    Raises:
        Unsupported: its base was written to since.
    """
    if not (tensor.requires_grad and tensor._is_view()):  # noqa: SLF001  (no public reader)
        return False
    try:
        return tensor.is_leaf
    except RuntimeError as error:
        raise machine.unmakeable(
            tensor,
            "a view of a tensor that requires a gradient, made while gradients are off, and a write to it",
            why="autograd refuses uses of such a view, as it would not of one made anew after the write",
            remedy="take the view of the tensor's detach()",
        ) from error


def base_of(tensor: AbstractTensor) -> AbstractTensor:
    """Give what a tensor is a view of."""
    base: Any = tensor._base  # noqa: SLF001  (no public reader)
    assert isinstance(base, AbstractTensor), "a view has a base"
    return base


def place_in_base(machine: Machine, tensor: AbstractTensor) -> PlaceInBase:
    """Give where such a view lies.

    Raises:
        Unsupported: its elements are no elements of the base.
    """
    base = base_of(tensor)
    if tensor.dtype is not base.dtype or has_flags(tensor.state.recipe):
        raise machine.unmakeable(
            tensor,
            "a view of the parts or bytes of a tensor that requires a gradient, made while gradients are off",
            why="it says that it requires a gradient, but none can be sent back through it",
            remedy="take the view of the tensor's detach()",
        )
    first = tensor.storage_offset() - base.storage_offset()
    return PlaceInBase(base, tuple(tensor.shape), tuple(tensor.stride()), int(first))
