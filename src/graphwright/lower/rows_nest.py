"""The nest of a program that reduces its innermost atoms: a loop over rows, and in it passes along the row.

In: a `Program` whose innermost atom is reduced.   Out: statements on a `KernelWriter`.

    s = softmax(x, 1)   →   parallel i0 over rows:  vector i1: max;  vector i2: e, sum;  vector i3: e / sum
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Carry, LoopKind
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.loops import (
    Blocks,
    LoopSpec,
    OpenLoops,
    constant,
    merge_loops,
    reachable,
    variable,
)
from graphwright.lower.passes import Pass, PassPlan, Spill, plan_passes
from graphwright.lower.programs import Program
from graphwright.lower.scalars import Scalar
from graphwright.lower.slots import Slots
from graphwright.lower.splits import ARG_VALUES, Split
from graphwright.lower.writer import KernelWriter, NestWriter, Slot

LONG_ROW: Final = 4096
"""Sums over longer rows are taken in blocks, which are added in float64, so that the error does not grow with the row."""
SUM_BLOCK: Final = 2048


class RowsNest:
    """Writes one rows nest."""

    def __init__(
        self, kernel: KernelWriter, program: Program, num_threads: int, split: Split | None = None
    ) -> None:
        self._kernel = kernel
        self._program = program
        self._num_threads = num_threads
        self._split = split
        scalars = reachable(program)
        self._loops = merge_loops(program, scalars)
        self._plan: PassPlan = plan_passes(program, scalars)
        self._writer = NestWriter(kernel, program.builder)
        self._cost = sum(scalar.cost for scalar in scalars if scalar.mask & program.reduced_mask)

    def write(self) -> None:
        """Write it."""
        numel, index = _row_index(self._loops.reduced)
        slots = Slots(self._kernel, self._program, self._plan, numel, index).assign()
        opened = OpenLoops(self._writer, self._num_threads)
        bounds = self._open(opened, numel)
        for number, one in enumerate(self._plan.passes):
            spills = [spill for spill in self._plan.spills if spill.first == number]
            self._write_pass(one, spills, slots, bounds)
            for spill in spills:
                self._writer.slots[spill.scalar.number] = slots[spill.scalar.number]
        stores = self._split.stores if self._split else self._plan.row_stores
        self._writer.emit_stores(stores)
        opened.close()

    def _open(self, opened: OpenLoops, numel: int) -> dict[int, Blocks]:
        """Open the loops over rows; give the bounds of each reduced loop."""
        bounds = {
            loop.atom: Blocks(constant(0), (constant(loop.extent),)) for loop in self._loops.reduced
        }
        cost = numel * (self._cost + len(self._plan.passes))
        if self._split is None:
            opened.open(self._loops.kept, cost)
        else:
            cut = self._split.loop
            share = max(cost // cut.extent, 1)
            bounds[cut.atom] = opened.open_blocks(self._loops.kept, cut, self._split.block, share)
        return bounds

    def _write_pass(
        self,
        one: Pass,
        spills: Sequence[Spill],
        slots: dict[int, Slot],
        bounds: dict[int, Blocks],
    ) -> None:
        writer = self._writer
        loops = self._loops.reduced
        outer, inner = loops[:-1], loops[-1]
        for loop in outer:
            writer.open_loop(loop.atom)
        inside = bounds[inner.atom]
        is_long = inner.extent > LONG_ROW and any(
            scalar.reduce_op is ReduceOp.SUM for scalar in one.reductions
        )
        if is_long:
            name = writer.open_loop(None)
            inside = Blocks(variable(name), (variable(name, SUM_BLOCK), *inside.stops))
        writer.open_loop(inner.atom)
        carries = [carry for scalar in one.reductions for carry in self._first_carries(scalar)]
        kept = [(spill.scalar, slots[spill.scalar.number]) for spill in spills]
        writer.emit_stores(one.stores, kept)
        writer.close_loop(LoopKind.VECTOR, inside.start, inside.stops, carries=carries)
        if is_long:
            whole = bounds[inner.atom]
            carries = self._outer_carries(carries)
            writer.close_loop(
                LoopKind.SERIAL, whole.start, whole.stops, step=SUM_BLOCK, carries=carries
            )
        for loop in reversed(outer):
            whole = bounds[loop.atom]
            carries = self._outer_carries(carries)
            writer.close_loop(LoopKind.SERIAL, whole.start, whole.stops, carries=carries)
        for scalar, carry in carries:
            if scalar is not None and carry.dtype is not scalar.dtype and carry.index is None:
                name = writer.emit_compute(ScalarOp.CAST, (carry.name,), scalar.dtype)
                writer.know(scalar, name)

    def _has_outer_loop(self) -> bool:
        return len(self._loops.reduced) > 1 or self._loops.reduced[-1].extent > LONG_ROW

    def _first_carries(self, scalar: Scalar) -> list[tuple[Scalar | None, Carry]]:
        """Give the carries of a reduction in the innermost loop; an arg-reduction in nested loops needs its value too."""
        writer = self._writer
        assert scalar.reduce_op is not None, "a reduction"
        names = [writer.emit(arg) for arg in scalar.args]
        dtype = scalar.args[0].dtype
        index = names[1] if len(names) > 1 else None
        name = self._kernel.new_value()
        first = Carry(name, scalar.reduce_op, names[0], dtype, index)
        carries: list[tuple[Scalar | None, Carry]] = [(scalar, first)]
        value_op = ARG_VALUES.get(scalar.reduce_op)
        if value_op is not None and (self._has_outer_loop() or self._split is not None):
            value = Carry(self._kernel.new_value(), value_op, names[0], dtype)
            carries.append((self._split.value_of(scalar) if self._split else None, value))
        return carries

    def _outer_carries(
        self, inner: Sequence[tuple[Scalar | None, Carry]]
    ) -> list[tuple[Scalar | None, Carry]]:
        """Give the carries of the loop around: each combines what the inner loop gave, sums in float64."""
        carries: list[tuple[Scalar | None, Carry]] = []
        for number, (scalar, carry) in enumerate(inner):
            if carry.index is not None:
                value = inner[number + 1][1].name
                name = self._kernel.new_value()
                carries.append((scalar, Carry(name, carry.op, value, carry.dtype, carry.name)))
                continue
            update, dtype = carry.name, carry.dtype
            if carry.op is ReduceOp.SUM and dtype is DType.FLOAT32:
                dtype = DType.FLOAT64
                update = self._writer.emit_compute(ScalarOp.CAST, (update,), dtype)
            carries.append((scalar, Carry(self._kernel.new_value(), carry.op, update, dtype)))
        return carries


def _row_index(reduced: Sequence[LoopSpec]) -> tuple[int, Affine]:
    """Give the number of elements of a row, and the place of an element in it."""
    terms: list[tuple[int, int]] = []
    stride = 1
    for loop in reversed(reduced):
        terms.append((loop.atom, stride))
        stride *= loop.extent
    return stride, Affine(tuple(sorted(terms)), 0)
