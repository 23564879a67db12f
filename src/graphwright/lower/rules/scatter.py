"""Ops that change elements at indices that are values. One row an overload.

In: nothing.   Out: `SCATTERS`, overload name → `ScatterRow`.
Keeps: updates of one element are made in the order in which eager makes them: that of their own indices. Narrow floats are rounded
after each update where eager does so; where eager rounds once (`graph/decomps/scatters.py`), there is no row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import AtenNode, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, flag_of, integer_of, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.ir.scatters import rounds_once
from graphwright.lower.affine import ZERO
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.lookup import (
    along_axis,
    fits_in,
    index_lookups,
    index_plan,
    indexes_by_numbers,
    lists_places,
    looked_up,
    names_places,
    place_by_element,
    place_by_index,
    place_by_list,
    replaced_extent,
    taken_lookups,
    takes_from_line,
)
from graphwright.lower.rules.rows import Lookup, ScatterRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values, static_dims

_Element = Callable[[Reader, AtenNode, Indices], Scalar]
_Serves = Callable[[Values, AtenNode], bool]

_REDUCTIONS: Final[Mapping[str, ScalarOp]] = {
    "add": ScalarOp.ADD,
    "multiply": ScalarOp.MUL,
    "sum": ScalarOp.ADD,
    "prod": ScalarOp.MUL,
    "amax": ScalarOp.MAXIMUM,
    "amin": ScalarOp.MINIMUM,
}
"""By the names that `scatter` and `scatter_reduce` have for them."""


def _first(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
    return reader.operand(node, 0, indices)


def _zero(reader: Reader, node: AtenNode, _indices: Indices) -> Scalar:
    return reader.builder.const(0, _result_dtype(node))


def _result_dtype(node: AtenNode) -> DType:
    meta = node.metas[0]
    assert meta is not None, f"{node.op} has a result"
    return meta.dtype


def _element(position: int) -> _Element:
    return lambda reader, node, indices: reader.operand(node, position, indices)


def _number(position: int) -> _Element:
    def update(reader: Reader, node: AtenNode, _indices: Indices) -> Scalar:
        return reader.builder.const(number_of(node.args[position]), _result_dtype(node))

    return update


def _single(position: int) -> _Element:
    return lambda reader, node, _indices: reader.operand(node, position, ())


def _replaces(_node: AtenNode) -> None:
    return None


def _adds(_node: AtenNode) -> ScalarOp:
    return ScalarOp.ADD


def _reduction(node: AtenNode) -> ScalarOp | None:
    named = argument(node, 4, "reduce")
    return _REDUCTIONS.get(str(named.value)) if isinstance(named, LiteralArg) else None


# scatter(x, dim, index, …)


def _index_shape(values: Values, node: AtenNode) -> tuple[int, ...]:
    return shape_of(values, node, 2)


def _rounds_as_eager(values: Values, node: AtenNode) -> bool:
    """Tell whether combining one update after another gives what eager gives."""
    dtype, index = _result_dtype(node), values.dtype(ref_of(node.args[2]))
    is_narrow = computation_dtype(dtype) is not dtype
    is_coarser = is_narrow and rounds_once(node, len(shape_of(values, node, 0)), index)
    return dtype is not DType.BOOL and not is_coarser


def _reduces(values: Values, node: AtenNode) -> bool:
    is_known = _reduction(node) is not None
    includes = argument(node, 5, "include_self") != LiteralArg(value=False)
    return is_known and includes and _sums(values, node)


def _sums(values: Values, node: AtenNode) -> bool:
    return _rounds_as_eager(values, node) and _has_updates(values, node)


def _has_updates(values: Values, node: AtenNode) -> bool:
    """Tell whether there is an update for each index, as eager asks; a number is one for all."""
    if not isinstance(node.args[3], Ref):
        return names_places(values, node)
    is_alike = values.dtype(ref_of(node.args[3])) is _result_dtype(node)
    has_all = fits_in(_index_shape(values, node), shape_of(values, node, 3))
    return is_alike and has_all and names_places(values, node)


# index_add(x, dim, index, source): index is a list


def _source_shape(values: Values, node: AtenNode) -> tuple[int, ...]:
    return shape_of(values, node, 3)


def _filled_shape(values: Values, node: AtenNode) -> tuple[int, ...]:
    shape = shape_of(values, node, 0)
    axis = integer_of(node, 1, "dim", 0) % len(shape)
    (count,) = shape_of(values, node, 2) or (1,)
    return replaced_extent(shape, axis, count)


def _adds_rows(values: Values, node: AtenNode) -> bool:
    return _rounds_as_eager(values, node) and _has_source(values, node)


def _has_source(values: Values, node: AtenNode) -> bool:
    """Tell whether there is a slice for each index, as eager asks."""
    is_alike = values.dtype(ref_of(node.args[3])) is _result_dtype(node)
    is_served = is_alike and lists_places(values, node)
    return is_served and shape_of(values, node, 3) == _filled_shape(values, node)


def _reduces_rows(values: Values, node: AtenNode) -> bool:
    includes = argument(node, 5, "include_self") != LiteralArg(value=False)
    is_known = _reduction(node) is not None and _result_dtype(node) is not DType.BOOL
    return is_known and includes and _has_source(values, node)


def _copies_rows(values: Values, node: AtenNode) -> bool:
    return _has_source(values, node) and _is_long(values, node)


def _fills(values: Values, node: AtenNode) -> bool:
    given = node.args[3]
    is_number = not isinstance(given, Ref) or not values.layouts[given.id].shape
    return is_number and lists_places(values, node) and _is_long(values, node)


def _is_long(values: Values, node: AtenNode) -> bool:
    return values.dtype(ref_of(node.args[2])) is DType.INT64


def _scaled_source(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
    source, alpha = reader.operand(node, 3, indices), argument(node, 4, "alpha")
    if alpha is None:
        return source
    dtype = computation_dtype(source.dtype)
    factor = reader.builder.const(number_of(alpha), dtype)
    return reader.builder.compute(ScalarOp.MUL, (reader.builder.cast(source, dtype), factor), dtype)


# index_put(x, [i0, None, i1, …], values, accumulate)


def _indexed_shape(values: Values, node: AtenNode) -> tuple[int, ...]:
    plan = index_plan(values, node)
    assert plan is not None, "checked by `can_lower`"
    shape = shape_of(values, node, 0)
    plain = [extent for extent, tensor in zip(shape, plan.tensors, strict=True) if tensor is None]
    return (*plain[: plan.start], *plan.shape, *plain[plan.start :])


def _broadcast_values(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
    return reader.read_broadcast(ref_of(node.args[2]), indices)


def _accumulates(node: AtenNode) -> ScalarOp | None:
    return ScalarOp.ADD if flag_of(node, 3, "accumulate") else None


def _puts(values: Values, node: AtenNode) -> bool:
    dtype, given = _result_dtype(node), ref_of(node.args[2])
    adds_bools = _accumulates(node) is not None and dtype is DType.BOOL
    is_alike = values.dtype(given) is dtype and not adds_bools
    if not is_alike or not indexes_by_numbers(values, node):
        return False
    wanted, shape = _indexed_shape(values, node), values.layouts[given].shape
    own = wanted[len(wanted) - len(shape) :]
    return len(shape) <= len(wanted) and all(
        extent in (1, other) for extent, other in zip(shape, own, strict=True)
    )


# put(x, index, source, accumulate): x has a single axis, and so have the others


def _index_of_line(values: Values, node: AtenNode) -> tuple[int, ...]:
    return shape_of(values, node, 1)


def _place_in_line(reader: Reader, node: AtenNode, indices: Indices) -> Indices:
    (lookup,) = taken_lookups(reader.values, node)
    return (looked_up(reader, reader.operand(node, 1, indices), lookup),)


def _puts_in_line(values: Values, node: AtenNode) -> bool:
    is_alike = values.dtype(ref_of(node.args[2])) is _result_dtype(node)
    adds_bools = _accumulates(node) is not None and _result_dtype(node) is DType.BOOL
    has_all = shape_of(values, node, 1) == shape_of(values, node, 2)
    return is_alike and has_all and not adds_bools and takes_from_line(values, node)


# Rows of gradients, added to the rows of an embedding


def _rows_lookup(values: Values, node: AtenNode) -> tuple[Lookup, ...]:
    rows_of_weight = integer_of(node, 2, "num_weights", 0)
    return (Lookup(ref_of(node.args[1]), 0, rows_of_weight, is_checked=False),)


def _row_place(reader: Reader, node: AtenNode, indices: Indices) -> Indices:
    (lookup,) = _rows_lookup(reader.values, node)
    row = looked_up(reader, reader.operand(node, 1, indices[:-1]), lookup)
    return (row, indices[-1])


def _is_row(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
    """Rows that do not exist are passed over, and the padding's row."""
    builder = reader.builder
    row = reader.operand(node, 1, indices[:-1])
    padding = builder.const(integer_of(node, 3, "padding_idx", -1), row.dtype)
    is_row = _is_below(reader, row, integer_of(node, 2, "num_weights", 0))
    is_other = builder.compute(ScalarOp.NE, (row, padding), DType.BOOL)
    return builder.compute(ScalarOp.BITWISE_AND, (is_row, is_other), DType.BOOL)


def _is_below(reader: Reader, index: Scalar, extent: int) -> Scalar:
    """Tell whether 0 <= index < extent."""
    builder = reader.builder
    index = builder.cast(index, DType.INT64)
    zero, end = builder.const(0, DType.INT64), builder.const(extent, DType.INT64)
    is_positive = builder.compute(ScalarOp.GE, (index, zero), DType.BOOL)
    is_less = builder.compute(ScalarOp.LT, (index, end), DType.BOOL)
    return builder.compute(ScalarOp.BITWISE_AND, (is_positive, is_less), DType.BOOL)


# Gradients of the largest elements of windows: op(grad, x, …, positions), positions in the image, in row-major order


def _positions_lookup(position: int, rank: int) -> Callable[[Values, AtenNode], tuple[Lookup, ...]]:
    def lookups(values: Values, node: AtenNode) -> tuple[Lookup, ...]:
        shape = shape_of(values, node, 1)
        image = math.prod(shape[-rank:])
        return (Lookup(ref_of(node.args[position]), len(shape) - 1, image, is_checked=False),)

    return lookups


def _pool_gradient(name: str, position: int, rank: int) -> ScatterRow:
    lookups = _positions_lookup(position, rank)

    def place(reader: Reader, node: AtenNode, indices: Indices) -> Indices:
        (lookup,) = lookups(reader.values, node)
        index = looked_up(reader, reader.operand(node, position, indices), lookup)
        return (*indices[:-rank], *[ZERO] * (rank - 1), index)

    def is_in_image(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        (lookup,) = lookups(reader.values, node)
        return _is_below(reader, reader.operand(node, position, indices), lookup.extent)

    def serves(values: Values, node: AtenNode) -> bool:
        """Tell whether the axes of the result's image can be seen as one."""
        grad, shape = shape_of(values, node, 0), shape_of(values, node, 1)
        meta = node.metas[0]
        assert meta is not None, f"{node.op} has a result"
        step, own = static_dims(meta.strides[-rank:]), shape[-rank:]
        is_one = all(step[axis] == step[axis + 1] * own[axis + 1] for axis in range(rank - 1))
        return is_one and len(grad) == len(shape) and grad == shape_of(values, node, position)

    return ScatterRow(
        op=f"aten.{name}.default",
        can_lower=serves,
        domain=_first_shape,
        place=place,
        update=_element(0),
        combine=_adds,
        lookups=lookups,
        initial=_zero,
        condition=is_in_image,
        same_index=(),
    )


def _is_unscaled(values: Values, node: AtenNode) -> bool:
    has_rows = shape_of(values, node, 0)[:-1] == shape_of(values, node, 1)
    return has_rows and not flag_of(node, 4, "scale_grad_by_freq")


def _first_shape(values: Values, node: AtenNode) -> tuple[int, ...]:
    return shape_of(values, node, 0)


def _scatter(name: str, update: _Element, *, reduces: bool = False) -> ScatterRow:
    return ScatterRow(
        op=f"aten.{name}",
        can_lower=_reduces if reduces else _has_updates,
        domain=_index_shape,
        place=place_by_element,
        update=update,
        combine=_reduction if reduces else _replaces,
        lookups=along_axis(),
        initial=_first,
    )


def _fill(name: str, update: _Element) -> ScatterRow:
    return ScatterRow(
        op=f"aten.{name}",
        can_lower=_fills,
        domain=_filled_shape,
        place=place_by_list,
        update=update,
        combine=_replaces,
        lookups=along_axis(wraps=True),
        initial=_first,
    )


SCATTERS: Final[Mapping[str, ScatterRow]] = rows(
    _scatter("scatter.src", _element(3)),
    _scatter("scatter.value", _number(3)),
    _scatter("scatter.reduce", _element(3), reduces=True),
    _scatter("scatter.value_reduce", _number(3), reduces=True),
    _scatter("scatter_reduce.two", _element(3), reduces=True),
    ScatterRow(
        op="aten.scatter_add.default",
        can_lower=_sums,
        domain=_index_shape,
        place=place_by_element,
        update=_element(3),
        combine=_adds,
        lookups=along_axis(),
        initial=_first,
    ),
    ScatterRow(
        op="aten.index_add.default",
        can_lower=_adds_rows,
        domain=_source_shape,
        place=place_by_list,
        update=_scaled_source,
        combine=_adds,
        lookups=along_axis(),
        initial=_first,
    ),
    ScatterRow(
        op="aten.index_copy.default",
        can_lower=_copies_rows,
        domain=_source_shape,
        place=place_by_list,
        update=_element(3),
        combine=_replaces,
        lookups=along_axis(),
        initial=_first,
    ),
    _fill("index_fill.int_Scalar", _number(3)),
    _fill("index_fill.int_Tensor", _single(3)),
    ScatterRow(
        op="aten.index_put.default",
        can_lower=_puts,
        domain=_indexed_shape,
        place=place_by_index,
        update=_broadcast_values,
        combine=_accumulates,
        lookups=index_lookups,
        initial=_first,
    ),
    ScatterRow(
        op="aten.put.default",
        can_lower=_puts_in_line,
        domain=_index_of_line,
        place=_place_in_line,
        update=_element(2),
        combine=_accumulates,
        lookups=taken_lookups,
        initial=_first,
    ),
    ScatterRow(
        op="aten.index_reduce.default",
        can_lower=_reduces_rows,
        domain=_source_shape,
        place=place_by_list,
        update=_element(3),
        combine=_reduction,
        lookups=along_axis(),
        initial=_first,
    ),
    _pool_gradient("max_pool2d_with_indices_backward", 7, rank=2),
    _pool_gradient("max_pool3d_with_indices_backward", 7, rank=3),
    _pool_gradient("adaptive_max_pool2d_backward", 2, rank=2),
    _pool_gradient("adaptive_max_pool3d_backward", 2, rank=3),
    ScatterRow(
        op="aten.embedding_dense_backward.default",
        can_lower=_is_unscaled,
        domain=_first_shape,
        place=_row_place,
        update=_element(0),
        combine=_adds,
        lookups=_rows_lookup,
        initial=_zero,
        condition=_is_row,
        same_index=(),
    ),
)
