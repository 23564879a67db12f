"""The native callable over all compiled variants of one target.

In: entries, and what to do when none serves a call.   Out: `NativeDispatcher`, whose `function` is a builtin function.
Keeps: the function holds the record it works on, and the record holds the entries, so that nothing goes while it can be called.
Where there are no native functions, a Python function serves. No Python function is called through ctypes: its errors would be lost.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final, final

from graphwright.runtime.entry import Entry
from graphwright.runtime.native.builtins import Record, make_builtin
from graphwright.runtime.native.entries import NativeEntry, PythonServed
from graphwright.runtime.native.memory import Memory, write_word
from graphwright.runtime.native.module import NativeRefusal, load_native_module
from graphwright.runtime.native.records import DispatcherRecord
from graphwright.runtime.reading import MISSING

OnMiss = Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""What a call does that no entry serves: gets its positional and keyword arguments, gives its result."""
_Served = NativeEntry | PythonServed


@final
class NativeDispatcher:
    """Tries entries in native code.

    Args:
        on_miss: called with a call's arguments when no entry serves it.

    Attributes:
        function: the builtin function.
        refusal: why Python serves the calls; empty while native code does.
    """

    def __init__(self, on_miss: OnMiss) -> None:
        self._on_miss = on_miss
        self._record: Final = Record()
        self._memory = Memory()
        self._served: tuple[_Served, ...] = ()
        self._latest: Entry | None = None
        self.refusal = ""
        # The builtin function holds the record, and with it all that the record points to.
        self._record.keeps += [on_miss, self._memory]
        self._set(DispatcherRecord.ON_MISS, id(on_miss))
        self.function: Callable[..., Any] = self._serve_by_python
        try:
            address = load_native_module().addresses["dispatch"]
        except NativeRefusal as refusal:
            self.refusal = str(refusal)
        else:
            self.function = make_builtin(address, self._record)

    def add(self, entry: Entry) -> None:
        """Let `entry` serve calls, before all others."""
        made = entry.native if isinstance(entry.native, NativeEntry) else PythonServed(entry)
        self._publish((*self._served, made))

    def clear(self) -> None:
        """Forget every entry. Their memory stays until no call can be using it: until the dispatcher goes."""
        self._publish(())

    def release(self) -> None:
        """Let go of the memory of entries that were forgotten; no call is under way."""
        self._record.keeps[:] = [self._on_miss, self._memory]

    def _publish(self, served: tuple[_Served, ...]) -> None:
        # Calls that run now may go on with the array that they know: it and its entries are kept.
        self._record.keeps.append(served)
        addresses = self._memory.words([entry.address for entry in served])
        self._set(DispatcherRecord.NUM_ENTRIES, min(len(served), len(self._served)))
        self._set(DispatcherRecord.ENTRIES, addresses)
        self._set(DispatcherRecord.LATEST, max(len(served) - 1, 0))
        self._set(DispatcherRecord.NUM_ENTRIES, len(served))
        self._served = served

    def _set(self, field: DispatcherRecord, value: int) -> None:
        write_word(ctypes.addressof(self._record) + field, value)

    def _serve_by_python(self, *args: Any, **kwargs: Any) -> Any:
        entries = [served.entry for served in self._served]
        latest = self._latest
        entries.reverse()
        for entry in sorted(entries, key=lambda entry: entry is not latest):
            result = entry.try_call(args, kwargs)
            if result is not MISSING:
                self._latest = entry
                return result
        return self._on_miss(args, kwargs)
