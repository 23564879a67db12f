"""Let a kernel write where it reads for the last time.

In: a `Program`; later, steps and the buffers' lifetimes.   Out: `Reuse`s that a kernel allows, and those that all its steps can take.
Keeps: an element is read before it is overwritten, in the same iteration, at the same index; buffers that share memory in this
way are the only ones that a kernel's params may share.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from graphwright.lower.loops import reachable
from graphwright.lower.passes import PassPlan
from graphwright.lower.programs import Program, StoreTo, Target
from graphwright.lower.scalars import Scalar, ScalarKind


class Reuse(msgspec.Struct, frozen=True):
    """What is stored to `stored` may take the place of what is loaded from `loaded`."""

    stored: Target
    loaded: Target


def find_reuses(program: Program, plan: PassPlan | None) -> list[Reuse]:
    """Give the reuses that `program` allows; `plan` holds its passes, where it reduces."""
    loads: dict[int, list[Scalar]] = {}
    for scalar in reachable(program):
        if scalar.kind is ScalarKind.LOAD:
            loads.setdefault(scalar.source, []).append(scalar)
    reuses: list[Reuse] = []
    for number, store in _iter_full_stores(program, plan):
        for source, scalars in loads.items():
            if all(_is_in_place(scalar, store, number, plan) for scalar in scalars):
                reuses.append(Reuse(store.target, Target(source, store.target.dtype)))
    return reuses


def _iter_full_stores(program: Program, plan: PassPlan | None) -> list[tuple[int, StoreTo]]:
    """Give the stores of each pass."""
    if plan is None:
        return [(0, store) for store in program.stores]
    return [(number, store) for number, one in enumerate(plan.passes) for store in one.stores]


def _is_in_place(scalar: Scalar, store: StoreTo, number: int, plan: PassPlan | None) -> bool:
    """Tell whether a load is done with, in each iteration, when pass `number` stores."""
    is_here = scalar.dtype is store.target.dtype and scalar.affine == store.offset
    if plan is None or not is_here:
        return is_here
    return plan.last_computed.get(scalar.number, number + 1) <= number


def choose_reuses(
    wanted: Sequence[Reuse], targets: Sequence[Target], can_share: Sequence[set[tuple[int, int]]]
) -> list[tuple[int, int]]:
    """Choose pairs of params (stored, loaded) that share memory in all steps of a kernel.

    Args:
        wanted: what the kernel allows.
        targets: what each param is.
        can_share: for each step that runs the kernel, the pairs of params whose buffers' lifetimes allow it.
    """
    common = set.intersection(*can_share) if can_share else set()
    place = {target: number for number, target in enumerate(targets)}
    chosen: list[tuple[int, int]] = []
    taken: set[int] = set()
    for reuse in wanted:
        stored, loaded = place.get(reuse.stored), place.get(reuse.loaded)
        if stored is None or loaded is None or loaded > stored:
            continue
        if (stored, loaded) in common and not taken & {stored, loaded}:
            chosen.append((stored, loaded))
            taken |= {stored, loaded}
    return chosen
