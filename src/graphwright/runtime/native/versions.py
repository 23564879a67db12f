"""Where CPython keeps the versions of dictionaries and types, found by changing some and looking.

In: nothing.   Out: `Versions`: offsets in bytes, or `NONE` where this CPython keeps no version that can be relied on.
Keeps: an offset is given only if the word there changed with every kind of change that was tried, and with nothing else. A version
that is equal means that nothing was changed: a changed dictionary, or another one, never has a version that was there before.
"""

from __future__ import annotations

import ctypes
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

NONE: Final = -1
_WORD: Final = 8
_DICT_WORDS: Final = 6
_ROUNDS: Final = 200
"""Enough for CPython to specialise the instructions of a loop."""


class Versions(msgspec.Struct, frozen=True):
    """Offsets of version words."""

    of_dict: int
    """In a dictionary: changes with its keys and values."""
    of_type: int
    """In a type: 0, or changes with the attributes of the type and of its bases."""


def read_word(address: int) -> int:
    """Give the word at an address."""
    return ctypes.c_uint64.from_address(address).value


@functools.cache
def find_versions() -> Versions:
    """Change dictionaries and types and see which word tells."""
    return Versions(of_dict=_find_dict_version(), of_type=_find_type_version())


def _words(value: object, count: int) -> list[int]:
    return list((ctypes.c_uint64 * count).from_address(id(value)))


class _Plain:
    value = 0


def _store_attribute(holder: Any) -> None:
    for number in range(_ROUNDS):
        holder.value = number


def _iter_dict_changes() -> Iterator[tuple[dict[Any, Any], Callable[[], object]]]:
    for table in ({"a": 1, "b": 2, "c": 3}, OrderedDict(a=1, b=2, c=3)):
        for method, args in (
            ("__setitem__", ("new", 1)),
            ("__setitem__", ("a", 2)),
            ("__delitem__", ("b",)),
            ("pop", ("c",)),
            ("update", ({"a": 5},)),
            ("setdefault", ("d", 5)),
            ("popitem", ()),
            ("clear", ()),
            ("update", ({"x": 1},)),
        ):
            yield table, functools.partial(getattr(table, method), *args)
    holder = _Plain()
    holder.value = -1
    own = vars(holder)
    yield own, lambda: _store_attribute(holder)
    yield own, lambda: setattr(holder, "value", "set")
    yield own, lambda: object.__setattr__(holder, "value", "again")
    yield own, lambda: object.__setattr__(holder, "other", "new")
    yield own, lambda: delattr(holder, "other")


def _find_dict_version() -> int:
    candidates = set(range(2, _DICT_WORDS))
    for table, change in _iter_dict_changes():
        before = _words(table, _DICT_WORDS)
        _read_dict(table)
        quiet = _words(table, _DICT_WORDS)
        change()
        after = _words(table, _DICT_WORDS)
        candidates &= {
            n for n in range(_DICT_WORDS) if before[n] == quiet[n] and quiet[n] != after[n]
        }
    fresh = {_words({"a": 1}, _DICT_WORDS)[n] for n in candidates for _ in range(50)}
    return candidates.pop() * _WORD if len(candidates) == 1 and len(fresh) == 50 else NONE


def _read_dict(table: dict[Any, Any]) -> None:
    for _ in range(3):
        table.get("a"), table.get("missing"), list(table), len(table), table.copy()


def _find_type_version() -> int:
    count = type.__dict__["__basicsize__"].__get__(type) // _WORD
    candidates = set(range(count))
    for change in (
        lambda base, _: setattr(base, "value", 1),
        lambda _, derived: setattr(derived, "value", 2),
        lambda _, derived: delattr(derived, "value"),
        lambda base, _: setattr(base, "other", 3),
    ):
        base: Any = type("Base", (), {"value": 0})
        derived: Any = type("Derived", (base,), {"value": 0})
        _read_type(derived)
        before = _words(derived, count)
        _read_type(derived)
        quiet = _words(derived, count)
        change(base, derived)
        _read_type(derived)
        after = _words(derived, count)
        candidates &= {
            n
            for n in range(count)
            if before[n] == quiet[n] and quiet[n] != after[n] and 0 not in (quiet[n], after[n])
        }
    return candidates.pop() * _WORD if len(candidates) == 1 else NONE


def _read_type(kind: Any) -> None:
    made = kind()
    for _ in range(3):
        getattr(made, "value", None), getattr(kind, "other", None), getattr(made, "missing", None)
