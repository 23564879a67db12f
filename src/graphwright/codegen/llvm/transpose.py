"""Transposition of a tile with shuffles.

In: a `TransposeTile`.   Out: for each square block, contiguous loads, a shuffle network, contiguous stores.
Keeps: blocks are as large as a vector register has elements; what is left at the edges goes element by element.

The network of a block of n rows has log2(n) stages. A stage of distance d exchanges, between rows r and r + d (r's bit d
is 0), the elements at odd multiples of d with those at even ones: after all stages, element c of row r has come to
element r of row c.
"""

from __future__ import annotations

from graphwright.codegen.llvm.builder import Builder, Int
from graphwright.codegen.llvm.frame import Frame, Memory, Place
from graphwright.codegen.llvm.memory import emit_load, emit_store
from graphwright.codegen.llvm.types import Value
from graphwright.ir.loops import TransposeTile


class _Tile:
    """The two sides of a transposition, as memory and index arithmetic."""

    def __init__(self, frame: Frame, stmt: TransposeTile) -> None:
        self.frame = frame
        self.target = frame.buffers[stmt.target]
        self.target_base = frame.uniform(stmt.target_index)
        self.target_stride = frame.dim(stmt.target_stride)
        self.source = frame.buffers[stmt.source]
        self.source_base = frame.uniform(stmt.source_index)
        self.source_stride = frame.dim(stmt.source_stride)

    def _at(self, base: Int, line: int, stride: Int, offset: int, step: int) -> Place:
        builder = self.frame.builder
        return Place(
            builder.index_add(
                builder.index_add(base, builder.index_multiply(line, stride)), offset
            ),
            step,
        )

    def load(self, col: int, row: int, step: int) -> Value:
        """Load `source[col, row]` and what follows it along the rows (`step` 1: a vector)."""
        return emit_load(
            self.frame, self.source, self._at(self.source_base, col, self.source_stride, row, step)
        )

    def store(self, row: int, col: int, value: Value) -> None:
        """Store at `target[row, col]`, along the columns for a vector."""
        place = self._at(
            self.target_base, row, self.target_stride, col, 0 if value.lanes == 1 else 1
        )
        emit_store(self.frame, self.target, place, value, is_streaming=False)


def emit_transpose_tile(frame: Frame, stmt: TransposeTile) -> None:
    """Write the transposition of one tile."""
    tile = _Tile(frame, stmt)
    block = _block_size(frame, tile.target, stmt)
    rows, cols = stmt.rows - stmt.rows % block, stmt.cols - stmt.cols % block
    for row in range(0, rows, block):
        for col in range(0, cols, block):
            _emit_block(frame, tile, row, col, block)
    for row in range(stmt.rows):
        for col in range(cols if row < rows else 0, stmt.cols):
            tile.store(row, col, tile.load(col, row, 0))


def _block_size(frame: Frame, memory: Memory, stmt: TransposeTile) -> int:
    size = min(16, frame.target.vector_bits // (8 * memory.dtype.size_bytes))
    while size > min(stmt.rows, stmt.cols):
        size //= 2
    return max(1, size)


def _emit_block(frame: Frame, tile: _Tile, row: int, col: int, size: int) -> None:
    if size == 1:
        tile.store(row, col, tile.load(col, row, 0))
        return
    with frame.in_lanes(size, None):
        vectors = [tile.load(col + number, row, 1) for number in range(size)]
        for number, vector in enumerate(transposed(frame.builder, vectors)):
            tile.store(row + number, col, vector)


def transposed(builder: Builder, rows: list[Value]) -> list[Value]:
    """Give the transpose of a square block held in vectors; the size is a power of two."""
    size = len(rows)
    distance = 1
    while distance < size:
        after = list(rows)
        for number in range(size):
            if number & distance:
                continue
            upper, lower = rows[number], rows[number + distance]
            first = [
                lane if not lane & distance else size + lane - distance for lane in range(size)
            ]
            second = [
                lane + distance if not lane & distance else size + lane for lane in range(size)
            ]
            after[number] = builder.shuffle(upper, lower, first)
            after[number + distance] = builder.shuffle(upper, lower, second)
        rows = after
        distance *= 2
    return rows
