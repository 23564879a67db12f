"""Transposition of a tile with shuffles.

In: a `TransposeTile`.   Out: for each square block, contiguous loads, a shuffle network, contiguous stores.
Keeps: a block's side is the number of elements of a vector register (16 at most); what is left at the edges goes element
by element. Blocks are visited along the source's lines last, so that each line of the cache that is read is used up at once.

Within 128-bit lanes, interleaving row k with row k + e/2 for all k, log2(e) times, transposes e rows of e elements; between
lanes, collecting even and odd lanes of neighbours, log2(number of lanes) times, does the rest. These are the shuffles
that x86 has as single instructions.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.llvm.builder import Builder, Int
from graphwright.codegen.llvm.counting import emit_counted_loop
from graphwright.codegen.llvm.frame import Frame, Memory, Place
from graphwright.codegen.llvm.memory import emit_load, emit_store
from graphwright.codegen.llvm.types import Value
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import TransposeTile

_LANE_BITS: Final = 128
_MAX_BLOCK: Final = 16


class _Tile:
    """The two sides of a transposition, as memory and index arithmetic."""

    def __init__(self, frame: Frame, stmt: TransposeTile) -> None:
        self.frame = frame
        self.target = _as_bytes(frame.buffers[stmt.target])
        self.target_base = frame.uniform(stmt.target_index).base
        self.target_stride = frame.dim(stmt.target_stride)
        self.source = _as_bytes(frame.buffers[stmt.source])
        self.source_base = frame.uniform(stmt.source_index).base
        self.source_stride = frame.dim(stmt.source_stride)

    def _at(self, base: Int, line: Int, stride: Int, offset: Int) -> Int:
        builder = self.frame.builder
        start = builder.index_add(base, builder.index_multiply(line, stride))
        return builder.index_add(start, offset)

    def load(self, col: Int, row: Int, step: int) -> Value:
        """Load `source[col, row]` and what follows it along the rows (`step` 1: a vector)."""
        base = self._at(self.source_base, col, self.source_stride, row)
        return emit_load(self.frame, self.source, Place(base, step))

    def store(self, row: Int, col: Int, value: Value) -> None:
        """Store at `target[row, col]`, along the columns for a vector."""
        base = self._at(self.target_base, row, self.target_stride, col)
        place = Place(base, 0 if value.lanes == 1 else 1)
        emit_store(self.frame, self.target, place, value, is_streaming=False)


def _as_bytes(memory: Memory) -> Memory:
    """Move bools as the bytes they are."""
    return (
        Memory(memory.pointer, DType.UINT8, memory.align_bytes)
        if memory.dtype is DType.BOOL
        else memory
    )


def emit_transpose_tile(frame: Frame, stmt: TransposeTile) -> None:
    """Write the transposition of one tile."""
    tile = _Tile(frame, stmt)
    builder = frame.builder
    block = _block_size(frame, tile.target, stmt)
    rows, cols = stmt.rows - stmt.rows % block, stmt.cols - stmt.cols % block
    if block > 1:
        emit_counted_loop(
            builder,
            (0, cols, block),
            lambda col: emit_counted_loop(
                builder, (0, rows, block), lambda row: _emit_block(frame, tile, row, col, block)
            ),
        )
    else:
        rows = cols = 0
    _emit_elements(builder, tile, (0, rows), (cols, stmt.cols))
    _emit_elements(builder, tile, (rows, stmt.rows), (0, stmt.cols))


def _emit_elements(
    builder: Builder, tile: _Tile, rows: tuple[int, int], cols: tuple[int, int]
) -> None:
    """Write the transposition of a part, element by element."""
    if rows[0] == rows[1] or cols[0] == cols[1]:
        return
    emit_counted_loop(
        builder,
        (*rows, 1),
        lambda row: emit_counted_loop(
            builder, (*cols, 1), lambda col: tile.store(row, col, tile.load(col, row, 0))
        ),
    )


def _block_size(frame: Frame, memory: Memory, stmt: TransposeTile) -> int:
    size = min(_MAX_BLOCK, frame.target.vector_bits // (8 * memory.dtype.size_bytes))
    while size > min(stmt.rows, stmt.cols):
        size //= 2
    return max(1, size)


def _emit_block(frame: Frame, tile: _Tile, row: Int, col: Int, size: int) -> None:
    builder = frame.builder
    with frame.in_lanes(size, None):
        lines = [builder.index_add(col, number) for number in range(size)]
        vectors = [tile.load(line, row, 1) for line in lines]
        for number, vector in enumerate(transposed(builder, vectors)):
            tile.store(builder.index_add(row, number), col, vector)


def transposed(builder: Builder, rows: list[Value]) -> list[Value]:
    """Give the transpose of a square block held in vectors; the size is a power of two."""
    size = len(rows)
    width = min(size, _LANE_BITS // rows[0].kind.bits)
    groups = [
        _transposed_in_lanes(builder, rows[first : first + width], width)
        for first in range(0, size, width)
    ]
    columns = [
        _transposed_lanes(builder, [group[position] for group in groups], width)
        for position in range(width)
    ]
    return [columns[number % width][number // width] for number in range(size)]


def _transposed_in_lanes(builder: Builder, rows: list[Value], width: int) -> list[Value]:
    """Transpose `width` rows within each lane of `width` elements."""
    total = rows[0].lanes
    low: list[int] = []
    high: list[int] = []
    for first in range(0, total, width):
        for number in range(first, first + width // 2):
            low += [number, total + number]
            high += [number + width // 2, total + number + width // 2]
    for _ in range(width.bit_length() - 1):
        pairs = zip(rows[: width // 2], rows[width // 2 :], strict=True)
        rows = [
            builder.shuffle(left, right, lanes) for left, right in pairs for lanes in (low, high)
        ]
    return rows


def _transposed_lanes(builder: Builder, rows: list[Value], width: int) -> list[Value]:
    """Transpose a square of lanes of `width` elements: row i's lane k becomes row k's lane i."""
    count = len(rows)
    total = count * width
    numbers = range(2 * total)
    even = [number for number in numbers if number // width % 2 == 0]
    odd = [number for number in numbers if number // width % 2 == 1]
    for _ in range(count.bit_length() - 1):
        pairs = list(zip(rows[::2], rows[1::2], strict=True))
        rows = [
            builder.shuffle(left, right, lanes) for lanes in (even, odd) for left, right in pairs
        ]
    return rows
