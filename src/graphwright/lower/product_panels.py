"""The panels of a product's right side: how its columns are cut, and how a panel is laid out for the tiles.

In: the `Sides` of a product.   Out: ranges of panels and of the depth, and statements that lay out one panel's part of the depth.
Keeps: a panel's columns lie side by side, and what fills them up to whole vectors is zero: an infinity there would be slow.

A panel of a matrix whose columns lie side by side has so many of them that what is copied of a row is worth the page that it lies in; that
of one that lies transposed has two vectors of columns. One of a convolution has whole lines of pixels: for each element of the kernel
and each line, the pixels that it covers are copied side by side, and zeros for those outside of the image.

    columns of a 3 × 3 kernel's upper left element, padding 1:    0 x[0] x[1] x[2] …    (zeros for the line above the first)
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Ahead, Index, IndexValue, LoopKind, Store, TransposeTile
from graphwright.ir.ops import ScalarOp
from graphwright.ir.packed import PANEL_COLS
from graphwright.lower.affine import Affine
from graphwright.lower.loops import LANE_ATOM, constant, variable
from graphwright.lower.products import Sides, Window
from graphwright.lower.writer import NestWriter

_WIDTHS: Final = tuple(count * PANEL_COLS for count in (4, 3, 2, 1))
"""Columns of the panel of a matrix that is copied: the widest that keeps all threads busy.

On an Intel Xeon 64 × 768 × 3072 takes 1.38 ms with the first and 1.87 ms with the last, 32 × 768 × 3072 0.91 and 1.47 ms.
"""
_TRANSPOSED_WIDTH: Final = PANEL_COLS
_MANY_ROWS: Final = 256
_MOST_WIDTH_OF_MANY_ROWS: Final = 64
"""Copying is less of what more rows take, and the sums of a narrower panel's rows fit the first cache."""
_NARROWER: Final = 1.05
"""A narrower panel must save so much."""
IMAGE_COLS: Final = 128
"""The most pixels of an image's panel, but for those with longer lines."""
PART_DEPTH: Final = 512
SHORT_DEPTH: Final = 128
SHORT_ROWS: Final = 64
"""Of a panel that was laid out beforehand, so much of the depth stays in the first cache while up to so many rows go by.

More rows of the left side, which lie on a page each, are better read in longer runs: on an Intel Xeon 16 × 3072 × 768 takes 0.40 ms
with short parts and 0.47 ms with long ones, 197 × 3072 × 768 takes 3.66 and 3.16 ms.
"""
PACKED_BYTES: Final = 1 << 16
"""The most of the depth that is laid out at once, and its memory: it stays in the second cache while all rows go by."""
FEW_ROWS: Final = 16
"""Fewer rows do not pay for laying out columns that lie side by side already."""
_WHOLE: Final = 16
"""Columns are filled up to a multiple of these: a vector of AVX-512."""

CHUNK_ATOM: Final = 4002
PANEL_ATOM: Final = 4003
ROW_ATOM: Final = 4004
PART_ATOM: Final = 4005
_DEPTH_ATOM: Final = 4006
_CHANNEL_ATOM: Final = 4007
_DOWN_ATOM: Final = 4008
_LINE_ATOM: Final = 4009


class Range(msgspec.Struct, frozen=True):
    """A part of an axis: `count` pieces of `size`, from `start` on."""

    start: int
    count: int
    size: int

    def times(self, factor: int) -> Range:
        """Give the range of an axis of which each element stands for `factor`."""
        return Range(self.start * factor, self.count, self.size * factor)


def cut_evenly(extent: int, most: int) -> list[Range]:
    """Cut an axis into pieces of one size, at most `most`, and what is left."""
    size = -(-extent // -(-extent // max(most, 1)))
    full = extent // size
    return _with_rest(full, size, extent)


def _with_rest(full: int, size: int, extent: int) -> list[Range]:
    rest = extent - full * size
    ranges = [Range(0, full, size)] if full else []
    return [*ranges, Range(full * size, 1, rest)] if rest else ranges


class Packed(msgspec.Struct, frozen=True):
    """Where the right side of a tile lies: buffer, index of its first element, distance of steps of the depth."""

    buffer: str
    index: Index
    stride: int
    ahead: Ahead | None = None
    """What the next tile's right side will be laid out from, to be asked for meanwhile."""


class Panels(Protocol):
    """How one product's right side is cut and laid out."""

    cols: list[Range]
    """The panels: pieces of the columns."""
    parts: list[Range]
    """The depth."""

    def width(self, cols: Range) -> int:
        """Give the columns of a panel, filled up."""

    def write(
        self, writer: NestWriter, source: str, start: Affine, where: tuple[Range, Range]
    ) -> Packed:
        """Lay out the part of the panel at hand.

        Args:
            writer: in the loops over panels and parts.
            source: the param of the right side.
            start: its first element, of the batch at hand.
            where: the ranges of columns and of the depth.
        """


def choose_panels(sides: Sides, dtype: DType, num_threads: int) -> Panels:
    """Choose how the right side is cut."""
    if sides.is_packed:
        return GivenPanels(sides)
    if sides.window is not None:
        return ImagePanels(sides.window, sides.depth, dtype)
    return MatrixPanels(sides, dtype, num_threads)


def _choose_width(sides: Sides, num_threads: int) -> int:
    """Choose the columns of a panel."""
    if sides.is_right_transposed:
        return _TRANSPOSED_WIDTH

    def longest(width: int) -> int:
        """Give the columns that one thread goes over at most."""
        full, rest = divmod(sides.cols, width)
        return -(-full * sides.batch // num_threads) * width + -(-sides.batch // num_threads) * rest

    most = _WIDTHS[0] if sides.rows <= _MANY_ROWS else _MOST_WIDTH_OF_MANY_ROWS
    widths = [width for width in _WIDTHS if width <= most]
    best = min(map(longest, widths))
    return next(width for width in widths if longest(width) <= _NARROWER * best)


class MatrixPanels:
    """Panels of a matrix, laid out by copying or transposing it; or read where they are, for few rows."""

    def __init__(self, sides: Sides, dtype: DType, num_threads: int) -> None:
        self._sides = sides
        self._dtype = dtype
        width = _choose_width(sides, num_threads)
        self.cols = _with_rest(sides.cols // width, width, sides.cols)
        most = PACKED_BYTES // (width * dtype.size_bytes)
        self.parts = cut_evenly(sides.depth, min(PART_DEPTH, most))

    def width(self, cols: Range) -> int:
        """Give the columns: edges are not filled up."""
        return cols.size

    def write(
        self, writer: NestWriter, source: str, start: Affine, where: tuple[Range, Range]
    ) -> Packed:
        """Lay out the part, where that pays."""
        cols, part = where
        right = self._sides.right
        depth = Affine(((PART_ATOM, part.size),), part.start)
        col = Affine(((PANEL_ATOM, cols.size),), cols.start)
        place = start.plus(depth.times(right.row)).plus(col.times(right.col))
        first = writer.index(place)
        ahead = self._ahead(writer, source, place, where)
        if not self._sides.is_right_transposed and self._sides.rows <= FEW_ROWS:
            return Packed(source, first, right.row, ahead)
        pack = writer.kernel.add_scratch(self._dtype, part.size * cols.size)
        if self._sides.is_right_transposed:
            writer.append(
                TransposeTile(
                    target=pack,
                    target_index=constant(0),
                    target_stride=cols.size,
                    source=source,
                    source_index=first,
                    source_stride=right.col,
                    rows=part.size,
                    cols=cols.size,
                )
            )
        else:
            _write_copy(writer, (pack, cols.size), (source, first, right.row), part.size, cols.size)
        return Packed(pack, constant(0), cols.size, ahead)

    def _ahead(
        self, writer: NestWriter, source: str, place: Affine, where: tuple[Range, Range]
    ) -> Ahead | None:
        """Give what follows the part at `place`: the next part of the panel, or the first one of the next panel.

        Short runs far apart are not what a processor foresees: packing took a quarter of the time of 64 × 768 × 3072. Batches are
        left out: their right sides come from kernels, and lie in the cache.
        """
        if self._sides.batches:
            return None
        cols, part = where
        right = self._sides.right
        to_part = part.size * right.row
        last = part.start + (part.count - 1) * part.size
        to_panel = cols.size * right.col - last * right.row
        if part != self.parts[-1]:
            index = writer.index(place.shifted(to_part))
        elif part.count == 1:
            index = writer.index(place.shifted(to_panel))
        else:
            number = Affine(((PART_ATOM, 1),))
            is_last = _compared(writer, ScalarOp.EQ, number, part.count - 1)
            steps = [writer.emit_constant(str(step), DType.INT64) for step in (to_panel, to_part)]
            step = writer.emit_compute(ScalarOp.WHERE, (is_last, *steps), DType.INT64)
            index = writer.sum_of(writer.index(place), variable(step))
        is_transposed = self._sides.is_right_transposed
        return Ahead(source, index, right.col if is_transposed else right.row, is_transposed)


class GivenPanels:
    """Panels that were laid out beforehand, one behind the other; the last one is filled up."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self.cols = _with_rest(sides.cols // PANEL_COLS, PANEL_COLS, sides.cols)
        is_short = sides.rows <= SHORT_ROWS
        self.parts = cut_evenly(sides.depth, SHORT_DEPTH if is_short else PART_DEPTH)

    def width(self, cols: Range) -> int:
        """Give the columns: what the last panel is filled up with is not computed."""
        return cols.size

    def write(
        self, writer: NestWriter, source: str, start: Affine, where: tuple[Range, Range]
    ) -> Packed:
        """Lay nothing out."""
        cols, part = where
        panel = Affine(((PANEL_ATOM, cols.size),), cols.start).times(self._sides.depth)
        depth = Affine(((PART_ATOM, part.size),), part.start).times(PANEL_COLS)
        place = start.plus(panel).plus(depth)
        # What follows a part lies behind it, be it the next part or the next panel.
        following = writer.index(place.shifted(part.size * PANEL_COLS))
        return Packed(
            *(source, writer.index(place), PANEL_COLS), Ahead(source, following, PANEL_COLS)
        )


def _write_copy(
    writer: NestWriter,
    target: tuple[str, int],
    source: tuple[str, Index, int],
    lines: int,
    length: int,
) -> None:
    """Copy lines: target is a buffer and the distance of its lines, source a buffer, first index and that distance."""
    buffer, start, stride = source
    writer.open_loop(_DEPTH_ATOM)
    writer.open_loop(LANE_ATOM)
    place = writer.index(Affine(((LANE_ATOM, 1), (_DEPTH_ATOM, stride))))
    value = writer.emit_load(buffer, writer.sum_of(start, place))
    at = writer.index(Affine(((LANE_ATOM, 1), (_DEPTH_ATOM, target[1]))))
    writer.append(Store(target[0], at, value))
    writer.close_loop(LoopKind.VECTOR, constant(0), (constant(length),))
    writer.close_loop(LoopKind.SERIAL, constant(0), (constant(lines),))


class ImagePanels:
    """Panels of the windows of images: whole lines of the pixels that a convolution gives."""

    def __init__(self, window: Window, depth: int, dtype: DType) -> None:
        self._window = window
        self._dtype = dtype
        lines, pixels = window.result
        height = _choose_lines(lines, pixels)
        self.cols = [piece.times(pixels) for piece in _with_rest(lines // height, height, lines)]
        most = min(PART_DEPTH, PACKED_BYTES // (self.width(self.cols[0]) * dtype.size_bytes))
        channels = cut_evenly(depth // window.area, most // window.area)
        self.parts = [piece.times(window.area) for piece in channels]

    def width(self, cols: Range) -> int:
        """Give the pixels of a panel, filled up to whole vectors."""
        return -(-cols.size // _WHOLE) * _WHOLE

    def write(
        self, writer: NestWriter, source: str, start: Affine, where: tuple[Range, Range]
    ) -> Packed:
        """Lay out the windows: for each channel, line and element of the kernel."""
        cols, part = where
        window, width = self._window, self.width(cols)
        pack = writer.kernel.add_scratch(self._dtype, part.size * width)
        channels = part.size // window.area
        writer.open_loop(_CHANNEL_ATOM)
        writer.open_loop(_DOWN_ATOM)
        for across in range(window.kernel[1]):
            line = Affine(
                ((_CHANNEL_ATOM, window.area * width), (_DOWN_ATOM, window.kernel[1] * width)),
                across * width,
            )
            self._write_lines(writer, (pack, line), (source, start), (cols, part, across))
            self._write_zeros(writer, pack, line, (cols.size, width))
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(window.kernel[0]),))
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(channels),))
        return Packed(pack, constant(0), width)

    def _write_lines(
        self,
        writer: NestWriter,
        target: tuple[str, Affine],
        source: tuple[str, Affine],
        where: tuple[Range, Range, int],
    ) -> None:
        """Lay out what one element of the kernel covers, line by line."""
        window = self._window
        cols, part, across = where
        pixels = window.result[1]
        panel = cols.size // pixels
        writer.open_loop(_LINE_ATOM)
        to = target[1].plus(Affine(((_LINE_ATOM, pixels),)))
        line = Affine(((PANEL_ATOM, panel), (_LINE_ATOM, 1)), cols.start // pixels)
        read = line.times(window.stride[0]).plus(Affine(((_DOWN_ATOM, window.dilation[0]),)))
        read = read.shifted(-window.padding[0])
        if window.padding != (0, 0):
            self._write_zeros(writer, target[0], to, (0, pixels))
            bounds = ((ScalarOp.GE, 0), (ScalarOp.LT, window.size[0]))
            for op, bound in bounds:
                writer.open_if(_compared(writer, op, read, bound))
        channels = part.size // window.area
        first_channel = part.start // window.area
        channel = Affine(((PART_ATOM, channels), (_CHANNEL_ATOM, 1)), first_channel)
        pixel = Affine(((LANE_ATOM, window.stride[1]),), across * window.dilation[1])
        at = source[1].plus(channel.times(window.steps[0])).plus(read.times(window.steps[1]))
        at = at.plus(pixel.shifted(-window.padding[1]).times(window.steps[2]))
        writer.open_loop(LANE_ATOM)
        value = writer.emit_load(source[0], writer.index(at))
        writer.append(Store(target[0], writer.index(to.plus(Affine(((LANE_ATOM, 1),)))), value))
        first, last = _covered(window, across)
        writer.close_loop(LoopKind.VECTOR, constant(first), (constant(last),))
        if window.padding != (0, 0):
            writer.close_if()
            writer.close_if()
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(panel),))

    def _write_zeros(
        self, writer: NestWriter, buffer: str, start: Affine, span: tuple[int, int]
    ) -> None:
        if span[0] == span[1]:
            return
        zero = writer.emit_constant((0.0).hex(), self._dtype)
        writer.open_loop(LANE_ATOM)
        writer.append(Store(buffer, writer.index(start.plus(Affine(((LANE_ATOM, 1),)))), zero))
        writer.close_loop(LoopKind.VECTOR, constant(span[0]), (constant(span[1]),))


def _compared(writer: NestWriter, op: ScalarOp, index: Affine, bound: int) -> str:
    """Write a comparison of an index with a number."""
    name = writer.kernel.new_value()
    writer.append(IndexValue(name, writer.index(index)))
    return writer.emit_compute(
        op, (name, writer.emit_constant(str(bound), DType.INT64)), DType.BOOL
    )


def _covered(window: Window, across: int) -> tuple[int, int]:
    """Give the pixels of a line for which an element of the kernel lies inside of the image."""
    shift = window.padding[1] - across * window.dilation[1]
    first = max(0, -(-shift // window.stride[1]))
    last = (window.size[1] - 1 + shift) // window.stride[1]
    return first, max(first, min(window.result[1], last + 1))


def _choose_lines(lines: int, pixels: int) -> int:
    """Choose how many lines a panel has: as many as leave the least of its vectors empty, and divide what there is."""

    def waste(height: int) -> float:
        filled = -(-height * pixels // _WHOLE) * _WHOLE
        panels = -(-lines // height)
        return filled * panels / (lines * pixels)

    most = max(1, min(lines, IMAGE_COLS // pixels))
    return min(range(1, most + 1), key=lambda height: (waste(height), -height))
