"""Writing the statements of a kernel: names, scopes, and where each scalar is computed.

In: scalars of a `Program`, loops as they are opened and closed.   Out: loop IR statements.
Keeps: names are given in the order of writing (`p0`, `s0`, `i0`, `v0`), so that equal programs give equal kernels; a scalar
is computed in the outermost open loop that knows all that it depends on, and once in each scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Access,
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Load,
    Loop,
    LoopKind,
    Param,
    Scratch,
    Stmt,
    Store,
    Term,
)
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.far_memory import reading_ahead
from graphwright.lower.programs import StoreTo, Target
from graphwright.lower.scalars import Scalar, ScalarBuilder, ScalarKind
from graphwright.lower.values import static


class Slot(msgspec.Struct, frozen=True):
    """A place where a scalar of an earlier pass was kept: an element of a buffer or of scratch."""

    buffer: str | Target
    index: Affine
    """In the program's atoms."""


class KernelWriter:
    """Collects the params, scratch and top-level statements of one kernel.

    Args:
        inputs: values whose memory the kernel reads from outside.
        is_large: whether it moves more than the caches hold, so that what it writes will not be found there.
    """

    def __init__(self, inputs: Iterable[int] = (), *, is_large: bool = False) -> None:
        self.targets: list[Target] = []
        self.temporaries: list[tuple[Target, int]] = []
        """Buffers that only this kernel uses, and their numbers of elements."""
        self._inputs = frozenset(inputs)
        self._is_large = is_large
        self._reread: set[Target] = set()
        self._streamed: set[Target] = set()
        self.scratch: list[Scratch] = []
        self.body: list[Stmt] = []
        self._reads: set[Target] = set()
        self._writes: set[Target] = set()
        self._numbers: dict[Target, int] = {}
        self._num_values = 0
        self._num_loops = 0

    def param(self, target: Target, access: Access) -> str:
        """Give the name of the param for a buffer, and note that it is used so."""
        number = self._numbers.get(target)
        if number is None:
            number = self._numbers[target] = len(self.targets)
            self.targets.append(target)
        if access is not Access.WRITE:
            self._reads.add(target)
        if access is not Access.READ:
            self._writes.add(target)
        return f"p{number}"

    def add_scratch(self, dtype: DType, size: int) -> str:
        """Make room that is private to a parallel iteration."""
        name = f"s{len(self.scratch)}"
        self.scratch.append(Scratch(name, dtype, size))
        return name

    def add_temporary(self, dtype: DType, numel: int) -> Target:
        """Make a buffer that lives as long as the kernel runs."""
        target = Target(-1 - len(self.temporaries), dtype)
        self.temporaries.append((target, numel))
        return target

    def will_read(self, target: Target) -> None:
        """Note that the kernel reads again what it writes to a buffer."""
        self._reread.add(target)

    def is_reread(self, target: Target) -> bool:
        """Tell whether the kernel reads again what it writes to a buffer."""
        return target in self._reread

    def is_streamed(self, target: Target) -> bool:
        """Tell whether what is stored there is better written past the caches, and note that it will be (see `streamed`)."""
        is_read = target in self._reread or target.value in self._inputs or target.value < 0
        if not self._is_large or is_read:
            return False
        self._streamed.add(target)
        return True

    def streamed(self) -> tuple[int, ...]:
        """Give the params that are written past the caches where their alignment is known."""
        return tuple(sorted(self._numbers[target] for target in self._streamed))

    def is_input(self, target: Target) -> bool:
        """Tell whether the kernel reads the buffer from outside."""
        return target.value in self._inputs

    def new_value(self) -> str:
        """Give a fresh name for a value."""
        self._num_values += 1
        return f"v{self._num_values - 1}"

    def new_loop(self) -> str:
        """Give a fresh name for a loop variable."""
        self._num_loops += 1
        return f"i{self._num_loops - 1}"

    def params(self) -> tuple[Param, ...]:
        """Give the params in order."""
        return tuple(
            Param(f"p{number}", target.dtype, self._access(target))
            for number, target in enumerate(self.targets)
        )

    def _access(self, target: Target) -> Access:
        if target in self._reads:
            return Access.READ_WRITE if target in self._writes else Access.READ
        return Access.WRITE


class _Scope:
    """The statements of an open loop (or the kernel), and what is known in it."""

    __slots__ = ("known", "loop_name", "statements")

    def __init__(self, statements: list[Stmt], loop_name: str) -> None:
        self.statements = statements
        self.known: dict[int, str] = {}
        self.loop_name = loop_name


class NestWriter:
    """Writes one nest of a program.

    Args:
        kernel: where params, names and the finished nest go.
        builder: the program's scalars.
        slots: scalars (by number) that are in memory before the nest begins.
    """

    def __init__(
        self,
        kernel: KernelWriter,
        builder: ScalarBuilder,
        slots: Mapping[int, Slot] = MappingProxyType({}),
    ) -> None:
        self.kernel = kernel
        self.slots: dict[int, Slot] = dict(slots)
        """Scalars that are loaded from a slot instead of being computed."""
        self._builder = builder
        self._scopes = [_Scope(kernel.body, "")]
        self._depth_of_atom: dict[int, int] = {}
        self._index_of_atom: dict[int, Index] = {}
        self._floor = 0
        self.reads_along = True
        """Loops go over memory in its order; those over tiles do not, so that what lies ahead is not what is loaded next."""

    # Loops

    def open_loop(self, atom: int | None) -> str:
        """Begin a loop whose variable is `atom` (None: it only computes others); give the variable's name."""
        name = self.kernel.new_loop()
        self._scopes.append(_Scope([], name))
        if atom is not None:
            self.bind_atom(atom, Index((Term(name, 1),), 0))
        return name

    def bind_atom(self, atom: int, index: Index) -> None:
        """Say that `atom` is `index` in the current scope and below."""
        self._depth_of_atom[atom] = len(self._scopes) - 1
        self._index_of_atom[atom] = index

    def close_loop(
        self,
        kind: LoopKind,
        start: Index,
        stops: Sequence[Index],
        *,
        step: int = 1,
        carries: Sequence[tuple[Scalar | None, Carry]] = (),
        grain: int = 1,
    ) -> None:
        """End the innermost loop; the scalars of `carries` are known after it."""
        scope = self._scopes.pop()
        loop = Loop(
            var=scope.loop_name,
            start=start,
            stops=tuple(stops),
            kind=kind,
            body=tuple(scope.statements),
            step=step,
            carries=tuple(carry for _, carry in carries),
            grain=grain,
        )
        outer = self._scopes[-1]
        outer.statements.append(loop)
        for scalar, carry in carries:
            if scalar is not None:
                outer.known[scalar.number] = carry.name

    def open_if(self, condition: str) -> None:
        """Begin what runs only where `condition`, a bool of the current scope, holds."""
        self._scopes.append(_Scope([], condition))

    def close_if(self) -> None:
        """End it; what it computed is not known after it."""
        scope = self._scopes.pop()
        self._scopes[-1].statements.append(If(scope.loop_name, tuple(scope.statements)))

    def open_variant(self) -> None:
        """Begin a part of the current loop's body in which atoms are bound anew (a copy of an unrolled body)."""
        outer = self._scopes[-1]
        self._scopes.append(_Scope(outer.statements, outer.loop_name))

    def close_variant(self) -> None:
        """End it; what it computed is not known after it."""
        self._scopes.pop()

    def set_floor(self) -> None:
        """Compute nothing outside of the current scope from here on."""
        self._floor = len(self._scopes) - 1

    def reset_floor(self) -> None:
        """Allow all scopes again."""
        self._floor = 0

    # Scalars

    def emit(self, scalar: Scalar) -> str:
        """Give the name of the value of `scalar`, computing it where that must be done."""
        return self._emit(scalar)[0]

    def _emit(self, scalar: Scalar) -> tuple[str, int]:
        """Give the name of the value of `scalar`, and the depth of the scope that it is known in."""
        for depth in range(len(self._scopes) - 1, -1, -1):
            name = self._scopes[depth].known.get(scalar.number)
            if name is not None:
                return name, depth
        slot = self.slots.get(scalar.number)
        if slot is not None:
            return self._emit_slot(scalar, slot)
        depth = self._depth_of_mask(scalar.mask)
        args: list[str] = []
        for arg in scalar.args:
            name, known_at = self._emit(arg)
            args.append(name)
            depth = max(depth, known_at)
        if scalar.affine is not None:
            depth = max(depth, self._depth_of_dynamic(scalar.affine))
        name = self.kernel.new_value()
        self._write(depth, self._statement(scalar, name, args))
        self._scopes[depth].known[scalar.number] = name
        return name, depth

    def _depth_of_dynamic(self, affine: Affine) -> int:
        parts = self._builder.dynamic_parts(affine)
        return max([self._emit(scalar)[1] for scalar in parts], default=0)

    def emit_stores(
        self, stores: Sequence[StoreTo], kept: Sequence[tuple[Scalar, Slot]] = ()
    ) -> None:
        """Store in the current scope, and keep scalars in their slots, after all that this reads has been read."""
        names = [self.emit(store.scalar) for store in stores]
        kept_names = [self.emit(scalar) for scalar, _ in kept]
        for store, name in zip(stores, names, strict=True):
            buffer = self.kernel.param(store.target, Access.WRITE)
            is_streamed = self.kernel.is_streamed(store.target)
            self.append(Store(buffer, self.index(store.offset), name, is_streaming=is_streamed))
        for (_, slot), name in zip(kept, kept_names, strict=True):
            place = slot.buffer
            if isinstance(place, Target):
                place = self.kernel.param(place, Access.WRITE)
            self.append(Store(place, self.index(slot.index), name))

    def emit_constant(self, text: str, dtype: DType) -> str:
        """Give a constant in the current scope."""
        name = self.kernel.new_value()
        self.append(Const(name, text, dtype))
        return name

    def emit_compute(self, op: ScalarOp, args: Sequence[str], dtype: DType) -> str:
        """Compute in the current scope."""
        name = self.kernel.new_value()
        self.append(Compute(name, op, tuple(args), dtype))
        return name

    def emit_load(self, buffer: str, index: Index) -> str:
        """Load in the current scope."""
        name = self.kernel.new_value()
        self.append(Load(name, buffer, index))
        return name

    def know(self, scalar: Scalar, name: str) -> None:
        """Say that `scalar` is the value `name` of the current scope."""
        self._scopes[-1].known[scalar.number] = name

    def append(self, statement: Stmt) -> None:
        """Write a statement in the current scope."""
        self._scopes[-1].statements.append(statement)

    def index(self, affine: Affine) -> Index:
        """Write an index; atoms that are not bound stand for parts of a merged loop and are left out."""
        terms: list[Term] = []
        const = affine.const
        for atom, coeff in affine.terms:
            dynamic = self._builder.dynamic.get(atom)
            if dynamic is not None:
                terms.append(Term(self.emit(dynamic), coeff))
                continue
            bound = self._index_of_atom.get(atom)
            if bound is None:
                continue
            terms += [Term(term.name, static(term.coeff) * coeff) for term in bound.terms]
            const += coeff * static(bound.const)
        return Index(_collect(terms), const)

    def sum_of(self, first: Index, second: Index) -> Index:
        """Give the sum of two indices."""
        terms = _collect([*first.terms, *second.terms])
        return Index(terms, static(first.const) + static(second.const))

    def _depth_of_mask(self, mask: int) -> int:
        depth = self._floor
        while mask:
            low = mask & -mask
            mask ^= low
            depth = max(depth, self._depth_of_atom.get(low.bit_length() - 1, 0))
        return depth

    def _write(self, depth: int, statement: Stmt) -> None:
        self._scopes[depth].statements.append(statement)

    def _emit_slot(self, scalar: Scalar, slot: Slot) -> tuple[str, int]:
        depth = self._depth_of_mask(slot.index.mask)
        buffer = slot.buffer
        if isinstance(buffer, Target):
            buffer = self.kernel.param(buffer, Access.READ)
        name = self.kernel.new_value()
        self._write(depth, Load(name, buffer, self.index(slot.index)))
        self._scopes[depth].known[scalar.number] = name
        return name, depth

    def _statement(self, scalar: Scalar, name: str, args: Sequence[str]) -> Stmt:
        match scalar.kind:
            case ScalarKind.CONST:
                return Const(name, scalar.text, scalar.dtype)
            case ScalarKind.INDEX:
                assert scalar.affine is not None, "an index has its affine value"
                return IndexValue(name, self.index(scalar.affine))
            case ScalarKind.LOAD:
                assert scalar.affine is not None, "a load has its index"
                target = Target(scalar.source, scalar.dtype)
                buffer, index = self.kernel.param(target, Access.READ), self.index(scalar.affine)
                ahead = 0
                if self.reads_along and self.kernel.is_input(target):
                    ahead = reading_ahead(scalar.affine, scalar.dtype.size_bytes, self._builder)
                return Load(name, buffer, index, ahead)
            case ScalarKind.COMPUTE:
                assert scalar.op is not None, "a computation has its operation"
                return Compute(name, scalar.op, tuple(args), scalar.dtype)
            case ScalarKind.REDUCE | ScalarKind.PRODUCT | ScalarKind.CARRIED:
                message = "known once its loop is closed (a reduction), its tile is (a product), its state is loaded (a scan)"
                raise AssertionError(message)


def _collect(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Join terms of one name."""
    if len(terms) < 2:
        return tuple(terms)
    joined: dict[str, int] = {}
    for term in terms:
        joined[term.name] = joined.get(term.name, 0) + static(term.coeff)
    return tuple(Term(name, coeff) for name, coeff in joined.items() if coeff)
