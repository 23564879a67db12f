"""The op that raises, in the place of ops that refuse some values of their operands, what eager raises.

In: whether a value is refused (an index out of range, a divisor that is zero), the operand, the op.   Out: nothing, or eager's exception.
Keeps: the error is the op's own: where a value is refused the op itself is called, on the operand and on zeros that stand in
for its other operands, and raises.

    %2 = embedding(%0, %1)    →    %2 = clamp(%1, 0, 999);  %3 = any(ne(%2, %1));  check_lookup(%3, [%1], embedding(_, %1))
                                   %4 = embedding(%0, %2)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import torch

from graphwright.base.errors import InternalError
from graphwright.ir.arguments import NO_SYMBOLS, make_argument
from graphwright.ir.aten import Arg, AtenNode, KwArg, TensorMeta
from graphwright.ir.data import Data
from graphwright.ir.dims import evaluate_dim
from graphwright.ir.overloads import find_overload
from graphwright.ir.renumbering import iter_reads, rename_reads

_MARK: Final = "_graphwright_came_first"
CHECK_LOOKUP: Final = "graphwright.check_lookup.default"
_LIBRARY: Final = torch.library.Library("graphwright", "FRAGMENT")  # registered while it lives


class _Lookup(Data, frozen=True):
    """A call that looks up; its tensors are numbered, the indices first."""

    op: str
    args: tuple[Arg, ...]
    kwargs: tuple[KwArg, ...]
    others: tuple[TensorMeta, ...]
    """What the operands are that are no indices."""


def describe_lookup(node: AtenNode, indices: Sequence[int], metas: Sequence[TensorMeta]) -> str:
    """Give the text that `check_lookup` calls `node` by.

    Args:
        node: the node that looks up.
        indices: those of its operands that are passed on.
        metas: what the values of the graph are.
    """
    others = [value for value in dict.fromkeys(iter_reads(node)) if value not in indices]
    numbers = {value: number for number, value in enumerate([*indices, *others])}
    renamed = rename_reads(node, numbers)
    stand_ins = tuple(metas[value] for value in others)
    lookup = _Lookup(node.op, renamed.args, renamed.kwargs, stand_ins)
    return msgspec.json.encode(lookup).decode()


def check_lookup(
    is_wrong: torch.Tensor, indices: Sequence[torch.Tensor], lookup: str, *, is_first: bool = False
) -> None:
    """Raise what eager raises where `is_wrong`, a bool, holds.

    Args:
        is_wrong: whether an index is out of range.
        indices: the indices.
        lookup: the op, see `describe_lookup`.
        is_first: nothing has been changed yet; the exception is marked by that, see `comes_first`.

    Raises:
        InternalError: eager would not raise.
    """
    if not is_wrong:
        return
    call = msgspec.json.decode(lookup, type=_Lookup)
    tensors = [*indices, *map(_stand_in, call.others)]
    args = [make_argument(arg, tensors) for arg in call.args]
    kwargs = {kwarg.name: make_argument(kwarg.value, tensors) for kwarg in call.kwargs}
    try:
        find_overload(call.op)(*args, **kwargs)
    except Exception as error:
        if is_first:
            setattr(error, _MARK, True)
        raise
    message = f"{call.op} takes values that were held to be refused: {list(indices)}"
    raise InternalError(message)


def comes_first(error: BaseException) -> bool:
    """Tell whether a check raised `error` before its plan had changed anything."""
    return hasattr(error, _MARK)


def unmark(error: BaseException) -> None:
    """Let `comes_first` no longer hold, which is said of one plan."""
    if comes_first(error):
        delattr(error, _MARK)


def _stand_in(meta: TensorMeta) -> torch.Tensor:
    shape = [evaluate_dim(extent, NO_SYMBOLS) for extent in meta.shape]
    strides = [evaluate_dim(stride, NO_SYMBOLS) for stride in meta.strides]
    dtype = meta.dtype.torch_dtype
    return torch.empty_strided(shape, strides, dtype=dtype, device=meta.device).zero_()


_LIBRARY.define(
    "check_lookup(Tensor is_wrong, Tensor[] indices, str lookup, *, bool is_first=False) -> ()"
)
_LIBRARY.impl("check_lookup", check_lookup, "CompositeExplicitAutograd")
