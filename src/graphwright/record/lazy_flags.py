"""Conjugate and negative views: the memory of another tensor, with a flag that changes its values.

In:  an abstract tensor.   Out: whether it has such flags, and the tensor on the same memory without them.
The recorder reads such a view as a computation (`conj_physical`, `neg`); but a result that a program gives back shares memory, and
shows its flag, as eager's does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch

from graphwright.record.abstract import TensorState, ViewStep

CONJUGATE: Final = "aten._conj.default"
NEGATIVE: Final = "aten._neg_view.default"
_FLAGS: Final = {CONJUGATE: torch._conj, NEGATIVE: torch._neg_view}  # noqa: SLF001  (torch's only names for them)


def has_flags(recipe: Sequence[ViewStep]) -> bool:
    """Tell whether a tensor that these views lead to does not hold its own values."""
    return any(step.op in _FLAGS for step in recipe)


def flag_functions(recipe: Sequence[ViewStep]) -> list[Callable[..., torch.Tensor]] | None:
    """Give the functions that put the flags on the tensor without them; None where a view between them tells real from imaginary."""
    last = max((i for i, step in enumerate(recipe) if step.op == CONJUGATE), default=-1)
    if any(step.source.dtype is not step.target.dtype for step in recipe[last + 1 :]) and last >= 0:
        return None
    counts = {op: sum(step.op == op for step in recipe) for op in _FLAGS}
    return [function for op, function in _FLAGS.items() if counts[op] % 2]


def without_flags(state: TensorState) -> TensorState:
    """Give how a tensor looks at its memory, without the flags."""
    recipe = tuple(step for step in state.recipe if step.op not in _FLAGS)
    bare = TensorState(state.spec, state.storage, recipe, state.value)
    bare.version = -1  # its value is another one: it is read anew
    return bare
