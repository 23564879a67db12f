"""Joining pieces along an axis: which of them an index leads to.

In: pieces of a result, one after another along an axis.   Out: the element at an index of the result.
Keeps: where the index lies in one piece for the whole kernel (or a section of it), nothing is chosen at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.reader import Reader
from graphwright.lower.scalars import Scalar


class Piece(msgspec.Struct, frozen=True):
    """A part of the result along one axis, up to `stop`."""

    stop: int
    element: Callable[[Affine], Scalar]
    """The element at an index along the axis (an index of the result)."""


def join(reader: Reader, index: Affine, pieces: Sequence[Piece], dtype: DType) -> Scalar:
    """Give the element at `index` along the axis that the pieces divide."""
    bounds = [piece.stop for piece in pieces]
    chosen = reader.piece_of(index, bounds)
    builder = reader.builder
    if chosen is not None:
        return builder.cast(pieces[chosen].element(index), dtype)
    position = builder.index(index)
    start = 0
    result: Scalar | None = None
    for piece in pieces:
        inside = _clamped(reader, position, start, piece.stop)
        value = builder.cast(piece.element(inside), dtype)
        if result is None:
            result = value
        else:
            is_before = builder.compute(
                ScalarOp.LT, (position, builder.const(start, DType.INT64)), DType.BOOL
            )
            result = builder.compute(ScalarOp.WHERE, (is_before, result, value), dtype)
        start = piece.stop
    assert result is not None, "there is at least one piece"
    return result


def _clamped(reader: Reader, position: Scalar, start: int, stop: int) -> Affine:
    """Give `position`, clamped to `start..stop`, as an index."""
    builder = reader.builder
    first, last = builder.const(start, DType.INT64), builder.const(stop - 1, DType.INT64)
    clamped = builder.compute(ScalarOp.MAXIMUM, (position, first), DType.INT64)
    clamped = builder.compute(ScalarOp.MINIMUM, (clamped, last), DType.INT64)
    shifted = builder.compute(ScalarOp.SUB, (clamped, first), DType.INT64)
    return builder.dynamic_index(shifted, max(stop - start, 1)).shifted(start)


def join_nonempty(reader: Reader, index: Affine, pieces: Sequence[Piece], dtype: DType) -> Scalar:
    """As `join`; pieces without elements are left out."""
    start = 0
    kept = []
    for piece in pieces:
        if piece.stop > start:
            kept.append(piece)
            start = piece.stop
    return join(reader, index, kept, dtype)
