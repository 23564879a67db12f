"""The product of two tiles, with a block of the target in registers.

In: a `MatmulTile`.   Out: for each strip of columns and block of rows, a loop over the depth that has the block's sums in
vector registers: a step loads a few vectors of the right side, copies one element of each row of the left side to all lanes,
and adds the products.
Keeps: every element is one chain of additions in the order of the depth, with one rounding for each product and addition
where the processor can (fma); so a result does not depend on how the tile is cut.

A block has as many rows as the registers hold, and the blocks of a tile differ by one row at most: of 32 registers, 28 hold 14 × 2
sums, two the right side's vectors, and one an element of the left side. So many sums are under way that no addition waits
for the one before it.

What lies ahead is asked for in the same loop, so that memory works while the sums are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder, Int
from graphwright.codegen.llvm.counting import emit_counted_loop
from graphwright.codegen.llvm.frame import Frame, Memory, Place
from graphwright.codegen.llvm.memory import (
    LINE_BYTES,
    element_pointer,
    emit_load,
    emit_prefetch,
    emit_store,
)
from graphwright.codegen.llvm.target import Target
from graphwright.codegen.llvm.types import MEMORY_KIND, Kind, Value, type_text
from graphwright.ir.loops import Ahead, MatmulTile

_VECTORS: Final = 2
"""Vectors of a strip of columns: as many as an element of the left side is used for once it is copied."""
_LEAST_SUMS: Final = 8
"""Fewer sums under way would wait for each other: an addition takes 4 cycles, and two begin in each."""


_PACE_BITS: Final = 16
"""Of the fraction in the number of lines for each step of the depth."""


class _Block(msgspec.Struct, frozen=True):
    """What is computed in registers at once."""

    rows: int
    vectors: int
    lanes: int

    @property
    def cols(self) -> int:
        """Columns of the block."""
        return self.vectors * self.lanes


def emit_matmul_tile(frame: Frame, stmt: MatmulTile) -> None:
    """Write the product of two tiles."""
    tile = _Tile(frame, stmt)
    builder = frame.builder
    for start, stop, block in _strips(frame.target, stmt, tile.kind):
        emit_counted_loop(builder, (start, stop, block.cols), partial(tile.emit_strip, block))


def _strips(target: Target, stmt: MatmulTile, kind: Kind) -> Iterator[tuple[int, int, _Block]]:
    """Cut the columns: ranges of them, and the largest block for each; first what fills whole vectors."""
    lanes = target.vector_bits // kind.bits
    start = 0
    while start < stmt.cols:
        while lanes > stmt.cols - start:
            lanes //= 2
        block = _largest_block(target, stmt.rows, (stmt.cols - start) // lanes, lanes)
        stop = start + (stmt.cols - start) // block.cols * block.cols
        yield start, stop, block
        start = stop


def _largest_block(target: Target, rows: int, vectors: int, lanes: int) -> _Block:
    """Give the block of most rows, for at most `rows` rows and `vectors` vectors."""
    registers = 32 if target.has_masks or target.triple.startswith("aarch64") else 16
    wanted = max(_VECTORS, min(-(-_LEAST_SUMS // rows), registers // 4))
    strip = min(vectors, wanted)
    most = (registers - strip - 1) // strip
    count = -(-rows // most)
    return _Block(-(-rows // count), strip, lanes)


class _Tile:
    """The three sides of a product, as memory and index arithmetic."""

    def __init__(self, frame: Frame, stmt: MatmulTile) -> None:
        self.frame = frame
        self._stmt = stmt
        self._target = frame.buffers[stmt.target]
        self._left = frame.buffers[stmt.left]
        self._right = frame.buffers[stmt.right]
        self._target_base = frame.uniform(stmt.target_index).base
        self._target_stride = frame.dim(stmt.target_stride)
        self._left_base = frame.uniform(stmt.left_index).base
        self._row_stride = frame.dim(stmt.left_row_stride)
        self._depth_stride = frame.dim(stmt.left_depth_stride)
        self._right_base = frame.uniform(stmt.right_index).base
        self._right_stride = frame.dim(stmt.right_stride)
        self._ahead = None if stmt.ahead is None else _make_ahead(frame, stmt, stmt.ahead)
        self.kind = MEMORY_KIND[self._target.dtype]

    def emit_strip(self, block: _Block, col: Int) -> None:
        """Write all rows of a strip: blocks of `block.rows`, then blocks that have one row less."""
        rows = self._stmt.rows
        count = -(-rows // block.rows)
        num_small = count * block.rows - rows
        bound = (count - num_small) * block.rows
        parts = [(0, bound, block.rows), (bound, rows, block.rows - 1)]
        for start, stop, height in parts:
            if start < stop:
                own = msgspec.structs.replace(block, rows=height)
                body = partial(self._emit_block, own, col)
                emit_counted_loop(self.frame.builder, (start, stop, height), body)

    def _emit_block(self, block: _Block, col: Int, row: Int) -> None:
        frame, builder = self.frame, self.frame.builder
        places = [
            self._target_place(row, col, r, v * block.lanes)
            for r in range(block.rows)
            for v in range(block.vectors)
        ]
        left = builder.index_add(self._left_base, builder.index_multiply(row, self._row_stride))
        right = builder.index_add(self._right_base, col)
        if self._ahead is not None:
            self._ahead.start_block(block, row, col)
        with frame.in_lanes(block.lanes, None):
            if self._stmt.accumulates:
                before = [emit_load(frame, self._target, place) for place in places]
            else:
                zero = Value("zeroinitializer", self.kind, block.lanes, is_literal=True)
                before = [zero] * len(places)
            sums = self._emit_depth(
                element_pointer(builder, self._left, Place(left)),
                element_pointer(builder, self._right, Place(right)),
                before,
                block,
            )
            for place, total in zip(places, sums, strict=True):
                emit_store(frame, self._target, place, total, is_streaming=False)

    def _target_place(self, row: Int, col: Int, r: int, c: int) -> Place:
        builder = self.frame.builder
        line = builder.index_multiply(builder.index_add(row, r), self._target_stride)
        base = builder.index_add(self._target_base, line)
        return Place(builder.index_add(builder.index_add(base, col), c), 1)

    def _emit_depth(self, left: str, right: str, before: list[Value], block: _Block) -> list[Value]:
        """Write the loop over the depth; `before` is what the sums begin with, row by row. Give the sums."""
        builder = self.frame.builder
        header, done = builder.label("depth"), builder.label("summed")
        outside = builder.block
        builder.branch(header)
        builder.start_block(header)
        hole = len(builder.lines)
        depth = builder.fresh()
        sums = [Value(builder.fresh(), self.kind, block.lanes) for _ in before]
        after = self._emit_step(
            self._moved(left, builder.index_multiply(depth, self._depth_stride)),
            self._moved(right, builder.index_multiply(depth, self._right_stride)),
            sums,
            block,
        )
        if self._ahead is not None:
            self._ahead.emit_step(depth)
        following = builder.fresh()
        builder.lines.append(f"{following} = add nuw nsw i64 {depth}, 1")
        wide = type_text(self.kind, block.lanes)
        phis = [f"{depth} = phi i64 [ 0, %{outside} ], [ {following}, %{header} ]"]
        phis += [
            f"{total.text} = phi {wide} [ {first.text}, %{outside} ], [ {last.text}, %{header} ]"
            for first, total, last in zip(before, sums, after, strict=True)
        ]
        builder.lines[hole:hole] = phis
        is_more = builder.fresh()
        builder.lines.append(f"{is_more} = icmp ult i64 {following}, {self._stmt.depth}")
        builder.branch_if(is_more, header, done)
        builder.start_block(done)
        return after

    def _emit_step(self, left: str, right: str, sums: list[Value], block: _Block) -> list[Value]:
        """Add the products of one place of the depth."""
        builder = self.frame.builder
        vectors = [
            self._load(self._moved(right, number * block.lanes), block.lanes)
            for number in range(block.vectors)
        ]
        after: list[Value] = []
        for row in range(block.rows):
            pointer = self._moved(left, builder.index_multiply(row, self._row_stride))
            factor = builder.splat(self._load(pointer, 1), block.lanes)
            line = sums[row * block.vectors : (row + 1) * block.vectors]
            after += [
                self._add_product(factor, vector, total)
                for vector, total in zip(vectors, line, strict=True)
            ]
        return after

    def _add_product(self, factor: Value, vector: Value, total: Value) -> Value:
        builder = self.frame.builder
        if has_fma(self.frame.target):
            return builder.intrinsic("fma", factor, vector, total)
        return builder.binary("fadd", builder.binary("fmul", factor, vector), total)

    def _load(self, pointer: str, lanes: int) -> Value:
        text = f"load {type_text(self.kind, lanes)}, ptr {pointer}, align {self.kind.bits // 8}"
        return self.frame.builder.emit(text, self.kind, lanes)

    def _moved(self, pointer: str, offset: Int) -> str:
        if offset == 0:
            return pointer
        return element_pointer(
            self.frame.builder, Memory(pointer, self._target.dtype, 0), Place(offset)
        )


def _make_ahead(frame: Frame, stmt: MatmulTile, ahead: Ahead) -> _AheadLines | _AheadRun:
    is_run = ahead.stride == stmt.cols and not ahead.is_transposed
    return (_AheadRun if is_run else _AheadLines)(frame, stmt, ahead)


class _AheadRun:
    """Memory without gaps that is asked for while a tile is computed: in each step as much as its part of the tile's work.

    Asked for faster, lines wait for each other, and the sums for them: two cores of an Intel Xeon took 1.2 ms for 64 × 768 × 3072
    where the first block of rows asked for half of all, and 0.98 ms so.
    """

    def __init__(self, frame: Frame, stmt: MatmulTile, ahead: Ahead) -> None:
        self._frame = frame
        self._memory = frame.buffers[ahead.buffer]
        self._start = frame.uniform(ahead.index).base
        self._line = LINE_BYTES // self._memory.dtype.size_bytes
        self._rows, self._cols, self._depth = stmt.rows, stmt.cols, stmt.depth
        self._num_lines = -(-stmt.cols * stmt.depth // self._line)
        self._first: Int = 0
        self._pace = 0
        self._at_once = 0

    def start_block(self, block: _Block, row: Int, col: Int) -> None:
        """Begin with the line whose part of all lines is the part of the tile that lies before the block."""
        builder = self._frame.builder
        size = self._rows * self._cols
        columns = builder.index_multiply(col, self._rows)
        done = builder.index_add(columns, builder.index_multiply(row, block.cols))
        self._first = _divided(builder, builder.index_multiply(done, self._num_lines), size)
        steps, lines = size * self._depth, self._num_lines * block.rows * block.cols
        self._pace = -(-(lines << _PACE_BITS) // steps)
        self._at_once = -(-lines // steps)

    def emit_step(self, depth: str) -> None:
        """Ask for the lines of one place of the depth."""
        builder = self._frame.builder
        paced = builder.index_multiply(depth, self._pace)
        passed = builder.emit(f"lshr i64 {paced}, {_PACE_BITS}", Kind.I64, 1).text
        line = builder.index_add(self._first, passed)
        for number in range(self._at_once):
            place = builder.index_multiply(builder.index_add(line, number), self._line)
            emit_prefetch(builder, self._memory, builder.index_add(self._start, place))


class _AheadLines:
    """Lines that lie apart, of which a panel is laid out: each block of rows asks for its share of those of each place of the depth.

    There are as many lines for each place as a row of the right side takes. Where the source is transposed, a line holds several
    places of one column: each place asks for another column's line. They are asked for early, as laying them out leaves no room.
    """

    def __init__(self, frame: Frame, stmt: MatmulTile, ahead: Ahead) -> None:
        self._frame = frame
        self._memory = frame.buffers[ahead.buffer]
        self._start = frame.uniform(ahead.index).base
        self._stride = frame.dim(ahead.stride)
        self._is_transposed = ahead.is_transposed
        self._line = LINE_BYTES // self._memory.dtype.size_bytes
        self._rows = stmt.rows
        self._num_lines = -(-stmt.cols // self._line)
        self._lines: list[Int] = []

    def start_block(self, block: _Block, row: Int, _col: Int) -> None:
        """Choose the lines of the block that begins at `row`."""
        builder = self._frame.builder
        share = -(-self._num_lines // -(-self._rows // block.rows))
        lines = builder.index_multiply(row, self._num_lines)
        first = _divided(builder, lines, self._rows)
        step: Int = self._line
        if self._is_transposed:
            step = builder.index_multiply(self._stride, step)
        self._lines = [
            builder.index_add(
                self._start, builder.index_multiply(builder.index_add(first, number), step)
            )
            for number in range(share)
        ]

    def emit_step(self, depth: str) -> None:
        """Ask for the lines of one place of the depth."""
        builder = self._frame.builder
        offset = builder.index_multiply(depth, self._stride)
        if self._is_transposed:
            column = builder.emit(f"and i64 {depth}, {self._line - 1}", Kind.I64, 1).text
            offset = builder.index_add(depth, builder.index_multiply(column, self._stride))
        for line in self._lines:
            emit_prefetch(builder, self._memory, builder.index_add(line, offset))


def _divided(builder: Builder, number: Int, divisor: int) -> Int:
    """Divide a number that is not negative, rounding down."""
    if isinstance(number, int):
        return number // divisor
    return (
        number if divisor == 1 else builder.emit(f"udiv i64 {number}, {divisor}", Kind.I64, 1).text
    )


def has_fma(target: Target) -> bool:
    """Tell whether the processor multiplies and adds with one rounding."""
    return "+fma" in target.features.split(",") or target.triple.startswith("aarch64")
