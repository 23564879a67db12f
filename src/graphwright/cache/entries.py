"""The form of an entry: one file with a head that explains it and a body that is the value.

In: a key and the bytes to keep.   Out: the file's bytes, and back; anything else gives `None`.

    magic · head size · head checksum · head (msgpack: version, kind, parts, body size, body checksum) · body

Keeps: a file of another version, another key, a wrong length or with one bit changed is not an entry.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

import msgspec

from graphwright.cache.keys import Key, KeyPart, Kind

_MAGIC: Final = b"GWENTRY1"
_FIXED: Final = struct.Struct("<8sI16s")
"""Magic, size of the head in bytes, checksum of the head."""
_FORMAT_VERSION: Final = 1
_MAX_HEAD_BYTES: Final = 1 << 20

HEAD_READ_BYTES: Final = 4096
"""How much of a file usually holds the whole head."""


class Head(msgspec.Struct, frozen=True):
    """What an entry says of itself."""

    version: int
    kind: Kind
    parts: tuple[KeyPart, ...]
    body_bytes: int
    body_checksum: bytes

    @property
    def key(self) -> Key:
        """The key that the entry was saved under."""
        return Key(self.kind, self.parts)


_HEAD_DECODER: Final = msgspec.msgpack.Decoder(Head)


def encode_entry(key: Key, body: bytes) -> bytes:
    """Give the bytes of an entry's file."""
    head = Head(_FORMAT_VERSION, key.kind, key.parts, len(body), _checksum(body))
    encoded = msgspec.msgpack.encode(head)
    return _FIXED.pack(_MAGIC, len(encoded), _checksum(encoded)) + encoded + body


def try_decode_entry(data: bytes, key: Key) -> bytes | None:
    """Give the body of the entry of `key`, or None when `data` is not that entry, whole and unharmed."""
    head = try_decode_head(data)
    if head is None or head.kind is not key.kind or head.parts != key.parts:
        return None
    return try_decode_body(data, head)


def try_decode_body(data: bytes, head: Head) -> bytes | None:
    """Give the body that belongs to `head`, or None when it is cut, longer, or damaged."""
    body = data[_FIXED.size + _head_bytes(data) :]
    if len(body) != head.body_bytes or _checksum(body) != head.body_checksum:
        return None
    return body


def try_decode_head(data: bytes) -> Head | None:
    """Give the head at the start of `data` (a file, or enough of it), or None when there is none."""
    if len(data) < _FIXED.size:
        return None
    magic, head_bytes, checksum = _FIXED.unpack_from(data)
    encoded = data[_FIXED.size : _FIXED.size + head_bytes]
    if magic != _MAGIC or len(encoded) != head_bytes or _checksum(encoded) != checksum:
        return None
    try:
        head = _HEAD_DECODER.decode(encoded)
    except msgspec.MsgspecError:
        return None
    return head if head.version == _FORMAT_VERSION else None


def head_extent(data: bytes) -> int:
    """Bytes that must be read to have the whole head; 0 when `data` does not start an entry."""
    if len(data) < _FIXED.size or not data.startswith(_MAGIC):
        return 0
    head_bytes = _head_bytes(data)
    return _FIXED.size + head_bytes if head_bytes <= _MAX_HEAD_BYTES else 0


def _head_bytes(data: bytes) -> int:
    head_bytes: int = _FIXED.unpack_from(data)[1]
    return head_bytes


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
