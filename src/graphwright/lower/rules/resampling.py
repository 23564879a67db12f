"""Images at another size, interpolated between their elements: linearly along each axis, or by cubic polynomials. One row an overload.

In: nothing.   Out: `RESAMPLING`, overload name → `ElementRow`.
Keeps: places and weights are computed as eager computes them, in the dtype that it computes elements in; no place is outside of the image.
Does not: interpolate linearly along the innermost axis of memory by other factors than powers of two, where neighbours are gathered one
by one: eager's kernel, which has its places in a table, takes 1.1 ms for 16×32×2048 elements where gathers take 1.6 (AMD EPYC 9004). By
powers of two own code takes 0.14 to 0.4 of eager's time (Intel Xeon), where channels are innermost 0.6, cubic polynomials 0.02 to 0.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import (
    argument,
    flag_of,
    integers_of,
    is_given,
    is_number,
    number_of,
)
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.arithmetic import Arithmetic
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values

_SHUFFLED: Final = (2, 4, 8, 16, 32)
"""Factors by which an image is made larger along memory without gathers."""
_LINEAR_COST: Final = 8
_CUBIC_COST: Final = 16
"""Of an element, along one axis."""


class _Tap(msgspec.Struct, frozen=True):
    """An element of the image along one axis, and what it counts; all of it where `weight` is None."""

    index: Affine
    weight: Scalar | None


class _Axis(msgspec.Struct, frozen=True):
    """How an axis of the result lies on the image's."""

    extent: int
    size: int
    """Of the result."""
    scale: float
    """Elements of the image for one of the result."""
    has_aligned_corners: bool

    @property
    def factor(self) -> int:
        """How many elements of the result there are for each of the image; 0 where it is none of `_SHUFFLED`."""
        is_factor = not self.has_aligned_corners and self.size % self.extent == 0
        factor = self.size // self.extent if is_factor and self.extent > 1 else 0
        return factor if factor in _SHUFFLED and self.scale * factor == 1 else 0


def _axes(values: Values, node: AtenNode, rank: int) -> list[_Axis]:
    """upsample_bilinear2d(x, output_size, align_corners, scales_h, scales_w)."""
    is_aligned = flag_of(node, 2, "align_corners")
    sizes = integers_of(argument(node, 1, "output_size")) or ()
    extents = shape_of(values, node)[-rank:]
    axes = []
    for place, (extent, size) in enumerate(zip(extents, sizes, strict=True)):
        given = argument(node, 3 + place, "")
        if is_aligned:
            scale = (extent - 1) / (size - 1) if size > 1 else 0.0
        elif is_number(given) and number_of(given) > 0:
            scale = 1.0 / number_of(given)
        else:
            scale = extent / size
        axes.append(_Axis(extent, size, scale, is_aligned))
    return axes


class _Arithmetic(Arithmetic):
    """Computes with places on an axis."""

    def place(self, axis: _Axis, index: Affine) -> Scalar:
        """Give where on the image an index of the result lies."""
        position = self.builder.cast(self.builder.index(index), self.dtype)
        if axis.has_aligned_corners:
            return self.of(ScalarOp.MUL, position, axis.scale)
        middle = self.of(ScalarOp.ADD, position, 0.5)
        return self.of(ScalarOp.SUB, self.of(ScalarOp.MUL, middle, axis.scale), 0.5)

    def element(self, axis: _Axis, index: Scalar) -> Affine:
        """Give a computed index, clamped to the image, as an index."""
        inside = self.clamped(index, 0, axis.extent - 1)
        return self.builder.dynamic_index(inside, axis.extent)

    def distance(self, value: Scalar, whole: Scalar) -> Scalar:
        """Give how far `value` is past a whole number, at most 1."""
        rest = self.of(ScalarOp.SUB, value, self.builder.cast(whole, self.dtype))
        return self.clamped(rest, 0.0, 1.0)


_TapsOf = Callable[[Reader, _Arithmetic, _Axis, Affine], list[_Tap]]


def _linear(reader: Reader, arithmetic: _Arithmetic, axis: _Axis, index: Affine) -> list[_Tap]:
    """Weigh the two elements around the place by how near they are."""
    place = arithmetic.of(ScalarOp.MAXIMUM, arithmetic.place(axis, index), 0.0)
    first = arithmetic.of(ScalarOp.MINIMUM, arithmetic.whole(place), axis.extent - 1)
    past = arithmetic.distance(place, first)
    second = arithmetic.of(ScalarOp.ADD, first, 1)
    before = arithmetic.rest(past)
    return [
        _Tap(arithmetic.element(axis, first), before),
        _Tap(arithmetic.element(axis, second), past),
    ]


def _between(reader: Reader, arithmetic: _Arithmetic, axis: _Axis, index: Affine) -> list[_Tap]:
    """As `_linear`, without computed indices: `factor` neighbours lie between the same two elements.

    Places and weights are short binary fractions, so that each step of eager's arithmetic gives them exactly.
    """
    factor = axis.factor
    half, last = factor // 2, axis.extent - 1
    piece = reader.piece_of(index, (half, axis.size - half, axis.size))
    if piece is None:
        return _linear(reader, arithmetic, axis, index)
    builder = reader.builder
    if piece == 0:
        one, none = (builder.const(weight, arithmetic.dtype) for weight in (1.0, 0.0))
        return [_Tap(Affine(), one), _Tap(Affine((), 1), none)]
    first, step = reader.divide(index.shifted(-half), factor, axis.extent)
    position = builder.cast(builder.index(step), arithmetic.dtype)
    past = arithmetic.of(ScalarOp.MUL, arithmetic.of(ScalarOp.ADD, position, 0.5), 1.0 / factor)
    before = arithmetic.rest(past)
    second = first.shifted(1) if piece == 1 else Affine((), last)
    return [_Tap(first, before), _Tap(second, past)]


def _cubic(_reader: Reader, arithmetic: _Arithmetic, axis: _Axis, index: Affine) -> list[_Tap]:
    """Weigh four elements around the place by polynomials of their distance."""
    place = arithmetic.place(axis, index)
    whole = arithmetic.whole(arithmetic.of(ScalarOp.FLOOR, place))
    weights = arithmetic.cubic_weights(arithmetic.distance(place, whole))
    return [
        _Tap(arithmetic.element(axis, arithmetic.of(ScalarOp.ADD, whole, number - 1)), weight)
        for number, weight in enumerate(weights)
    ]


def _interpolated(rank: int, taps_of: _TapsOf) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
        arithmetic = _Arithmetic(reader.builder, dtype)
        taps = []
        for axis, index in zip(_axes(reader.values, node, rank), indices[-rank:], strict=True):
            if axis.extent == axis.size:
                taps.append([_Tap(index, None)])
            else:
                own = _between if taps_of is _linear and axis.factor else taps_of
                taps.append(own(reader, arithmetic, axis, index))
        return weighed(reader, node, indices[:-rank], taps)

    def weighed(reader: Reader, node: AtenNode, settled: Indices, taps: list[list[_Tap]]) -> Scalar:
        """Give the sum over the taps of the first axis, of the sums over those of the others."""
        builder = reader.builder
        dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
        if not taps:
            return builder.cast(reader.operand(node, 0, settled), dtype)
        total: Scalar | None = None
        for tap in taps[0]:
            part = weighed(reader, node, (*settled, tap.index), taps[1:])
            if tap.weight is not None:
                part = builder.compute(ScalarOp.MUL, (part, tap.weight), dtype)
            total = part if total is None else builder.compute(ScalarOp.ADD, (total, part), dtype)
        assert total is not None, "each axis has a tap"
        return total

    return element


def _serves(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        result = node.metas[0]
        sizes = integers_of(argument(node, 1, "output_size"))
        scales = [argument(node, 3 + place, "") for place in range(rank)]
        is_known = all(
            is_number(scale) or not is_given(node, 3 + place, "")
            for place, scale in enumerate(scales)
        )
        is_float = result is not None and result.dtype.is_float
        has_sizes = sizes is not None and len(sizes) == rank and 0 not in sizes
        shape = shape_of(values, node)
        is_image = len(shape) == rank + 2 and 0 not in shape
        return is_known and is_float and has_sizes and is_image

    return serves


def _serves_rows(rank: int) -> Callable[[Values, AtenNode], bool]:
    """Tell whether neighbours in memory are weighed alike."""
    serves = _serves(rank)

    def serves_rows(values: Values, node: AtenNode) -> bool:
        if not serves(values, node):
            return False
        result = node.metas[0]
        assert result is not None, f"{node.op} has a result"
        return all(
            axis.extent == axis.size or stride != 1 or axis.factor
            for axis, stride in zip(_axes(values, node, rank), result.strides[-rank:], strict=True)
        )

    return serves_rows


def _row(name: str, rank: int, taps_of: _TapsOf, cost: int) -> ElementRow:
    element = _interpolated(rank, taps_of)
    serves = _serves_rows(rank) if taps_of is _linear else _serves(rank)
    return ElementRow(f"aten.{name}.default", element, serves, cost, rereads=True)


RESAMPLING: Final[Mapping[str, ElementRow]] = rows(
    _row("upsample_linear1d", 1, _linear, _LINEAR_COST),
    _row("upsample_bilinear2d", 2, _linear, 2 * _LINEAR_COST),
    _row("upsample_trilinear3d", 3, _linear, 3 * _LINEAR_COST),
    _row("upsample_bicubic2d", 2, _cubic, 2 * _CUBIC_COST),
)
