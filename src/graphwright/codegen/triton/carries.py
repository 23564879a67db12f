"""Reductions: where a carry starts, what each iteration does to it, and how the lanes of a block are joined.

In: a `Carry`.   Out: lines of Triton source; `NAME` is a block while a vector loop runs, and one value after it.

Keeps: MAX, MIN and the arg-reductions give NaN (its index) where there is one; of equal extremes the first index wins.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.triton.elements import value_type
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Carry
from graphwright.ir.ops import ReduceOp

_LAST_INDEX: Final = 2**63 - 1


def render_identity(carry: Carry, lanes: int | None) -> list[str]:
    """Start a carry as a block of `lanes`, or (None) as one value."""
    shape = "[]" if lanes is None else f"[{lanes}]"
    lines = [f"{_best(carry)} = tl.full({shape}, {_identity(carry)}, {value_type(carry.dtype)})"]
    if carry.index is not None:
        lines.append(f"{carry.name} = tl.full({shape}, {_LAST_INDEX}, tl.int64)")
    return lines


def render_step(carry: Carry, mask: str | None) -> list[str]:
    """Combine a carry with this iteration's update, in the lanes of `mask`."""
    best, new = _best(carry), carry.update
    if carry.index is not None:
        wins = f"{carry.name}_wins"
        is_better = _better(carry, new, best)
        condition = is_better if mask is None else f"{mask} & ({is_better})"
        return [
            f"{wins} = {condition}",
            f"{best} = tl.where({wins}, {new}, {best})",
            f"{carry.name} = tl.where({wins}, {carry.index}, {carry.name})",
        ]
    combined = _combine(carry, best, new)
    text = combined if mask is None else f"tl.where({mask}, {combined}, {best})"
    if carry.dtype is not DType.BOOL:
        text = f"({text}).to({value_type(carry.dtype)})"
    return [f"{best} = {text}"]


def render_finish(carry: Carry) -> list[str]:
    """Join the lanes of a carry into one value."""
    best, dtype = _best(carry), value_type(carry.dtype)
    match _logical(carry):
        case ReduceOp.SUM:
            return [f"{best} = tl.sum({best}, 0).to({dtype})"]
        case ReduceOp.PROD:
            return [f"{best} = tl.reduce({best}, 0, gw_multiply)"]
        case ReduceOp.ANY:
            return [f"{best} = tl.max({best}.to(tl.int32), 0) != 0"]
        case ReduceOp.ALL:
            return [f"{best} = tl.min({best}.to(tl.int32), 0) != 0"]
        case ReduceOp.MAX | ReduceOp.MIN | ReduceOp.ARGMAX | ReduceOp.ARGMIN:
            return _finish_extreme(carry)


def _finish_extreme(carry: Carry) -> list[str]:
    best, dtype = _best(carry), carry.dtype
    function = "max" if carry.op in (ReduceOp.MAX, ReduceOp.ARGMAX) else "min"
    wide = f"{best}.to(tl.int32)" if dtype is DType.BOOL else best
    extreme = f"tl.{function}({wide}, 0)"
    if carry.index is None:
        text = f"{extreme}.to({value_type(dtype)})"
        if dtype.is_float:
            has_nan = f"tl.max(({best} != {best}).to(tl.int32), 0) != 0"
            text = f'tl.where({has_nan}, float("nan"), {text}).to({value_type(dtype)})'
        return [f"{best} = {text}"]
    place = carry.name
    is_extreme = f"{wide} == {extreme}"
    lines = []
    if dtype.is_float:
        lines.append(f"{place}_nan = {best} != {best}")
        lines.append(f"{place}_any_nan = tl.max({place}_nan.to(tl.int32), 0) != 0")
        is_extreme = f"tl.where({place}_any_nan, {place}_nan, {is_extreme})"
    return [*lines, f"{place} = tl.min(tl.where({is_extreme}, {place}, {_LAST_INDEX}), 0)"]


def _best(carry: Carry) -> str:
    return carry.name if carry.index is None else f"{carry.name}_best"


def _combine(carry: Carry, left: str, right: str) -> str:
    match _logical(carry):
        case ReduceOp.SUM:
            return f"{left} + {right}"
        case ReduceOp.PROD:
            return f"{left} * {right}"
        case ReduceOp.ANY:
            return f"({left} | {right})"
        case ReduceOp.ALL:
            return f"({left} & {right})"
        case _:
            return f"tl.where({_better(carry, right, left)}, {right}, {left})"


def _logical(carry: Carry) -> ReduceOp:
    """Sums and products of bools are `any` and `all`."""
    if carry.dtype is not DType.BOOL:
        return carry.op
    return {ReduceOp.SUM: ReduceOp.ANY, ReduceOp.PROD: ReduceOp.ALL}.get(carry.op, carry.op)


def _better(carry: Carry, new: str, best: str) -> str:
    """Whether `new` is more extreme; a first NaN is, a second is not."""
    sign = ">" if carry.op in (ReduceOp.MAX, ReduceOp.ARGMAX) else "<"
    if carry.dtype is DType.BOOL:
        new, best = f"{new}.to(tl.int8)", f"{best}.to(tl.int8)"
    text = f"{new} {sign} {best}"
    if carry.index is not None:
        text = f"({text}) | (({new} == {best}) & ({carry.index} < {carry.name}))"
    if carry.dtype.is_float:
        return f"({best} == {best}) & (({text}) | ({new} != {new}))"
    return text


def _identity(carry: Carry) -> str:
    dtype = carry.dtype
    match carry.op:
        case ReduceOp.SUM | ReduceOp.ANY:
            return "False" if dtype is DType.BOOL else "0"
        case ReduceOp.PROD | ReduceOp.ALL:
            return "True" if dtype is DType.BOOL else "1"
        case ReduceOp.MAX | ReduceOp.ARGMAX:
            return _extreme(dtype)[0]
        case ReduceOp.MIN | ReduceOp.ARGMIN:
            return _extreme(dtype)[1]


def _extreme(dtype: DType) -> tuple[str, str]:
    """The least and the greatest value."""
    if dtype is DType.BOOL:
        return "False", "True"
    if dtype.is_float:
        return 'float("-inf")', 'float("inf")'
    bits = dtype.size_bytes * 8
    if dtype.is_signed:
        return str(-(2 ** (bits - 1))), str(2 ** (bits - 1) - 1)
    return "0", str(2**bits - 1)
