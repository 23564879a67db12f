from __future__ import annotations

import pytest

from graphwright.cache import Kind, make_key, make_part
from graphwright.cache.entries import (
    HEAD_READ_BYTES,
    encode_entry,
    head_extent,
    try_decode_entry,
    try_decode_head,
)

KEY = make_key(Kind.KERNEL, [make_part("kernel", "k"), make_part("torch", "2.13")])
ENTRY = encode_entry(KEY, b"machine code")


def test_entry_gives_back_its_body_and_parts() -> None:
    head = try_decode_head(ENTRY)

    assert try_decode_entry(ENTRY, KEY) == b"machine code"
    assert head is not None
    assert head.key == KEY


def test_entry_cut_at_any_byte_is_no_entry() -> None:
    assert [n for n in range(len(ENTRY)) if try_decode_entry(ENTRY[:n], KEY) is not None] == []


def test_entry_with_any_bit_flipped_is_no_entry() -> None:
    harmed = []
    for bit in range(len(ENTRY) * 8):
        data = bytearray(ENTRY)
        data[bit // 8] ^= 1 << bit % 8
        harmed.append(try_decode_entry(bytes(data), KEY))

    assert set(harmed) == {None}


@pytest.mark.parametrize("tail", [b"\0", ENTRY])
def test_entry_with_something_after_it_is_no_entry(tail: bytes) -> None:
    assert try_decode_entry(ENTRY + tail, KEY) is None


@pytest.mark.parametrize(
    "other",
    [
        make_key(Kind.PROGRAM, KEY.parts),
        make_key(Kind.KERNEL, KEY.parts[:1]),
        make_key(Kind.KERNEL, KEY.parts[::-1]),
    ],
)
def test_entry_of_another_key_is_no_entry(other) -> None:
    assert try_decode_entry(ENTRY, other) is None


def test_head_is_read_from_the_start_of_the_file_alone() -> None:
    parts = [make_part(f"part {i}", "x" * 500) for i in range(20)]
    data = encode_entry(make_key(Kind.GRAPH, parts), b"body" * 1000)
    extent = head_extent(data[:HEAD_READ_BYTES])

    assert HEAD_READ_BYTES < extent < len(data)
    assert try_decode_head(data[:HEAD_READ_BYTES]) is None
    head = try_decode_head(data[:extent])
    assert head is not None
    assert head.parts == tuple(parts)


def test_head_extent_of_foreign_bytes_is_zero() -> None:
    assert head_extent(b"") == 0
    assert head_extent(b"not a cache entry at all, but long enough") == 0
    assert head_extent(ENTRY[:8] + b"\xff\xff\xff\xff" + ENTRY[12:]) == 0
