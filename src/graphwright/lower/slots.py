"""Where the scalars that one pass keeps for the next are put.

In: the spills of a `PassPlan`.   Out: a `Slot` for each: scratch while the row is small, else an output's own memory that is
written only later, else a temporary buffer.
Keeps: two spills share a slot only where one is last read before (or as) the other is written, at the same index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.ir.dtypes import DType
from graphwright.lower.affine import Affine
from graphwright.lower.passes import PassPlan, Spill
from graphwright.lower.programs import Program, StoreTo, Target
from graphwright.lower.writer import KernelWriter, Slot

SCRATCH_BYTES: Final = 1 << 16
"""The most scratch for one iteration: it is to stay in the first cache levels."""


class Slots:
    """Gives slots.

    Args:
        kernel: where scratch and temporary buffers are made.
        program: the program.
        plan: its passes.
        size: elements that a scratch slot must hold.
        index: where an element of a scratch slot lies.
    """

    def __init__(
        self, kernel: KernelWriter, program: Program, plan: PassPlan, size: int, index: Affine
    ) -> None:
        self._kernel = kernel
        self._program = program
        self._plan = plan
        self._size = size
        self._index = index

    def assign(self) -> dict[int, Slot]:
        """Give the slot of each spilled scalar, by number."""
        spills = sorted(self._plan.spills, key=lambda spill: (spill.first, spill.scalar.number))
        groups = _share(spills)
        total = sum(self._size * group[0].scalar.dtype.size_bytes for group in groups)
        slots: dict[int, Slot] = {}
        used: set[Target] = set()
        for group in groups:
            slot = self._scratch(group) if total <= SCRATCH_BYTES else self._memory(group, used)
            for spill in group:
                slots[spill.scalar.number] = slot
        return slots

    def _scratch(self, group: Sequence[Spill]) -> Slot:
        name = self._kernel.add_scratch(group[0].scalar.dtype, self._size)
        return Slot(name, self._index)

    def _memory(self, group: Sequence[Spill], used: set[Target]) -> Slot:
        dtype = group[0].scalar.dtype
        store = self._find_output(dtype, group[-1].last, used)
        if store is not None:
            used.add(store.target)
            self._kernel.will_read(store.target)
            return Slot(store.target, store.offset)
        numel = 1
        for atom in self._program.atoms:
            numel *= atom.extent
        place = Affine(
            tuple(
                (number, atom.stride)
                for number, atom in enumerate(self._program.atoms)
                if atom.extent > 1
            )
        )
        return Slot(self._kernel.add_temporary(dtype, numel), place)

    def _find_output(self, dtype: DType, last: int, used: set[Target]) -> StoreTo | None:
        """Find an output that is written no earlier than the slot is last read, and never read."""
        for number, one in enumerate(self._plan.passes):
            for store in one.stores:
                target = store.target
                is_free = target not in used and not self._kernel.is_input(target)
                if number >= last and target.dtype is dtype and is_free:
                    return store
        return None


def _share(spills: Sequence[Spill]) -> list[list[Spill]]:
    """Put spills of one dtype whose lives do not overlap into one slot."""
    groups: list[list[Spill]] = []
    for spill in spills:
        for group in groups:
            last = group[-1]
            if last.scalar.dtype is spill.scalar.dtype and last.last <= spill.first:
                group.append(spill)
                break
        else:
            groups.append([spill])
    return groups
