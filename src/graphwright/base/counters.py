"""Nested counters: what happened, how often, by group and name.

In: `add` calls from every room.   Out: `counters[group][name]`, which tests and users read.
Keeps: a group or name that was never counted reads as zero and leaves no trace; counting is safe from many threads.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final


class Counters:
    """Counts by group and name (`counters["kernel_cache"]["hit"]`)."""

    def __init__(self) -> None:
        self._groups: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()

    def add(self, group: str, name: str, amount: int = 1) -> None:
        """Count `name` of `group` `amount` times more."""
        with self._lock:
            self._groups.setdefault(group, Counter())[name] += amount

    def __getitem__(self, group: str) -> Counter[str]:
        """The counts of `group`, empty when nothing was counted; a missing name reads as zero."""
        return self._groups.get(group, Counter())

    def __iter__(self) -> Iterator[str]:
        """The groups in which something was counted."""
        return iter(tuple(self._groups))

    def clear(self, group: str | None = None) -> None:
        """Forget all counts, or those of one group."""
        with self._lock:
            if group is None:
                self._groups.clear()
            else:
                self._groups.pop(group, None)

    def snapshot(self) -> dict[str, dict[str, int]]:
        """All counts as plain data."""
        with self._lock:
            return {group: dict(counts) for group, counts in self._groups.items()}


counters: Final = Counters()
"""The counters of this process, `gw.counters`."""
