"""The nest of a pointwise program that reads some memory along another axis than it writes: tile by tile.

In: a `Program` without reductions, its loops, and the loop along which the transposed loads are contiguous.
Out: statements on a `KernelWriter`.
Keeps: loads and stores go along memory; what a tile reads transposed goes through scratch that stays in the second cache.

    y[t, i] = x[i, t] + z[t, i]   →   parallel over tiles:  s = transpose of x's tile
                                        for t: vector i: y[t, i] = s[t, i] + z[t, i]
                                      and the edges, element by element
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from graphwright.ir.loops import Access, LoopKind, TransposeTile
from graphwright.lower.affine import Affine
from graphwright.lower.loops import LANE_ATOM, LoopSpec, OpenLoops, constant, variable
from graphwright.lower.programs import Program, Target
from graphwright.lower.scalars import Scalar, ScalarKind
from graphwright.lower.writer import KernelWriter, NestWriter, Slot

SMALLEST_EXTENT: Final = 16
"""Shorter axes are not worth tiles."""
LEAST_SIDE: Final = 64
"""Side of the tiles of what larger ones would not divide well among the threads."""
TILES_PER_THREAD: Final = 4
MOST_ROWS: Final = 256
MOST_COLUMNS: Final = 128
"""The largest tile: measured best of sides from 32 to 512 for float32 (2048×2048, AMD EPYC, 2 threads), 144 KiB in the second cache.
Rows are longer than columns: along them the memory that is read transposed is contiguous, and prefetched."""
PADDING: Final = 16
"""Elements between the lines of a tile, so that a power of two of them do not meet in one set of the first cache."""
MOST_TILES: Final = 4
"""The most loads that go through tiles of their own; all tiles together are as large as one may be."""
_ROW_ATOM: Final = 4002
_TILE_ATOM: Final = 4003
_COLUMN_ATOM: Final = 4004


class Transposition(msgspec.Struct, frozen=True):
    """What is read transposed, and along which loop it is contiguous."""

    loop: LoopSpec
    loads: tuple[Scalar, ...]


def find_transposition(
    program: Program, scalars: Sequence[Scalar], loops: Sequence[LoopSpec]
) -> Transposition | None:
    """Give the loads that tiles help, if the innermost loop is long enough and they agree on the other one."""
    if len(loops) < 2 or loops[-1].extent < SMALLEST_EXTENT:
        return None
    inner = loops[-1]
    found: dict[int, list[Scalar]] = {}
    for scalar in scalars:
        if scalar.kind is not ScalarKind.LOAD or scalar.affine is None:
            continue
        has_dynamic = any(atom in program.builder.dynamic for atom, _ in scalar.affine.terms)
        if has_dynamic or scalar.affine.coeff(inner.atom) in (0, 1):
            continue
        for place, loop in enumerate(loops[:-1]):
            if loop.extent >= SMALLEST_EXTENT and scalar.affine.coeff(loop.atom) == 1:
                found.setdefault(place, []).append(scalar)
    if not found:
        return None
    place, loads = max(found.items(), key=lambda item: len(item[1]))
    if len(loads) > MOST_TILES or any(
        scalar.affine.coeff(inner.atom) < 0 for scalar in loads if scalar.affine
    ):
        return None
    return Transposition(loops[place], tuple(loads))


def _side(extent: int, most: int) -> int:
    """Give the side of the tiles along an axis: the one that leaves the least at the edge; of equals, the largest."""
    least = min(LEAST_SIDE, extent // SMALLEST_EXTENT * SMALLEST_EXTENT)
    sides = range(least, min(extent, most) + 1, SMALLEST_EXTENT)
    return max(sides, key=lambda side: (-(extent % side), side))


class TransposedNest:
    """Writes one transposed nest."""

    def __init__(
        self,
        kernel: KernelWriter,
        program: Program,
        loops: Sequence[LoopSpec],
        transposition: Transposition,
        num_threads: int,
        slots: Mapping[int, Slot],
    ) -> None:
        self._kernel = kernel
        self._slots = slots
        self._program = program
        self._along = transposition.loop
        self._loads = transposition.loads
        self._inner = loops[-1]
        self._others = [loop for loop in loops[:-1] if loop is not self._along]
        self._num_threads = num_threads
        numel = math.prod(loop.extent for loop in loops)
        is_large = numel >= MOST_ROWS * MOST_COLUMNS * TILES_PER_THREAD * num_threads
        most_rows = max(MOST_ROWS // len(self._loads), LEAST_SIDE) if is_large else LEAST_SIDE
        self._rows = _side(self._along.extent, most_rows)
        self._columns = _side(self._inner.extent, MOST_COLUMNS if is_large else LEAST_SIDE)

    def write(self, cost: int) -> None:
        """Write it; `cost` is that of one element."""
        rows = self._along.extent // self._rows * self._rows
        columns = self._inner.extent // self._columns * self._columns
        self._write_tiles(cost)
        if columns < self._inner.extent:
            self._write_edge((0, rows), (columns, self._inner.extent), cost)
        if rows < self._along.extent:
            self._write_edge((rows, self._along.extent), (0, self._inner.extent), cost)

    def _write_tiles(self, cost: int) -> None:
        writer = NestWriter(self._kernel, self._program.builder, self._slots)
        writer.reads_along = False
        opened = OpenLoops(writer, self._num_threads)
        rows, columns = self._rows, self._columns
        tile_rows = LoopSpec(self._along.extent // rows, is_reduced=False, atoms=(_TILE_ATOM,))
        tile_columns = LoopSpec(
            self._inner.extent // columns, is_reduced=False, atoms=(_COLUMN_ATOM,)
        )
        opened.open([*self._others, tile_rows, tile_columns], rows * columns * cost)
        first_row = writer.index(Affine(((_TILE_ATOM, rows),)))
        first_column = writer.index(Affine(((_COLUMN_ATOM, columns),)))
        writer.bind_atom(self._along.atom, first_row)
        writer.bind_atom(self._inner.atom, first_column)
        stride = columns + PADDING
        place = Affine(((LANE_ATOM, 1), (_ROW_ATOM, stride)))
        for load in self._loads:
            scratch = self._kernel.add_scratch(load.dtype, rows * stride)
            assert load.affine is not None, "a load has its index"
            writer.append(
                TransposeTile(
                    target=scratch,
                    target_index=constant(0),
                    target_stride=stride,
                    source=self._kernel.param(Target(load.source, load.dtype), Access.READ),
                    source_index=writer.index(load.affine),
                    source_stride=load.affine.coeff(self._inner.atom),
                    rows=rows,
                    cols=columns,
                )
            )
            writer.slots[load.number] = Slot(scratch, place)
        row = writer.open_loop(_ROW_ATOM)
        writer.bind_atom(self._along.atom, writer.sum_of(first_row, variable(row)))
        lane = writer.open_loop(LANE_ATOM)
        writer.bind_atom(self._inner.atom, writer.sum_of(first_column, variable(lane)))
        writer.emit_stores(self._program.stores)
        writer.close_loop(LoopKind.VECTOR, constant(0), (constant(columns),))
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(rows),))
        opened.close()

    def _write_edge(self, rows: tuple[int, int], columns: tuple[int, int], cost: int) -> None:
        """Write what no full tile covers; what is read transposed is read element by element."""
        if rows[0] == rows[1]:
            return
        writer = NestWriter(self._kernel, self._program.builder, self._slots)
        writer.reads_along = False
        opened = OpenLoops(writer, self._num_threads)
        opened.open(self._others, (rows[1] - rows[0]) * (columns[1] - columns[0]) * cost)
        writer.open_loop(self._along.atom)
        writer.open_loop(self._inner.atom)
        writer.emit_stores(self._program.stores)
        writer.close_loop(LoopKind.VECTOR, constant(columns[0]), (constant(columns[1]),))
        writer.close_loop(LoopKind.SERIAL, constant(rows[0]), (constant(rows[1]),))
        opened.close()
