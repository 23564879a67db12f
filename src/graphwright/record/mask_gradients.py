"""The gradient of what was written by a mask, `x[mask] = values`, whose size autograd's formula leaves to the mask.

In:  the gradient of the written tensor, the indices, the shape of the values.   Out: the gradient of the values.
Autograd asks for `gradient[mask]`, and sums that to the shape of the values. How many elements the mask has no shape tells, but that of the
values does: the write has refused another number, unless one value serves for all; then their gradients are summed, wherever they are.

    x[mask] = values of shape [7]    →    gradient[nonzero_static(mask, size=7)]
    x[mask] = values of shape [1]    →    view(sum(where(mask, gradient, 0)), [1])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch._C import _current_autograd_node

Call = Callable[..., Any]
"""(overload, its arguments) → what recording it gives."""

_WRITES: Final = frozenset(
    ("IndexPutBackward0", "IndexPutImplBackward0", "torch::autograd::CopySlices")
)
"""Nodes of autograd whose second edge leads to the values; the last one, of a write to a view, has the edges of the write."""
_MASKS: Final = (torch.bool, torch.uint8)


def shape_of_values() -> Sequence[Any] | None:
    """Give the shape of the values whose gradient autograd is about to ask for, if it is that of values written by indices."""
    node: Any = _current_autograd_node()
    if node is None or node.name() not in _WRITES:
        return None
    source, number = node.next_functions[1]
    return None if source is None else tuple(source._input_metadata[number].shape)  # noqa: SLF001


def gradient_of_values(
    call: Call,
    gradient: torch.Tensor,
    indices: Sequence[torch.Tensor | None],
    shape: Sequence[Any],
) -> torch.Tensor | None:
    """Give the gradient of values of this shape, or what autograd sums to it; None unless one mask alone is the index.

    Args:
        call: records an op.
        gradient: that of the tensor that was written to.
        indices: where it was written to.
        shape: that of the values.
    """
    given = [(place, index) for place, index in enumerate(indices) if index is not None]
    if len(given) != 1 or given[0][1].dtype not in _MASKS:
        return None
    place, mask = given[0]
    num_after = gradient.dim() - place - mask.dim()
    axis = len(shape) - 1 - num_after
    if axis < 0 or shape[axis] == 1:
        return _summed(call, gradient, mask, place, shape)
    found = call("aten.nonzero_static.default", mask, size=shape[axis])
    positions = call("aten.unbind.int", found, 1)
    gathered: torch.Tensor = call("aten.index.Tensor", gradient, [*[None] * place, *positions])
    return gathered


def _summed(
    call: Call, gradient: torch.Tensor, mask: torch.Tensor, place: int, shape: Sequence[Any]
) -> torch.Tensor:
    """Sum what the mask lets through to the shape of the values, at once: it is rounded once."""
    stop = place + mask.dim()
    num_after = gradient.dim() - stop
    unmasked = call("aten.logical_not.default", mask)
    spread = call("aten.view.default", unmasked, [*mask.shape, *[1] * num_after])
    masked = call("aten.masked_fill.Scalar", gradient, spread, 0)

    def is_summed(dim: int) -> bool:
        """Tell whether one value serves for all of a dimension: those of the mask, and those that the values lack or have one of."""
        if place <= dim < stop:
            return True
        axis = len(shape) - (gradient.dim() - dim if dim >= stop else num_after + 1 + place - dim)
        return axis < 0 or bool(shape[axis] == 1)

    dims = [dim for dim in range(gradient.dim()) if is_summed(dim)]
    total = call("aten.sum.dim_IntList", masked, dims) if dims else masked
    summed: torch.Tensor = call("aten.view.default", total, list(shape))
    return summed
