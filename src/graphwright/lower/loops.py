"""Merge the atoms of a program into as few loops as its indices allow, and open the outer ones.

In: a `Program`.   Out: `LoopSpec`s, kept and reduced ones apart; loops opened on a `NestWriter`, in parallel where it pays.
Keeps: the order of iteration is that of the space.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Index, IndexValue, LoopKind, Term
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.programs import Program
from graphwright.lower.scalars import Scalar, ScalarKind
from graphwright.lower.writer import NestWriter

PARALLEL_COST: Final = 1 << 16
"""Kernels that cost less (in multiplications) run on one thread: waking another takes as long."""
GRAIN_COST: Final = 1 << 15
"""What a thread should have to do at least."""
SHARES: Final = 4
"""Parallel iterations for each thread, at least, so that threads finish together."""


BLOCK_ATOM: Final = 4000
"""Stands for the number of the block of a loop that is cut into blocks."""
LANE_ATOM: Final = 4001
"""Stands for the position in a block."""


class LoopSpec(msgspec.Struct, frozen=True):
    """A loop: neighbouring atoms that every index steps through alike."""

    extent: int
    is_reduced: bool
    atoms: tuple[int, ...]

    @property
    def atom(self) -> int:
        """The innermost atom: its coefficient is the loop's."""
        return self.atoms[-1]

    @property
    def mask(self) -> int:
        """Its atoms, as a bit set."""
        return sum(1 << atom for atom in self.atoms)


class Loops(msgspec.Struct, frozen=True):
    """The loops of a program, outermost first."""

    kept: tuple[LoopSpec, ...]
    reduced: tuple[LoopSpec, ...]


def reachable(program: Program) -> list[Scalar]:
    """Give the scalars that the program's stores need, operands first."""
    seen: set[int] = set()
    ordered: list[Scalar] = []

    def visit(scalar: Scalar) -> None:
        if scalar.number in seen:
            return
        seen.add(scalar.number)
        for other in program.builder.dependencies(scalar):
            visit(other)
        ordered.append(scalar)

    for scalar in program.scan.following if program.scan else ():
        visit(scalar)
    if program.scatter is not None and program.scatter.condition is not None:
        visit(program.scatter.condition)
    for store in program.stores:
        visit(store.scalar)
        for part in program.builder.dynamic_parts(store.offset):
            visit(part)
    return ordered


def merge_all_loops(program: Program, scalars: Iterable[Scalar]) -> list[LoopSpec]:
    """Give the loops of a program that reduces nothing."""
    maps = _index_maps(program, scalars)
    return list(_merge(program, maps, range(len(program.atoms)), is_reduced=False))


def merge_loops(program: Program, scalars: Iterable[Scalar]) -> Loops:
    """Give the loops of a program, as few as its indices allow."""
    maps = _index_maps(program, scalars)
    kept = [number for number, atom in enumerate(program.atoms) if not atom.is_reduced]
    reduced = [number for number, atom in enumerate(program.atoms) if atom.is_reduced]
    return Loops(
        _merge(program, maps, kept, is_reduced=False),
        _merge(program, maps, reduced, is_reduced=True),
    )


def merge_kept(
    program: Program, scalars: Iterable[Scalar], atoms: Sequence[int]
) -> tuple[LoopSpec, ...]:
    """Give the loops over some atoms, none of them reduced."""
    return _merge(program, _index_maps(program, scalars), atoms, is_reduced=False)


def _index_maps(program: Program, scalars: Iterable[Scalar]) -> list[dict[int, int]]:
    affines = {scalar.affine for scalar in scalars if scalar.affine is not None}
    affines |= {store.offset for store in program.stores}
    return [dict(affine.terms) for affine in affines]


def _merge(
    program: Program, maps: Sequence[dict[int, int]], atoms: Sequence[int], *, is_reduced: bool
) -> tuple[LoopSpec, ...]:
    loops: list[LoopSpec] = []
    for number in atoms:
        extent = program.atoms[number].extent
        if extent == 1:
            continue
        if loops and all(
            terms.get(loops[-1].atom, 0) == terms.get(number, 0) * extent for terms in maps
        ):
            last = loops.pop()
            merged = (*last.atoms, number)
            loops.append(LoopSpec(last.extent * extent, is_reduced, merged))
        else:
            loops.append(LoopSpec(extent, is_reduced, (number,)))
    return tuple(loops)


def constant(value: int) -> Index:
    """Give a constant index."""
    return Index((), value)


def variable(name: str, shift: int = 0) -> Index:
    """Give `name + shift` as an index."""
    return Index((Term(name, 1),), shift)


class Blocks(msgspec.Struct, frozen=True):
    """The bounds of the block at hand, of a loop that was cut into blocks."""

    start: Index
    stops: tuple[Index, ...]


class OpenLoops:
    """Outer loops that were opened on a writer, to be closed in reverse.

    Args:
        writer: where they are opened.
        num_threads: how many threads may share the outermost one.
    """

    def __init__(self, writer: NestWriter, num_threads: int) -> None:
        self._writer = writer
        self._num_threads = num_threads
        self._pending: list[tuple[LoopKind, int, int]] = []

    def open(self, loops: Sequence[LoopSpec], inner_cost: int) -> None:
        """Open `loops`, each iteration of the innermost of which costs `inner_cost`."""
        total = inner_cost
        for loop in loops:
            total *= loop.extent
        for loop in loops:
            if loop.extent == 1:
                self._writer.bind_atom(loop.atom, constant(0))
        rest = [loop for loop in loops if loop.extent != 1]
        if self._num_threads > 1 and total >= PARALLEL_COST:
            shared = self._take_shared(rest)
            if shared:
                self._open_parallel(shared, total)
        for loop in rest:
            self._writer.open_loop(loop.atom)
            self._pending.append((LoopKind.SERIAL, loop.extent, 1))

    def open_blocks(
        self, loops: Sequence[LoopSpec], cut: LoopSpec, block: int, cost: int
    ) -> Blocks:
        """Open `loops` and the blocks of `cut`, as one parallel loop where that pays.

        Args:
            loops: outer loops.
            cut: the loop that is cut into blocks.
            block: iterations of `cut` in a block.
            cost: cost of one iteration of `cut`.
        """
        blocks = LoopSpec(-(-cut.extent // block), is_reduced=False, atoms=(BLOCK_ATOM,))
        self.open([*loops, blocks], block * cost)
        number = self._writer.index(Affine(((BLOCK_ATOM, 1),)))
        start = Index(tuple(Term(term.name, block) for term in number.terms), 0)
        return Blocks(start, (msgspec.structs.replace(start, const=block), constant(cut.extent)))

    def close(self) -> None:
        """Close all."""
        while self._pending:
            kind, extent, grain = self._pending.pop()
            self._writer.close_loop(kind, constant(0), (constant(extent),), grain=grain)
        self._writer.reset_floor()

    def _take_shared(self, rest: list[LoopSpec]) -> list[LoopSpec]:
        """Take as many outer loops as give every thread enough iterations."""
        shared: list[LoopSpec] = []
        iterations = 1
        while rest and iterations < SHARES * self._num_threads:
            loop = rest.pop(0)
            iterations *= loop.extent
            shared.append(loop)
        return shared if iterations > 1 else []

    def _open_parallel(self, shared: Sequence[LoopSpec], total_cost: int) -> None:
        writer = self._writer
        extent = 1
        for loop in shared:
            extent *= loop.extent
        grain = max(1, GRAIN_COST // max(total_cost // extent, 1))
        if len(shared) == 1:
            writer.open_loop(shared[0].atom)
        else:
            bind_loops(writer, shared, variable(writer.open_loop(None)))
        self._pending.append((LoopKind.PARALLEL, extent, grain))
        writer.set_floor()


def bind_loops(writer: NestWriter, loops: Sequence[LoopSpec], place: Index) -> None:
    """Bind each loop's variable to its part of `place`, which counts them all through."""
    if len(loops) <= 1:
        for loop in loops:
            writer.bind_atom(loop.atom, place)
        return
    position = writer.kernel.new_value()
    writer.append(IndexValue(position, place))
    for loop in reversed(loops[1:]):
        args = (position, writer.emit_constant(str(loop.extent), DType.INT64))
        position = writer.emit_compute(ScalarOp.TRUNC_DIV, args, DType.INT64)
        remainder = writer.emit_compute(ScalarOp.FMOD, args, DType.INT64)
        writer.bind_atom(loop.atom, variable(remainder))
    writer.bind_atom(loops[0].atom, variable(position))


def total_cost(scalars: Iterable[Scalar], loop_mask: int) -> int:
    """Give the cost of the scalars that depend on any atom of `loop_mask`."""
    return sum(scalar.cost for scalar in scalars if scalar.mask & loop_mask)


def loop_offset(affine: Affine, loop: LoopSpec) -> int:
    """Give how far `affine` moves in one iteration of `loop`."""
    return affine.coeff(loop.atom)


def is_reduce(scalar: Scalar) -> bool:
    """Tell whether the scalar is the result of a reduction."""
    return scalar.kind is ScalarKind.REDUCE
