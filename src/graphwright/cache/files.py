"""The few file operations that a store is made of, safe among many processes and on a network file system.

In: paths and bytes.   Out: whole files, published by an atomic rename; `OSError` where the system refuses.

Keeps:
- a file appears under its name complete or not at all, with no lock: a process that is killed leaves a draft (`.….tmp`) at
  most, which is bounded and pruned like any other file;
- nothing is forced to the disk: after a power cut a file may be empty or short, which its checksums tell;
- files are made for the user alone (0600), folders too (0700).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

DRAFT_SUFFIX: Final = ".tmp"
_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_OTHERS_CAN_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class FoundFile(msgspec.Struct, frozen=True, order=True):
    """A file of a store, oldest use first in order."""

    used_ns: int
    """Time of the last use."""
    path: str
    size_bytes: int

    @property
    def is_draft(self) -> bool:
        """True for a file that was never published."""
        return self.path.endswith(DRAFT_SUFFIX)


def is_private(facts: os.stat_result) -> bool:
    """Tell whether only the user (and root) can have written it."""
    return facts.st_uid == os.geteuid() and not facts.st_mode & _OTHERS_CAN_WRITE


def try_read_file(
    path: Path, *, needs_private: bool, limit_bytes: int | None = None
) -> bytes | None:
    """Read a regular file, or its first `limit_bytes`; None when it is no such file, or not private as it must be.

    Reading a file whole marks it as used.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    descriptor = os.open(path, _READ_FLAGS)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or (needs_private and not is_private(facts)):
            return None
        if limit_bytes is None:
            _try_mark_used(descriptor)
        return _read(descriptor, facts.st_size if limit_bytes is None else limit_bytes)
    finally:
        os.close(descriptor)


def publish_file(path: Path, data: bytes) -> None:
    """Put `data` under `path` in one step, making the folders it needs.

    Raises:
        OSError: the disk is full, the folder cannot be written, …; no draft is left and `path` is as it was.
    """
    try:
        _publish(path, data)
    except FileNotFoundError:
        _make_folder(path.parent)
        _publish(path, data)


def iter_files(folder: Path) -> Iterator[FoundFile]:
    """Give the files two levels below `folder`; what vanishes meanwhile, or cannot be listed, is left out."""
    for shard in _list_folder(folder):
        if shard.is_dir(follow_symlinks=False):
            yield from _iter_shard(shard.path)


def _make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it; `Path.mkdir` would make the latter for everyone."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _iter_shard(shard: str) -> Iterator[FoundFile]:
    for item in _list_folder(shard):
        try:
            facts = item.stat(follow_symlinks=False)
        except OSError:
            continue
        yield FoundFile(facts.st_mtime_ns, item.path, facts.st_size)


def _list_folder(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _publish(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{secrets.token_hex(12)}{DRAFT_SUFFIX}")
    descriptor = os.open(draft, _WRITE_FLAGS, 0o600)
    try:
        try:
            _write(descriptor, data)
        finally:
            os.close(descriptor)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, size_bytes: int) -> bytes:
    chunks = []
    missing = size_bytes + 1
    while missing > 0 and (chunk := os.read(descriptor, missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def _try_mark_used(descriptor: int) -> None:
    try:
        os.utime(descriptor)
    except OSError:
        return
