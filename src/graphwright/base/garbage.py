"""Garbage collections, put off while graphwright is loaded and while programs are compiled.

In: nothing.   Out: a context in which Python looks for cyclic garbage seldom, and never among all objects.
Either makes so many objects that Python would look through all objects of the process once or twice, those of torch and of the user's
modules with them, and find next to nothing: 0.1 to 0.25 s each time beside a large model, as much as capturing 20 layers takes. So what
was made counts as old when the last block ends: else the next few thousand objects that the user makes would set off what was put off.
A compile leaves cycles behind, which hold what it looked at: of what it made, garbage is let go of at its end, for a hundredth of its
time. The rest is counted: where many compiles follow each other, Python alone would look for what became garbage later once in a while,
or never.
Keeps: the user's thresholds, once the last block has ended, unless somebody else has set them meanwhile; collections that the user has
turned off stay off; what the user has frozen (`gc.freeze`) stays frozen.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Final, final

_NEVER: Final = 2**31 - 1
_NUM_YOUNG: Final = 50_000
"""So many more objects than before (about 5 MB) and Python looks for garbage among the young: a compile makes some hundred thousand."""

_NUM_LEFT: Final = 150_000
"""So many objects that compiles have left, a third of what torch makes, and all are looked through."""


@final
class GarbageCollections:
    """Whether collections are put off, in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_blocks = 0
        self._collects = False
        self._num_left = 0
        self._found: tuple[int, int, int] = (0, 0, 0)
        self._set: tuple[int, int, int] = (0, 0, 0)

    @contextlib.contextmanager
    def put_off(self, *, leaves_garbage: bool) -> Iterator[None]:
        """Put them off; other threads may do so at the same time.

        Args:
            leaves_garbage: what the block made is looked through at its end.
        """
        with self._lock:
            if self._num_blocks == 0:
                self._begin()
            self._num_blocks += 1
            self._collects |= leaves_garbage
        try:
            yield
        finally:
            with self._lock:
                self._num_blocks -= 1
                if self._num_blocks == 0:
                    self._end()

    def _begin(self) -> None:
        self._found = gc.get_threshold()
        young, middle, _ = self._found
        gc.set_threshold(max(young, _NUM_YOUNG) if young else 0, middle, _NEVER)
        self._set = gc.get_threshold()
        self._collects = False

    def _end(self) -> None:
        if self._collects and self._found[0] and gc.isenabled():
            self._collect()
        elif not gc.get_freeze_count():
            # Together these move all objects among the old, and count from zero again.
            gc.freeze()
            gc.unfreeze()
        if gc.get_threshold() == self._set:
            gc.set_threshold(*self._found)

    def _collect(self) -> None:
        num_young, num_middle, num_old = gc.get_count()
        num_made = num_young + num_middle * gc.get_threshold()[0]
        self._num_left += num_made - gc.collect(1)
        if num_old > self._found[2] and self._num_left > _NUM_LEFT:
            gc.collect()
            self._num_left = 0


GARBAGE_COLLECTIONS: Final = GarbageCollections()
"""Those of this process."""
