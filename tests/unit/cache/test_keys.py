from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphwright.cache import Key, Kind, PartDifference, differences, make_key, make_part

PARTS = st.lists(
    st.tuples(st.text(max_size=6), st.text(max_size=6) | st.binary(max_size=6)),
    max_size=5,
    unique_by=lambda part: part[0],
)


def key_of(parts: list[tuple[str, str | bytes]], kind: Kind = Kind.KERNEL) -> Key:
    return make_key(kind, [make_part(name, value) for name, value in parts])


@given(PARTS, PARTS)
def test_name_is_equal_exactly_when_the_parts_are(first, second) -> None:
    assert (key_of(first).name == key_of(second).name) == (first == second)


def test_name_is_52_lower_case_letters_and_digits() -> None:
    name = key_of([("a", "b")]).name

    assert len(name) == 52
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_name_is_the_same_in_every_process() -> None:
    assert key_of([("a", "b"), ("c", b"\x00")]).name.startswith("eh64kyza6prbwgvl")


def test_name_depends_on_the_kind() -> None:
    assert key_of([], Kind.KERNEL).name != key_of([], Kind.PROGRAM).name


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="met more than once: a"):
        key_of([("a", "1"), ("a", "2")])


def test_part_keeps_short_text_only() -> None:
    assert make_part("a", "short").text == "short"
    assert make_part("a", "x" * 2000).text is None
    assert make_part("a", b"short").text is None


def test_differences_name_each_part_once_with_both_sides() -> None:
    wanted = key_of([("same", "x"), ("torch", "2.13"), ("graph", b"long" * 500), ("new", "1")])
    found = key_of([("same", "x"), ("torch", "2.12"), ("graph", b"other"), ("old", "2")])

    result = differences(wanted.parts, found.parts)

    assert [difference.name for difference in result] == ["torch", "graph", "new", "old"]
    assert result[0] == PartDifference("torch", "2.13", "2.12")
    assert result[1].wanted == f"digest {wanted.parts[2].digest[:12]}"
    assert result[2] == PartDifference("new", "1", None)
    assert result[3] == PartDifference("old", None, "2")


def test_order_of_parts_changes_the_name_and_no_difference() -> None:
    first, second = key_of([("a", "1"), ("b", "2")]), key_of([("b", "2"), ("a", "1")])

    assert first.name != second.name
    assert differences(first.parts, second.parts) == ()
