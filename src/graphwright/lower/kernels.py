"""Make the kernel of a cluster.

In: a `Cluster`, and which of its values must be in memory.   Out: a `Kernel` and the buffers it is to be run on.
Keeps: equal clusters give equal kernels, whose name is made from what they do; so each is compiled once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from graphwright.ir.encoding import structural_hash
from graphwright.ir.loops import Kernel, Param
from graphwright.lower.clusters import Cluster
from graphwright.lower.lanes_nest import LanesNest
from graphwright.lower.loops import PARALLEL_COST, SHARES, Loops, is_reduce, merge_loops, reachable
from graphwright.lower.passes import PassPlan, plan_passes
from graphwright.lower.pointwise_nest import write_pointwise
from graphwright.lower.product_nest import MULTIPLICATIONS_PER_COST, write_product
from graphwright.lower.programs import Program, StoreTo, Target, build_programs
from graphwright.lower.reuse import Reuse, find_reuses
from graphwright.lower.roots import Roots
from graphwright.lower.rows_nest import SUM_BLOCK, RowsNest
from graphwright.lower.scalars import ScalarKind
from graphwright.lower.scan_nest import ScanNest
from graphwright.lower.scatter_nest import ScatterNest
from graphwright.lower.splits import SplitProgram, choose_loop, split_program, widen_lanes
from graphwright.lower.updates import build_updates
from graphwright.lower.values import ValueKind
from graphwright.lower.writer import KernelWriter

NARROW_LANES: Final = 1024
"""Fewer lanes than these are too few for all threads: the reduced loop is split among them."""
LARGEST_ROW: Final = 4096
"""Lanes whose accumulators stay near, so that a thread can read whole rows."""
FAR_NUMEL: Final = 4 << 20
"""From so many elements on, which come from beyond the core's own caches, threads share rows and not strips of columns: a strip reads
a piece of each page, where the processor does not fetch ahead, and took 0.22 ms for 4096×1024 in place of 0.10 (AMD EPYC 9004)."""
SHORTEST_CUT: Final = 64
STREAMED_BYTES: Final = 32 << 20
"""Kernels that move more, which is more than most shared caches hold, write past them: a copy of 64 MiB takes 2.3 ms in place of 4.0,
one that computes four functions for 4 outputs of 32 MiB 14.3 in place of 15.5 to 19 (AMD EPYC 9004, 32 MiB shared, 2 threads)."""


class BuiltKernel(msgspec.Struct, frozen=True):
    """A kernel, and what it runs on."""

    kernel: Kernel
    key: str
    """Hash of what the kernel does."""
    targets: tuple[Target, ...]
    """What each param is."""
    temporaries: tuple[tuple[Target, int], ...]
    """Buffers that only this kernel uses, and their numbers of elements."""
    cost: int
    """Rough cost of one run, in multiplications."""
    reuses: tuple[Reuse, ...] = ()
    """Where it could write into what it reads."""
    streamed: tuple[int, ...] = ()
    """Params that are written past the caches where their alignment is known."""

    def aligned(self, numbers: Collection[int], align_bytes: int) -> BuiltKernel:
        """Give the kernel whose params of these numbers begin at multiples of so many bytes."""
        params = list(self.kernel.params)
        for number in numbers:
            params[number] = msgspec.structs.replace(params[number], align_bytes=align_bytes)
        return self._with_params(params)

    def sharing(self, pairs: Sequence[tuple[int, int]]) -> BuiltKernel:
        """Give the kernel whose params share memory in these pairs (stored, loaded)."""
        params = list(self.kernel.params)
        for stored, loaded in pairs:
            alias = params[loaded].name
            params[stored] = msgspec.structs.replace(params[stored], aliases=alias)
        return self._with_params(params)

    def _with_params(self, params: Sequence[Param]) -> BuiltKernel:
        kernel, key = _named(msgspec.structs.replace(self.kernel, params=tuple(params)))
        return msgspec.structs.replace(self, kernel=kernel, key=key)


def build_kernel(
    roots: Roots, cluster: Cluster, stored: Collection[int], num_threads: int
) -> BuiltKernel | None:
    """Give the kernel of `cluster`; None where there is nothing to do (no elements).

    Args:
        roots: tells what is computed in passing.
        cluster: the roots that the kernel computes.
        stored: those of the cluster's values that must be written to memory.
        num_threads: how many threads may share the kernel's parallel loops.
    """
    programs = [program for program in _programs(roots, cluster, stored) if _does_anything(program)]
    if not programs:
        return None
    inputs = {
        scalar.source
        for program in programs
        for scalar in program.builder.scalars
        if scalar.source >= 0
    }
    inputs |= {
        side.value
        for program in programs
        if program.product is not None
        for side in (program.product.left, program.product.right)
    }
    work = [_work_of(program) for program in programs]
    is_large = sum(one.bytes_moved for one in work) >= STREAMED_BYTES
    writer = KernelWriter(inputs, is_large=is_large)
    reuses: list[Reuse] = []
    for program in programs:
        reuses = _write_program(writer, program, num_threads)
    if len(programs) > 1:
        reuses = []
    built = _finish(roots, cluster, writer, work)
    once = [reuse for reuse in reuses if not writer.is_reread(reuse.stored)]
    return msgspec.structs.replace(built, reuses=tuple(once))


def _programs(roots: Roots, cluster: Cluster, stored: Collection[int]) -> list[Program]:
    """Give the programs of a cluster; a scatter's begin with what it starts from, and end with its updates."""
    programs = build_programs(roots, cluster, stored)
    first = cluster.roots[0]
    if roots.values.kinds[first.values[0]] is ValueKind.SCATTER:
        programs.append(build_updates(roots, first))
    return programs


def _does_anything(program: Program) -> bool:
    """Tell whether a program stores anything; a store of what the place holds already is none."""
    program.stores = [store for store in program.stores if not _is_idle(store)]
    sizes = [atom.extent for atom in program.atoms]
    return bool(program.stores) and 0 not in sizes


def _is_idle(store: StoreTo) -> bool:
    scalar = store.scalar
    is_load = scalar.kind is ScalarKind.LOAD and scalar.dtype is store.target.dtype
    return is_load and scalar.source == store.target.value and scalar.affine == store.offset


class _Work(msgspec.Struct, frozen=True):
    """What a program does, roughly."""

    cost: int
    bytes_moved: int


def _work_of(program: Program) -> _Work:
    scalars = reachable(program)
    extents = [atom.extent for atom in program.atoms]
    numel = math.prod(extents)
    cost = numel * (sum(scalar.cost for scalar in scalars) + len(program.stores))
    places = {
        (scalar.source, scalar.dtype, scalar.affine)
        for scalar in scalars
        if scalar.kind is ScalarKind.LOAD and scalar.affine is not None
    }
    places |= {(store.target.value, store.target.dtype, store.offset) for store in program.stores}
    bytes_moved = 0
    if program.product is not None:
        sides, size = program.product.sides, program.product.left.dtype.size_bytes
        cost += sides.multiplications // MULTIPLICATIONS_PER_COST
        bytes_moved += sides.batch * sides.depth * (sides.rows + sides.cols) * size
    for _, dtype, affine in places:
        known = [extents[atom] for atom, _ in affine.terms if atom < len(extents)]
        bytes_moved += dtype.size_bytes * math.prod(known)
    return _Work(cost, bytes_moved)


def _write_program(writer: KernelWriter, program: Program, num_threads: int) -> list[Reuse]:
    """Write the nests of a program; give the reuses of memory that they allow."""
    if program.product is not None:
        return _write_product(writer, program, num_threads)
    if program.scan is not None:
        ScanNest(writer, program, program.scan, num_threads).write()
        return []
    if program.scatter is not None:
        ScatterNest(writer, program, program.scatter, num_threads).write()
        return []
    scalars = reachable(program)
    if not any(is_reduce(scalar) for scalar in scalars):
        write_pointwise(writer, program, num_threads)
        return find_reuses(program, None)
    loops = merge_loops(program, scalars)
    plan = plan_passes(program, scalars)
    widened = widen_lanes(writer, program, plan)
    if widened is not None:
        wide, combine = widened
        _write_program(writer, wide, num_threads)
        _write_nest(writer, combine, num_threads)
        return []
    split = _try_split(writer, program, loops, plan, num_threads)
    if split is None:
        _write_nest(writer, program, num_threads)
        return find_reuses(program, plan)
    nest = LanesNest if has_lanes(program) else RowsNest
    nest(writer, program, num_threads, split.split).write()
    _write_nest(writer, split.combine, num_threads)
    return []


def _write_product(writer: KernelWriter, program: Program, num_threads: int) -> list[Reuse]:
    """Write the nest of a product; its sides are read all over, so nothing may be written in their place."""
    product = program.product
    assert product is not None, "chosen by the caller"
    reuses = find_reuses(program, None)
    write_product(writer, program, num_threads)
    return [reuse for reuse in reuses if reuse.loaded not in (product.left, product.right)]


def _write_nest(writer: KernelWriter, program: Program, num_threads: int) -> None:
    nest = LanesNest if has_lanes(program) else RowsNest
    nest(writer, program, num_threads).write()


def has_lanes(program: Program) -> bool:
    """Tell whether the innermost atom is kept."""
    wide = [atom for atom in program.atoms if atom.extent > 1]
    return not wide[-1].is_reduced


def _try_split(
    writer: KernelWriter, program: Program, loops: Loops, plan: PassPlan, num_threads: int
) -> SplitProgram | None:
    """Split a reduction of one pass where the kept loops are too few for all threads, or its sums too long."""
    if len(plan.passes) != 1 or not plan.passes[0].reductions:
        return None
    kept = reduced = 1
    for loop in loops.kept:
        kept *= loop.extent
    for loop in loops.reduced:
        reduced *= loop.extent
    cut = choose_loop(loops, plan)
    if has_lanes(program):
        if not _shares_rows(kept, reduced) or cut.extent < SHORTEST_CUT:
            return None
        block = -(-cut.extent // (SHARES * num_threads * 8)) * 8
    else:
        has_few_rows = kept < 2 * num_threads
        if not has_few_rows or kept * reduced < PARALLEL_COST or cut.extent < 2 * num_threads:
            return None
        block = -(-cut.extent // (SHARES * num_threads))
        if cut is loops.reduced[-1]:
            block = max(-(-block // 64) * 64, SUM_BLOCK)
    if block >= cut.extent:
        return None
    return split_program(writer, program, plan, cut, block)


def _shares_rows(kept: int, reduced: int) -> bool:
    """Tell whether threads share the rows of a reduction of rows, and not the columns."""
    if kept < NARROW_LANES:
        return kept * reduced >= PARALLEL_COST
    return kept <= LARGEST_ROW and kept * reduced >= FAR_NUMEL


def _finish(
    roots: Roots, cluster: Cluster, writer: KernelWriter, work: Sequence[_Work]
) -> BuiltKernel:
    cost = sum(one.cost for one in work)
    kept = sum(numel * target.dtype.size_bytes for target, numel in writer.temporaries)
    kernel, key = _named(
        Kernel(
            name="",
            params=writer.params(),
            scratch=tuple(writer.scratch),
            symbols=(),
            body=tuple(writer.body),
            origins=tuple(dict.fromkeys(_iter_origins(roots, cluster))),
            loc=cluster.roots[-1].node.loc,
            bytes_moved=kept + sum(one.bytes_moved for one in work),
            flops=cost,
            can_contract=not roots.values.numerics.is_strict,
        )
    )
    return BuiltKernel(
        kernel,
        key,
        tuple(writer.targets),
        tuple(writer.temporaries),
        cost,
        streamed=writer.streamed(),
    )


def _named(kernel: Kernel) -> tuple[Kernel, str]:
    """Give the kernel, named by what it does, and the hash of that."""
    bare = msgspec.structs.replace(kernel, name="", origins=(), loc=None, bytes_moved=0, flops=0)
    key = structural_hash(bare)
    return msgspec.structs.replace(kernel, name=f"kernel_{key[:16]}"), key


def _iter_origins(roots: Roots, cluster: Cluster) -> list[str]:
    """Give the ops that went into a kernel, operands first."""
    values = roots.values
    found: list[str] = []
    seen: set[int] = set()

    def visit(value: int) -> None:
        base = values.bases[value]
        node = values.nodes[base]
        if base in seen or node is None or values.kinds[base] is ValueKind.EXTERN:
            return
        if not roots.is_inlined(base) and base not in cluster.values:
            return
        seen.add(base)
        for operand in roots.operands(base):
            visit(operand)
        found.append(node.op)

    for root in cluster.roots:
        for value in root.values:
            visit(value)
    return found
