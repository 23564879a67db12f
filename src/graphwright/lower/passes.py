"""Cut a program with reductions into passes over the reduced atoms, and choose what one pass keeps for the next.

In: a `Program` and its scalars.   Out: `Pass`es in order, and the scalars that are kept (*spilled*) between them.
Keeps: a pass needs only reductions of earlier passes. What a later pass needs of an earlier one is computed again where that
is cheap, and kept in a slot where it is not.

    y = exp(x - max(x)) / sum(exp(x - max(x)))   →   pass 0: max;  pass 1: sum of e, keeps e;  pass 2: y
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from graphwright.lower.loops import is_reduce
from graphwright.lower.programs import Program, StoreTo
from graphwright.lower.scalars import Scalar

RECOMPUTED_COST: Final = 4
"""What costs no more is computed again in a later pass."""


class Spill(msgspec.Struct, frozen=True):
    """A scalar that one pass keeps for later ones."""

    scalar: Scalar
    first: int
    """The pass that computes it."""
    last: int
    """The last pass that needs it."""


class Pass(msgspec.Struct, frozen=True):
    """One traversal of the reduced atoms."""

    reductions: tuple[Scalar, ...]
    stores: tuple[StoreTo, ...]


class PassPlan(msgspec.Struct, frozen=True):
    """All passes of a program."""

    passes: tuple[Pass, ...]
    row_stores: tuple[StoreTo, ...]
    """Stores of what the reductions give, after the passes."""
    spills: tuple[Spill, ...]
    last_computed: Mapping[int, int]
    """For each scalar (by number) that depends on reduced atoms, the last pass that computes it."""


def plan_passes(program: Program, scalars: Iterable[Scalar]) -> PassPlan:
    """Give the passes of `program`, whose reachable scalars are `scalars`."""
    mask = program.reduced_mask
    reductions = [scalar for scalar in scalars if is_reduce(scalar)]
    mask_of = program.builder.mask_of
    full = [store for store in program.stores if mask_of(store.offset) & mask]
    row = [store for store in program.stores if not mask_of(store.offset) & mask]
    count = max(
        [scalar.level for scalar in reductions] + [store.scalar.level + 1 for store in full]
    )
    loaded = {scalar.source for scalar in scalars if scalar.source >= 0}

    def place(store: StoreTo) -> int:
        """What is read is overwritten last."""
        return count - 1 if store.target.value in loaded else store.scalar.level

    passes = tuple(
        Pass(
            tuple(scalar for scalar in reductions if scalar.level == number + 1),
            tuple(store for store in full if place(store) == number),
        )
        for number in range(count)
    )
    search = _SpillSearch(program)
    for number, one in enumerate(passes):
        search.visit_pass(number, one)
    return PassPlan(passes, tuple(row), tuple(search.spills()), search.last_computed)


class _SpillSearch:
    def __init__(self, program: Program) -> None:
        self._builder = program.builder
        self._mask = program.reduced_mask
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._spilled: dict[int, Scalar] = {}
        self._costs: dict[int, int] = {}
        self.last_computed: dict[int, int] = {}

    def visit_pass(self, number: int, one: Pass) -> None:
        """Walk from what the pass gives to what it must compute."""
        seen: set[int] = set()
        for reduction in one.reductions:
            for arg in reduction.args:
                self._visit(arg, number, seen)
        for store in one.stores:
            self._visit(store.scalar, number, seen)

    def spills(self) -> list[Spill]:
        """Give what is kept between passes."""
        return [
            Spill(scalar, self._first[number], self._last[number])
            for number, scalar in self._spilled.items()
        ]

    def _visit(self, scalar: Scalar, number: int, seen: set[int]) -> None:
        if not scalar.mask & self._mask or scalar.number in seen:
            return
        seen.add(scalar.number)
        first = self._first.get(scalar.number)
        if first is not None and first < number and self._cost(scalar) > RECOMPUTED_COST:
            self._spilled[scalar.number] = scalar
            self._last[scalar.number] = number
            return
        self.last_computed[scalar.number] = number
        if first is None:
            self._first[scalar.number] = number
        for other in self._builder.dependencies(scalar):
            self._visit(other, number, seen)

    def _cost(self, scalar: Scalar) -> int:
        """Give the cost of computing a scalar again from memory and from what is known for the row."""
        known = self._costs.get(scalar.number)
        if known is None:
            known = scalar.cost
            for other in self._builder.dependencies(scalar):
                if other.mask & self._mask:
                    known += self._cost(other)
            known = self._costs[scalar.number] = min(known, 1 << 20)
        return known
