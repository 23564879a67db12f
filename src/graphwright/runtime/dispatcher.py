"""The callable over all compiled variants of one target.

In: entries, and what to do when none serves a call.   Out: `Dispatcher`, whose `function` is called in the place of the target.
Keeps: the entry that served the latest call is tried first; adding one while other threads call is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from graphwright.runtime.entry import Entry
from graphwright.runtime.native import NativeDispatcher, OnMiss


@final
class Dispatcher:
    """All compiled variants of one target. Making the first one of a process loads the native functions.

    Args:
        on_miss: called when no entry serves a call.

    Attributes:
        function: the callable that takes the target's place.
    """

    def __init__(self, on_miss: OnMiss) -> None:
        self._entries: tuple[Entry, ...] = ()
        self._serving: Final = NativeDispatcher(on_miss)
        self.function: Final[Callable[..., Any]] = self._serving.function

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, in the order in which they were added."""
        return self._entries

    @property
    def refusal(self) -> str:
        """Why Python serves the calls; empty while native code does."""
        return self._serving.refusal

    def add(self, entry: Entry) -> None:
        """Let `entry` serve calls, before all others."""
        self._serving.add(entry)
        self._entries = (*self._entries, entry)

    def clear(self) -> None:
        """Forget every entry."""
        self._serving.clear()
        self._entries = ()

    def release(self) -> None:
        """Let go of every entry, where nobody is left who could call: they and what they look at would be cycles of garbage."""
        entries = self._entries
        if any(entry.num_active for entry in entries):
            return
        self.clear()
        self._serving.release()
        for entry in entries:
            entry.release()
