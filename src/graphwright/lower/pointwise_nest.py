"""The nest of a program without reductions: outer loops, and a vector loop inside.

In: a `Program`.   Out: statements on a `KernelWriter`.

    y[i, j] = relu(x[i, j])   →   parallel i0 in 0..N step B:  vector i1 in i0..min(i0 + B, N): …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from graphwright.ir.loops import Index, LoopKind
from graphwright.lower.affine import Affine
from graphwright.lower.loops import (
    PARALLEL_COST,
    SHARES,
    LoopSpec,
    OpenLoops,
    constant,
    merge_all_loops,
    reachable,
)
from graphwright.lower.programs import Program
from graphwright.lower.scalars import Scalar
from graphwright.lower.transposed_nest import TransposedNest, find_transposition
from graphwright.lower.writer import KernelWriter, NestWriter, Slot

SMALLEST_BLOCK: Final = 1024
LARGEST_BLOCK: Final = 16384
"""Elements of a block of a parallel loop over contiguous data."""
UNROLLED_EXTENT: Final = 4
"""Inner loops of no more iterations are written out, and the next one is the vector loop."""


LEAST_SHARED_COST: Final = 24
"""Work (in multiplications) for which several iterations of an outer loop are taken together: they do it once."""
GROUP_ATOM: Final = 4002
"""Stands for the number of such a group."""
_TOGETHER: Final = (4, 3, 2)


class _Unrolled(msgspec.Struct, frozen=True):
    """Iterations that are written out in the body of the vector loop."""

    atom: int
    count: int
    first: Affine
    """What the atom is in the first of them."""

    @classmethod
    def whole(cls, loop: LoopSpec) -> _Unrolled:
        """Give all iterations of a loop."""
        return cls(loop.atom, loop.extent, Affine())


def write_pointwise(
    kernel: KernelWriter,
    program: Program,
    num_threads: int,
    slots: Mapping[int, Slot] = MappingProxyType({}),
) -> None:
    """Write the nest of a program that reduces nothing; scalars that have a slot are loaded from it."""
    scalars = reachable(program)
    loops = merge_all_loops(program, scalars)
    cost = sum(scalar.cost for scalar in scalars if scalar.mask) + len(program.stores)
    transposition = find_transposition(program, scalars, loops)
    if transposition is not None:
        TransposedNest(kernel, program, loops, transposition, num_threads, slots).write(cost)
        return
    writer = NestWriter(kernel, program.builder, slots)
    unrolled = _Unrolled.whole(loops.pop()) if _unrolls(loops) else None
    if not loops:
        _write_body(writer, program, unrolled)
        return
    inner = loops.pop()
    if unrolled is None:
        unrolled = _take_together(loops, inner, scalars)
    if unrolled is not None:
        cost *= unrolled.count
    opened = OpenLoops(writer, num_threads)
    start, stops = _open_outer(opened, loops, inner, cost, num_threads)
    writer.open_loop(inner.atom)
    _write_body(writer, program, unrolled)
    writer.close_loop(LoopKind.VECTOR, start, stops)
    opened.close()


def _unrolls(loops: Sequence[LoopSpec]) -> bool:
    return len(loops) > 1 and loops[-1].extent <= UNROLLED_EXTENT


def _open_outer(
    opened: OpenLoops, loops: Sequence[LoopSpec], inner: LoopSpec, cost: int, num_threads: int
) -> tuple[Index, tuple[Index, ...]]:
    """Open the outer loops; give the bounds of the inner one."""
    outer = 1
    for loop in loops:
        outer *= loop.extent
    is_parallel = num_threads > 1 and outer * inner.extent * cost >= PARALLEL_COST
    if is_parallel and outer < SHARES * num_threads and inner.extent >= 2 * SMALLEST_BLOCK:
        share = outer * inner.extent // (2 * SHARES * num_threads)
        block = min(max(share, SMALLEST_BLOCK), LARGEST_BLOCK) // 64 * 64
        blocks = opened.open_blocks(loops, inner, block, cost)
        return blocks.start, blocks.stops
    opened.open(loops, inner.extent * cost)
    return constant(0), (constant(inner.extent),)


def _take_together(
    loops: list[LoopSpec], inner: LoopSpec, scalars: Sequence[Scalar]
) -> _Unrolled | None:
    """Cut the outer loop that most of the work of the inner one does not depend on: what a few of its iterations share is computed once."""
    costs = [_shared_cost(scalars, inner, loop) for loop in loops]
    best = max(range(len(loops)), key=costs.__getitem__, default=-1)
    if best < 0 or costs[best] < LEAST_SHARED_COST:
        return None
    loop = loops[best]
    count = next((count for count in _TOGETHER if loop.extent % count == 0), 0)
    if not count:
        return None
    loops[best] = LoopSpec(loop.extent // count, is_reduced=False, atoms=(GROUP_ATOM,))
    return _Unrolled(loop.atom, count, Affine(((GROUP_ATOM, count),)))


def _shared_cost(scalars: Sequence[Scalar], inner: LoopSpec, loop: LoopSpec) -> int:
    return sum(
        scalar.cost
        for scalar in scalars
        if scalar.mask & inner.mask and not scalar.mask & loop.mask
    )


def _write_body(writer: NestWriter, program: Program, unrolled: _Unrolled | None) -> None:
    if unrolled is None:
        writer.emit_stores(program.stores)
        return
    first = writer.index(unrolled.first)
    for step in range(unrolled.count):
        writer.open_variant()
        writer.bind_atom(unrolled.atom, writer.sum_of(first, constant(step)))
        writer.emit_stores(program.stores)
        writer.close_variant()
