"""The nest of a scan: along its axis one element after the other, over the other axes in parallel.

In: a `Program` with a `Scan`.   Out: statements on a `KernelWriter`.
Keeps: the elements of a line are taken in from the first to the last.

Where the innermost axis is another one, the states of a tile of lanes stand in scratch, and vector code takes in a row at a
time. Where the scan goes along the innermost axis, several lines are taken together: each waits for its own last addition,
not for the others'.

    y = cumsum(x, 0)   →   parallel over tiles of j:  vector j: acc[j] = 0
                             for i:  vector j: acc[j] += x[i, j];  y[i, j] = acc[j]
    y = cumsum(x, 1)   →   parallel over i step 8:  acc[0..8] = 0
                             for j:  acc[0] += x[i, j];  y[i, j] = acc[0];  acc[1] += x[i+1, j];  …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.ir.loops import If, Index, LoopKind, Store
from graphwright.lower.affine import Affine
from graphwright.lower.loops import (
    BLOCK_ATOM,
    LoopSpec,
    OpenLoops,
    constant,
    merge_loops,
    reachable,
)
from graphwright.lower.programs import Program, Scan
from graphwright.lower.tiles import LaneTile
from graphwright.lower.writer import KernelWriter, NestWriter

LINES: Final = 4
"""Lines that are taken together: an addition takes as many cycles. More of them fight for the sets of the first-level cache."""
DEAR_COST: Final = 24
"""Past this cost of an element, vector code pays though it must gather its lanes from several lines."""
SMALLEST_TILE: Final = 16
LARGEST_TILE: Final = 512


class ScanNest:
    """Writes one scan."""

    def __init__(
        self, kernel: KernelWriter, program: Program, scan: Scan, num_threads: int
    ) -> None:
        self._kernel = kernel
        self._program = program
        self._scan = scan
        self._num_threads = num_threads
        scalars = reachable(program)
        self._loops = merge_loops(program, scalars)
        mask = program.reduced_mask
        self._cost = len(program.stores) + sum(
            scalar.cost for scalar in scalars if scalar.mask & mask or not mask
        )
        self._length = 1
        for loop in self._loops.reduced:
            self._length *= loop.extent

    def write(self) -> None:
        """Write it."""
        kept = self._loops.kept
        wide = [atom for atom in self._program.atoms if atom.extent > 1]
        is_dear = self._cost > DEAR_COST and kept and kept[-1].extent >= SMALLEST_TILE
        if kept and (is_dear or not wide[-1].is_reduced):
            self._write_lanes(kept)
            return
        if not kept:
            self._write_lines(NestWriter(self._kernel, self._program.builder), (), ())
            return
        waits = self._scan.taken() is None and self._scan.states[0].dtype.is_float
        count = LINES if waits else 1
        whole, rest = divmod(kept[-1].extent, count)
        if whole:
            self._write_line_blocks(kept, 0, count, whole)
        if rest:
            self._write_line_blocks(kept, whole * count, rest, 1)

    # The innermost axis is kept: a vector of lanes

    def _write_lanes(self, kept: Sequence[LoopSpec]) -> None:
        writer = NestWriter(self._kernel, self._program.builder)
        lane = kept[-1]
        others = 1
        for loop in kept[:-1]:
            others *= loop.extent
        wanted = max(1, -(-2 * self._num_threads // others))
        tile = min(lane.extent // wanted, LARGEST_TILE) // SMALLEST_TILE * SMALLEST_TILE
        lanes = LaneTile(writer, lane, min(max(tile, SMALLEST_TILE), lane.extent))
        names = self._add_scratch(lanes.extent)
        opened = OpenLoops(writer, self._num_threads)
        opened.open([*kept[:-1], lanes.loop], self._length * lanes.extent * self._cost)
        lanes.begin()
        lanes.open()
        self._write_initial(writer, names, lanes.place)
        lanes.close()
        for loop in self._loops.reduced:
            writer.open_loop(loop.atom)
        lanes.open()
        self._write_element(writer, names, lanes.place)
        lanes.close()
        for loop in reversed(self._loops.reduced):
            writer.close_loop(LoopKind.SERIAL, constant(0), (constant(loop.extent),))
        opened.close()

    # The scan goes along the innermost axis: several lines at a time

    def _write_line_blocks(
        self, kept: Sequence[LoopSpec], start: int, count: int, num_blocks: int
    ) -> None:
        """Write the lines from `start` on, in blocks of `count`."""
        writer = NestWriter(self._kernel, self._program.builder)
        rows = kept[-1]
        blocks = LoopSpec(num_blocks, is_reduced=False, atoms=(BLOCK_ATOM,))
        opened = OpenLoops(writer, self._num_threads)
        opened.open([*kept[:-1], blocks], self._length * count * self._cost)
        block = writer.index(Affine(((BLOCK_ATOM, count),), start))
        lines = [Index(block.terms, int(block.const) + line) for line in range(count)]  # type: ignore[arg-type]
        self._write_lines(writer, (rows,), lines)
        opened.close()

    def _write_lines(
        self, writer: NestWriter, rows: Sequence[LoopSpec], lines: Sequence[Index]
    ) -> None:
        """Write some lines; without `rows` there is one only."""
        names = self._add_scratch(max(len(lines), 1))
        places = [constant(line) for line in range(max(len(lines), 1))]
        for place in places:
            self._write_initial(writer, names, place)
        for loop in self._loops.reduced:
            writer.open_loop(loop.atom)
        for number, place in enumerate(places):
            writer.open_variant()
            for loop in rows:
                writer.bind_atom(loop.atom, lines[number])
            self._write_choice(writer, names, place)
            writer.close_variant()
        for loop in reversed(self._loops.reduced):
            writer.close_loop(LoopKind.SERIAL, constant(0), (constant(loop.extent),))

    # The states

    def _add_scratch(self, size: int) -> list[str]:
        return [self._kernel.add_scratch(state.dtype, size) for state in self._scan.states]

    def _write_initial(self, writer: NestWriter, names: Sequence[str], place: Index) -> None:
        for name, state, text in zip(names, self._scan.states, self._scan.initial, strict=True):
            writer.append(Store(name, place, writer.emit_constant(text, state.dtype)))

    def _write_choice(self, writer: NestWriter, names: Sequence[str], place: Index) -> None:
        """As `_write_element`, for one line: where the states are replaced or kept, by a branch.

        An element that is taken is rare, or the rule: the processor foresees it, and no element waits for the one before.
        """
        taken = self._scan.taken()
        if taken is None:
            self._write_element(writer, names, place)
            return
        for name, state in zip(names, self._scan.states, strict=True):
            writer.know(state, writer.emit_load(name, place))
        condition, replacements = taken
        is_taken = writer.emit(condition)
        values = [writer.emit(replacement) for replacement in replacements]
        stores = [Store(name, place, value) for name, value in zip(names, values, strict=True)]
        writer.append(If(is_taken, tuple(stores)))
        for name, scalar in zip(names, self._scan.following, strict=True):
            writer.know(scalar, writer.emit_load(name, place))
        writer.emit_stores(self._program.stores)

    def _write_element(self, writer: NestWriter, names: Sequence[str], place: Index) -> None:
        """Take in the element at hand, and store the results that belong to it."""
        for name, state in zip(names, self._scan.states, strict=True):
            writer.know(state, writer.emit_load(name, place))
        following = [writer.emit(scalar) for scalar in self._scan.following]
        writer.emit_stores(self._program.stores)
        for name, value in zip(names, following, strict=True):
            writer.append(Store(name, place, value))
