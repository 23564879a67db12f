"""Elements put back where they were the largest of a window. One row an overload.

In: nothing.   Out: `UNPOOLING`, overload name → `ScatterRow`.
Keeps: positions count all elements of an image in row-major order, and are checked; of several at one position the last one stays (in
eager threads race for it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.strides import is_row_major
from graphwright.lower.affine import ZERO
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.lookup import looked_up
from graphwright.lower.rules.rows import Lookup, ScatterRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values, static_dims


def _layout(node: AtenNode) -> tuple[tuple[int, ...], tuple[int, ...]]:
    result = node.metas[0]
    assert result is not None, f"{node.op} has a result"
    return static_dims(result.shape), static_dims(result.strides)


def _lookups(rank: int) -> Callable[[Values, AtenNode], tuple[Lookup, ...]]:
    def lookups(_values: Values, node: AtenNode) -> tuple[Lookup, ...]:
        shape, _ = _layout(node)
        return (Lookup(ref_of(node.args[1]), len(shape) - 1, math.prod(shape[-rank:])),)

    return lookups


def _place(rank: int) -> Callable[[Reader, AtenNode, Indices], Indices]:
    """The result is row-major: a position is an index along its last axis, were that as long as the image."""

    def place(reader: Reader, node: AtenNode, indices: Indices) -> Indices:
        (lookup,) = _lookups(rank)(reader.values, node)
        index = looked_up(reader, reader.operand(node, 1, indices), lookup)
        return (*indices[:-rank], *[ZERO] * (rank - 1), index)

    return place


def _serves(values: Values, node: AtenNode) -> bool:
    shape, strides = _layout(node)
    image = shape_of(values, node)
    is_known = values.dtype(ref_of(node.args[1])) is DType.INT64 and 0 not in (*shape, *image)
    is_alike = image == shape_of(values, node, 1) and len(image) == len(shape)
    is_float = values.dtype(ref_of(node.args[0])).is_float
    return is_known and is_alike and is_float and is_row_major(shape, strides)


def _zero(reader: Reader, node: AtenNode, _indices: Indices) -> Scalar:
    return reader.builder.const(0, reader.values.dtype(ref_of(node.args[0])))


UNPOOLING: Final[Mapping[str, ScatterRow]] = rows(
    *(
        ScatterRow(
            op=f"aten.max_unpool{rank}d.default",
            can_lower=_serves,
            domain=shape_of,
            place=_place(rank),
            update=lambda reader, node, indices: reader.operand(node, 0, indices),
            combine=lambda _node: None,
            lookups=_lookups(rank),
            initial=_zero,
            same_index=(),
        )
        for rank in (2, 3)
    )
)
