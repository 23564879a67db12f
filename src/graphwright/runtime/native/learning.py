"""When an entry gets a shortcut, and when it is given up.

In: the objects that the guards of a call found.   Out: the fields of the entry's record that say which shortcut there is.
Keeps: memory of an older shortcut stays until no call can be using it; a shortcut ends with the first of the objects it was
anchored at. What changes from call to call is left out of the next shortcut; when that does not help, there is none.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Final, final

from graphwright.runtime.entry import Entry
from graphwright.runtime.failures import Evaluator
from graphwright.runtime.native.guard_tables import GuardTables
from graphwright.runtime.native.memory import Memory, StepTable, write_word
from graphwright.runtime.native.module import NativeModule
from graphwright.runtime.native.records import WORD, EntryRecord
from graphwright.runtime.native.shortcuts import Shortcut

FEWEST_STEPS: Final = 40
"""Guard steps below which a shortcut saves nothing worth having."""
CALLS_BEFORE: Final = 3
"""Calls that all guards serve before the first shortcut."""
_LASTING_CALLS: Final = 100
"""A shortcut that served so many calls was worth making."""
_MOST_FAILURES: Final = 8
"""Shortcuts in a row that did not last, before there are no more."""

MakeTables = Callable[[Memory, StepTable], GuardTables]


@final
class Learner:
    """Makes the shortcuts of one entry.

    Args:
        entry: the entry.
        record: its record.
        module: the native functions.
        make_tables: gives what writes guard steps to a table.
    """

    def __init__(
        self,
        entry: Entry,
        record: ctypes.Array[ctypes.c_int64],
        module: NativeModule,
        make_tables: MakeTables,
    ) -> None:
        self._entry = entry
        self._record = record
        self._module = module
        self._make_tables = make_tables
        self._callback: Callable[[Sequence[object]], None] | None = None
        self._held: list[_Held] = []
        self._anchors: list[weakref.ref[object]] = []
        self._words: list[int] = []
        self._excluded: frozenset[int] = frozenset()
        self._num_failures = 0
        self.num_skipped = 0
        """Guards that the present shortcut leaves out."""

    def start(self, num_steps: int) -> None:
        """Ask to be told of the objects that guards find, if a shortcut may pay."""
        if num_steps >= FEWEST_STEPS and self._module.versions.of_dict is not None:
            self._callback = self.learn
            self._set(EntryRecord.UNTIL_LEARNING, CALLS_BEFORE)
            self._set(EntryRecord.LEARN, id(self._callback))

    def release(self) -> None:
        """Stop holding itself; native code tells it nothing any more."""
        self._callback = None

    def learn(self, objects: Sequence[object]) -> None:
        """Make a shortcut from what the slots of a call hold."""
        if self._words:
            self._note_failure()
        if self._get(EntryRecord.ACTIVE) == 1:
            self._held.clear()  # the call that asks works by the full table
        if self._num_failures > _MOST_FAILURES:
            self._set(EntryRecord.LEARN, 0)
            return
        self._make(objects)

    def _note_failure(self) -> None:
        """Leave out the word that was not what it was, unless the shortcut had lasted."""
        if self._get(EntryRecord.NUM_SHORT_CALLS) >= _LASTING_CALLS:
            self._num_failures = 0
            return
        self._num_failures += 1
        number = self._get(EntryRecord.STALE_WORD)
        if 0 <= number < len(self._words):
            self._excluded |= {self._words[number]}

    def _make(self, objects: Sequence[object]) -> None:
        memory = Memory()
        table = StepTable(memory, self._module.addresses)
        tables = self._make_tables(memory, table)
        entry = self._entry
        evaluator = Evaluator(entry.target, entry.pins, (), {})
        versions = self._module.versions
        shortcut = Shortcut(
            entry.program, entry.steps, objects, evaluator, versions, self._excluded
        )
        shortcut.write(memory, table, tables)
        held = _Held(memory)
        address = tables.finish(held)
        self._held.append(held)
        self._words = shortcut.addresses
        self.num_skipped = shortcut.num_skipped
        forget = _Forget(self._record)
        self._anchors = [weakref.ref(anchor, forget) for anchor in shortcut.anchors]
        self._set(EntryRecord.NUM_SHORT_CALLS, 0)
        self._set(EntryRecord.STALE_WORD, -1)
        self._set(EntryRecord.IS_TRUSTED, 0)
        self._set(EntryRecord.SHORT_STEPS, address)
        self._set(EntryRecord.NUM_SHORT_STEPS, len(table))

    def _get(self, field: EntryRecord) -> int:
        return self._record[field // WORD]

    def _set(self, field: EntryRecord, value: int) -> None:
        write_word(ctypes.addressof(self._record) + field, value)


@final
class _Held:
    """Keeps the memory of a shortcut; what its steps came to hold goes with it."""

    def __init__(self, memory: Memory) -> None:
        self.memory: Final = memory


@final
class _Forget:
    """Ends a shortcut when an object that it is anchored at goes."""

    def __init__(self, record: ctypes.Array[ctypes.c_int64]) -> None:
        self._record = record

    def __call__(self, _: weakref.ref[object]) -> None:
        self._record[EntryRecord.NUM_SHORT_STEPS // WORD] = 0
        self._record[EntryRecord.IS_TRUSTED // WORD] = 0
        self._record[EntryRecord.UNTIL_LEARNING // WORD] = CALLS_BEFORE
