"""The nest of a scatter's updates.

In: a `Program` with a `Scatter`.   Out: statements on a `KernelWriter`.
Keeps: updates that may go to one element run one after the other, in order; the others in parallel, and in vectors.

    y.index_add(0, k, x)       →   parallel over blocks of j:  for i:  vector j: y[k[i], j] += x[i, j]
    y.scatter_add(1, k, x)     →   parallel i:  for j:  y[i, k[i, j]] += x[i, j]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from graphwright.ir.loops import Access, Index, LoopKind
from graphwright.lower.loops import LoopSpec, OpenLoops, constant, merge_kept, reachable
from graphwright.lower.programs import Program, Scatter
from graphwright.lower.scalars import Scalar
from graphwright.lower.writer import KernelWriter, NestWriter

FEWEST_NEIGHBOURS: Final = 8
"""A loop of fewer iterations is not worth vectors, where another one is the innermost."""
SMALLEST_BLOCK: Final = 32
"""Elements that a thread changes of each row, at least."""


class ScatterNest:
    """Writes the updates of one scatter."""

    def __init__(
        self, kernel: KernelWriter, program: Program, scatter: Scatter, num_threads: int
    ) -> None:
        self._writer = NestWriter(kernel, program.builder)
        self._program = program
        self._scatter = scatter
        self._num_threads = num_threads
        scalars = reachable(program)
        numbers = range(len(program.atoms))
        self._free = list(merge_kept(program, scalars, [n for n in numbers if n in scatter.free]))
        self._ordered = merge_kept(program, scalars, [n for n in numbers if n not in scatter.free])
        self._cost = sum(scalar.cost for scalar in scalars if scalar.mask) + 2

    def write(self) -> None:
        """Write them."""
        inner = self._take_inner()
        opened = OpenLoops(self._writer, self._num_threads)
        cost = self._cost * math.prod(loop.extent for loop in self._ordered)
        if inner is None:
            opened.open(self._free, cost)
            self._write_ordered(None, constant(0), ())
        else:
            start, stops = self._open_rows(opened, inner, cost)
            self._write_ordered(inner, start, stops)
        opened.close()

    def _take_inner(self) -> LoopSpec | None:
        """Take the free loop that is best made of vectors: over neighbours in the result, or the innermost one."""
        (store,) = self._program.stores
        for number, loop in enumerate(self._free):
            if store.offset.coeff(loop.atom) == 1 and loop.extent >= FEWEST_NEIGHBOURS:
                return self._free.pop(number)
        wide = [number for number, atom in enumerate(self._program.atoms) if atom.extent > 1]
        is_last = bool(self._free) and wide[-1] in self._free[-1].atoms
        return self._free.pop() if is_last else None

    def _open_rows(
        self, opened: OpenLoops, inner: LoopSpec, cost: int
    ) -> tuple[Index, tuple[Index, ...]]:
        """Open the outer free loops, and blocks of the rows where those are too few for all threads."""
        outer = math.prod(loop.extent for loop in self._free)
        block = -(-inner.extent // self._num_threads)
        if self._num_threads > 1 and outer < self._num_threads and block >= SMALLEST_BLOCK:
            blocks = opened.open_blocks(self._free, inner, -(-block // 16) * 16, cost)
            return blocks.start, blocks.stops
        opened.open(self._free, cost * inner.extent)
        return constant(0), (constant(inner.extent),)

    def _write_ordered(self, inner: LoopSpec | None, start: Index, stops: Sequence[Index]) -> None:
        writer = self._writer
        for loop in self._ordered:
            writer.open_loop(loop.atom)
        condition = self._scatter.condition
        is_inner = condition is not None and inner is not None and bool(condition.mask & inner.mask)
        if condition is not None and not is_inner:
            writer.open_if(writer.emit(condition))
        if inner is not None:
            writer.open_loop(inner.atom)
        self._write_update(condition if is_inner else None)
        if inner is not None:
            writer.close_loop(LoopKind.VECTOR, start, stops)
        if condition is not None and not is_inner:
            writer.close_if()
        for loop in reversed(self._ordered):
            writer.close_loop(LoopKind.SERIAL, constant(0), (constant(loop.extent),))

    def _write_update(self, condition: Scalar | None) -> None:
        """Write the update at hand; under a condition that is its own, if there is one."""
        writer = self._writer
        if condition is not None:
            writer.open_if(writer.emit(condition))
        (store,) = self._program.stores
        writer.kernel.will_read(store.target)
        if self._scatter.element in reachable(self._program):
            buffer = writer.kernel.param(store.target, Access.READ)
            writer.know(self._scatter.element, writer.emit_load(buffer, writer.index(store.offset)))
        writer.emit_stores([store])
        if condition is not None:
            writer.close_if()
