"""The callable over all compiled variants of one target.

In: entries, and what to do when none serves a call.   Out: `Dispatcher`, whose `function` is called in the place of the target.
Keeps: entries are tried most recently hit first; adding one while other threads call is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from graphwright.runtime.entry import Entry
from graphwright.runtime.reading import MISSING

OnMiss = Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""What a call does that no entry serves: gets its positional and keyword arguments, gives its result."""


@final
class Dispatcher:
    """Tries entries until one serves the call.

    Args:
        on_miss: called when no entry serves a call.
    """

    def __init__(self, on_miss: OnMiss) -> None:
        self._on_miss = on_miss
        self._entries: tuple[Entry, ...] = ()
        self._order: tuple[Entry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, in the order in which they were added."""
        return self._entries

    @property
    def function(self) -> Callable[..., Any]:
        """The callable that takes the target's place."""
        return self._serve

    def add(self, entry: Entry) -> None:
        """Let `entry` serve calls, before all others."""
        self._entries = (*self._entries, entry)
        self._order = (entry, *self._order)

    def clear(self) -> None:
        """Forget every entry."""
        self._entries = self._order = ()

    def _serve(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        order = self._order
        for position, entry in enumerate(order):
            result = entry.try_call(args, kwargs)
            if result is not MISSING:
                if position:
                    self._order = (entry, *(other for other in order if other is not entry))
                return result
        return self._on_miss(args, kwargs)
