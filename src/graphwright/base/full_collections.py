"""Full garbage collections, put off while graphwright is loaded and while programs are compiled.

In: nothing.   Out: a context in which Python collects the young and not all.
Either makes so many objects that Python would look through all objects of the process once or twice, those of torch and of the user's
modules with them, and find next to nothing: 0.1 to 0.2 s each time. What is left behind that only a full collection finds is found by
the next one, afterwards.
Keeps: the user's thresholds, once the last block has ended, unless somebody else has set them meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Final, final

_NEVER: Final = 2**31 - 1


@final
class FullCollections:
    """Whether full collections are put off, in one process."""

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
                self._found = gc.get_threshold()
                gc.set_threshold(*self._found[:2], _NEVER)
                self._set = gc.get_threshold()
            self._num_blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_blocks -= 1
                if self._num_blocks == 0 and gc.get_threshold() == self._set:
                    gc.set_threshold(*self._found)


FULL_COLLECTIONS: Final = FullCollections()
"""Those of this process."""
