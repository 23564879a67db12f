"""Windows that move over an image: where their elements lie, and how many of them there are.

In: a window along each axis, and the index of an element of the result.   Out: the elements of its window, one by one.
Keeps: no element past the image is read. Where a window of fixed size reaches past it, the kernel is built in sections, so that the inner
part has neither tests nor computed indices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine, range_of
from graphwright.lower.reader import Indices, Reader
from graphwright.lower.rules.joining import Piece, join
from graphwright.lower.scalars import Scalar


class Window(msgspec.Struct, frozen=True):
    """The window of a pool along one axis."""

    extent: int
    """Of the image."""
    taps: int
    step: int
    before: int = 0
    """Elements of padding before the image (and after it)."""
    gap: int = 1
    """Distance of the taps."""

    def first(self, _reader: Reader, index: Affine) -> Affine:
        """Give where the first tap lies, for an index of the result."""
        return index.times(self.step).shifted(-self.before)

    def read(
        self,
        reader: Reader,
        index: Affine,
        tap: int,
        element: Callable[[Affine], Scalar],
        outside: Scalar,
    ) -> Scalar:
        """Give what `element` gives for the place of a tap; `outside` where that is past the image."""
        pieces = [
            Piece(0, lambda _index: outside),
            Piece(self.extent, element),
            Piece(1 << 62, lambda _index: outside),
        ]
        return join(
            reader, self.first(reader, index).shifted(tap * self.gap), pieces, outside.dtype
        )

    def count(self, reader: Reader, index: Affine, *, counts_padding: bool) -> int | Scalar:
        """Give how many of the taps (side by side) are in the image, or in the padding around it."""
        around = self.before if counts_padding else 0
        start = self.first(reader, index)
        low, high = range_of(start, reader.builder.extents)
        if low >= -around and high + self.taps <= self.extent + around:
            return self.taps
        if low == high:
            return min(low + self.taps, self.extent + around) - max(low, -around)
        builder = reader.builder
        bounds = [builder.const(bound, DType.INT64) for bound in (self.extent + around, -around)]
        stop = builder.index(start.shifted(self.taps))
        stop = builder.compute(ScalarOp.MINIMUM, (stop, bounds[0]), DType.INT64)
        first = builder.compute(ScalarOp.MAXIMUM, (builder.index(start), bounds[1]), DType.INT64)
        return builder.compute(ScalarOp.SUB, (stop, first), DType.INT64)


class Share(msgspec.Struct, frozen=True):
    """The window of an adaptive pool along one axis: what of the image is above one element of the result.

    Element number k of the result has elements floor(k * extent / size) to ceil((k + 1) * extent / size) of the image.
    """

    extent: int
    """Of the image."""
    size: int
    """Of the result."""
    gap: ClassVar[int] = 1

    @property
    def fewest(self) -> int:
        """The fewest taps of a window."""
        return -(-self.extent // self.size)

    @property
    def taps(self) -> int:
        """The most taps of a window."""
        period = self.size // math.gcd(self.extent, self.size)
        starts = ((number * self.extent) % self.size for number in range(period))
        return max(-(-(start + self.extent) // self.size) for start in starts)

    def first(self, reader: Reader, index: Affine) -> Affine:
        """Give where the first tap lies, for an index of the result."""
        return reader.divide(index.times(self.extent), self.size, self.extent)[0]

    def read(
        self,
        reader: Reader,
        index: Affine,
        tap: int,
        element: Callable[[Affine], Scalar],
        outside: Scalar,
    ) -> Scalar:
        """Give what `element` gives for the place of a tap; `outside` where the window has fewer."""
        place = self.first(reader, index).shifted(tap)
        if tap < self.fewest:
            return element(place)
        builder = reader.builder
        last = builder.const(self.extent - 1, DType.INT64)
        position = builder.index(place)
        inside = builder.compute(ScalarOp.MINIMUM, (position, last), DType.INT64)
        value = element(builder.dynamic_index(inside, self.extent))
        stop = self._stop(reader, index)
        is_inside = builder.compute(ScalarOp.LT, (position, builder.index(stop)), DType.BOOL)
        return builder.compute(ScalarOp.WHERE, (is_inside, value, outside), outside.dtype)

    def count(self, reader: Reader, index: Affine) -> int | Scalar:
        """Give how many taps there are."""
        if self.fewest == self.taps:
            return self.taps
        builder = reader.builder
        bounds = [
            builder.index(place) for place in (self._stop(reader, index), self.first(reader, index))
        ]
        return builder.compute(ScalarOp.SUB, bounds, DType.INT64)

    def _stop(self, reader: Reader, index: Affine) -> Affine:
        """Give where the window ends."""
        above = index.shifted(1).times(self.extent).shifted(self.size - 1)
        return reader.divide(above, self.size, self.extent + 1)[0]


AnyWindow = Window | Share


def num_taps(windows: Sequence[AnyWindow]) -> int:
    """Give the most elements of a window over all axes."""
    return math.prod(window.taps for window in windows)


def covered(
    reader: Reader, windows: Sequence[Window], indices: Indices, *, counts_padding: bool
) -> int | Scalar:
    """Give how many elements of the image (or of the padding around it) a window covers, for an index of the result."""
    known, computed = 1, []
    for window, index in zip(windows, indices, strict=True):
        count = window.count(reader, index, counts_padding=counts_padding)
        if isinstance(count, int):
            known *= count
        else:
            computed.append(count)
    if not computed:
        return known
    product = reader.builder.const(known, DType.INT64)
    for count in computed:
        product = reader.builder.compute(ScalarOp.MUL, (product, count), DType.INT64)
    return product


def divide_by(reader: Reader, total: Scalar, divisor: int | Scalar) -> Scalar:
    """Divide a sum as eager does: integers towards 0."""
    builder, dtype = reader.builder, total.dtype
    by = (
        builder.cast(divisor, dtype)
        if isinstance(divisor, Scalar)
        else builder.const(divisor, dtype)
    )
    op = ScalarOp.DIV if dtype.is_float else ScalarOp.TRUNC_DIV
    return builder.compute(op, (total, by), dtype)


def iter_taps(
    reader: Reader,
    indices: Indices,
    windows: Sequence[AnyWindow],
    read: Callable[[Indices], Scalar],
    outside: Scalar,
) -> Iterator[Scalar]:
    """Give what is read for each element of the window, in order; `outside` for those past the image."""
    first = len(indices) - len(windows)
    for taps in itertools.product(*(range(window.taps) for window in windows)):
        axes = list(zip(windows, indices[first:], taps, strict=True))
        yield _inside(reader, indices[:first], axes, read, outside)


def _inside(
    reader: Reader,
    settled: Indices,
    axes: Sequence[tuple[AnyWindow, Affine, int]],
    read: Callable[[Indices], Scalar],
    outside: Scalar,
) -> Scalar:
    """Settle one axis, then the rest: whether the place is in the image."""
    if not axes:
        return read(settled)
    (window, index, tap), rest = axes[0], axes[1:]

    def element(place: Affine) -> Scalar:
        return _inside(reader, (*settled, place), rest, read, outside)

    return window.read(reader, index, tap, element, outside)
