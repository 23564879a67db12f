"""Protocols that any object may have: truth, length, membership, iteration.

In: an object as the interpreter holds it.   Out: what Python would give. User-written special methods are interpreted; containers
that existed before the call are read through the world; everything else is done by CPython itself.
"""

from __future__ import annotations

import collections
import operator
import types
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, Final

import numpy as np
import torch

from graphwright.capture import symbolic_floats
from graphwright.capture.constants import is_constant
from graphwright.capture.faults import natively
from graphwright.capture.items import check_key, check_known, check_own, is_read_container, special
from graphwright.capture.lookup import peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.process_bound import in_order
from graphwright.capture.raw_containers import raw_sequence
from graphwright.capture.symbolic_ints import plain, plain_throughout


def truth(machine: Machine, value: Any) -> bool:
    """Give `bool(value)`."""
    if value is True or value is False:
        return value is True
    kind = type(value)
    if kind is torch.SymFloat:
        return bool(symbolic_floats.apply(machine, operator.truth, value))
    if kind in machine.plain_types:
        return natively(bool, value)
    if is_read_container(machine, value) and special(machine, value, "__len__") is None:
        return length(machine, value) != 0
    hook = special(machine, value, "__bool__")
    if hook is not None:
        result = machine.call(hook, [value], {})
        if type(result) is not bool:
            msg = f"__bool__ should return bool, returned {type(result).__name__}"
            raise TypeError(msg)
        return result
    hook = special(machine, value, "__len__")
    if hook is not None:
        return natively(bool, machine.call(hook, [value], {}))
    if peek(kind, "__bool__") is not ABSENT or peek(kind, "__len__") is not ABSENT:
        check_known(machine, value, "tested for truth")
    return natively(bool, value)


def length(machine: Machine, value: Any) -> int:
    """Give `len(value)`."""
    hook = special(machine, value, "__len__")
    if hook is not None:
        return natively(len, _Sized(machine.call(hook, [value], {})))
    if is_read_container(machine, value):
        world = machine.world
        if world.has_contents(value) or id(value) in world.items:
            return len(world.contents(value))
        return world.guard_length(value)
    if type(value) is np.ndarray and value.ndim and machine.world.source_of(value) is not None:
        size: int = machine.load_attr(value, "shape")[0]
        return size
    check_known(machine, value, "measured")
    return natively(len, value)


class _Sized:
    """What `__len__` gave, for CPython to check."""

    def __init__(self, size: Any) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size  # type: ignore[no-any-return]


def contains(machine: Machine, container: Any, item: Any) -> bool:
    """Give `item in container`."""
    is_compared = isinstance(container, list | tuple | collections.deque)
    if machine.has_symbols and not is_compared:
        item = plain_throughout(item)
    hook = special(machine, container, "__contains__")
    if hook is not None:
        return truth(machine, machine.call(hook, [container, item], {}))
    if is_read_container(machine, container):
        if isinstance(container, dict) and is_constant(item):
            return machine.world.has_key(container, item)
        container = machine.world.contents(container)
    if isinstance(container, dict | set | frozenset | KeysView | ItemsView):
        return natively(operator.contains, container, check_key(machine, item))
    if isinstance(container, list | tuple | collections.deque):
        container = raw_sequence(container)
    elif special(machine, container, "__iter__") is not None:
        container = native_iterable(machine, container)
    elif special(machine, container, "__getitem__") is not None:
        container = iterate(machine, container)
    if isinstance(container, list | tuple | collections.deque | ValuesView | Iterator):
        return any(
            x is item or truth(machine, machine.compare(operator.eq, x, item)) for x in container
        )
    check_known(machine, container, "searched")
    return natively(operator.contains, container, item)


def iterate(machine: Machine, value: Any) -> Any:
    """Give `iter(value)`."""
    value = plain(value)
    kind = type(value)
    if kind in machine.plain_types:
        return natively(iter, value)
    hook = special(machine, value, "__iter__")
    if hook is not None:
        return machine.call(hook, [value], {})
    if is_read_container(machine, value):
        return natively(iter, machine.world.contents(in_order(machine, value)))
    hook = special(machine, value, "__getitem__")
    if hook is not None and peek(kind, "__iter__") is ABSENT:
        return _iterate_by_index(machine, value)
    check_known(machine, value, "iterated over")
    return natively(iter, in_order(machine, value))


def _iterate_by_index(machine: Machine, value: Any) -> Iterator[Any]:
    i = 0
    while True:
        try:
            item = machine.getitem(value, i)
        except IndexError:
            return
        yield item
        i += 1


def next_item(machine: Machine, iterator: Any) -> Any:
    """Give `next(iterator)`.

    Raises:
        StopIteration: it is exhausted.
    """
    hook = special(machine, iterator, "__next__")
    if hook is not None:
        return machine.call(hook, [iterator], {})
    check_own(machine, iterator)
    check_known(machine, iterator, "iterated over")
    try:
        return natively(next, iterator)
    except RuntimeError as error:
        if type(iterator) is _DICT_ITERATOR and str(error) == _KEYS_CHANGED:
            met = "a dict whose keys change while it is iterated over"
            raise machine.unsupported(
                met,
                why="which keys then follow depends on how the dict came to be",
                remedy="iterate over list(...) of it",
            ) from error
        raise


_DICT_ITERATOR: Final[type] = type(iter({}))
_KEYS_CHANGED: Final = "dictionary keys changed during iteration"


def native_iterable(machine: Machine, value: Any) -> Any:
    """Give something that native code can iterate over and that yields what iterating over `value` yields."""
    return members(machine, in_order(machine, value))


def members(machine: Machine, value: Any) -> Any:
    """Give what `native_iterable` gives, for what does not depend on the order."""
    kind = type(value)
    if kind in machine.plain_types:
        return value
    check_own(machine, value)
    if kind is types.GeneratorType:
        return value
    if special(machine, value, "__iter__") is not None or special(machine, value, "__next__"):
        return _pull(machine, iterate(machine, value))
    if is_read_container(machine, value):
        return machine.world.contents(value)
    if special(machine, value, "__getitem__") is not None and peek(kind, "__iter__") is ABSENT:
        return _iterate_by_index(machine, value)
    check_known(machine, value, "iterated over")
    return value


def _pull(machine: Machine, iterator: Any) -> Any:
    if special(machine, iterator, "__next__") is None:
        return iterator
    return _pull_items(machine, iterator)


def _pull_items(machine: Machine, iterator: Any) -> Iterator[Any]:
    while True:
        try:
            item = next_item(machine, iterator)
        except StopIteration:
            return
        yield item
