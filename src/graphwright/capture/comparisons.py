"""Comparison and identity of any objects.

In: operands as the interpreter holds them.   Out: what Python would give. User-written special methods are interpreted, in CPython's
order; containers that existed before the call are read through the world; everything else is done by CPython itself.
"""

from __future__ import annotations

import collections
import numbers
import operator
from collections.abc import Callable
from typing import Any, Final

from graphwright.capture import symbolic_floats, symbolic_ints
from graphwright.capture.faults import natively
from graphwright.capture.items import CONTAINERS, special
from graphwright.capture.late_calls import LateResult
from graphwright.capture.lookup import peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.operators import are_symbolic_ints, operand, plain_beside_others, stand_in
from graphwright.capture.raw_containers import raw_keys, raw_sequence

_COMPARE_METHODS: Final[dict[Any, tuple[str, str]]] = {
    operator.lt: ("__lt__", "__gt__"),
    operator.le: ("__le__", "__ge__"),
    operator.gt: ("__gt__", "__lt__"),
    operator.ge: ("__ge__", "__le__"),
    operator.eq: ("__eq__", "__eq__"),
    operator.ne: ("__ne__", "__ne__"),
}


def compare(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a comparison of `operator`."""
    if machine.has_symbols:
        left, right = plain_beside_others(machine, left, right)
        if are_symbolic_ints(left, right):
            return symbolic_ints.compare(function, left, right)
        if symbolic_floats.are_numbers(left, right):
            return symbolic_floats.apply(machine, function, left, right)
    if type(left) in machine.plain_types and type(right) in machine.plain_types:
        return natively(function, left, right)
    if type(left) is LateResult or type(right) is LateResult:
        return machine.late_calls.call(function, (left, right), {})
    return _compare_objects(machine, function, left, right)


def _compare_objects(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    forward, backward = _COMPARE_METHODS[function]
    hooks = _hook(machine, left, forward), _hook(machine, right, backward)
    if hooks != (None, None):
        result = _ask(machine, (forward, backward), hooks, left, right)
        if result is not NotImplemented:
            return result
    if isinstance(left, _COMPARABLE) and isinstance(right, _COMPARABLE):
        return _compare_containers(machine, function, left, right)
    sides = list(zip((left, right), hooks, strict=True))
    is_asked = [hook is not None or _has_no_equality(function, side) for side, hook in sides]
    if function in _EQUALITY and all(is_asked):
        return is_same(machine, left, right) == (function is operator.eq)
    pairs = zip((left, right), is_asked, strict=True)
    return natively(
        function,
        *(stand_in(machine, side) if done else operand(machine, side) for side, done in pairs),
    )


Hook = Callable[[Any, Any], Any]


def _hook(machine: Machine, value: Any, name: str) -> Hook | None:
    """Give the method of a comparison, when it is Python code; `object`'s `__ne__` is the opposite of a `__eq__`."""
    method = special(machine, value, name)
    if method is not None:
        return lambda one, other: machine.call(method, [one, other], {})
    if name != "__ne__" or peek(type(value), "__ne__") is not object.__dict__["__ne__"]:
        return None
    equal = _hook(machine, value, "__eq__")
    return None if equal is None else lambda one, other: _opposite(machine, equal(one, other))


def _opposite(machine: Machine, result: Any) -> Any:
    return result if result is NotImplemented else not machine.truth(result)


def _ask(
    machine: Machine,
    names: tuple[str, str],
    hooks: tuple[Hook | None, Hook | None],
    left: Any,
    right: Any,
) -> Any:
    """Ask the two sides in CPython's order: that of a subclass first, else the left one; then the other one."""
    forward, backward = hooks
    is_right_first = type(right) is not type(left) and issubclass(type(right), type(left))
    if forward is None:
        forward = _native_hook(machine, left, names[0])
    # Numbers written in C look into those written in Python (`Decimal` into `Fraction`); nothing else does.
    if backward is None and isinstance(left, numbers.Number):
        backward = _native_hook(machine, right, names[1])
    asked = [(forward, left, right), (backward, right, left)]
    for hook, one, other in reversed(asked) if is_right_first else asked:
        result = NotImplemented if hook is None else hook(one, other)
        if result is not NotImplemented:
            return result
    return NotImplemented


def _native_hook(machine: Machine, value: Any, name: str) -> Hook | None:
    """Give the method of a comparison that is written in C; none of a tensor."""
    own: Any = None if type(value) is machine.tensor_type else getattr(type(value), name, None)
    if own is None:
        return None
    return lambda one, other: natively(own, operand(machine, one), other)


def _has_no_equality(function: Any, side: Any) -> bool:
    """Tell whether a side of an equality is known by identity alone."""
    return function in _EQUALITY and peek(type(side), "__eq__") is object.__dict__["__eq__"]


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
    ours, theirs = operand(machine, left), operand(machine, right)
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


def _compare_sequences(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    ours, theirs = (raw_sequence(operand(machine, side)) for side in (left, right))
    for one, other in zip(ours, theirs, strict=False):
        if one is other or machine.truth(compare(machine, operator.eq, one, other)):
            continue
        if function is operator.eq:
            return False
        return True if function is operator.ne else compare(machine, function, one, other)
    return function(len(ours), len(theirs))


def is_same(machine: Machine, left: Any, right: Any) -> bool:
    """Give `left is right`, guarding that objects that existed before stay one, or apart."""
    if left is right:
        machine.world.guard_places_apart(left, right)
        return True
    if machine.has_symbols and not symbolic_ints.are_plain(left, right):
        left, right = symbolic_ints.plain(left), symbolic_ints.plain(right)
        return left is right
    world = machine.world
    if (
        world.source_of(left) is not None
        and world.source_of(right) is not None
        and type(left) is type(right)
    ):
        world.guard_distinct(left, right)
    elif type(left) is type(right):
        world.guard_places_apart(left, right)
    return False
