"""Operators and protocols on any objects: items, truth, iteration, length, membership, arithmetic, comparison, text.

In: operands as the interpreter holds them.   Out: what Python would give. User-written special methods are interpreted; containers
that existed before the call are read through the world; everything else is done by CPython itself.
"""

from __future__ import annotations

import collections
import operator
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import torch

from graphwright.capture.attributes import peek
from graphwright.capture.constants import is_constant
from graphwright.capture.machine import Machine
from graphwright.capture.world import ABSENT, DELETED

CONTAINERS: Final[tuple[Any, ...]] = (list, dict, set, frozenset, collections.deque)
"""Builtin containers, subclasses included, whose contents the world can read."""

_BINARY_METHODS: Final[dict[Any, tuple[str, str]]] = {
    getattr(operator, name): (f"__{name.strip('_')}__", f"__r{name.strip('_')}__")
    for name in [
        "add",
        "sub",
        "mul",
        "matmul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "lshift",
        "rshift",
        "and_",
        "or_",
        "xor",
    ]
}
_INPLACE: Final[dict[Any, tuple[str, Any]]] = {
    getattr(operator, f"i{name.strip('_')}"): (f"__i{name.strip('_')}__", getattr(operator, name))
    for name in [
        "add",
        "sub",
        "mul",
        "matmul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "lshift",
        "rshift",
        "and_",
        "or_",
        "xor",
    ]
}
_COMPARE_METHODS: Final[dict[Any, tuple[str, str]]] = {
    operator.lt: ("__lt__", "__gt__"),
    operator.le: ("__le__", "__ge__"),
    operator.gt: ("__gt__", "__lt__"),
    operator.ge: ("__ge__", "__le__"),
    operator.eq: ("__eq__", "__eq__"),
    operator.ne: ("__ne__", "__ne__"),
}
_UNARY_METHODS: Final[dict[Any, str]] = {
    operator.neg: "__neg__",
    operator.pos: "__pos__",
    operator.invert: "__invert__",
}


def is_read_container(machine: Machine, value: Any) -> bool:
    """Tell whether `value` is a container that existed before the call."""
    return isinstance(value, CONTAINERS) and machine.world.source_of(value) is not None


# --- items -------------------------------------------------------------------------------------------------------


def getitem(machine: Machine, holder: Any, key: Any) -> Any:
    """Give `holder[key]`."""
    kind = type(holder)
    if kind is machine.tensor_type:
        return holder[machine.materialise(key)]
    if kind is list or kind is dict or kind is tuple:
        if machine.world.source_of(holder) is None or kind is tuple:
            return _own_item(machine, holder, key)
        return _read_item(machine, holder, key)
    hook = special(machine, holder, "__getitem__")
    if hook is not None:
        return machine.call(hook, [holder, key], {})
    if is_read_container(machine, holder):
        return _read_item(machine, holder, key)
    _check_known(machine, holder, "indexed")
    return holder[machine.materialise(key)]


def _own_item(machine: Machine, holder: Any, key: Any) -> Any:
    if type(key) is machine.tensor_type:
        return operator.getitem(holder, key)
    index_hook = special(machine, key, "__index__") if type(holder) is not dict else None
    if index_hook is not None:
        key = machine.call(index_hook, [key], {})
    return holder[key]


def _read_item(machine: Machine, holder: Any, key: Any) -> Any:
    world = machine.world
    if isinstance(holder, dict):
        return _read_dict_item(machine, holder, key)
    if world.has_contents(holder) or not isinstance(key, int):
        return world.contents(holder)[key]
    if isinstance(holder, set | frozenset):
        return holder[key]  # type: ignore[index]  # raises as Python does
    size = len(holder)
    if key < 0 or key >= size:
        world.guard_length(holder)
        if not -size <= key < size:
            return world.contents(holder)[key]
        key += size
    return world.read_index(holder, key)


def _read_dict_item(machine: Machine, holder: dict[Any, Any], key: Any) -> Any:
    world = machine.world
    value = (
        dict.get(world.contents(holder), key, ABSENT)
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
    if kind is machine.tensor_type:
        holder[machine.materialise(key)] = machine.materialise(value)
        return
    hook = special(machine, holder, "__setitem__")
    if hook is not None:
        machine.call(hook, [holder, key, value], {})
        return
    if is_read_container(machine, holder):
        if isinstance(holder, dict) and is_constant(key):
            machine.world.set_key(holder, key, value)
        else:
            machine.world.change(holder)[key] = value
        return
    _check_known(machine, holder, "changed")
    if isinstance(holder, list) and isinstance(key, slice):
        value = native_iterable(machine, value)
    operator.setitem(holder, key, value)


def delitem(machine: Machine, holder: Any, key: Any) -> None:
    """Do `del holder[key]`."""
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
            del machine.world.change(holder)[key]
        return
    _check_known(machine, holder, "changed")
    operator.delitem(holder, key)


def _check_known(machine: Machine, value: Any, how: str) -> None:
    if machine.world.source_of(value) is not None and not isinstance(value, tuple):
        kind = type(value)
        if kind is machine.tensor_type or isinstance(value, type | types.FunctionType):
            return
        msg = f"an object of type {kind.__module__}.{kind.__qualname__} that is {how}"
        raise machine.unsupported(
            msg,
            why="it is written in C and existed before the call, so what is read of it cannot be guarded",
            remedy="turn it into tensors, numbers or builtin containers before the call",
        )


def special(machine: Machine, holder: Any, name: str) -> Any:
    """Give a special method that is Python code, or None; quick for builtin types."""
    kind = type(holder)
    if kind in machine.plain_types:
        return None
    return machine.special(holder, name)


# --- truth, length, membership -----------------------------------------------------------------------------------


def truth(machine: Machine, value: Any) -> bool:
    """Give `bool(value)`."""
    if value is True or value is False:
        return value is True
    kind = type(value)
    if kind in machine.plain_types:
        return bool(value)
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
        return bool(machine.call(hook, [value], {}))
    return bool(value)


def length(machine: Machine, value: Any) -> int:
    """Give `len(value)`."""
    hook = special(machine, value, "__len__")
    if hook is not None:
        return int(machine.call(hook, [value], {}))
    if is_read_container(machine, value):
        world = machine.world
        if world.has_contents(value) or id(value) in world.items:
            return len(world.contents(value))
        return world.guard_length(value)
    _check_known(machine, value, "measured")
    return len(value)


def contains(machine: Machine, container: Any, item: Any) -> bool:
    """Give `item in container`."""
    hook = special(machine, container, "__contains__")
    if hook is not None:
        return truth(machine, machine.call(hook, [container, item], {}))
    if is_read_container(machine, container):
        if isinstance(container, dict) and is_constant(item):
            return machine.world.has_key(container, item)
        return item in machine.world.contents(container)
    if special(machine, container, "__iter__") is not None:
        return any(compare(machine, operator.eq, x, item) for x in iterate(machine, container))
    if special(machine, item, "__eq__") is not None and isinstance(container, list | tuple):
        return any(
            x is item or truth(machine, compare(machine, operator.eq, x, item)) for x in container
        )
    _check_known(machine, container, "searched")
    return item in container


# --- iteration ---------------------------------------------------------------------------------------------------


def iterate(machine: Machine, value: Any) -> Any:
    """Give `iter(value)`."""
    kind = type(value)
    if kind in machine.plain_types:
        return iter(value)
    hook = special(machine, value, "__iter__")
    if hook is not None:
        return machine.call(hook, [value], {})
    if is_read_container(machine, value):
        return iter(machine.world.contents(value))
    hook = special(machine, value, "__getitem__")
    if hook is not None and peek(kind, "__iter__") is ABSENT:
        return _iterate_by_index(machine, value)
    _check_known(machine, value, "iterated over")
    return iter(value)


def _iterate_by_index(machine: Machine, value: Any) -> Iterator[Any]:
    i = 0
    while True:
        try:
            item = getitem(machine, value, i)
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
    _check_known(machine, iterator, "iterated over")
    return next(iterator)


def native_iterable(machine: Machine, value: Any) -> Any:
    """Give something that native code can iterate over and that yields what iterating over `value` yields."""
    kind = type(value)
    if kind in machine.plain_types or kind is types.GeneratorType:
        return value
    if special(machine, value, "__iter__") is not None or special(machine, value, "__next__"):
        return _pull(machine, iterate(machine, value))
    if is_read_container(machine, value):
        return machine.world.contents(value)
    if special(machine, value, "__getitem__") is not None and peek(kind, "__iter__") is ABSENT:
        return _iterate_by_index(machine, value)
    _check_known(machine, value, "iterated over")
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


# --- arithmetic and comparison -----------------------------------------------------------------------------------


def binary(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a binary or in-place function of `operator`, `getitem` included."""
    if type(left) in machine.plain_types and type(right) in machine.plain_types:
        return function(left, right)
    if function is operator.getitem:
        return getitem(machine, left, right)
    in_place = _INPLACE.get(function)
    if in_place is not None:
        return _binary_in_place(machine, function, in_place, left, right)
    names = _BINARY_METHODS[function]
    result = _try_methods(machine, names, left, right)
    if result is not NotImplemented:
        return result
    return function(_operand(machine, left), _operand(machine, right))


def _operand(machine: Machine, value: Any) -> Any:
    if type(value) in machine.plain_types:
        return value
    if is_read_container(machine, value):
        return machine.world.contents(value)
    _check_known(machine, value, "used as an operand")
    return value


def _binary_in_place(
    machine: Machine, function: Any, names: tuple[str, Any], left: Any, right: Any
) -> Any:
    method, plain = names
    hook = special(machine, left, method)
    if hook is not None:
        result = machine.call(hook, [left, right], {})
        if result is not NotImplemented:
            return result
    if is_read_container(machine, left) and peek(type(left), method) is not ABSENT:
        changed = machine.world.change(left)
        function(changed, native_iterable(machine, right))
        return left
    if isinstance(left, list):
        return function(left, native_iterable(machine, right))
    if peek(type(left), method) is ABSENT:
        return binary(machine, plain, left, right)
    return function(left, _operand(machine, right))


def _try_methods(machine: Machine, names: tuple[str, str], left: Any, right: Any) -> Any:
    forward, backward = special(machine, left, names[0]), special(machine, right, names[1])
    is_right_first = (
        backward is not None
        and type(right) is not type(left)
        and issubclass(type(right), type(left))
    )
    if is_right_first:
        result = machine.call(backward, [right, left], {})
        if result is not NotImplemented:
            return result
    if forward is not None:
        result = machine.call(forward, [left, right], {})
        if result is not NotImplemented:
            return result
    elif backward is not None and not is_right_first:
        own = getattr(type(left), names[0], None)
        if own is not None and type(left) is not machine.tensor_type:
            result = own(_operand(machine, left), right)
            if result is not NotImplemented:
                return result
    if backward is not None and not is_right_first and type(left) is not type(right):
        return machine.call(backward, [right, left], {})
    return NotImplemented


def unary(machine: Machine, function: Any, value: Any) -> Any:
    """Give `function(value)` for `operator.neg`, `.pos`, `.invert` or `.not_`."""
    if function is operator.not_:
        return not truth(machine, value)
    hook = special(machine, value, _UNARY_METHODS[function])
    if hook is not None:
        return machine.call(hook, [value], {})
    return function(_operand(machine, value))


def compare(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a comparison of `operator`."""
    if type(left) in machine.plain_types and type(right) in machine.plain_types:
        return function(left, right)
    result = _try_methods(machine, _COMPARE_METHODS[function], left, right)
    if result is not NotImplemented:
        return result
    if function is operator.ne:
        hook = special(machine, left, "__eq__")
        if hook is not None and peek(type(left), "__ne__") is object.__dict__["__ne__"]:
            result = machine.call(hook, [left, right], {})
            if result is not NotImplemented:
                return not truth(machine, result)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return _compare_sequences(machine, function, left, right)
    if isinstance(left, CONTAINERS) and isinstance(right, CONTAINERS):
        return function(machine.materialise(left), machine.materialise(right))
    if function in (operator.eq, operator.ne):
        return _compare_identity(machine, function, left, right)
    return function(_operand(machine, left), _operand(machine, right))


def _compare_identity(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    for side in (left, right):
        if peek(type(side), "__eq__") is not object.__dict__["__eq__"]:
            return function(_operand(machine, left), _operand(machine, right))
    return is_same(machine, left, right) == (function is operator.eq)


def _compare_sequences(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    if isinstance(left, list) is not isinstance(right, list):
        return function(left, right)
    ours, theirs = _operand(machine, left), _operand(machine, right)
    for one, other in zip(ours, theirs, strict=False):
        if one is other or truth(machine, compare(machine, operator.eq, one, other)):
            continue
        if function is operator.eq:
            return False
        return True if function is operator.ne else compare(machine, function, one, other)
    return function(len(ours), len(theirs))


def is_same(machine: Machine, left: Any, right: Any) -> bool:
    """Give `left is right`, guarding that two objects that existed before stay apart."""
    if left is right:
        return True
    world = machine.world
    if (
        world.source_of(left) is not None
        and world.source_of(right) is not None
        and type(left) is type(right)
    ):
        world.guard_distinct(left, right)
    return False


# --- text --------------------------------------------------------------------------------------------------------


def text(machine: Machine, function: Callable[..., str], args: Sequence[Any]) -> str:
    """Give `function(*args)` for `str`, `repr`, `ascii` or `format`."""
    value = args[0]
    names = {
        repr: ("__repr__",),
        ascii: ("__repr__",),
        format: ("__format__", "__str__", "__repr__"),
    }
    for name in names.get(function, ("__str__", "__repr__")):
        hook = special(machine, value, name)
        if hook is not None:
            rest = args[1:] if name == "__format__" else ()
            made = machine.call(hook, [value, *rest], {})
            return format(made, *args[1:]) if name != "__format__" and len(args) > 1 else made
        if peek(type(value), name) is not object.__dict__.get(name, ABSENT) or len(names) == 0:
            break
    if isinstance(value, torch.Tensor):
        msg = "the text of a tensor"
        raise machine.unsupported(
            msg,
            why="its values are not known while the program is captured",
            remedy="format tensors outside the compiled function",
        )
    return function(machine.materialise(value), *args[1:])
