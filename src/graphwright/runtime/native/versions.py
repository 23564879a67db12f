"""How it is seen that a dictionary or a type was changed, found out by changing some and looking.

In: the native functions that watch dictionaries, for a CPython that keeps no version in them.   Out: `Versions`.
Keeps: a word is trusted only if it changed with every kind of change that was tried, and with nothing else. A version that is equal
means that nothing was changed: a changed dictionary, or another one, never has a version that was there before.
"""

from __future__ import annotations

import ctypes
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, final

from graphwright.runtime.native.dict_watching import (
    MAY_MISS_STORES,
    DictWatcher,
    DictWords,
    ValuesTaken,
)
from graphwright.runtime.native.memory import read_word

NONE: Final = -1
_WORD: Final = 8
_DICT_WORDS: Final = 6
_TRIES: Final = 50
_ROUNDS: Final = 200
"""Enough for CPython to specialise the instructions of a function."""


class Versions(NamedTuple):
    """Where to look for changes."""

    of_dict: DictWords | None
    """None where nothing can be relied on."""
    of_type: int
    """In a type, in bytes: 0, or changes with the attributes of the type and of its bases. `NONE` where there is no such word."""


@final
class DictField:
    """The version that CPython keeps in each dictionary, up to 3.12.

    Args:
        offset: where it is, in bytes.
    """

    def __init__(self, offset: int) -> None:
        self._offset: Final = offset

    def word_of(self, table: dict[Any, Any], holder: object = None) -> int:
        """Give the address of a dictionary's version."""
        del holder
        return id(table) + self._offset

    def close(self) -> None:
        """Nothing was opened."""


def find_versions(addresses: Mapping[str, int]) -> Versions:
    """Change dictionaries and types and see which word tells.

    Args:
        addresses: of the native functions, by name.
    """
    return Versions(_find_dict_version() or _find_watcher(addresses), _find_type_version())


def _words(value: object, count: int) -> list[int]:
    return list((ctypes.c_uint64 * count).from_address(id(value)))


class _Plain:
    value = 0


def _store_attribute(holder: Any, value: object) -> None:
    holder.value = value


def _iter_dict_changes() -> Iterator[tuple[dict[Any, Any], object, Callable[[], object]]]:
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
            yield table, None, functools.partial(getattr(table, method), *args)
    for number in range(_ROUNDS):
        holder = _Plain()
        own = vars(holder)
        _store_attribute(holder, number)
    yield own, holder, lambda: _store_attribute(holder, "by a specialised instruction")
    yield own, holder, lambda: setattr(holder, "value", "set")
    yield own, holder, lambda: object.__setattr__(holder, "value", "again")
    yield own, holder, lambda: object.__setattr__(holder, "other", "new")
    yield own, holder, lambda: delattr(holder, "other")


def _find_dict_version() -> DictField | None:
    fields = [DictField(number * _WORD) for number in range(2, _DICT_WORDS)]
    found = [field for field in fields if _tells_changes(field) and _tells_apart(field)]
    return found[0] if len(found) == 1 else None


def _find_watcher(addresses: Mapping[str, int]) -> DictWords | None:
    if not hasattr(ctypes.pythonapi, "PyDict_AddWatcher"):
        return None
    try:
        watcher = DictWatcher(addresses)
    except RuntimeError:  # others have taken all that CPython has room for
        return None
    candidates: list[DictWords] = [watcher]
    if MAY_MISS_STORES:
        candidates.append(ValuesTaken(watcher, addresses))
    for words in candidates:
        if _tells_changes(words):
            return words
    watcher.close()
    return None


def _tells_changes(words: DictWords) -> bool:
    return all(_tells_change(words, *change) for change in _iter_dict_changes())


def _tells_change(
    words: DictWords, table: dict[Any, Any], holder: object, change: Callable[[], object]
) -> bool:
    address = words.word_of(table, holder)
    if address is None:
        return False
    before = read_word(address)
    _read_dict(table)
    quiet = read_word(address)
    change()
    return before == quiet != read_word(address)


def _tells_apart(field: DictField) -> bool:
    return len({read_word(field.word_of({"a": 1})) for _ in range(_TRIES)}) == _TRIES


def _read_dict(table: dict[Any, Any]) -> None:
    for _ in range(3):
        table.get("a"), table.get("missing"), list(table), len(table), table.copy()


def _find_type_version() -> int:
    count = type.__dict__["__basicsize__"].__get__(type) // _WORD
    candidates = set(range(count))
    seen: list[list[int]] = []
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
            n for n in range(count) if before[n] == quiet[n] and 0 not in (quiet[n], after[n])
        }
        seen += (quiet, after)
    # No two of these states have the same version. (How many versions a type had is counted beside it, from 3.13 on.)
    candidates = {n for n in candidates if len({words[n] for words in seen}) == len(seen)}
    return candidates.pop() * _WORD if len(candidates) == 1 else NONE


def _read_type(kind: Any) -> None:
    made = kind()
    for _ in range(3):
        getattr(made, "value", None), getattr(kind, "other", None), getattr(made, "missing", None)
