"""Images sampled at the places of a grid: the nearest elements, or those around a place, weighed. One row an overload.

In: nothing.   Out: `SAMPLING`, overload name → `ElementRow`.
Keeps: every lookup is clamped to the image; what lies past it counts as 0 where eager has it so, and nothing there spoils a sum. A place
that is no number gives what eager makes of it.
Does not: volumes reflected at their edges, where eager's remainder of a place far outside is another than ours; narrow floats.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import flag_of, integer_of
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.arithmetic import Arithmetic
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values

_COST: Final = 32


class _Mode(enum.IntEnum):
    """ATen's `interpolation_mode`."""

    LINEAR = 0
    NEAREST = 1
    CUBIC = 2


class _Padding(enum.IntEnum):
    """ATen's `padding_mode`."""

    ZEROS = 0
    BORDER = 1
    REFLECTION = 2


class _Tap(msgspec.Struct, frozen=True):
    """An element of the image along one axis."""

    index: Affine
    weight: Scalar | None
    """What it counts; all where None."""
    is_inside: Scalar | None
    """None where it always is."""


class _Axis(msgspec.Struct, frozen=True):
    """An axis of the image, and how places on it are taken."""

    arithmetic: Arithmetic
    extent: int
    padding: _Padding
    has_aligned_corners: bool
    is_volume: bool

    def taps(self, place: Scalar, mode: _Mode) -> list[_Tap]:
        """Give the elements that count for a place of the grid, which spans the image from -1 to 1."""
        of = self.arithmetic.of
        place = self._on_image(place)
        if mode is _Mode.CUBIC:
            whole = of(ScalarOp.FLOOR, place)
            weights = self.arithmetic.cubic_weights(of(ScalarOp.SUB, place, whole))
            return [
                self._tap(self._padded(of(ScalarOp.ADD, whole, number - 1.0)), weight)
                for number, weight in enumerate(weights)
            ]
        place = self._padded(place)
        if mode is _Mode.NEAREST:
            return [self._tap(of(ScalarOp.ROUND, place), None)]
        first = of(ScalarOp.FLOOR, place)
        past = of(ScalarOp.SUB, place, first)
        second = of(ScalarOp.ADD, first, 1.0)
        return [
            self._tap(first, self.arithmetic.rest(past)),
            self._tap(second, past, may_pass=True),
        ]

    def _on_image(self, place: Scalar) -> Scalar:
        of = self.arithmetic.of
        above = of(ScalarOp.ADD, place, 1.0)
        if self.has_aligned_corners:
            return of(ScalarOp.MUL, above, (self.extent - 1) / 2)
        return of(ScalarOp.MUL, of(ScalarOp.SUB, of(ScalarOp.MUL, above, self.extent), 1.0), 0.5)

    def _padded(self, place: Scalar) -> Scalar:
        match self.padding:
            case _Padding.ZEROS:
                return place
            case _Padding.BORDER:
                return self._clamped(place)
            case _Padding.REFLECTION:
                return self._clamped(self._reflected(place))

    def _reflected(self, place: Scalar) -> Scalar:
        """Fold the line at the first and the last element, or half an element outside of them."""
        of = self.arithmetic.of
        low = 0.0 if self.has_aligned_corners else -0.5
        twice = 2.0 * (self.extent - 1 if self.has_aligned_corners else self.extent)
        if not twice:
            return self.arithmetic.builder.const(0, place.dtype)
        away = of(ScalarOp.ABS, of(ScalarOp.SUB, place, low))
        turns = of(ScalarOp.TRUNC, of(ScalarOp.DIV, away, twice))
        extra = of(ScalarOp.SUB, away, of(ScalarOp.MUL, turns, twice))
        back = of(ScalarOp.SUB, self.arithmetic.builder.const(twice, place.dtype), extra)
        return of(ScalarOp.ADD, of(ScalarOp.MINIMUM, extra, back), low)

    def _clamped(self, place: Scalar) -> Scalar:
        """Clamp to the image: no number is the first element, of a volume the last."""
        of, last = self.arithmetic.of, float(self.extent - 1)
        if self.is_volume:
            return of(ScalarOp.FMAX, of(ScalarOp.FMIN, place, last), 0.0)
        return of(ScalarOp.FMIN, of(ScalarOp.FMAX, place, 0.0), last)

    def _tap(self, place: Scalar, weight: Scalar | None, *, may_pass: bool = False) -> _Tap:
        """Give the tap at a whole place, which without padding is anywhere; with `may_pass` it is past the image by one."""
        builder, last = self.arithmetic.builder, float(self.extent - 1)
        index = builder.dynamic_index(self.arithmetic.whole(self._clamped(place)), self.extent)
        is_inside: Scalar | None = None
        if self.padding is _Padding.ZEROS or may_pass:
            end = builder.const(last, place.dtype)
            is_inside = builder.compute(ScalarOp.LE, (place, end), DType.BOOL)
        if self.padding is _Padding.ZEROS:
            assert is_inside is not None, "just computed"
            start = builder.const(0, place.dtype)
            is_past = builder.compute(ScalarOp.GE, (place, start), DType.BOOL)
            is_inside = builder.compute(ScalarOp.BITWISE_AND, (is_inside, is_past), DType.BOOL)
        return _Tap(index, weight, is_inside)


def _sampled(rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """grid_sampler_2d(x, grid, interpolation_mode, padding_mode, align_corners): a place of the grid begins with that on the last axis."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        builder = reader.builder
        arithmetic = Arithmetic(builder, reader.values.dtype(ref_of(node.args[0])))
        mode = _Mode(integer_of(node, 2, "interpolation_mode", 0))
        padding = _Padding(integer_of(node, 3, "padding_mode", 0))
        is_aligned = flag_of(node, 4, "align_corners")
        taps = []
        for number, extent in enumerate(shape_of(reader.values, node)[-rank:]):
            component = Affine((), rank - 1 - number)
            place = reader.operand(node, 1, (indices[0], *indices[2:], component))
            axis = _Axis(arithmetic, extent, padding, is_aligned, rank > 2)
            taps.append(axis.taps(place, mode))
        total: Scalar | None = None
        for chosen in itertools.product(*taps):
            part = _part(reader, node, indices[:2], chosen)
            total = part if total is None else arithmetic.of(ScalarOp.ADD, total, part)
        assert total is not None, "each axis has a tap"
        return total

    return element


def _part(reader: Reader, node: AtenNode, settled: Indices, taps: tuple[_Tap, ...]) -> Scalar:
    """Give an element, weighed; 0 where it is not inside. Outside of an image eager weighs the 0, of a volume it adds nothing."""
    builder = reader.builder
    part = reader.operand(node, 0, (*settled, *(tap.index for tap in taps)))
    dtype, is_volume = part.dtype, len(taps) > 2
    weights = [tap.weight for tap in taps if tap.weight is not None]
    flags = [tap.is_inside for tap in taps if tap.is_inside is not None]
    is_inside = _combined(reader, ScalarOp.BITWISE_AND, flags)
    weight = _combined(reader, ScalarOp.MUL, weights)
    zero = builder.const(0, dtype)
    if is_inside is not None and not is_volume:
        part = builder.compute(ScalarOp.WHERE, (is_inside, part, zero), dtype)
    if weight is not None:
        part = builder.compute(ScalarOp.MUL, (part, weight), dtype)
    if is_inside is not None and is_volume:
        part = builder.compute(ScalarOp.WHERE, (is_inside, part, zero), dtype)
    return part


def _combined(reader: Reader, op: ScalarOp, scalars: list[Scalar]) -> Scalar | None:
    combined: Scalar | None = None
    for scalar in scalars:
        combined = (
            scalar
            if combined is None
            else reader.builder.compute(op, (combined, scalar), scalar.dtype)
        )
    return combined


def _serves(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        shape, grid = shape_of(values, node, 0), shape_of(values, node, 1)
        dtypes = {values.dtype(ref_of(node.args[place])) for place in (0, 1)}
        is_wide = len(dtypes) == 1 and dtypes <= {DType.FLOAT32, DType.FLOAT64}
        is_alike = len(shape) == len(grid) == rank + 2 and shape[0] == grid[0]
        is_reflected = integer_of(node, 3, "padding_mode", 0) == _Padding.REFLECTION
        is_known = grid[-1] == rank and not (is_reflected and rank > 2)
        return is_wide and is_alike and is_known and 0 not in shape

    return serves


SAMPLING: Final[Mapping[str, ElementRow]] = rows(
    *(
        ElementRow(
            f"aten.grid_sampler_{rank}d.default", _sampled(rank), _serves(rank), _COST, rereads=True
        )
        for rank in (2, 3)
    )
)
