"""Items: `x[key]`, read, stored and deleted.

In: operands as the interpreter holds them.   Out: what Python would give. User-written special methods are interpreted; containers
that existed before the call are read and changed through the world; everything else is done by CPython itself.
"""

from __future__ import annotations

import collections
import enum
import operator
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphwright.capture.constants import is_constant, is_native_member
from graphwright.capture.faults import natively
from graphwright.capture.late_calls import LateResult, check_none_late
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.capture.symbolic_ints import plain_throughout
from graphwright.ir.guards import ConstantGuard
from graphwright.ir.sources import AttrSource

CONTAINERS: Final[tuple[Any, ...]] = (list, dict, set, frozenset, collections.deque)
"""Builtin containers, subclasses included, whose contents the world can read."""


def is_read_container(machine: Machine, value: Any) -> bool:
    """Tell whether `value` is a container that existed before the call."""
    return isinstance(value, CONTAINERS) and machine.world.source_of(value) is not None


_BY_ITEMS: Final = ("__setitem__", "__getitem__", "__delitem__", "__contains__")
_ANEW: Final = ("__new__", "__init__")

_RUN_UNSEEN: Final[Mapping[Any, Mapping[str, tuple[str, ...]]]] = {
    collections.OrderedDict: {
        **dict.fromkeys(
            ("__init__", "update", "__ior__", "setdefault", "pop", "popitem"), _BY_ITEMS
        ),
        **dict.fromkeys(("copy", "__copy__", "__or__", "__ror__"), _BY_ITEMS + _ANEW),
    },
    collections.defaultdict: dict.fromkeys(("copy", "__copy__", "__or__", "__ror__"), _ANEW),
    collections.deque: dict.fromkeys(("copy", "__copy__", "__add__", "__mul__", "__rmul__"), _ANEW),
}
"""What methods of containers call of the object's class, by the builtin class and the method; those not named call nothing."""


def check_runs_unseen(machine: Machine, method: str, holder: Any) -> None:
    """Refuse a method of a builtin container that calls other methods of the object, where one of these is Python code."""
    for base, methods in _RUN_UNSEEN.items():
        if isinstance(holder, base) and type(holder) is not base and method in methods:
            name = next((one for one in methods[method] if special(machine, holder, one)), None)
            if name is not None:
                kind = type(holder)
                raise machine.unsupported(
                    f"{base.__name__}.{method} of an object of type {kind.__module__}.{kind.__qualname__}",
                    why=f"it is written in C and calls {name} of the class, which is Python code",
                    remedy="put the items in one by one, or make the object before the call",
                )


def check_known(machine: Machine, value: Any, how: str) -> None:
    """Refuse an object that existed before the call and is neither a builtin container nor Python code all through."""
    is_whole = isinstance(value, tuple) or is_native_member(value)
    if machine.world.source_of(value) is not None and not is_whole:
        kind = type(value)
        if kind is machine.tensor_type or isinstance(value, type | types.FunctionType):
            return
        msg = f"an object of type {kind.__module__}.{kind.__qualname__} that is {how}"
        raise machine.unsupported(
            msg,
            why="it is written in C and existed before the call, so what is read of it cannot be guarded",
            remedy="turn it into tensors, numbers or builtin containers before the call",
        )


def check_own(machine: Machine, iterator: Any) -> None:
    """Refuse an iterator that existed before the call: taking something from it changes it."""
    if isinstance(iterator, Iterator) and machine.world.source_of(iterator) is not None:
        msg = f"a step of an iterator that existed before ({type(iterator).__name__})"
        raise machine.unsupported(
            msg,
            why="how far it has come differs from call to call (after a graph break in a loop: from round to round)",
            remedy="iterate over the container itself, or move what breaks the graph out of the loop",
        )


def special(machine: Machine, holder: Any, name: str) -> Any:
    """Give a special method that is Python code, or None; quick for builtin types."""
    kind = type(holder)
    if kind in machine.plain_types:
        return None
    return machine.special(holder, name)


def getitem(machine: Machine, holder: Any, key: Any) -> Any:
    """Give `holder[key]`."""
    kind = type(holder)
    if machine.has_symbols and isinstance(holder, dict | list | tuple | range | str):
        key = plain_throughout(key)
    if kind is machine.tensor_type:
        key = machine.materialise(key)
        return machine.late_calls.call(operator.getitem, (holder, key), {})
    if kind is LateResult:
        return machine.late_calls.call(operator.getitem, (holder, key), {})
    if kind is list or kind is dict or kind is tuple:
        if machine.world.source_of(holder) is None or kind is tuple:
            return _own_item(machine, holder, key)
        return _read_item(machine, holder, key)
    hook = special(machine, holder, "__getitem__")
    if hook is not None:
        return machine.call(hook, [holder, key], {})
    if is_read_container(machine, holder):
        return _read_item(machine, holder, key)
    check_known(machine, holder, "indexed")
    return natively(operator.getitem, holder, machine.materialise(key))


def check_key(machine: Machine, key: Any) -> Any:
    """Refuse a key whose hash is Python code: a dict or set would run it unseen. Gives the key, with fixed ints."""
    if machine.has_symbols:
        key = plain_throughout(key)
    if type(key) in machine.plain_types or isinstance(key, enum.Enum | type):
        return key
    if isinstance(key, tuple | frozenset):
        for item in key:
            check_key(machine, item)
    elif type(key) is slice:
        for part in (key.start, key.stop, key.step):
            check_key(machine, part)
    elif special(machine, key, "__hash__") is not None:
        raise machine.unsupported(
            f"an object of type {type(key).__qualname__} as the key of a dict or a member of a set",
            why="its __hash__ is Python code",
            remedy="use a string, a number or a tuple of them as the key",
        )
    elif _is_int_inside(type(key)):
        _guard_int_inside(machine, key)
    elif _is_known_by_value(type(key)):
        check_known(machine, key, "used as a key or an index")
    return key


def _is_int_inside(kind: type) -> bool:
    """Tell whether a subclass of `int` has the hash and the equality of its value, and `real` gives that value as an `int`."""
    own = kind.__mro__[: kind.__mro__.index(int)] if issubclass(kind, int) else ()
    return bool(own) and not any(
        name in one.__dict__ for one in own for name in ("__hash__", "__eq__", "__index__", "real")
    )


def _guard_int_inside(machine: Machine, key: int) -> None:
    """Guard the value of an object of a subclass of `int` that existed before the call."""
    source = machine.world.source_of(key)
    guards = machine.guards
    if source is not None and guards.once(("int inside", id(key))):
        value = AttrSource(source, "real")
        guards.add(ConstantGuard(value, guards.constant(key.real), machine.loc()))


def _is_known_by_value(kind: type) -> bool:
    """Tell whether a class has more to its hash than identity, or stands for a number."""
    return getattr(kind, "__hash__", None) is not object.__hash__ or hasattr(kind, "__index__")


def read_entries(machine: Machine, holder: Any, source: Any) -> Any:
    """Give what a container is filled from, checked (see `check_members`); a dict takes the entries of any mapping."""
    if isinstance(holder, dict) and hasattr(type(source), "keys"):
        entries = read_mapping(machine, source)
        return {check_key(machine, key): value for key, value in entries.items()}
    read = machine.members if isinstance(holder, set) else machine.native_iterable
    return check_members(machine, holder, read(source))


def read_mapping(machine: Machine, value: Any) -> dict[Any, Any]:
    """Give the entries of any mapping as a dict.

    Raises:
        TypeError: it is no mapping.
    """
    if isinstance(value, dict) and machine.special(value, "keys") is None:
        return dict(machine.world.contents(value))
    if not hasattr(type(value), "keys"):
        msg = f"'{type(value).__name__}' object is not a mapping"
        raise TypeError(msg)
    keys = machine.call(machine.load_attr(value, "keys"), [], {})
    return {key: machine.getitem(value, key) for key in machine.native_iterable(keys)}


def check_members(machine: Machine, holder: Any, items: Any) -> Any:
    """Check what a dict or set is about to be filled from (see `check_key`); gives something with the same items.

    Args:
        machine: the machine.
        holder: what is filled.
        items: keys for a set, pairs or a mapping for a dict; native code can iterate over it.
    """
    if isinstance(holder, set | frozenset):
        if isinstance(items, set | frozenset):  # whose place in the new one follows from its own
            return items
        return (check_key(machine, item) for item in items)
    if not isinstance(holder, dict) or isinstance(items, Mapping):
        return items
    return [_check_pair(machine, pair) for pair in items]


def _check_pair(machine: Machine, pair: Any) -> Any:
    items = machine.native_iterable(pair)
    if not hasattr(type(items), "__iter__"):
        return pair
    parts = pair if isinstance(pair, str) else tuple(items)
    if len(parts) != 2 or isinstance(parts, str):
        return parts
    return check_key(machine, parts[0]), parts[1]


def _own_item(machine: Machine, holder: Any, key: Any) -> Any:
    if type(key) is machine.tensor_type:
        return natively(operator.getitem, holder, key)
    # A subclass of `int` is the number that it is, whatever its `__index__` gives.
    is_asked = type(holder) is not dict and not isinstance(key, int)
    index_hook = special(machine, key, "__index__") if is_asked else None
    if index_hook is not None:
        key = machine.call(index_hook, [key], {})
    return natively(operator.getitem, holder, check_key(machine, key))


def _read_item(machine: Machine, holder: Any, key: Any) -> Any:
    world = machine.world
    if isinstance(holder, dict):
        return _read_dict_item(machine, holder, key)
    key = check_key(machine, key)
    if world.has_contents(holder) or not isinstance(key, int):
        return natively(operator.getitem, world.contents(holder), key)
    if isinstance(holder, set | frozenset):
        return natively(operator.getitem, holder, key)  # raises as Python does
    size, key = len(holder), int.__index__(key)
    if key < 0 or key >= size:
        world.guard_length(holder)
        if not -size <= key < size:
            return natively(operator.getitem, world.contents(holder), key)
        key += size
    return world.read_index(holder, key)


def _read_dict_item(machine: Machine, holder: dict[Any, Any], key: Any) -> Any:
    world = machine.world
    value = (
        natively(dict.get, world.contents(holder), check_key(machine, key), ABSENT)
        if not is_constant(key)
        else world.read_key(holder, key)
    )
    if value is not ABSENT:
        return value
    hook = special(machine, holder, "__missing__")
    if hook is not None:
        return machine.call(hook, [holder, key], {})
    if isinstance(holder, collections.defaultdict):
        factory = world.contents(holder).default_factory
        if factory is not None:
            value = machine.call(factory, [], {})
            setitem(machine, holder, key, value)
            return value
    raise KeyError(key)


def setitem(machine: Machine, holder: Any, key: Any, value: Any) -> None:
    """Do `holder[key] = value`."""
    kind = type(holder)
    if machine.has_symbols and isinstance(holder, dict | list):
        key = plain_throughout(key)
    if kind is machine.tensor_type:
        check_none_late((key, value))
        natively(operator.setitem, holder, machine.materialise(key), machine.materialise(value))
        return
    hook = special(machine, holder, "__setitem__")
    if hook is not None:
        machine.call(hook, [holder, key, value], {})
        return
    if isinstance(holder, list) and isinstance(key, slice):
        value = machine.native_iterable(value)
    if is_read_container(machine, holder):
        if isinstance(holder, dict) and is_constant(key):
            machine.world.set_key(holder, key, value)
        else:
            own = machine.world.change(holder)
            natively(operator.setitem, own, check_key(machine, key), value)
        return
    check_known(machine, holder, "changed")
    natively(operator.setitem, holder, check_key(machine, key), value)


def delitem(machine: Machine, holder: Any, key: Any) -> None:
    """Do `del holder[key]`."""
    if machine.has_symbols:
        key = plain_throughout(key)
    hook = special(machine, holder, "__delitem__")
    if hook is not None:
        machine.call(hook, [holder, key], {})
        return
    if is_read_container(machine, holder):
        if isinstance(holder, dict) and is_constant(key):
            if not machine.world.has_key(holder, key):
                raise KeyError(key)
            machine.world.set_key(holder, key, DELETED)
        else:
            own = machine.world.change(holder)
            natively(operator.delitem, own, check_key(machine, key))
        return
    check_known(machine, holder, "changed")
    natively(operator.delitem, holder, check_key(machine, key))
