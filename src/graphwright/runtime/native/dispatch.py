"""The native callable over all compiled variants of one target.

In: entries, and what to do when none serves a call.   Out: `NativeDispatcher`, whose `function` is a builtin function.
Keeps: the function holds the record it works on, and the record holds the entries, so that nothing goes while it can be called.
The native functions are loaded by the first call (or entry), not by making a dispatcher; where there are none, Python serves.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from graphwright.runtime.entry import Entry
from graphwright.runtime.native.builtins import BuiltinCall, Record, make_builtin, unpack_call
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
        refusal: why Python serves the calls; empty while native code does, or may yet.
    """

    def __init__(self, on_miss: OnMiss) -> None:
        self._on_miss = on_miss
        self._record: Final = Record()
        self._memory = Memory()
        self._served: tuple[_Served, ...] = ()
        self._latest: Entry | None = None
        self._is_loaded = False
        self.refusal = ""
        first = BuiltinCall(self._serve_first)
        # The builtin function holds the record, and with it all that the record points to.
        self._record.keeps += [on_miss, self._memory, first]
        self._set(DispatcherRecord.ON_MISS, id(on_miss))
        address = ctypes.cast(first, ctypes.c_void_p).value
        self.function, self._definition = make_builtin(address or 0, self._record)

    def add(self, entry: Entry) -> None:
        """Let `entry` serve calls, before all others."""
        made = entry.native if isinstance(entry.native, NativeEntry) else PythonServed(entry)
        self._publish((*self._served, made))
        self._load()

    def clear(self) -> None:
        """Forget every entry. Their memory stays until no call can be using it: until the dispatcher goes."""
        self._publish(())

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

    def _load(self) -> None:
        """From now on the builtin function is the native one."""
        if self._is_loaded or self.refusal:
            return
        try:
            module = load_native_module()
        except NativeRefusal as refusal:
            self.refusal = str(refusal)
            return
        self._definition.function = module.addresses["dispatch"]
        self._is_loaded = True

    def _serve_first(self, record: Record, args: int | None, nargs: int, names: int | None) -> Any:
        """Serve a call that comes before the native functions are there."""
        del record
        positional, keywords = unpack_call(args, nargs, names)
        self._load()
        if self._is_loaded:
            return self.function(*positional, **keywords)
        return self._serve_by_python(positional, keywords)

    def _serve_by_python(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        entries = [served.entry for served in self._served]
        latest = self._latest
        entries.reverse()
        for entry in sorted(entries, key=lambda entry: entry is not latest):
            result = entry.try_call(args, kwargs)
            if result is not MISSING:
                self._latest = entry
                return result
        return self._on_miss(args, dict(kwargs))
