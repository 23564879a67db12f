"""Builtin containers and their subclasses, read by the builtin's own methods.

In: a container.   Out: its length, keys, entries, items, with no code of the user's run.
"""

from __future__ import annotations

import collections
from typing import Any, Final

from graphwright.capture.missing import ABSENT
from graphwright.runtime import fill_instance, keys_of, make_instance

_SEQUENCES: Final[tuple[Any, ...]] = (list, tuple, collections.deque)
_MEMBERED: Final[tuple[Any, ...]] = (*_SEQUENCES, set, frozenset)

_SIZED: Final[tuple[Any, ...]] = (list, dict, tuple, set, frozenset, collections.deque)


def raw_len(container: Any) -> int:
    """Give the length of a builtin container (or subclass)."""
    for base in _SIZED:
        if isinstance(container, base):
            size: int = base.__len__(container)
            return size
    msg = f"{type(container).__name__} is no builtin container"
    raise TypeError(msg)


def raw_keys(container: dict[Any, Any]) -> list[Any]:
    """Give the keys of a dict (or subclass) in its order, with no user code run."""
    return list(keys_of(container))


def raw_items(container: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Give the entries of a dict (or subclass) in its order, with no user code run."""
    return [(key, dict.__getitem__(container, key)) for key in raw_keys(container)]


def raw_item(container: Any, index: int) -> Any:
    """Give item number `index` of a list, tuple or deque (or subclass)."""
    if isinstance(container, list):
        return list.__getitem__(container, index)
    if isinstance(container, tuple):
        return tuple.__getitem__(container, index)
    return collections.deque.__getitem__(container, index)


def raw_members(container: Any) -> Any:
    """Give an iterator over what a list, tuple, deque, set or frozenset (or subclass) holds, whatever its own `__iter__` gives."""
    base = next(base for base in _MEMBERED if isinstance(container, base))
    return base.__iter__(container)


def raw_sequence(container: Any) -> Any:
    """Give a list, tuple or deque (or subclass) in a form that iterates over what it holds."""
    for base in _SEQUENCES:
        if isinstance(container, base):
            is_exact = type(container) is base
            return container if is_exact else list(base.__iter__(container))
    msg = f"{type(container).__name__} is no builtin sequence"
    raise TypeError(msg)


def container_like(value: Any, contents: Any, members: Any = ABSENT) -> Any:
    """Give a container of the class of `value`, with nothing else of it.

    Args:
        value: a list, dict, set, frozenset or deque, or an instance of a subclass.
        contents: what it holds, as the world gives it.
        members: what is to be in the new one, where that is something else: items, or a dict of entries.
    """
    members = contents if members is ABSENT else members
    made = make_instance(type(value), lambda: members)
    if isinstance(made, collections.deque):
        collections.deque.__init__(made, members, value.maxlen)
        return made
    if isinstance(made, dict):
        if isinstance(made, collections.defaultdict):
            made.default_factory = contents.default_factory
        return fill_instance(made, {}, entries=raw_items(members))
    return fill_instance(made, {}, items=members)
