"""Full garbage collections, put off while programs are compiled.

In: nothing.   Out: a context in which Python collects the young and not all.
A compile makes so many objects that Python would look through all objects of the process once or twice, those of torch and of the user's
modules with them, and find next to nothing: 0.15 to 0.2 s each time beside a large model. What a compile leaves behind that only a
full collection finds is found by the next one, after the compile.
Keeps: the user's thresholds, once the last compile has ended, unless somebody else has set them meanwhile.
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
        self._num_compiles = 0
        self._found: tuple[int, int, int] = (0, 0, 0)
        self._set: tuple[int, int, int] = (0, 0, 0)

    @contextlib.contextmanager
    def put_off(self) -> Iterator[None]:
        """Put them off; compiles on other threads may do so at the same time."""
        with self._lock:
            if self._num_compiles == 0:
                self._found = gc.get_threshold()
                gc.set_threshold(*self._found[:2], _NEVER)
                self._set = gc.get_threshold()
            self._num_compiles += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_compiles -= 1
                if self._num_compiles == 0 and gc.get_threshold() == self._set:
                    gc.set_threshold(*self._found)
