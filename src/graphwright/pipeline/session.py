"""What the compiles of one process share.

In: settings, compiled code.   Out: the caches on disk, the code in memory, the observers, and the targets that live.
Keeps: code is known by the content of its kernel, so equal kernels of all programs are compiled and loaded once.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import os
import threading
import weakref
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from graphwright.base.config import Config
from graphwright.base.counters import counters
from graphwright.base.ids import CompileId, ProgramIds
from graphwright.cache import Caches
from graphwright.codegen.llvm import LoadedCode
from graphwright.observe import Observer
from graphwright.pipeline.options import Stance
from graphwright.runtime.kept_memory import KEPT_MEMORY


class Target(Protocol):
    """Something that holds compiled variants."""

    def forget(self) -> None:
        """Drop them."""

    def follow_stance(self) -> None:
        """Serve calls as the stance says, which has changed."""


_NUM_KEPT: Final = 256
"""Kernels, the latest ones, whose code is kept though no program uses it: what is compiled again soon."""


class Session:
    """The state of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = ProgramIds()
        # Code goes with the last program that uses it: a process that meets ever new sizes must not fill up with code.
        self._loaded: weakref.WeakValueDictionary[str, LoadedCode] = weakref.WeakValueDictionary()
        self._latest: collections.deque[LoadedCode] = collections.deque(maxlen=_NUM_KEPT)
        self._caches: dict[tuple[str, ...], Caches] = {}
        self._targets: weakref.WeakSet[Target] = weakref.WeakSet()
        self.stance = Stance.DEFAULT
        """What all targets do; set by `change_stance`."""

    def caches(self, settings: Config) -> Caches | None:
        """Give the caches for these settings, or None where they are switched off."""
        if not settings.disk_cache:
            return None
        outputs = settings.output_settings()
        identity = (settings.cache_dir, *outputs.values())
        with self._lock:
            found = self._caches.get(identity)
            if found is None:
                found = self._caches[identity] = Caches(
                    Path(settings.cache_dir or default_folder()),
                    counters=counters,
                    source=Path(__file__).parents[1],
                    cache_key_tag=outputs.pop("cache_key_tag"),
                    config=outputs,
                )
        return found

    def next_program(self) -> CompileId:
        """Give the id of a new target's first compile."""
        return self._ids.next_program()

    def find_code(self, kernel_key: str) -> LoadedCode | None:
        """Give the loaded code of a kernel, if this process has it."""
        return self._loaded.get(kernel_key)

    def keep_code(self, kernel_key: str, code: LoadedCode) -> LoadedCode:
        """Keep the loaded code of a kernel; gives what is kept, which another thread may have been first with."""
        with self._lock:
            kept = self._loaded.setdefault(kernel_key, code)
            self._latest.append(kept)
            return kept

    def keep_target(self, target: Target) -> None:
        """Remember a target for `forget_all`, for as long as it lives."""
        self._targets.add(target)

    def change_stance(self, stance: Stance) -> Stance:
        """Make all targets take a stance; gives the one before."""
        with self._lock:
            before, self.stance = self.stance, stance
        for target in list(self._targets):
            target.follow_stance()
        return before

    def forget_all(self) -> None:
        """Forget the compiled variants of every target, and give kept memory back."""
        for target in list(self._targets):
            target.forget()
        KEPT_MEMORY.clear()


def default_folder() -> Path:
    """Give the folder of the caches where the user names none."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "graphwright"


SESSION: Final = Session()
"""The one of this process."""


class _Collection(NamedTuple):
    """The observers that a thread collects."""

    observers: list[Observer]
    keeps: Container[str]


_COLLECTED: Final[contextvars.ContextVar[_Collection | None]] = contextvars.ContextVar(
    "collected", default=None
)


def forget_all() -> None:
    """Forget every compiled program of this process; caches on disk stay."""
    SESSION.forget_all()


def make_observer(compile_id: CompileId) -> Observer:
    """Make the observer of one compile."""
    collected = _COLLECTED.get()
    observer = Observer(str(compile_id), keeps=collected.keeps if collected else ())
    if collected is not None:
        collected.observers.append(observer)
    return observer


@contextlib.contextmanager
def collect_observers(*names: str) -> Iterator[list[Observer]]:
    """Collect the observers of the compiles that this thread makes inside the block, with the artifacts of these names."""
    observers: list[Observer] = []
    token = _COLLECTED.set(_Collection(observers, frozenset(names)))
    try:
        yield observers
    finally:
        _COLLECTED.reset(token)
