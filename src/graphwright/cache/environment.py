"""The key parts that describe this process: versions, processor, configuration.

In: the package's source folder, configuration that changes the output.   Out: `KeyPart`s shared by all keys of a process.
Keeps: two machines alike in software, processor and configuration get equal parts, wherever things are installed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import llvmlite
import msgspec
import torch
from llvmlite import binding as llvm

from graphwright.cache.files import publish_file
from graphwright.cache.keys import KeyPart, content_name, make_part


class SourceFile(msgspec.Struct, frozen=True, array_like=True):
    """What can be told of a source file without reading it."""

    name: str
    """Path relative to the source folder, with `/`."""
    size_bytes: int
    modified_ns: int
    inode: int


def environment_parts(
    *, source_digest: str, cache_key_tag: str = "", config: Mapping[str, str] | None = None
) -> tuple[KeyPart, ...]:
    """Describe the compiler, its libraries, the interpreter, the processor and the configuration.

    Args:
        source_digest: of graphwright itself, see `digest_source`.
        cache_key_tag: the user's tag that sets entries apart.
        config: settings that change what a compile gives, as text; their order does not matter.
    """
    facts = {
        "graphwright source": source_digest,
        "torch": f"{torch.__version__} {torch.version.git_version}",
        "python": f"{sys.implementation.name} {platform.python_version()}",
        "llvm": f"llvmlite {llvmlite.__version__} LLVM {'.'.join(map(str, llvm.llvm_version_info))}",
        "machine": f"{sys.platform} {platform.machine()}",
        "cpu": llvm.get_host_cpu_name(),
        "cpu features": _cpu_features(),
        "cache_key_tag": cache_key_tag,
    }
    settings = {f"config {name}": value for name, value in sorted((config or {}).items())}
    return tuple(make_part(name, value) for name, value in {**facts, **settings}.items())


def digest_source(folder: Path, memo: Path | None) -> str:
    """Digest the names and contents of all Python files below `folder`.

    The contents are read only when a file's size, time or inode is new: the digest is kept in the folder `memo`, one file
    for each `folder`. A memo that cannot be read or written, or is damaged, costs time and nothing else.
    """
    files = sorted(_iter_source_files(folder, ""), key=lambda file: file.name)
    if memo is None:
        return _digest_contents(folder, files)
    kept = memo / f"source-{content_name(os.fsencode(folder))}"
    listing = content_name(msgspec.msgpack.encode(files))
    known = _try_read_digest(kept, listing)
    if known is not None:
        return known
    digest = _digest_contents(folder, files)
    _try_write_digest(kept, listing, digest)
    return digest


def _cpu_features() -> str:
    features = llvm.get_host_cpu_features()
    return ",".join(sorted(name for name, is_on in features.items() if is_on))


def _iter_source_files(folder: Path, prefix: str) -> Iterator[SourceFile]:
    with os.scandir(folder) as found:
        for item in found:
            name = f"{prefix}{item.name}"
            if item.is_dir(follow_symlinks=False):
                if item.name != "__pycache__":
                    yield from _iter_source_files(folder / item.name, f"{name}/")
            elif item.name.endswith(".py"):
                facts = item.stat()
                yield SourceFile(name, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _digest_contents(folder: Path, files: list[SourceFile]) -> str:
    hasher = hashlib.blake2b(digest_size=20)
    for file in files:
        content = (folder / file.name).read_bytes()
        hasher.update(msgspec.msgpack.encode((file.name, len(content))))
        hasher.update(content)
    return hasher.hexdigest()


def _try_read_digest(kept: Path, listing: str) -> str | None:
    try:
        words = kept.read_text("ascii").split()
    except (OSError, ValueError):
        return None
    match words:
        case [known_listing, digest, check] if known_listing == listing:
            return digest if check == content_name(f"{listing} {digest}".encode()) else None
        case _:
            return None


def _try_write_digest(kept: Path, listing: str, digest: str) -> None:
    line = f"{listing} {digest}"
    try:
        publish_file(kept, f"{line} {content_name(line.encode())}".encode())
    except OSError:
        return
