"""The three stores of a process, together, and where their folder is.

In: the configured folder, counters, limits.   Out: `Caches`, with a typed store for each kind, in the folder of the moment.
Keeps: inside `fresh()` every `Caches` of the process uses one new folder, which is removed afterwards.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from graphwright.base.counters import Counters
from graphwright.cache.environment import digest_source, environment_parts
from graphwright.cache.keys import Key, KeyPart, Kind, make_key
from graphwright.cache.store import Limits, Store
from graphwright.cache.typed import (
    GraphEntry,
    GraphStore,
    KernelEntry,
    KernelStore,
    ProgramEntry,
    ProgramStore,
    TypedStore,
)


class FolderStack:
    """The folders that stand in for the configured one, innermost last; safe from many threads."""

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._lock = threading.Lock()

    @property
    def innermost(self) -> Path | None:
        """The folder in force, or None outside of `fresh()`."""
        folders = self._folders
        return folders[-1] if folders else None

    @contextlib.contextmanager
    def pushed(self, folder: Path) -> Iterator[Path]:
        """Put `folder` in force for a while."""
        with self._lock:
            self._folders = [*self._folders, folder]
        try:
            yield folder
        finally:
            with self._lock:
                self._folders = [other for other in self._folders if other is not folder]


_FRESH: Final = FolderStack()


@contextlib.contextmanager
def fresh() -> Iterator[Path]:
    """Use a new, empty cache folder in this process until the block ends; for tests."""
    with (
        tempfile.TemporaryDirectory(
            prefix="graphwright-cache-", ignore_cleanup_errors=True
        ) as name,
        _FRESH.pushed(Path(name)) as folder,
    ):
        yield folder


class Stores:
    """The stores of one folder."""

    def __init__(self, root: Path, counters: Counters, limits: Limits) -> None:
        self.root = root
        self.by_kind = {kind: Store(root, kind, counters=counters, limits=limits) for kind in Kind}
        self.programs: ProgramStore = TypedStore(self.by_kind[Kind.PROGRAM], ProgramEntry)
        self.graphs: GraphStore = TypedStore(self.by_kind[Kind.GRAPH], GraphEntry)
        self.kernels: KernelStore = TypedStore(self.by_kind[Kind.KERNEL], KernelEntry)


class Caches:
    """The caches of a process.

    Args:
        root: the configured folder, not in force inside `fresh()`.
        counters: where hits and misses are counted.
        limits: how much each store may hold.
        source: the folder of the compiler's own source.
        cache_key_tag: the user's tag that sets entries apart.
        config: settings that change what a compile gives, as text.
    """

    def __init__(
        self,
        root: Path,
        *,
        counters: Counters,
        limits: Limits | None = None,
        source: Path,
        cache_key_tag: str = "",
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._counters = counters
        self._limits = limits or Limits()
        self._stores = Stores(root, counters, self._limits)
        self._environment = environment_parts(
            source_digest=digest_source(source, root), cache_key_tag=cache_key_tag, config=config
        )

    @property
    def stores(self) -> Stores:
        """The stores of the folder in force."""
        root = _FRESH.innermost or self._root
        stores = self._stores
        if stores.root != root:
            stores = self._stores = Stores(root, self._counters, self._limits)
        return stores

    @property
    def programs(self) -> ProgramStore:
        """Programs in the folder in force."""
        return self.stores.programs

    @property
    def graphs(self) -> GraphStore:
        """Graphs in the folder in force."""
        return self.stores.graphs

    @property
    def kernels(self) -> KernelStore:
        """Kernels in the folder in force."""
        return self.stores.kernels

    def make_key(self, kind: Kind, *parts: KeyPart) -> Key:
        """Make a key of `parts` and the environment's."""
        return make_key(kind, (*parts, *self._environment))
