"""Arithmetic, comparison, identity and text of any objects.

In: operands as the interpreter holds them.   Out: what Python would give. User-written special methods are interpreted; containers
that existed before the call are read through the world; everything else is done by CPython itself.
"""

from __future__ import annotations

import collections
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.capture.faults import natively
from graphwright.capture.items import CONTAINERS, check_known, is_read_container, special
from graphwright.capture.lookup import peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.raw_containers import raw_keys, raw_sequence

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


def binary(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a binary or in-place function of `operator`, `getitem` included."""
    if type(left) in machine.plain_types and type(right) in machine.plain_types:
        return natively(function, left, right)
    if function is operator.getitem:
        return machine.getitem(left, right)
    in_place = _INPLACE.get(function)
    if in_place is not None:
        return _binary_in_place(machine, function, in_place, left, right)
    names = _BINARY_METHODS[function]
    result = _try_methods(machine, names, left, right)
    if result is not NotImplemented:
        return result
    return natively(function, _operand(machine, left), _operand(machine, right))


def _operand(machine: Machine, value: Any) -> Any:
    if type(value) in machine.plain_types:
        return value
    if is_read_container(machine, value):
        return machine.world.contents(value)
    check_known(machine, value, "used as an operand")
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
        natively(function, changed, machine.native_iterable(right))
        return left
    if isinstance(left, list):
        return natively(function, left, machine.native_iterable(right))
    if peek(type(left), method) is ABSENT:
        return binary(machine, plain, left, right)
    return natively(function, left, _operand(machine, right))


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
            result = natively(own, _operand(machine, left), right)
            if result is not NotImplemented:
                return result
    if backward is not None and not is_right_first and type(left) is not type(right):
        return machine.call(backward, [right, left], {})
    return NotImplemented


def unary(machine: Machine, function: Any, value: Any) -> Any:
    """Give `function(value)` for `operator.neg`, `.pos`, `.invert` or `.not_`."""
    if function is operator.not_:
        return not machine.truth(value)
    hook = special(machine, value, _UNARY_METHODS[function])
    if hook is not None:
        return machine.call(hook, [value], {})
    return natively(function, _operand(machine, value))


def compare(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a comparison of `operator`."""
    if type(left) in machine.plain_types and type(right) in machine.plain_types:
        return natively(function, left, right)
    result = _try_methods(machine, _COMPARE_METHODS[function], left, right)
    if result is not NotImplemented:
        return result
    if function is operator.ne:
        hook = special(machine, left, "__eq__")
        if hook is not None and peek(type(left), "__ne__") is object.__dict__["__ne__"]:
            result = machine.call(hook, [left, right], {})
            if result is not NotImplemented:
                return not machine.truth(result)
    if isinstance(left, _COMPARABLE) and isinstance(right, _COMPARABLE):
        return _compare_containers(machine, function, left, right)
    if function in _EQUALITY:
        return _compare_identity(machine, function, left, right)
    return natively(function, _operand(machine, left), _operand(machine, right))


_SEQUENCES: Final[tuple[Any, ...]] = (list, tuple, collections.deque)
"""Kinds of sequences, each comparable with its own kind alone."""

_COMPARABLE: Final[tuple[Any, ...]] = (tuple, *CONTAINERS)


def _compare_containers(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    for kind in _SEQUENCES:
        if isinstance(left, kind) and isinstance(right, kind):
            return _compare_sequences(machine, function, left, right)
    if isinstance(left, dict) and isinstance(right, dict) and function in _EQUALITY:
        return _are_equal_dicts(machine, left, right) == (function is operator.eq)
    return natively(function, machine.materialise(left), machine.materialise(right))


_EQUALITY: Final = (operator.eq, operator.ne)


def _are_equal_dicts(machine: Machine, left: Any, right: Any) -> bool:
    ours, theirs = _operand(machine, left), _operand(machine, right)
    keys = raw_keys(ours)
    if len(keys) != len(raw_keys(theirs)):
        return False
    is_ordered = isinstance(left, collections.OrderedDict) and isinstance(
        right, collections.OrderedDict
    )
    if is_ordered and keys != raw_keys(theirs):
        return False
    for key in keys:
        one, other = dict.__getitem__(ours, key), dict.get(theirs, key, ABSENT)
        if other is ABSENT:
            return False
        if one is not other and not machine.truth(compare(machine, operator.eq, one, other)):
            return False
    return True


def _compare_identity(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    for side in (left, right):
        if peek(type(side), "__eq__") is not object.__dict__["__eq__"]:
            return natively(function, _operand(machine, left), _operand(machine, right))
    return is_same(machine, left, right) == (function is operator.eq)


def _compare_sequences(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    ours, theirs = (raw_sequence(_operand(machine, side)) for side in (left, right))
    for one, other in zip(ours, theirs, strict=False):
        if one is other or machine.truth(compare(machine, operator.eq, one, other)):
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
            return (
                natively(format, made, *args[1:])
                if name != "__format__" and len(args) > 1
                else made
            )
        if peek(type(value), name) is not object.__dict__.get(name, ABSENT) or len(names) == 0:
            break
    if isinstance(value, torch.Tensor):
        msg = "the text of a tensor"
        raise machine.unsupported(
            msg,
            why="its values are not known while the program is captured",
            remedy="format tensors outside the compiled function",
        )
    return natively(function, machine.materialise(value), *args[1:])
