"""Guards that need not be checked again as long as nothing was changed.

In: the guards of an entry and the objects that they found in a call that passed.   Out: a shorter table of steps: words in memory that
must be what they were (versions of dictionaries and types, places of dictionaries, types of objects), and the guards that may fail
without any of these changing (tensors, global state, lists, attributes that C code computes).
Keeps: a word is read only where the objects it lies in are known to live: they are reached from the target, or from an object
that was just found to be the same, through dictionaries, types and tuples whose words were checked before. When a word differs, all
guards are checked; the shortcut decides nothing by itself.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    IdentityGuard,
    LengthGuard,
    SameObjectGuard,
    TypeAttrAbsentGuard,
    TypeGuard,
)
from graphwright.ir.program import Program
from graphwright.ir.sources import (
    ClosureSource,
    DefaultSource,
    DictKeySource,
    DictValueSource,
    GlobalsSource,
    ImportSource,
    InstanceDictSource,
    ItemSource,
    KwDefaultSource,
    ModuleDictSource,
    PinSource,
    Source,
    TargetSource,
    TypeAttrSource,
    TypeSource,
)
from graphwright.runtime.failures import Evaluator
from graphwright.runtime.guard_steps import Check, Evaluate, GuardStep, GuardSteps
from graphwright.runtime.native.guard_tables import GuardTables
from graphwright.runtime.native.memory import Memory, StepTable, offset_of, read_word
from graphwright.runtime.native.records import STALE
from graphwright.runtime.native.versions import NONE, Versions
from graphwright.runtime.reading import MISSING, read_instance_dict

_TYPE_OFFSET: Final = 8
_WORD: Final = 8
_FROZEN: Final = (tuple, str, bytes, frozenset, range)


@final
class Shortcut:
    """A shorter table of guard steps.

    Args:
        program: the program.
        steps: its guards, lowered.
        objects: what each slot held in a call that passed.
        evaluator: evaluates sources that need no arguments.
        versions: how changes are seen.
        excluded: addresses of words that change from call to call.

    Attributes:
        addresses: of the words, by number.
        anchors: objects that must live as long as the shortcut is used.
        num_skipped: guards that the shortcut leaves out.
    """

    def __init__(
        self,
        program: Program,
        steps: GuardSteps,
        objects: Sequence[Any],
        evaluator: Evaluator,
        versions: Versions,
        excluded: frozenset[int],
    ) -> None:
        self._program = program
        self._steps = steps
        self._objects = objects
        self._evaluator = evaluator
        self._versions = versions
        self._excluded = excluded
        self._known: set[int] = set()
        self._in_frame: set[int] = set()
        self._holders: dict[int, object] = {}
        """The objects whose attributes are in a dictionary, by the dictionary's address."""
        self._expected: dict[int, int] = {}
        self._words: list[int] = []
        self._reads: list[int] = []
        self._pending: list[GuardStep] = []
        self._unheld: list[int] = []
        self.addresses: list[int] = []
        self.anchors: list[object] = []
        self.num_skipped = 0
        self._may_anchor: Final = {
            step.bases[0]
            for step in steps.steps
            if isinstance(step, Evaluate) and isinstance(step.source, InstanceDictSource)
        }

    def write(self, memory: Memory, table: StepTable, tables: GuardTables) -> None:
        """Append the steps to `table`, to which `tables` writes the guards that are left."""
        for step in self._steps.steps:
            match step:
                case Evaluate():
                    self._add_source(step, memory, table, tables)
                case Check():
                    self._add_check(step)
                case _:
                    self._add_left(step, ())
        for slot in (*self._steps.input_slots, *self._steps.recipe_slots):
            self._need(slot)
        self._flush(memory, table, tables)

    # What is known.

    def _add_source(
        self, step: Evaluate, memory: Memory, table: StepTable, tables: GuardTables
    ) -> None:
        if self._try_know(step) and self._is_still_found(step):
            self._known.add(step.slot)
            return
        self._add_left(step, step.bases)
        self._in_frame.add(step.slot)
        found = self._objects[step.slot]
        is_module = isinstance(step.source, ImportSource | ModuleDictSource)
        if not is_module and step.slot not in self._may_anchor:
            return
        if hasattr(type(found), "__weakref__"):
            self.anchors.append(found)
        elif not isinstance(
            found, dict
        ):  # another dictionary in its place would have another version
            return
        # From here on the object is known; what follows must not be read before this was checked.
        self._flush(memory, table, tables)
        table.add("check_object", STALE, offset_of(step.slot), id(found))
        self._known.add(step.slot)

    def _try_know(self, step: Evaluate) -> bool:  # noqa: C901  (one arm for each kind of source)
        if not step.bases:
            return self._try_know_root(step.source)
        if not self._known.issuperset(step.bases):
            return False
        base, found = self._objects[step.bases[0]], self._objects[step.slot]
        match step.source:
            case InstanceDictSource():
                return self._add_place_of_dict(base, found)
            case ItemSource():
                return isinstance(base, tuple) or self._add_dict(base)
            case DictKeySource() | DictValueSource():
                return self._add_order(base)
            case TypeSource():
                return self._add_type(base)
            case TypeAttrSource():
                return self._add_type_version(base)
            case GlobalsSource():
                return isinstance(base, types.FunctionType)
            case ClosureSource(_, index):
                return self._add_cell(base, index, found)
            case DefaultSource():
                return self._add_part(base, getattr(base, "__defaults__", None))
            case KwDefaultSource():
                defaults = getattr(base, "__kwdefaults__", None)
                return self._add_part(base, defaults) and self._add_dict(defaults)
            case _:
                return False

    def _is_still_found(self, step: Evaluate) -> bool:
        """Tell whether an object is there now that the words were read; another thread may have changed that before."""
        evaluator, objects = self._evaluator, self._objects
        if not step.bases:
            return evaluator.evaluate(step.source) is objects[step.slot]
        bases = [objects[slot] for slot in step.bases]
        return evaluator.evaluate_on(step.source, *bases) is objects[step.slot]

    def _try_know_root(self, source: Source) -> bool:
        match source:
            case TargetSource() | PinSource():
                return True
            case ImportSource() | ModuleDictSource():
                return self._add_dict(sys.modules)
            case _:
                return False

    def _add_word(self, address: int, expected: int) -> bool:
        """Let the word at an address be checked; False when it changes, or is not what is expected even now."""
        known = self._expected.get(address)
        if known is not None:
            return known == expected
        if address in self._excluded or read_word(address) != expected:
            return False
        self._expected[address] = expected
        self._words += (address, expected)
        self.addresses.append(address)
        return True

    def _add_dict(self, table: object) -> bool:
        if not isinstance(table, dict) or self._versions.of_dict is None:
            return False
        address = self._versions.of_dict.word_of(table, self._holders.get(id(table)))
        if address is None:
            return False
        return self._add_word(address, self._expected.get(address, read_word(address)))

    def _add_order(self, table: object) -> bool:
        """Let the word of a dictionary be checked that tells of its order; that of an `OrderedDict` has none."""
        return not isinstance(table, OrderedDict) and self._add_dict(table)

    def _add_place_of_dict(self, holder: object, found: object) -> bool:
        place = _dict_place(holder)
        if place is None or not self._add_word(place, id(found)):
            return False
        self._holders[id(found)] = holder
        return True

    def _add_type(self, value: object) -> bool:
        return self._add_word(id(value) + _TYPE_OFFSET, id(type(value)))

    def _add_type_version(self, kind: object) -> bool:
        if not isinstance(kind, type) or self._versions.of_type == NONE:
            return False
        address = id(kind) + self._versions.of_type
        version = read_word(address)
        return version != 0 and self._add_word(address, version)

    def _add_part(self, holder: object, part: object) -> bool:
        """Let the word of a function that points to one of its parts be checked."""
        if not isinstance(holder, types.FunctionType) or part is None:
            return False
        count = types.FunctionType.__basicsize__ // _WORD
        places = [id(holder) + n * _WORD for n in range(2, count)]
        matching = [place for place in places if read_word(place) == id(part)]
        return len(matching) == 1 and self._add_word(matching[0], id(part))

    def _add_cell(self, function: object, index: int, found: object) -> bool:
        if not isinstance(function, types.FunctionType) or not function.__closure__:
            return False
        cell = function.__closure__[index]
        return self._add_word(id(cell) + 2 * _WORD, id(found))

    # Checks.

    def _add_check(self, step: Check) -> None:
        if all(slot in self._known for slot in step.slots) and self._holds_by_words(step):
            self.num_skipped += 1
            return
        self._add_left(step, step.slots)

    def _holds_by_words(self, step: Check) -> bool:
        guard = self._program.guards[step.guard]
        if not step.slots:
            return False
        found = self._objects[step.slots[0]]
        match guard:
            case ConstantGuard() | IdentityGuard() | SameObjectGuard() | DistinctTensorsGuard():
                return True
            case TypeGuard():
                return self._add_type(found)
            case CodeGuard():
                return self._add_part(found, getattr(found, "__code__", None))
            case LengthGuard():
                return type(found) in _FROZEN or self._add_dict(found)
            case DictKeysGuard():
                return self._add_order(found)
            case DictContainsGuard():
                return self._add_dict(found)
            case AttrAbsentGuard():
                return self._add_absent_attr(found)
            case TypeAttrAbsentGuard():
                return self._add_type_version(found)
            case _:
                return False

    def _add_absent_attr(self, holder: object) -> bool:
        attributes = read_instance_dict(holder)
        if attributes is MISSING:
            return self._add_type(holder)
        return self._add_place_of_dict(holder, attributes) and self._add_dict(attributes)

    # What is left.

    def _need(self, slot: int) -> None:
        """Put a known object where the frame keeps it."""
        if slot in self._known and slot not in self._in_frame:
            self._in_frame.add(slot)
            self._reads += (offset_of(slot), id(self._objects[slot]))

    def _add_left(self, step: GuardStep, slots: Sequence[int]) -> None:
        for slot in (*slots, *_slots_of(step)):
            self._need(slot)
        self._pending.append(step)

    def _flush(self, memory: Memory, table: StepTable, tables: GuardTables) -> None:
        if self._words:
            count = len(self._words) // 2
            first = len(self.addresses) - count
            table.add("check_words", STALE, memory.words(self._words), count, first)
        if self._reads:
            words = memory.words(self._reads)
            table.add("read_objects", STALE, words, len(self._reads) // 2)
            self._unheld += self._reads
        before = table.num_python_steps
        count = len(self._unheld) // 2
        hold = -1
        if count:
            hold = table.add("hold_objects", STALE, memory.words(self._unheld), count)
        for step in self._pending:
            tables.add_step(step)
        if hold >= 0 and table.num_python_steps == before:
            table.set_operand(hold, 3, 0)  # nothing can go while only native code runs
        elif hold >= 0:
            self._unheld = []
        self._words, self._reads, self._pending = [], [], []


def _slots_of(step: GuardStep) -> tuple[int, ...]:
    slot = getattr(step, "slot", None)
    return () if slot is None or isinstance(step, Evaluate) else (slot,)


def _dict_place(holder: object) -> int | None:
    """Give the address of the word that points to the dictionary of an object's attributes."""
    place: int | None = _dict_locator()(holder)
    return place


@functools.cache
def _dict_locator() -> Callable[[object], int | None]:
    return ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(
        ("_PyObject_GetDictPtr", ctypes.pythonapi)
    )
