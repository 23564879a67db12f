"""Gradients of images that were made larger by linear interpolation: what each element gave to. One row an overload.

In: nothing.   Out: `RESAMPLING_GRADIENTS`, overload name → `ElementRow`.
Keeps: along the axis that became larger every product that eager adds is added, those of weight 0 too, which are no numbers where the
gradient is infinite.
Does not: other sizes than 2 and 4 times the image's along one axis (`graph/decomps/resampling.py` makes them of several), narrow floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp
from graphwright.ir.resampling import RANKS, Enlargement, enlargements
from graphwright.lower.affine import Affine
from graphwright.lower.reader import Indices, Reader, shape_of
from graphwright.lower.rules.joining import Piece, join
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values

_COST: Final = 12


class _Tap(msgspec.Struct, frozen=True):
    """An element of the gradient, and how much of it came from the element of the image."""

    index: Affine
    weight: float


def _first(factor: int) -> list[_Tap]:
    """Give the taps of the first element, which gave all of what lies before its middle."""
    half = factor // 2
    before = [_Tap(Affine((), place), 1.0) for place in range(half)]
    return [*before, *_falling(Affine((), half), factor)]


def _second(factor: int) -> list[_Tap]:
    """Give the taps of the second element: eager adds nothing of what lies before the first one's middle."""
    half = factor // 2
    before = [_Tap(Affine((), place), 0.0) for place in range(half)]
    return [*before, *_inner(Affine((), 1), factor)]


def _inner(index: Affine, factor: int) -> list[_Tap]:
    start = index.times(factor).shifted(-(factor // 2))
    rising = [_Tap(start.shifted(step), (step + 0.5) / factor) for step in range(factor)]
    return [*rising, *_falling(start.shifted(factor), factor)]


def _last(index: Affine, factor: int) -> list[_Tap]:
    """Give the taps of the last element, which gave all of what lies past its middle, in two parts."""
    start = index.times(factor).shifted(-(factor // 2))
    taps = [_Tap(start.shifted(step), (step + 0.5) / factor) for step in range(factor)]
    past = start.shifted(factor)
    return [*taps, *(_Tap(past.shifted(step), 1.0) for step in range(factor // 2))]


def _falling(start: Affine, factor: int) -> list[_Tap]:
    return [_Tap(start.shifted(step), 1.0 - (step + 0.5) / factor) for step in range(factor)]


def _gradient(rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        found = enlargements(node, shape_of(reader.values, node)[-rank:])
        assert found is not None, "checked by `can_lower`"
        (axis,) = [number for number, one in enumerate(found) if one.factor > 1]
        place = len(indices) - rank + axis
        return _along(reader, node, indices, place, found[axis])

    return element


def _along(
    reader: Reader, node: AtenNode, indices: Indices, place: int, axis: Enlargement
) -> Scalar:
    builder = reader.builder
    result = node.metas[0]
    assert result is not None, f"{node.op} has a result"
    dtype = result.dtype

    def total(taps_of: Callable[[Affine], Sequence[_Tap]]) -> Callable[[Affine], Scalar]:
        def element(index: Affine) -> Scalar:
            value: Scalar | None = None
            for tap in taps_of(index):
                places = (*indices[:place], tap.index, *indices[place + 1 :])
                weight = builder.const(tap.weight, dtype)
                part = reader.operand(node, 0, places)
                part = builder.compute(ScalarOp.MUL, (part, weight), dtype)
                both = (value, part)
                value = part if value is None else builder.compute(ScalarOp.ADD, both, dtype)  # type: ignore[arg-type]
            assert value is not None, "there are taps"
            return value

        return element

    factor, extent = axis.factor, axis.extent
    pieces = [
        Piece(1, total(lambda _index: _first(factor))),
        Piece(2, total(lambda _index: _second(factor))),
        Piece(extent - 1, total(lambda index: _inner(index, factor))),
        Piece(extent, total(lambda index: _last(index, factor))),
    ]
    return join(reader, indices[place], pieces, dtype)


def _serves(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        result = node.metas[0]
        is_wide = result is not None and result.dtype in (DType.FLOAT32, DType.FLOAT64)
        shape = shape_of(values, node)
        found = enlargements(node, shape[-rank:]) if len(shape) == rank + 2 else None
        if found is None or not is_wide or 0 in shape:
            return False
        return sum(one.factor > 1 for one in found) == 1

    return serves


RESAMPLING_GRADIENTS: Final[Mapping[str, ElementRow]] = rows(
    *(
        ElementRow(
            f"aten.{name}_backward.default", _gradient(rank), _serves(rank), _COST, rereads=True
        )
        for name, rank in RANKS.items()
    )
)
