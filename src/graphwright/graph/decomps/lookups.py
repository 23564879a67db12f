"""Ops on elements that are named by their values or places, in terms of simpler ones.

In: nothing.   Out: `LOOKUPS`, overload name → `Decomposition`.
Keeps: an index out of range raises what the op itself raises. Narrow floats are rounded after each update, as in eager.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import (
    Emitter,
    as_argument,
    as_list,
    static_dims,
    static_layout,
)
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, tensor
from graphwright.graph.decomps.scatters import identity_of_update
from graphwright.ir.aten import Arg, AtenNode, ListArg, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, flag_of, integer_of

_MOST_COMPARED: Final = 64
"""With more of them, eager sorts."""
_NARROWEST_ROW: Final = 16
"""A mask of narrower rows is gone over element by element, which eager does as fast."""
_MOST_WRITTEN: Final = 8
"""So few are compared one by one: a reduction over 4 elements takes longer than eager, 70 µs for 8192 of 4."""


def _take(emit: Emitter, node: AtenNode) -> bool:
    """take(x, indices): x row by row, as a line."""
    x, indices = tensor(node, 0), tensor(node, 1)
    if len(emit.shape(x)) == 1:
        return False
    args = [_line(emit, x), indices]
    give(emit, node, emit.fresh(node.op, args, emit.shape(indices), x))
    return True


def _put(emit: Emitter, node: AtenNode) -> bool:
    """put(x, indices, source, accumulate): all of them row by row, as lines."""
    given = [tensor(node, place) for place in range(3)]
    x, _, source = given
    counts = [math.prod(emit.shape(value)) for value in given]
    are_lines = all(len(emit.shape(value)) == 1 for value in given)
    if are_lines or counts[1] != counts[2] or emit.dtype(source) is not emit.dtype(x):
        return False
    args = [*(_line(emit, value) for value in given), *node.args[3:]]
    put = emit.fresh(node.op, args, (counts[0],), x)
    give(emit, node, emit.view(put, emit.shape(x)))
    return True


def _line(emit: Emitter, x: Ref) -> Ref:
    return emit.view(emit.row_major(x), (math.prod(emit.shape(x)),))


def _index_reduce(emit: Emitter, node: AtenNode) -> bool:
    """Start from what is there, or from the identity at each place that is named; divide a mean by the count."""
    x, indices, source = (tensor(node, place) for place in (0, 2, 3))
    named = argument(node, 4, "reduce")
    name = str(named.value) if isinstance(named, LiteralArg) else ""
    includes = argument(node, 5, "include_self") != LiteralArg(value=False)
    shape, dtype = emit.shape(x), emit.dtype(x)
    is_mean = name == "mean"
    if includes and not is_mean:
        return False
    if not shape or len(emit.shape(indices)) != 1 or (is_mean and not dtype.is_float):
        return False
    axis = integer_of(node, 1, "dim", 0) % len(shape)
    count = emit.shape(indices)[0]
    identity = identity_of_update(name, dtype)
    is_served = (
        identity is not None
        and emit.dtype(source) is dtype
        and emit.shape(source) == (*shape[:axis], count, *shape[axis + 1 :])
    )
    if identity is None or not is_served:
        return False
    safe = emit.cast(emit.checked(node, indices, 0, shape[axis] - 1), DType.INT64)
    places: list[Arg] = [LiteralArg(axis), safe]
    if not includes:
        args: list[Arg] = [x, *places, as_argument(identity)]
        x = emit.fresh("aten.index_fill.int_Scalar", args, shape, x)
    if not is_mean:
        x = emit.fresh(node.op, [x, *places, source, LiteralArg(name)], shape, x)
        give(emit, node, x)
        return True
    total = _added(emit, x, axis, safe, source)
    start = emit.full((shape[axis],), int(includes), x)
    counts = _added(emit, start, 0, safe, emit.full((count,), 1, x))
    counts = emit.pointwise("aten.clamp_min.default", counts, 1)
    tail = [1] * (len(shape) - axis - 1)
    column = emit.seen_as(counts, (shape[axis], *tail), (1, *tail))
    give(emit, node, emit.pointwise("aten.div.Tensor", total, column))
    return True


def _added(emit: Emitter, x: Ref, axis: int, places: Ref, source: Ref) -> Ref:
    indices = ListArg((*[LiteralArg(None)] * axis, places))
    args: list[Arg] = [x, indices, source, LiteralArg(value=True)]
    return emit.fresh("aten.index_put.default", args, emit.shape(x), x)


def _masked_scatter(emit: Emitter, node: AtenNode) -> bool:
    """masked_scatter(x, mask, source), for a mask of whole rows: the row's number among those that it holds leads to the source's."""
    x, mask, source = (tensor(node, place) for place in range(3))
    shape, given = emit.shape(x), static_layout(emit.meta(mask))
    strides = _expanded(*given, shape)
    if strides is None:
        return False
    outer = _rows_of_mask(shape, strides)
    width, available = math.prod(shape[outer:]), math.prod(emit.shape(source))
    is_alike = emit.dtype(source) is emit.dtype(x) and emit.dtype(mask) is DType.BOOL
    if width < _NARROWEST_ROW or available % width or not is_alike:
        return False
    num_rows, num_given = math.prod(shape[:outer]), available // width
    flags = emit.overlaid(mask, shape[:outer], strides[:outer])
    flags = emit.view(emit.row_major(flags), (num_rows,))
    ones = emit.cast(flags, DType.INT64)
    counts = emit.fresh("aten.cumsum.default", [ones, LiteralArg(0)], (num_rows,), ones)
    places = emit.pointwise("aten.sub.Tensor", counts, 1)
    is_past = emit.pointwise("aten.gt.Scalar", counts, num_given, dtype=DType.BOOL)
    emit.check_values(node, [mask], is_past)
    places = emit.pointwise("aten.clamp.default", places, 0, num_given - 1)
    rows_given = emit.view(emit.row_major(source), (num_given, width))
    taken = emit.fresh("aten.index.Tensor", [rows_given, ListArg((places,))], (num_rows, width), x)
    chosen = emit.pointwise(
        "aten.where.self", mask, emit.view(taken, shape), x, dtype=emit.dtype(x)
    )
    give(emit, node, chosen)
    return True


def _expanded(
    shape: tuple[int, ...], strides: tuple[int, ...], wanted: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Give the strides of a tensor that is expanded to the `wanted` shape; None where it cannot be."""
    missing = len(wanted) - len(shape)
    if missing < 0 or any(
        extent not in (1, other) for extent, other in zip(shape, wanted[missing:], strict=True)
    ):
        return None
    own = [0 if extent == 1 else stride for extent, stride in zip(shape, strides, strict=True)]
    return (*[0] * missing, *own)


def _rows_of_mask(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Count the axes before those that a mask is expanded over, to the last."""
    outer = len(shape)
    while outer and (strides[outer - 1] == 0 or shape[outer - 1] == 1):
        outer -= 1
    return outer


def _isin(emit: Emitter, node: AtenNode) -> bool:
    """isin(x, wanted): whether an element equals any of a few."""
    x, wanted = tensor(node, 0), tensor(node, 1)
    count = math.prod(emit.shape(wanted))
    if emit.dtype(x) is not emit.dtype(wanted) or count > _MOST_COMPARED:
        return False
    wanted = _line(emit, wanted)
    found = _equals_one_of(emit, x, wanted) if count <= _MOST_WRITTEN else _any(emit, x, wanted)
    if flag_of(node, 3, "invert"):
        found = emit.pointwise("aten.logical_not.default", found)
    give(emit, node, found)
    return True


def _equals_one_of(emit: Emitter, x: Ref, wanted: Ref) -> Ref:
    found: Ref | None = None
    for place in range(emit.shape(wanted)[0]):
        one = emit.seen_as(emit.slice(wanted, 0, place, 1), (), ())
        flags = emit.pointwise("aten.eq.Tensor", x, one, dtype=DType.BOOL)
        found = flags if found is None else emit.pointwise("aten.logical_or.default", found, flags)
    assert found is not None, "there is something to compare with"
    return found


def _any(emit: Emitter, x: Ref, wanted: Ref) -> Ref:
    shape, strides = static_layout(emit.meta(x))
    column = emit.seen_as(x, (*shape, 1), (*strides, 1))
    flags = emit.pointwise("aten.eq.Tensor", column, wanted, dtype=DType.BOOL)
    return emit.fresh("aten.any.dim", [flags, LiteralArg(len(shape))], shape, flags)


def _trace(emit: Emitter, node: AtenNode) -> bool:
    """The sum of the diagonal; of floats in float64 or, narrow ones, in float32, as in eager."""
    x, result = tensor(node, 0), result_meta(node).dtype
    down, across = static_dims(emit.meta(x).strides)
    diagonal = emit.overlaid(x, (min(emit.shape(x)),), (down + across,))
    wide = DType.FLOAT64 if result is DType.FLOAT32 else result
    diagonal = emit.widened(emit.cast(diagonal, wide))
    args: list[Arg] = [diagonal, as_list([0]), LiteralArg(value=False)]
    give(emit, node, emit.fresh("aten.sum.dim_IntList", args, (), diagonal))
    return True


LOOKUPS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.take.default", _take),
    Decomposition("aten.put.default", _put),
    Decomposition("aten.index_reduce.default", _index_reduce),
    Decomposition("aten.masked_scatter.default", _masked_scatter),
    Decomposition("aten.isin.Tensor_Tensor", _isin),
    Decomposition("aten.trace.default", _trace),
)
