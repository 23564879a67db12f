"""Split a large reduction of few results into blocks, whose partial results a second program combines.

In: a `Program` of one pass whose kept loops are too few for all threads, or whose sums are long.   Out: a `Split`: what the
first nest stores for each block; and the second `Program`, which reads that.
Keeps: the first of equal extremes, by splitting arg-reductions only along their outermost loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ReduceOp
from graphwright.lower.affine import Affine
from graphwright.lower.loops import BLOCK_ATOM, Loops, LoopSpec
from graphwright.lower.passes import PassPlan
from graphwright.lower.programs import WIDE_LANES, Atom, Program, StoreTo, Target
from graphwright.lower.scalars import Scalar, ScalarBuilder, ScalarKind
from graphwright.lower.writer import KernelWriter

ARG_VALUES: Final[Mapping[ReduceOp, ReduceOp]] = MappingProxyType(
    {ReduceOp.ARGMAX: ReduceOp.MAX, ReduceOp.ARGMIN: ReduceOp.MIN}
)
"""The reduction that gives the value whose index an arg-reduction gives."""


class Split(msgspec.Struct, frozen=True):
    """A loop cut into blocks, and what is stored for each."""

    loop: LoopSpec
    block: int
    stores: tuple[StoreTo, ...]
    values: Mapping[int, Scalar]
    """For an arg-reduction (by number) the scalar that stands for its extreme value."""

    def value_of(self, reduction: Scalar) -> Scalar:
        """Give the scalar that stands for the extreme value of an arg-reduction."""
        return self.values[reduction.number]


class SplitProgram(msgspec.Struct, frozen=True):
    """A split, and the program that combines its partial results."""

    split: Split
    combine: Program


def choose_loop(loops: Loops, plan: PassPlan) -> LoopSpec:
    """Give the loop to cut: the longest, or for arg-reductions the outermost."""
    has_arg = any(
        scalar.reduce_op in ARG_VALUES for one in plan.passes for scalar in one.reductions
    )
    if has_arg:
        return loops.reduced[0]
    return max(loops.reduced, key=lambda loop: loop.extent)


def split_program(
    kernel: KernelWriter, program: Program, plan: PassPlan, loop: LoopSpec, block: int
) -> SplitProgram:
    """Split `program`, which has one pass, along `loop`.

    Args:
        kernel: where the buffers of partial results are made.
        program: the program.
        plan: its passes.
        loop: the reduced loop that is cut.
        block: its iterations in a block.
    """
    num_blocks = -(-loop.extent // block)
    num_kept = 1
    for atom in program.atoms:
        num_kept *= 1 if atom.is_reduced else atom.extent
    place = _kept_place(program).plus(Affine(((BLOCK_ATOM, num_kept),)))
    partials = _Partials(kernel, program.builder, place, num_blocks * num_kept)
    for scalar in plan.passes[0].reductions:
        partials.add(scalar)
    split = Split(loop, block, tuple(partials.stores), MappingProxyType(partials.values))
    return SplitProgram(split, _combine(program, plan, partials, num_blocks, num_kept))


def widen_lanes(
    kernel: KernelWriter, program: Program, plan: PassPlan
) -> tuple[Program, Program] | None:
    """Take several narrow rows as one, whose lanes a second program reduces to those of a row.

        s[j] = sum(x[i, j], 0), j < 3   →   t[k, j] = sum(x[16*i + k, j], i);  s[j] = sum(t[k, j], k)

    Returns:
        The two programs; None where the program has not this form.
    """
    atoms, builder = program.atoms, program.builder
    number = len(atoms) - 2
    if number < 1 or any(not atom.is_reduced for atom in atoms[:-1]) or atoms[-1].is_reduced:
        return None
    one = plan.passes[0]
    has_arg = any(scalar.reduce_op in ARG_VALUES for scalar in one.reductions)
    if len(plan.passes) != 1 or one.stores or not one.reductions or has_arg:
        return None
    joined, lanes = atoms[number].extent, atoms[-1].extent
    if joined * lanes > WIDE_LANES:
        return None
    wide = Program(list(atoms), builder)
    wide.atoms[number] = Atom(joined, is_reduced=False, stride=lanes, kept_stride=lanes)
    place = Affine(tuple((atom, atoms[atom].stride) for atom in (number, number + 1)))
    partials = _Partials(kernel, builder, place, joined * lanes)
    for scalar in one.reductions:
        partials.add_partial(scalar, wide.reduced_mask)
    wide.stores += partials.stores
    return wide, _combine(program, plan, partials, joined, lanes)


def _kept_place(program: Program) -> Affine:
    return Affine(
        tuple(
            (number, atom.kept_stride)
            for number, atom in enumerate(program.atoms)
            if not atom.is_reduced and atom.extent > 1
        )
    )


class _Partials:
    """The buffers of partial results."""

    def __init__(
        self, kernel: KernelWriter, builder: ScalarBuilder, place: Affine, numel: int
    ) -> None:
        self.stores: list[StoreTo] = []
        self.values: dict[int, Scalar] = {}
        self.targets: dict[int, Target] = {}
        self._kernel = kernel
        self._builder = builder
        self._place = place
        self._numel = numel

    def add(self, scalar: Scalar) -> None:
        """Make room for a reduction, and for its value if it is an arg-reduction."""
        self._store(scalar)
        assert scalar.reduce_op is not None, "a reduction"
        op = ARG_VALUES.get(scalar.reduce_op)
        if op is not None:
            update = scalar.args[0]
            value = self._builder.reduce(op, update, None, self._builder.reduced_mask)
            self.values[scalar.number] = value
            self._store(value)

    def add_partial(self, scalar: Scalar, reduced_mask: int) -> None:
        """Make room for the reduction of what `scalar` reduces over fewer atoms."""
        assert scalar.reduce_op is not None, "a reduction"
        partial = self._builder.reduce(scalar.reduce_op, scalar.args[0], None, reduced_mask)
        self._store(scalar, partial)

    def _store(self, scalar: Scalar, partial: Scalar | None = None) -> None:
        target = self._kernel.add_temporary(scalar.dtype, self._numel)
        self.targets[scalar.number] = target
        self.stores.append(StoreTo(target, self._place, partial or scalar))


def _combine(
    program: Program, plan: PassPlan, partials: _Partials, num_blocks: int, num_kept: int
) -> Program:
    """Give the program that reduces the partial results and does what follows."""
    kept = [number for number, atom in enumerate(program.atoms) if not atom.is_reduced]
    atoms = [Atom(num_blocks, is_reduced=True, stride=num_kept, kept_stride=0)]
    atoms += [
        msgspec.structs.replace(program.atoms[number], stride=program.atoms[number].kept_stride)
        for number in kept
    ]
    builder = ScalarBuilder(
        [atom.extent for atom in atoms], 1, rounds_between=program.builder.rounds_between
    )
    combined = Program(atoms, builder)
    renumbered = {number: place + 1 for place, number in enumerate(kept)}
    rebuild = _Rebuild(program.builder, builder, renumbered, partials, num_kept)
    for store in plan.row_stores:
        offset = rebuild.affine(store.offset)
        combined.stores.append(StoreTo(store.target, offset, rebuild.scalar(store.scalar)))
    return combined


class _Rebuild:
    """Builds scalars anew over the atoms of the second program."""

    def __init__(
        self,
        source: ScalarBuilder,
        builder: ScalarBuilder,
        renumbered: dict[int, int],
        partials: _Partials,
        num_kept: int,
    ) -> None:
        self._source = source
        self._builder = builder
        self._renumbered = renumbered
        self._partials = partials
        self._num_kept = num_kept
        self._known: dict[int, Scalar] = {}

    def affine(self, affine: Affine) -> Affine:
        """Give an index over the new atoms."""
        total = Affine((), affine.const)
        for atom, coeff in affine.terms:
            dynamic = self._source.dynamic.get(atom)
            if dynamic is None:
                term = Affine(((self._renumbered[atom], coeff),))
            else:
                extent = self._source.extents[atom]
                term = self._builder.dynamic_index(self.scalar(dynamic), extent).times(coeff)
            total = total.plus(term)
        return total

    def scalar(self, scalar: Scalar) -> Scalar:
        """Give a scalar over the new atoms."""
        known = self._known.get(scalar.number)
        if known is None:
            known = self._known[scalar.number] = self._build(scalar)
        return known

    def _build(self, scalar: Scalar) -> Scalar:
        builder = self._builder
        match scalar.kind:
            case ScalarKind.CONST:
                return builder.copy_const(scalar)
            case ScalarKind.INDEX:
                assert scalar.affine is not None, "an index has its affine value"
                return builder.index(self.affine(scalar.affine))
            case ScalarKind.LOAD:
                assert scalar.affine is not None, "a load has its index"
                return builder.load(scalar.source, self.affine(scalar.affine), scalar.dtype)
            case ScalarKind.COMPUTE:
                assert scalar.op is not None, "a computation has its operation"
                args = [self.scalar(arg) for arg in scalar.args]
                return builder.compute(scalar.op, args, scalar.dtype)
            case ScalarKind.REDUCE:
                return self._combined(scalar)
            case ScalarKind.PRODUCT:
                message = "no kernel reduces over a product's tiles"
                raise AssertionError(message)
            case ScalarKind.CARRIED:
                message = "a scan is not split"
                raise AssertionError(message)

    def _combined(self, scalar: Scalar) -> Scalar:
        assert scalar.reduce_op is not None, "a reduction"
        value = self._partials.values.get(scalar.number)
        own = self._load(scalar)
        if value is None:
            # Partial sums are added in float64: then the error does not grow with their number.
            wide = scalar.reduce_op is ReduceOp.SUM and own.dtype is DType.FLOAT32
            own = self._builder.cast(own, DType.FLOAT64) if wide else own
            total = self._builder.reduce(scalar.reduce_op, own, None, 1)
            return self._builder.cast(total, scalar.dtype)
        return self._builder.reduce(scalar.reduce_op, self._load(value), own, 1)

    def _load(self, scalar: Scalar) -> Scalar:
        target = self._partials.targets[scalar.number]
        terms = [(0, self._num_kept)]
        terms += [(new, self._builder_stride(new)) for new in sorted(self._renumbered.values())]
        affine = Affine(tuple(term for term in terms if term[1]))
        return self._builder.load(target.value, affine, target.dtype)

    def _builder_stride(self, atom: int) -> int:
        stride = 1
        for other in range(atom + 1, self._builder.num_atoms):
            stride *= self._builder.extents[other]
        return stride if self._builder.extents[atom] > 1 else 0
