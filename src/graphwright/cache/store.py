"""The local store of one kind of entry: a folder of files, each holding a key's parts and a value.

In: keys and bytes.   Out: the bytes saved under a key earlier, by this or any other process, or a counted miss.

Keeps:
- nothing here stops a compile: a full disk, a read-only or missing folder, a damaged entry are counted (`save_failed`,
  `corrupt`), logged once, and answered with a miss;
- what is code is read from, and written to, a folder that the user owns and no one else can write; otherwise the store is
  off for it (counted as `bypass`, logged once);
- the folder stays within the limits, the least recently used entries going first. It is looked at on about one save in
  32, chosen by the content's hash, so it can be over the limits by a few dozen entries for a while.

Does not: know what the bytes mean (see `typed.py`), or where the folder is (see `caches.py`).
"""

from __future__ import annotations

import enum
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from graphwright.base.counters import Counters
from graphwright.cache.entries import (
    HEAD_READ_BYTES,
    Head,
    encode_entry,
    head_extent,
    try_decode_body,
    try_decode_entry,
    try_decode_head,
)
from graphwright.cache.files import (
    FoundFile,
    is_private,
    iter_files,
    publish_file,
    try_read_file,
)
from graphwright.cache.keys import Key, Kind, PartDifference, content_name, differences

Value = TypeVar("Value")
_LOG: Final = logging.getLogger("graphwright.cache")
_KEPT_AFTER_PRUNE: Final = 0.9
"""Part of the limits that a prune leaves filled."""
_PRUNE_LETTERS: Final = "a"
"""First letters of a content name (32 are possible) whose save is followed by a look at the limits."""


class Limits(msgspec.Struct, frozen=True):
    """How much one store may hold."""

    max_bytes: int = 1 << 30
    max_files: int = 10_000
    max_values: int = 256
    """Values under one key, which are all read when it is asked for; the most recently used stay."""


class Problem(enum.Enum):
    """Why a store does not do what it was asked."""

    NOT_PRIVATE = "is not owned by this user or can be written by others, so no code is kept in it"
    NOT_WRITABLE = "cannot be written"
    NOT_READABLE = "cannot be read"


class EntryInfo(msgspec.Struct, frozen=True):
    """An entry, without its value."""

    path: str
    size_bytes: int
    used_ns: int
    head: Head


class Nearest(msgspec.Struct, frozen=True):
    """The entry that is most like a key that was missed."""

    entry: EntryInfo
    differences: tuple[PartDifference, ...]


class Usage(msgspec.Struct, frozen=True):
    """How full a store is."""

    kind: Kind
    num_entries: int
    num_drafts: int
    """Files that were never published: writes in progress, or of processes that were killed."""
    size_bytes: int


class Verification(msgspec.Struct, frozen=True):
    """What a look at every entry found."""

    num_good: int
    damaged: tuple[str, ...]
    """Paths of the files that are not entries, removed."""


class Store:
    """Entries of one kind in the folder `root/<kind>`.

    Args:
        root: the cache folder; made when something is saved first.
        kind: what the entries hold.
        counters: where hits, misses and failures are counted, in the kind's group.
        limits: how much may be kept.
    """

    def __init__(
        self, root: Path, kind: Kind, *, counters: Counters, limits: Limits | None = None
    ) -> None:
        self.kind = kind
        self.folder = root / kind.value
        self.limits = limits or Limits()
        self._counters = counters
        self._told: set[Problem] = set()

    def get(self, key: Key, decode: Callable[[bytes], Value]) -> Value | None:
        """Give the one value saved under `key` by `put`, or None; see `get_all` for `decode`."""
        if not self._is_usable():
            return None
        value = self._try_read(self._path(key.name), key, decode)
        self._count("miss" if value is None else "hit")
        return value

    def get_all(self, key: Key, decode: Callable[[bytes], Value]) -> tuple[Value, ...]:
        """Give all values saved under `key` by `add`, the most recently used first.

        Args:
            key: what they were saved under.
            decode: makes a value of its bytes; a `ValueError` of its means that the entry is damaged.
        """
        if not self._is_usable():
            return ()
        found = [self._try_read(path, key, decode) for path in self._list_values(key.name)]
        values = tuple(value for value in found if value is not None)
        self._count("hit" if values else "miss")
        return values

    def put(self, key: Key, value: bytes) -> bool:
        """Save `value` as the one value of `key`; False when that was not possible."""
        return self._save(self._path(key.name), key, value)

    def add(self, key: Key, value: bytes) -> bool:
        """Save `value` among the values of `key`; False when that was not possible."""
        is_saved = self._save(self._path(f"{key.name}-{content_name(value)}"), key, value)
        if is_saved:
            for path in self._list_values(key.name)[self.limits.max_values :]:
                _try_remove(path)
        return is_saved

    def usage(self) -> Usage:
        """Tell how full the store is."""
        files = list(iter_files(self.folder))
        num_drafts = sum(file.is_draft for file in files)
        size_bytes = sum(file.size_bytes for file in files)
        return Usage(self.kind, len(files) - num_drafts, num_drafts, size_bytes)

    def list_entries(self) -> Iterator[EntryInfo]:
        """Give the entries, the most recently used first; what is not an entry is left out."""
        for file in sorted(iter_files(self.folder), reverse=True):
            head = None if file.is_draft else self._try_read_head(Path(file.path))
            if head is not None:
                yield EntryInfo(file.path, file.size_bytes, file.used_ns, head)

    def nearest(self, key: Key, *, max_entries: int = 2000) -> Nearest | None:
        """Find the entry with the fewest differences from `key` among the `max_entries` used last, newest first."""
        best: Nearest | None = None
        for _, entry in zip(range(max_entries), self.list_entries(), strict=False):
            found = Nearest(entry, differences(key.parts, entry.head.parts))
            if best is None or len(found.differences) < len(best.differences):
                best = found
        return best

    def prune(self, limits: Limits | None = None) -> int:
        """Bring the store within 0.9 of `limits` (its own by default) if it is over them; give how many files went."""
        bounds = limits or self.limits
        files = sorted(iter_files(self.folder))
        size_bytes = sum(file.size_bytes for file in files)
        if size_bytes <= bounds.max_bytes and len(files) <= bounds.max_files:
            return 0
        num_removed = 0
        for file in files:
            is_small = size_bytes <= bounds.max_bytes * _KEPT_AFTER_PRUNE
            if is_small and len(files) - num_removed <= bounds.max_files * _KEPT_AFTER_PRUNE:
                break
            num_removed += _try_remove(Path(file.path))
            size_bytes -= file.size_bytes
        return num_removed

    def clear(self) -> int:
        """Remove all entries and drafts; give how many went."""
        return sum(_try_remove(Path(file.path)) for file in iter_files(self.folder))

    def verify(self) -> Verification:
        """Read every entry whole and remove what is damaged; drafts are left alone."""
        files = [file for file in iter_files(self.folder) if not file.is_draft]
        damaged = tuple(file.path for file in files if not self._is_whole(file))
        for path in damaged:
            self._count("corrupt")
            _try_remove(Path(path))
        return Verification(len(files) - len(damaged), damaged)

    def _path(self, name: str) -> Path:
        return self.folder / name[0] / name

    def _list_values(self, key_name: str) -> list[Path]:
        shard = self._path(key_name).parent
        try:
            with os.scandir(shard) as found:
                items = [item for item in found if item.name.startswith(f"{key_name}-")]
            return [Path(item.path) for item in sorted(items, key=_newest_first)]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._tell(Problem.NOT_READABLE, error)
            return []

    def _try_read(self, path: Path, key: Key, decode: Callable[[bytes], Value]) -> Value | None:
        try:
            data = try_read_file(path, needs_private=self.kind.is_code)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell(Problem.NOT_READABLE, error)
            return None
        body = None if data is None else try_decode_entry(data, key)
        try:
            if body is not None:
                return decode(body)
        except ValueError:
            _LOG.debug("cache entry %s does not decode", path, exc_info=True)
        self._count("corrupt")
        _try_remove(path)
        return None

    def _try_read_head(self, path: Path) -> Head | None:
        try:
            data = try_read_file(path, needs_private=False, limit_bytes=HEAD_READ_BYTES)
            if data is not None and head_extent(data) > len(data):
                data = try_read_file(path, needs_private=False, limit_bytes=head_extent(data))
        except OSError:
            return None
        return None if data is None else try_decode_head(data)

    def _is_whole(self, file: FoundFile) -> bool:
        path = Path(file.path)
        try:
            data = try_read_file(path, needs_private=self.kind.is_code, limit_bytes=file.size_bytes)
        except OSError:
            return False
        head = None if data is None else try_decode_head(data)
        if data is None or head is None or head.kind is not self.kind:
            return False
        return path.name.startswith(head.key.name) and try_decode_body(data, head) is not None

    def _save(self, path: Path, key: Key, value: bytes) -> bool:
        data = encode_entry(key, value)
        if len(data) > self.limits.max_bytes:
            self._count("bypass")
            return False
        if not self._is_usable():
            return False
        try:
            publish_file(path, data)
        except OSError as error:
            self._count("save_failed")
            self._tell(Problem.NOT_WRITABLE, error)
            return False
        self._count("save")
        if content_name(value)[0] in _PRUNE_LETTERS or len(data) > self.limits.max_bytes // 32:
            self.prune()
        return True

    def _is_usable(self) -> bool:
        if not self.kind.is_code:
            return True
        try:
            is_safe = all(is_private(path.stat()) for path in (self.folder.parent, self.folder))
        except FileNotFoundError:
            return True
        except OSError as error:
            self._tell(Problem.NOT_READABLE, error)
            return False
        if not is_safe:
            self._count("bypass")
            self._tell(Problem.NOT_PRIVATE, None)
        return is_safe

    def _count(self, name: str) -> None:
        self._counters.add(self.kind.counter_group, name)

    def _tell(self, problem: Problem, cause: OSError | None) -> None:
        if problem in self._told:
            return
        self._told.add(problem)
        reason = "" if cause is None else f": {cause.strerror}"
        _LOG.warning("cache folder %s %s%s", self.folder, problem.value, reason)


def _newest_first(item: os.DirEntry[str]) -> int:
    try:
        return -item.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _try_remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
