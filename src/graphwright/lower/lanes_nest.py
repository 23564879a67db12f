"""The nest of a program that reduces outer atoms and keeps the innermost: accumulators for a tile of lanes.

In: a `Program` with reductions whose innermost atom is kept.   Out: statements on a `KernelWriter`.
Keeps: memory is read along its rows. Accumulators stand in scratch, one a lane; several rows go into each accumulator at once.

    s[j] = sum(x[i, j], 0)   →   parallel over tiles of j:
                                   vector j: acc[j] = 0
                                   for i step 4:  vector j: acc[j] += (x[i, j] + x[i+1, j]) + (x[i+2, j] + x[i+3, j])
                                   vector j: s[j] = acc[j]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Index, LoopKind, Store
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.identities import identity_of
from graphwright.lower.loops import (
    LANE_ATOM,
    Blocks,
    LoopSpec,
    OpenLoops,
    constant,
    merge_loops,
    reachable,
    variable,
)
from graphwright.lower.passes import RECOMPUTED_COST, Pass, PassPlan, Spill, plan_passes
from graphwright.lower.programs import Program, StoreTo
from graphwright.lower.scalars import Scalar, ScalarKind
from graphwright.lower.slots import SCRATCH_BYTES, Slots
from graphwright.lower.splits import ARG_VALUES, Split
from graphwright.lower.tiles import LaneTile
from graphwright.lower.writer import KernelWriter, NestWriter, Slot

SMALLEST_TILE: Final = 16
LARGEST_TILE: Final = 4096
SUM_ROWS: Final = 256
"""Sums of more rows are taken in blocks, which are added in float64, so that the error does not grow with the rows."""
UNROLL: Final = 4
"""Rows that are combined before they meet the accumulator."""
MOST_UNROLLED_COST: Final = 64
_COMBINE: Final = {
    ReduceOp.SUM: ScalarOp.ADD,
    ReduceOp.PROD: ScalarOp.MUL,
    ReduceOp.MAX: ScalarOp.MAXIMUM,
    ReduceOp.MIN: ScalarOp.MINIMUM,
    ReduceOp.ANY: ScalarOp.BITWISE_OR,
    ReduceOp.ALL: ScalarOp.BITWISE_AND,
}


class _Accumulator(msgspec.Struct, frozen=True):
    """Where a reduction is gathered; an arg-reduction has its extreme value too."""

    name: str
    value_name: str = ""
    total_name: str = ""
    """For a long float32 sum: where the sums of blocks are added, in float64."""


class _Body(msgspec.Struct, frozen=True):
    """What is done for each row in a pass."""

    one: Pass
    kept: list[tuple[Scalar, Slot]]
    loop: LoopSpec


class LanesNest:
    """Writes one lanes nest."""

    def __init__(
        self, kernel: KernelWriter, program: Program, num_threads: int, split: Split | None = None
    ) -> None:
        self._kernel = kernel
        self._program = program
        self._num_threads = num_threads
        self._split = split
        self._scalars = reachable(program)
        self._loops = merge_loops(program, self._scalars)
        self._plan: PassPlan = plan_passes(program, self._scalars)
        self._writer = NestWriter(kernel, program.builder)
        mask = program.reduced_mask
        self._cost = sum(scalar.cost for scalar in self._scalars if scalar.mask & mask)
        self._lane = self._loops.kept[-1]
        self._tile = self._choose_tile()
        self._lanes = LaneTile(self._writer, self._lane, self._tile)
        self._accumulators: dict[int, _Accumulator] = {}

    def write(self) -> None:
        """Write it."""
        row, row_index = self._row_index()
        place = row_index.times(self._tile).plus(Affine(((LANE_ATOM, 1),)))
        slots = Slots(self._kernel, self._program, self._plan, row * self._tile, place).assign()
        opened = OpenLoops(self._writer, self._num_threads)
        bounds = self._open(opened, row)
        for number, one in enumerate(self._plan.passes):
            spills = [spill for spill in self._plan.spills if spill.first == number]
            self._write_initial(one)
            self._write_pass(one, spills, slots, bounds)
            for spill in spills:
                self._writer.slots[spill.scalar.number] = slots[spill.scalar.number]
            self._write_section(number)
        stores = self._split.stores if self._split else self._plan.row_stores
        if stores:
            self._write_lane_loop(stores)
        opened.close()

    def _choose_tile(self) -> int:
        """Give the number of lanes in a tile: enough tiles for all threads, and scratch that stays near."""
        widest = max([spill.scalar.dtype.size_bytes for spill in self._plan.spills], default=0)
        rows, _ = self._row_index()
        others = 1
        for loop in self._loops.kept[:-1]:
            others *= loop.extent
        if self._split is not None:
            others *= -(-self._split.loop.extent // self._split.block)
        wanted = max(1, -(-2 * self._num_threads // others))
        tile = min(self._lane.extent // wanted, LARGEST_TILE)
        if widest:
            count = max(1, len(self._plan.spills))
            tile = min(tile, SCRATCH_BYTES // (rows * widest * count))
        tile = max(tile // SMALLEST_TILE * SMALLEST_TILE, SMALLEST_TILE)
        return min(tile, self._lane.extent)

    def _row_index(self) -> tuple[int, Affine]:
        terms: list[tuple[int, int]] = []
        stride = 1
        for loop in reversed(self._loops.reduced):
            terms.append((loop.atom, stride))
            stride *= loop.extent
        return stride, Affine(tuple(sorted(terms)), 0)

    def _open(self, opened: OpenLoops, rows: int) -> dict[int, Blocks]:
        """Open the loops over tiles; give the bounds of each reduced loop."""
        bounds = {
            loop.atom: Blocks(constant(0), (constant(loop.extent),)) for loop in self._loops.reduced
        }
        outer = [*self._loops.kept[:-1], self._lanes.loop]
        cost = rows * self._tile * (self._cost + len(self._plan.passes))
        if self._split is None:
            opened.open(outer, cost)
        else:
            cut = self._split.loop
            share = max(cost // cut.extent, 1)
            bounds[cut.atom] = opened.open_blocks(outer, cut, self._split.block, share)
        self._lanes.begin()
        return bounds

    # Loops over the lanes of a tile

    def _write_lane_loop(self, stores: Sequence[StoreTo]) -> None:
        self._lanes.open()
        self._writer.emit_stores(stores)
        self._lanes.close()

    # Passes

    def _write_initial(self, one: Pass) -> None:
        """Set the accumulators to the identities of their reductions."""
        if not one.reductions:
            return
        self._lanes.open()
        lane = self._lanes.place
        for scalar in one.reductions:
            assert scalar.reduce_op is not None, "a reduction"
            dtype = scalar.args[0].dtype
            value_op = ARG_VALUES.get(scalar.reduce_op)
            accumulator = _Accumulator(self._kernel.add_scratch(scalar.dtype, self._tile))
            if value_op is not None:
                value_name = self._kernel.add_scratch(dtype, self._tile)
                accumulator = _Accumulator(accumulator.name, value_name)
                text = identity_of(value_op, dtype)
                self._store_constant(value_name, lane, text, dtype)
                self._store_constant(accumulator.name, lane, "0", DType.INT64)
            elif self._is_long_sum(scalar):
                total = self._kernel.add_scratch(DType.FLOAT64, self._tile)
                accumulator = _Accumulator(accumulator.name, total_name=total)
                text = identity_of(ReduceOp.SUM, DType.FLOAT64)
                self._store_constant(total, lane, text, DType.FLOAT64)
            else:
                text = identity_of(scalar.reduce_op, dtype)
                self._store_constant(accumulator.name, lane, text, dtype)
            self._accumulators[scalar.number] = accumulator
        self._lanes.close()

    def _is_long_sum(self, scalar: Scalar) -> bool:
        rows, _ = self._row_index()
        is_narrow_sum = scalar.reduce_op is ReduceOp.SUM and scalar.dtype is DType.FLOAT32
        return is_narrow_sum and rows > SUM_ROWS

    def _store_constant(self, buffer: str, lane: Index, text: str, dtype: DType) -> None:
        name = self._writer.emit_constant(text, dtype)
        self._writer.append(Store(buffer, lane, name))

    def _write_pass(
        self,
        one: Pass,
        spills: Sequence[Spill],
        slots: dict[int, Slot],
        bounds: dict[int, Blocks],
    ) -> None:
        writer = self._writer
        outer, inner = self._loops.reduced[:-1], self._loops.reduced[-1]
        body = _Body(one, [(spill.scalar, slots[spill.scalar.number]) for spill in spills], inner)
        for loop in outer:
            writer.open_loop(loop.atom)
        inside = bounds[inner.atom]
        unroll = self._choose_unroll(one, inner, inside)
        whole = inner.extent // unroll * unroll
        stops = inside.stops if whole == inner.extent else (constant(whole),)
        self._write_blocks(body, Blocks(inside.start, stops), unroll)
        if whole < inner.extent:
            self._write_blocks(body, Blocks(constant(whole), inside.stops), 1)
        for loop in reversed(outer):
            ends = bounds[loop.atom]
            writer.close_loop(LoopKind.SERIAL, ends.start, ends.stops)
        self._write_totals(one)
        lane = Affine(((LANE_ATOM, 1),))
        for scalar in one.reductions:
            accumulator = self._accumulators[scalar.number]
            writer.slots[scalar.number] = Slot(accumulator.name, lane)
            if self._split is not None and accumulator.value_name:
                value = self._split.value_of(scalar)
                writer.slots[value.number] = Slot(accumulator.value_name, lane)

    def _write_blocks(self, body: _Body, rows: Blocks, unroll: int) -> None:
        """Write the loop over `rows`; in blocks whose sums are added to totals, where there are many."""
        writer = self._writer
        has_totals = any(self._total_of(scalar) for scalar in body.one.reductions)
        is_cut = has_totals and body.loop.extent > SUM_ROWS
        inside = rows
        if is_cut:
            name = writer.open_loop(None)
            inside = Blocks(variable(name), (variable(name, SUM_ROWS), *rows.stops))
        if has_totals:
            self._write_zeros(body.one)
        self._write_rows(body, unroll)
        writer.close_loop(LoopKind.SERIAL, inside.start, inside.stops, step=unroll)
        if has_totals:
            self._add_to_totals(body.one)
        if is_cut:
            writer.close_loop(LoopKind.SERIAL, rows.start, rows.stops, step=SUM_ROWS)

    def _total_of(self, scalar: Scalar) -> str:
        """Give the scratch in which block sums of a long float32 sum are added in float64; empty for others."""
        return self._accumulators[scalar.number].total_name

    def _write_zeros(self, one: Pass) -> None:
        self._lanes.open()
        lane = self._lanes.place
        for scalar in one.reductions:
            if self._total_of(scalar):
                name = self._accumulators[scalar.number].name
                self._store_constant(
                    name, lane, identity_of(ReduceOp.SUM, scalar.dtype), scalar.dtype
                )
        self._lanes.close()

    def _add_to_totals(self, one: Pass) -> None:
        writer = self._writer
        self._lanes.open()
        lane = self._lanes.place
        for scalar in one.reductions:
            total_name = self._total_of(scalar)
            if total_name:
                part = writer.emit_load(self._accumulators[scalar.number].name, lane)
                wide = writer.emit_compute(ScalarOp.CAST, (part,), DType.FLOAT64)
                total = writer.emit_load(total_name, lane)
                total = writer.emit_compute(ScalarOp.ADD, (total, wide), DType.FLOAT64)
                writer.append(Store(total_name, lane, total))
        self._lanes.close()

    def _write_totals(self, one: Pass) -> None:
        """Round the totals to the accumulators' dtype."""
        if not any(self._total_of(scalar) for scalar in one.reductions):
            return
        writer = self._writer
        self._lanes.open()
        lane = self._lanes.place
        for scalar in one.reductions:
            total_name = self._total_of(scalar)
            if total_name:
                total = writer.emit_load(total_name, lane)
                rounded = writer.emit_compute(ScalarOp.CAST, (total,), scalar.dtype)
                writer.append(Store(self._accumulators[scalar.number].name, lane, rounded))
        self._lanes.close()

    def _choose_unroll(self, one: Pass, inner: LoopSpec, inside: Blocks) -> int:
        """Rows are combined first where that is cheap; blocks of a split loop are multiples of `UNROLL`."""
        has_arg = any(scalar.reduce_op in ARG_VALUES for scalar in one.reductions)
        is_dear = self._cost > MOST_UNROLLED_COST or not one.reductions
        if has_arg or is_dear or inner.extent < 2 * UNROLL:
            return 1
        if self._split is not None and inside.start != constant(0):
            is_even = inner.extent % UNROLL == 0 and self._split.block % UNROLL == 0
            return UNROLL if is_even else 1
        return UNROLL

    def _write_rows(self, body: _Body, unroll: int) -> None:
        """Write the body of the loop over rows: a vector loop that takes `unroll` rows at once. Leaves the loop open."""
        writer = self._writer
        row = writer.open_loop(None)
        self._lanes.open()
        updates: list[list[list[str]]] = [[] for _ in body.one.reductions]
        for step in range(unroll):
            writer.open_variant()
            writer.bind_atom(body.loop.atom, variable(row, step))
            for number, scalar in enumerate(body.one.reductions):
                updates[number].append([writer.emit(arg) for arg in scalar.args])
            writer.emit_stores(body.one.stores, body.kept)
            writer.close_variant()
        for scalar, names in zip(body.one.reductions, updates, strict=True):
            self._accumulate(scalar, names)
        self._lanes.close()

    def _accumulate(self, scalar: Scalar, updates: Sequence[Sequence[str]]) -> None:
        writer = self._writer
        lane = self._lanes.place
        accumulator = self._accumulators[scalar.number]
        dtype = scalar.args[0].dtype
        if accumulator.value_name:
            self._accumulate_arg(scalar, accumulator, updates[0], lane)
            return
        assert scalar.reduce_op is not None, "a reduction"
        op = _COMBINE[scalar.reduce_op]
        terms = [names[0] for names in updates]
        while len(terms) > 1:
            terms = [
                writer.emit_compute(op, (terms[place], terms[place + 1]), dtype)
                for place in range(0, len(terms), 2)
            ]
        gathered = writer.emit_load(accumulator.name, lane)
        combined = writer.emit_compute(op, (gathered, terms[0]), dtype)
        writer.append(Store(accumulator.name, lane, combined))

    def _accumulate_arg(
        self, scalar: Scalar, accumulator: _Accumulator, update: Sequence[str], lane: Index
    ) -> None:
        """Take the new value and its index where it is more extreme; the first NaN stays."""
        writer = self._writer
        dtype = scalar.args[0].dtype
        value, index = update
        best = writer.emit_load(accumulator.value_name, lane)
        position = writer.emit_load(accumulator.name, lane)
        op = ScalarOp.GT if scalar.reduce_op is ReduceOp.ARGMAX else ScalarOp.LT
        takes = writer.emit_compute(op, (value, best), DType.BOOL)
        if dtype.is_float:
            is_nan = writer.emit_compute(ScalarOp.IS_NAN, (value,), DType.BOOL)
            was_nan = writer.emit_compute(ScalarOp.IS_NAN, (best,), DType.BOOL)
            stays = writer.emit_compute(ScalarOp.LOGICAL_NOT, (was_nan,), DType.BOOL)
            first_nan = writer.emit_compute(ScalarOp.BITWISE_AND, (is_nan, stays), DType.BOOL)
            takes = writer.emit_compute(ScalarOp.BITWISE_OR, (takes, first_nan), DType.BOOL)
        chosen = writer.emit_compute(ScalarOp.WHERE, (takes, value, best), dtype)
        place = writer.emit_compute(ScalarOp.WHERE, (takes, index, position), DType.INT64)
        writer.append(Store(accumulator.value_name, lane, chosen))
        writer.append(Store(accumulator.name, lane, place))

    def _write_section(self, number: int) -> None:
        """After a pass: keep what is dear to compute from the reductions and needed in later passes."""
        wanted = self._row_scalars_of_later_passes(number)
        if not wanted:
            return
        lane = Affine(((LANE_ATOM, 1),))
        slots = [
            (scalar, Slot(self._kernel.add_scratch(scalar.dtype, self._tile), lane))
            for scalar in wanted
        ]
        self._lanes.open()
        self._writer.emit_stores((), slots)
        self._lanes.close()
        for scalar, slot in slots:
            self._writer.slots[scalar.number] = slot

    def _row_scalars_of_later_passes(self, number: int) -> list[Scalar]:
        mask = self._program.reduced_mask
        wanted: dict[int, Scalar] = {}
        for scalar in self._scalars:
            if not scalar.mask & mask and scalar.kind is not ScalarKind.REDUCE:
                continue
            for arg in scalar.args:
                is_row = not arg.mask & mask and arg.kind is ScalarKind.COMPUTE
                if is_row and arg.level == number + 1 and self._row_cost(arg) > RECOMPUTED_COST:
                    wanted[arg.number] = arg
        return list(wanted.values())

    def _row_cost(self, scalar: Scalar) -> int:
        if scalar.kind is ScalarKind.REDUCE:
            return 0
        return scalar.cost + sum(self._row_cost(arg) for arg in scalar.args)
