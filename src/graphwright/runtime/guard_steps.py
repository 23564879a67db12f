"""The guards of a program as a straight list of steps over numbered slots.

In: a `Program`.   Out: `GuardSteps`, from which both the readable text and the native tables are made, so that the two agree.
Keeps: guards are checked in the program's order; a source that several guards share is evaluated once, at its first use; a
size symbol is bound as soon as the tensor or int it comes from was checked, and an extent that depends on symbols is compared
as soon as they are all bound.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Final, assert_never, final

from graphwright.base.errors import InternalError
from graphwright.ir.aten import TensorMeta
from graphwright.ir.data import Data
from graphwright.ir.dims import render_dim, symbols_of
from graphwright.ir.guards import Guard, ShapeGuard, TensorGuard, TypeGuard
from graphwright.ir.program import Program, SymbolBinding
from graphwright.ir.program_text import bases_of, iter_recipes, sources_of
from graphwright.ir.recipes import BuildFunction, FromSource, SetCellEffect, SetGlobalEffect
from graphwright.ir.sources import Source
from graphwright.ir.symint import Dim, Monomial, Power, Symbol, SymExpr


class Evaluate(Data, frozen=True, tag="evaluate"):
    """`slot = source`, read from (or calculated of) the objects in slots `bases`."""

    guard: int
    """Number of the guard it is evaluated for."""
    slot: int
    bases: tuple[int, ...]
    source: Source


class Check(Data, frozen=True, tag="check"):
    """Guard number `guard` holds for the objects in `slots`; a tensor's symbolic extents and strides are left out."""

    guard: int
    slots: tuple[int, ...]


class BindExtent(Data, frozen=True, tag="bind_extent"):
    """Size symbol number `symbol` is extent `dim` of the tensor in `slot`."""

    symbol: int
    slot: int
    dim: int


class BindInt(Data, frozen=True, tag="bind_int"):
    """Size symbol number `symbol` is the int in `slot`; an int that does not fit 64 bits fails guard `guard`."""

    guard: int
    symbol: int
    slot: int


class ExtentKind(enum.Enum):
    """Which of a tensor's numbers."""

    SIZE = "size"
    STRIDE = "stride"


class CheckExtent(Data, frozen=True, tag="check_extent"):
    """Extent or stride `dim` of the tensor in `slot` has this value; all its symbols are bound."""

    guard: int
    slot: int
    dim: int
    kind: ExtentKind
    value: Dim


GuardStep = Evaluate | Check | BindExtent | BindInt | CheckExtent


class GuardSteps(Data, frozen=True):
    """What is done before a call: checks, and the objects that the call needs."""

    steps: tuple[GuardStep, ...]
    num_slots: int
    symbols: tuple[str, ...]
    """Size symbols, by number."""
    input_slots: tuple[int, ...]
    """Slot of each graph input."""
    recipe_sources: tuple[Source, ...]
    """The sources that recipes and effects read, each once."""
    recipe_slots: tuple[int, ...]
    """Slot of each of `recipe_sources`."""


def lower_guards(program: Program) -> GuardSteps:
    """Turn the guards of `program` into steps.

    Raises:
        InternalError: a size symbol is used but bound by no guarded tensor or int.
    """
    lowering = _Lowering(program)
    for number, guard in enumerate(program.guards):
        lowering.add_guard(number, guard)
    after = len(program.guards)
    for binding in program.symbols:
        lowering.bind_late(binding, after)
    lowering.check_all_done()
    inputs = tuple(lowering.slot_of(source, after) for source in program.inputs)
    sources = tuple(dict.fromkeys(iter_recipe_sources(program)))
    return GuardSteps(
        recipe_slots=tuple(lowering.slot_of(source, after) for source in sources),
        recipe_sources=sources,
        input_slots=inputs,
        steps=tuple(lowering.steps),
        num_slots=len(lowering.slots),
        symbols=tuple(binding.symbol for binding in program.symbols),
    )


def iter_recipe_sources(program: Program) -> Iterator[Source]:
    """Give the sources that recipes and effects of `program` read, repeats included."""
    for recipe in iter_recipes(program):
        match recipe:
            case FromSource(source):
                yield source
            case BuildFunction():
                yield recipe.globals_source
            case _:
                pass
    for effect in program.effects:
        match effect:
            case SetCellEffect():
                yield effect.function
            case SetGlobalEffect():
                yield effect.globals_source
            case _:
                pass


def lone_symbol(dim: Dim) -> str | None:
    """Give the name of the symbol that `dim` is, if it is nothing else."""
    match dim:
        case SymExpr((Monomial(1, (Power(Symbol(name), 1),)),)):
            return name
        case _:
            return None


@final
class _Lowering:
    def __init__(self, program: Program) -> None:
        self.steps: list[GuardStep] = []
        self.slots: dict[Source, int] = {}
        self._slot_by_id: dict[int, tuple[int, Source]] = {}
        self._pending: list[tuple[frozenset[str], GuardStep]] = []
        self._numbers: Final[Mapping[str, int]] = {
            binding.symbol: number for number, binding in enumerate(program.symbols)
        }
        self._bound: set[str] = set()
        self._extents_bound: set[tuple[str, int, int]] = set()
        self._bindings: Final[dict[Source, list[SymbolBinding]]] = {}
        for binding in program.symbols:
            self._bindings.setdefault(binding.source, []).append(binding)

    def slot_of(self, source: Source, guard: int) -> int:
        """Give the slot of `source`, evaluating it when that was not done yet."""
        # Sources are trees whose hash takes a walk; most come more than once as one object.
        known = self._slot_by_id.get(id(source))
        if known is not None:
            return known[0]
        slot = self.slots.get(source)
        if slot is not None:
            self._slot_by_id[id(source)] = (slot, source)
            return slot
        base_slots = tuple(self.slot_of(base, guard) for base in bases_of(source))
        slot = self.slots[source] = len(self.slots)
        self._slot_by_id[id(source)] = (slot, source)
        self.steps.append(Evaluate(guard, slot, base_slots, source))
        return slot

    def add_guard(self, number: int, guard: Guard) -> None:
        """Append the steps of guard `number`."""
        if isinstance(guard, ShapeGuard):
            needed = symbols_of(guard.left) | symbols_of(guard.right)
            self._when_bound(needed, Check(number, ()))
            return
        slots = tuple(self.slot_of(source, number) for source in sources_of(guard))
        self.steps.append(Check(number, slots))
        match guard:
            case TensorGuard():
                self._bind_extents(guard, slots[0])
                self._compare_extents(number, guard.meta, slots[0])
            case TypeGuard():
                for binding in self._bindings.get(guard.source, ()):
                    if binding.dim is None:
                        self._bind(
                            binding, BindInt(number, self._numbers[binding.symbol], slots[0])
                        )
            case _:
                pass

    def _bind_extents(self, guard: TensorGuard, slot: int) -> None:
        for binding in self._bindings.get(guard.source, ()):
            if binding.dim is not None:
                step = BindExtent(self._numbers[binding.symbol], slot, binding.dim)
                self._extents_bound.add((binding.symbol, slot, binding.dim))
                self._bind(binding, step)

    def _compare_extents(self, number: int, meta: TensorMeta, slot: int) -> None:
        for kind, values in ((ExtentKind.SIZE, meta.shape), (ExtentKind.STRIDE, meta.strides)):
            for dim, value in enumerate(values):
                if isinstance(value, int) or self._binds(slot, dim, kind, value):
                    continue
                self._when_bound(symbols_of(value), CheckExtent(number, slot, dim, kind, value))

    def _binds(self, slot: int, dim: int, kind: ExtentKind, value: Dim) -> bool:
        name = lone_symbol(value)
        if kind is ExtentKind.STRIDE or name is None:
            return False
        return (name, slot, dim) in self._extents_bound

    def _bind(self, binding: SymbolBinding, step: GuardStep) -> None:
        if binding.symbol in self._bound:
            return
        self._bound.add(binding.symbol)
        self.steps.append(step)
        ready = [entry for entry in self._pending if entry[0] <= self._bound]
        self._pending = [entry for entry in self._pending if not entry[0] <= self._bound]
        self.steps += [pending_step for _, pending_step in ready]

    def _when_bound(self, needed: frozenset[str], step: GuardStep) -> None:
        if needed <= self._bound:
            self.steps.append(step)
        else:
            self._pending.append((needed, step))

    def bind_late(self, binding: SymbolBinding, guard: int) -> None:
        """Bind a symbol whose int no type guard looked at."""
        if binding.symbol in self._bound:
            return
        if binding.dim is not None:
            message = f"size symbol {binding.symbol} comes from a tensor that no guard looks at"
            raise InternalError(message)
        slot = self.slot_of(binding.source, guard)
        self._bind(binding, BindInt(guard, self._numbers[binding.symbol], slot))

    def check_all_done(self) -> None:
        """Check that every comparison found its symbols."""
        for _, step in self._pending:
            match step:
                case CheckExtent():
                    what = render_dim(step.value)
                case Check():
                    what = f"guard {step.guard}"
                case Evaluate() | BindExtent() | BindInt():
                    continue
                case _:
                    assert_never(step)
            message = f"{what} depends on size symbols that nothing binds"
            raise InternalError(message)
