"""One compiled variant as native records.

In: an `Entry`.   Out: `NativeEntry`: the address of its record, and everything that the record points to.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

from graphwright.runtime.entry import Entry
from graphwright.runtime.native.builtins import Record, make_builtin
from graphwright.runtime.native.contexts import CallContext
from graphwright.runtime.native.guard_tables import GuardTables, PinCells
from graphwright.runtime.native.learning import Learner
from graphwright.runtime.native.memory import (
    Memory,
    StepTable,
    address_of,
    offset_of,
    write_word,
)
from graphwright.runtime.native.module import NativeModule, NativeRefusal
from graphwright.runtime.native.plan_tables import PlanTables, result_words
from graphwright.runtime.native.records import WORD, DispatcherRecord, EntryRecord
from graphwright.runtime.reading import MISSING


def _give_missing(args: object, kwargs: object) -> object:
    del args, kwargs
    return MISSING


@final
class PythonServed:
    """An entry that Python serves, among those of a native dispatcher.

    Args:
        entry: the entry.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry: Final = entry
        self._memory = Memory()
        self._record = self._memory.writable(EntryRecord.SIZE // WORD)
        pattern = entry.program.pattern
        keywords = [self._memory.hold(sys.intern(name)) for name in pattern.keywords]
        for field, value in (
            (EntryRecord.NUM_POSITIONAL, pattern.num_positional),
            (EntryRecord.NUM_KEYWORDS, len(keywords)),
            (EntryRecord.KEYWORDS, self._memory.words(keywords)),
            (EntryRecord.SERVE_BY_PYTHON, self._memory.hold(entry.try_call)),
        ):
            write_word(self.address + field, value)

    @property
    def address(self) -> int:
        """The address of the record."""
        return ctypes.addressof(self._record)


@final
class NativeEntry:
    """An entry that native code serves.

    Args:
        entry: the entry.
        module: the native functions.

    Attributes:
        entry: the entry.
        run_refusal: why only the guards are native and Python runs the graph; empty when the whole call is native.
    """

    def __init__(self, entry: Entry, module: NativeModule) -> None:
        self.entry: Final = entry
        self._memory = Memory()
        self._module = module
        self._addresses = module.addresses
        self._record = self._memory.writable(EntryRecord.SIZE // WORD)
        self._contexts: list[CallContext] = []
        self._plan_tables: PlanTables | None = None
        self.run_refusal = ""
        plan = entry.plan
        names = dict.fromkeys((*(plan.symbols if plan else ()), *entry.steps.symbols))
        self._positions = {name: number for number, name in enumerate(names)}
        self._write_pattern()
        guards = self._write_guards()
        try:
            num_owned = self._write_run()
        except NativeRefusal as refusal:
            self.run_refusal = str(refusal)
            num_owned = self._write_run_by_python()
        # Besides what all guards own: a shortcut's objects, each at most twice, and the tuple that a shortcut is made from.
        self._write_frame(guards + 2 * entry.steps.num_slots + 1 + num_owned)
        self._set(EntryRecord.RUN_AGAIN, self._memory.hold(entry.run_again))
        self._try: Final[Any] = self._make_function("dispatch")
        self._check: Final[Any] = self._make_function("check_call")

    @property
    def address(self) -> int:
        """The address of the record."""
        return ctypes.addressof(self._record)

    @property
    def function(self) -> Callable[..., Any]:
        """What `try_call` calls, with the arguments as they are: nothing stands between a caller and native code."""
        function: Callable[..., Any] = self._try
        return function

    def try_call(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:
        """Check the guards and run the program; `MISSING` when the entry does not serve the call."""
        return self._try(*args, **kwargs)

    def failed_guard(self, args: Sequence[object], kwargs: Mapping[str, object]) -> int | None:
        """Give the number of the first guard that a call of the right pattern fails; None when all hold."""
        number: int = self._check(*args, **kwargs)
        return None if number < 0 else number

    def _make_function(self, name: str) -> Callable[..., Any]:
        record = Record()
        record.keeps += [_give_missing, self._memory]
        for field, value in (
            (DispatcherRecord.ENTRIES, self._memory.words([self.address])),
            (DispatcherRecord.NUM_ENTRIES, 1),
            (DispatcherRecord.ON_MISS, id(_give_missing)),
        ):
            write_word(ctypes.addressof(record) + field, value)
        return make_builtin(self._addresses[name], record)

    def release(self) -> None:
        """Serve no call from now on, and let go of what the memory holds: the entry is in it, and what looks at its objects."""
        for function in (self._try, self._check):
            write_word(ctypes.addressof(function.__self__) + DispatcherRecord.NUM_ENTRIES, 0)
        self._memory.release()
        self._learner.release()
        for context in self._contexts:
            context.release()

    @property
    def last_failure(self) -> int:
        """Number of the guard that the latest call failed."""
        return self._record[EntryRecord.LAST_FAILURE // WORD]

    def stop_learning(self) -> None:
        """From now on check all guards at every call."""
        for field in (EntryRecord.LEARN, EntryRecord.NUM_SHORT_STEPS, EntryRecord.IS_TRUSTED):
            self._set(field, 0)

    @property
    def num_shortcut_calls(self) -> int:
        """Calls that the present shortcut served."""
        return self._record[EntryRecord.NUM_SHORT_CALLS // WORD]

    @property
    def num_skipped_guards(self) -> int:
        """Guards that the present shortcut leaves out; 0 when there is none."""
        has_shortcut = self._record[EntryRecord.NUM_SHORT_STEPS // WORD] != 0
        return self._learner.num_skipped if has_shortcut else 0

    @property
    def num_active(self) -> int:
        """How many calls are under way."""
        return self._record[EntryRecord.ACTIVE // WORD]

    @property
    def num_contexts(self) -> int:
        """How many calls there were at the same time, at most."""
        return len(self._contexts)

    def _set(self, field: EntryRecord, value: int) -> None:
        write_word(self.address + field, value)

    def _write_pattern(self) -> None:
        pattern = self.entry.program.pattern
        keywords = [self._memory.hold(sys.intern(name)) for name in pattern.keywords]
        self._set(EntryRecord.NUM_POSITIONAL, pattern.num_positional)
        self._set(EntryRecord.NUM_KEYWORDS, len(keywords))
        self._set(EntryRecord.KEYWORDS, self._memory.words(keywords))

    def _write_guards(self) -> int:
        entry, positions, layout = self.entry, self._positions, self._module.layout
        table = StepTable(self._memory, self._addresses)
        cells = PinCells(entry.pins)
        self._memory.hold(cells)

        def make_tables(memory: Memory, table: StepTable) -> GuardTables:
            return GuardTables(
                entry.program,
                entry.steps,
                entry.pins,
                entry.target,
                cells=cells,
                frozen=entry.frozen,
                memory=memory,
                table=table,
                layout=layout,
                positions=positions,
            )

        tables = make_tables(self._memory, table)
        tables.add_all()
        self._learner = Learner(entry, self._record, self._module, make_tables)
        self._learner.start(len(table))
        self._set(EntryRecord.GUARD_STEPS, tables.finish(self))
        self._set(EntryRecord.NUM_GUARD_STEPS, len(table))
        self._set(EntryRecord.BIND, self._memory.hold(entry.pins.bind))
        self._set(EntryRecord.LAST_FAILURE, -1)
        return tables.num_owned

    def _write_run(self) -> int:
        entry = self.entry
        if entry.plan is None or entry.code is None:
            message = "a function runs the graph"
            raise NativeRefusal(message)
        if entry.has_autocast:
            message = "autocast is on, and must be off while the graph runs"
            raise NativeRefusal(message)
        table = StepTable(self._memory, self._addresses)
        tables = PlanTables(
            entry.program,
            entry.plan,
            entry.code,
            steps=entry.steps,
            constants=entry.constants,
            memory=self._memory,
            table=table,
            layout=self._module.layout,
            positions=self._positions,
        )
        tables.add_all()
        self._plan_tables = tables
        self._set(EntryRecord.RUN_STEPS, address_of(table.finish()))
        self._set(EntryRecord.NUM_RUN_STEPS, len(table))
        self._set(EntryRecord.NUM_BUFFERS, len(entry.plan.buffers))
        self._set(EntryRecord.NUM_OUTPUTS, len(entry.plan.outputs))
        self._set(EntryRecord.USES_CONTEXT, 1)
        self._set(EntryRecord.MAKE_CONTEXT, self._memory.hold(self._make_context))
        found = result_words(entry.program, entry.steps, entry.pins, self._memory)
        if found is None:
            self._finish_by("finish_by_python", self._in_program_order(entry.build))
        else:
            function, operand = found
            self._set(EntryRecord.FINISH, self._addresses[function])
            self._set(EntryRecord.RESULT, operand)
        return tables.num_owned

    def _make_context(self) -> int:
        assert self._plan_tables is not None, "only a native call asks for a context"
        context = CallContext(self._plan_tables.contexts)
        self._contexts.append(context)
        return context.address

    def _write_run_by_python(self) -> int:
        for field in (EntryRecord.NUM_RUN_STEPS, EntryRecord.NUM_OUTPUTS, EntryRecord.USES_CONTEXT):
            self._set(field, 0)
        entry = self.entry

        self._finish_by("run_by_python", self._in_program_order(entry.run))
        return 0

    def _in_program_order(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give `function` the size symbols in the program's order, not the frame's."""
        wanted = [self._positions[name] for name in self.entry.steps.symbols]
        if wanted == list(range(len(self._positions))):
            return function

        def reordered(first: object, symbols: tuple[int, ...], sources: object) -> Any:
            return function(first, tuple(symbols[place] for place in wanted), sources)

        return reordered

    def _finish_by(self, name: str, function: Callable[..., Any]) -> None:
        self._set(EntryRecord.FINISH, self._addresses[name])
        self._set(EntryRecord.RESULT, self._memory.hold(function))

    def _write_frame(self, num_owned: int) -> None:
        steps = self.entry.steps
        num_outputs = self._record[EntryRecord.NUM_OUTPUTS // WORD]
        parts = [steps.num_slots, len(self._positions), num_owned, num_outputs]
        sizes = [offset_of(count) for count in parts]
        self._set(EntryRecord.SLOTS_BYTES, sizes[0])
        self._set(EntryRecord.SYMBOLS_BYTES, sizes[1])
        self._set(EntryRecord.OWNED_BYTES, sizes[2])
        self._set(EntryRecord.FRAME_BYTES, sum(sizes))
        self._set(EntryRecord.NUM_SYMBOLS, len(self._positions))
        self._set(EntryRecord.NUM_SLOTS, steps.num_slots)
        inputs = [offset_of(slot) for slot in steps.input_slots]
        sources = [offset_of(slot) for slot in steps.recipe_slots]
        self._set(EntryRecord.INPUT_SLOTS, self._memory.words(inputs))
        self._set(EntryRecord.NUM_INPUTS, len(inputs))
        self._set(EntryRecord.RECIPE_SLOTS, self._memory.words(sources))
        self._set(EntryRecord.NUM_RECIPE_SLOTS, len(sources))
