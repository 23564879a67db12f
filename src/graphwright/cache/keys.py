"""Cache keys: ordered lists of named parts, and the name that they hash to.

In: named values that decide what a compile gives.   Out: `Key`, whose `name` finds an entry and whose parts explain a miss.

Keeps:
- a key is made of text and bytes given by the caller, in the caller's order; nothing here reads the process, so no
  device index, path, environment, object identity or set order can slip in by itself;
- a part's value is kept as text beside the entry when it is short, else only its digest is;
- `name` is a function of the kind and of the parts' names and digests alone.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

_MAX_TEXT: Final = 512
"""Longest value, in characters, that is kept beside an entry word for word."""


class Kind(enum.Enum):
    """What an entry holds; `.value` is the folder it lives in."""

    PROGRAM = "programs"
    """Guards and effects with their plan."""
    GRAPH = "graphs"
    """An ATen graph's plan."""
    KERNEL = "kernels"
    """Object code."""

    @property
    def counter_group(self) -> str:
        """The group of `gw.counters` in which this kind is counted."""
        return f"{self.name.lower()}_cache"

    @property
    def is_code(self) -> bool:
        """True where an entry makes the process run code that is in it."""
        return self is not Kind.GRAPH


class KeyPart(msgspec.Struct, frozen=True):
    """One thing that a compile depends on."""

    name: str
    digest: str
    """Of the value."""
    text: str | None = None
    """The value, where it is short text."""


class Key(msgspec.Struct, frozen=True):
    """All that a compile depends on."""

    kind: Kind
    parts: tuple[KeyPart, ...]

    @property
    def name(self) -> str:
        """52 characters of `a-z2-7`: the hash of the kind and all parts."""
        hasher = hashlib.blake2b(self.kind.value.encode(), digest_size=32)
        for part in self.parts:
            hasher.update(_framed(part.name.encode()) + _framed(part.digest.encode()))
        return _base32(hasher.digest())


class PartDifference(msgspec.Struct, frozen=True):
    """A part in which two keys differ. A side is None where its key has no such part."""

    name: str
    wanted: str | None
    found: str | None


def make_part(name: str, value: str | bytes) -> KeyPart:
    """Name a value; text and the same text in UTF-8 bytes give different digests."""
    match value:
        case str():
            digest = _digest(b"t" + value.encode("utf-8", "surrogatepass"))
            return KeyPart(name, digest, value if len(value) <= _MAX_TEXT else None)
        case bytes():
            return KeyPart(name, _digest(b"b" + value))


def make_key(kind: Kind, parts: Iterable[KeyPart]) -> Key:
    """Make a key of parts in their order.

    Raises:
        ValueError: two parts have one name, so that a difference between keys could not be told.
    """
    key = Key(kind, tuple(parts))
    names = [part.name for part in key.parts]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        message = f"key parts must have different names; met more than once: {', '.join(twice)}"
        raise ValueError(message)
    return key


def differences(wanted: Iterable[KeyPart], found: Iterable[KeyPart]) -> tuple[PartDifference, ...]:
    """List the parts in which two keys differ, those of `wanted` first, each with its text or digest."""
    wanted_by_name = {part.name: part for part in wanted}
    found_by_name = {part.name: part for part in found}
    return tuple(
        PartDifference(name, _shown(wanted_by_name.get(name)), _shown(found_by_name.get(name)))
        for name in wanted_by_name | found_by_name
        if _part_digest(wanted_by_name.get(name)) != _part_digest(found_by_name.get(name))
    )


def content_name(content: bytes) -> str:
    """Name bytes by what they are: 26 characters of `a-z2-7`."""
    return _base32(hashlib.blake2b(content, digest_size=16).digest())


def _part_digest(part: KeyPart | None) -> str | None:
    return None if part is None else part.digest


def _shown(part: KeyPart | None) -> str | None:
    if part is None:
        return None
    return f"digest {part.digest[:12]}" if part.text is None else part.text


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
