"""Garbage collections, put off while graphwright is loaded and while programs are compiled.

In: nothing.   Out: a context in which Python looks for cyclic garbage seldom, and never among all objects.
Either makes so many objects that Python would look through all objects of the process once or twice, those of torch and of the user's
modules with them, and find next to nothing: 0.1 to 0.25 s each time beside a large model, as much as capturing 20 layers takes. For the
same reason what was made counts as old when the last block ends: else the next few thousand objects that the user makes would set off what
was put off. Little that is left is garbage, and a later full collection finds it.
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


@final
class GarbageCollections:
    """Whether collections are put off, in one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_blocks = 0
        self._found: tuple[int, int, int] = (0, 0, 0)
        self._set: tuple[int, int, int] = (0, 0, 0)

    @contextlib.contextmanager
    def put_off(self) -> Iterator[None]:
        """Put them off; other threads may do so at the same time."""
        with self._lock:
            if self._num_blocks == 0:
                self._begin()
            self._num_blocks += 1
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

    def _end(self) -> None:
        if not gc.get_freeze_count():
            # Together these move all objects among the old, and count from zero again.
            gc.freeze()
            gc.unfreeze()
        if gc.get_threshold() == self._set:
            gc.set_threshold(*self._found)


GARBAGE_COLLECTIONS: Final = GarbageCollections()
"""Those of this process."""
