"""Arithmetic on any objects.

In: operands as the interpreter holds them.   Out: what Python would give. User-written special methods are interpreted; containers
that existed before the call are read through the world; everything else is done by CPython itself.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Mapping
from typing import Any, Final

import torch

from graphwright.capture import symbolic_floats, symbolic_ints
from graphwright.capture.faults import natively
from graphwright.capture.items import check_known, check_runs_unseen, is_read_container, special
from graphwright.capture.late_calls import LateResult
from graphwright.capture.late_texts import fill
from graphwright.capture.lookup import is_fixed_class, peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.raw_containers import container_like
from graphwright.runtime import builtin_base

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

_NO_METHODS: Final[Mapping[str, Any]] = types.MappingProxyType({})

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


_UNARY_METHODS: Final[dict[Any, str]] = {
    operator.neg: "__neg__",
    operator.pos: "__pos__",
    operator.invert: "__invert__",
}


def binary(machine: Machine, function: Any, left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a binary or in-place function of `operator`, `getitem` included."""
    if type(left) is str and function in (operator.mod, operator.imod):
        made = fill(machine, left, right)
        if made is not None:
            return made
    if machine.has_symbols and function is not operator.getitem:
        left, right = plain_beside_others(machine, left, right)
        if are_symbolic_ints(left, right) and function not in _DIVISIONS:
            return symbolic_ints.binary(function, left, right)
        if symbolic_floats.are_numbers(left, right):
            return symbolic_floats.binary(machine, function, left, right)
    if function is operator.getitem:
        return machine.getitem(left, right)
    if type(left) in machine.plain_types and type(right) in machine.plain_types:
        return natively(function, left, right)
    if type(left) is LateResult or type(right) is LateResult:
        return machine.late_calls.call(function, (left, right), {})
    in_place = _INPLACE.get(function)
    if in_place is not None:
        return _binary_in_place(machine, function, in_place, left, right)
    return _binary(machine, function, _BINARY_METHODS[function], left, right)


def _binary(machine: Machine, function: Any, names: tuple[str, str], left: Any, right: Any) -> Any:
    """Give what two operands' methods of these names give, or what `function` gives where they have none."""
    hooks = special(machine, left, names[0]), special(machine, right, names[1])
    if hooks != (None, None):
        result = _ask(machine, names, hooks, left, right)
        if result is not NotImplemented:
            return result
        if hooks[1] is None and isinstance(left, dict) and isinstance(right, dict):
            reflected = getattr(builtin_base(type(right)), names[1], None)
            if reflected is not None:
                return natively(reflected, operand(machine, right), operand(machine, left))
    for name, side in zip(names, (left, right), strict=True):
        check_runs_unseen(machine, name, side)
    sides = zip((left, _shown(machine, names[0], left, right)), hooks, strict=True)
    return natively(
        function,
        *(stand_in(machine, side) if hook else operand(machine, side) for side, hook in sides),
    )


def stand_in(machine: Machine, value: Any, methods: Mapping[str, Any] = _NO_METHODS) -> Any:
    """Give an object of a class of the same name that has these methods alone: for CPython to work on, with no code of the user's run."""
    made = type(type(value).__name__, (), dict(methods))
    machine.own_classes.add(made)
    return made()


def plain_beside_others(machine: Machine, left: Any, right: Any) -> tuple[Any, Any]:
    """Give two operands; a symbolic number stays one beside a number, a tensor, and an object whose methods are Python code.

    Methods written in C (of `Decimal`, say) need its value.
    """
    if type(left) in (str, bytes):  # a template, which looks into what is beside it
        return left, symbolic_ints.plain_throughout(right)
    if symbolic_ints.are_plain(left, right) or symbolic_ints.are_ints(left, right):
        return left, right
    if symbolic_floats.are_floats(left, right):
        return left, right
    other = left if symbolic_ints.are_plain(left) else right
    is_kept = isinstance(other, torch.Tensor) or type(other) in (int, bool, torch.SymInt)
    is_number = type(other) in (torch.SymFloat, torch.SymBool)
    if is_kept or not (is_number or any(map(is_fixed_class, type(other).__mro__[:-1]))):
        return left, right
    return symbolic_ints.plain(left), symbolic_ints.plain(right)


def are_symbolic_ints(left: Any, right: Any) -> bool:
    """Tell whether both are ints, one at least a symbolic one."""
    return symbolic_ints.are_ints(left, right) and not symbolic_ints.are_plain(left, right)


_DIVISIONS: Final = (operator.truediv, operator.itruediv)
"""Operators that make floats of ints."""


def operand(machine: Machine, value: Any) -> Any:
    """Give a side of an operator in a form that native code may work on."""
    if type(value) in machine.plain_types:
        return value
    if is_read_container(machine, value):
        contents = machine.world.contents(value)
        is_kind = type(contents) is type(value)
        return contents if is_kind else container_like(value, contents)
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
        return _binary(machine, function, _BINARY_METHODS[plain], left, right)
    check_runs_unseen(machine, method, left)
    if is_read_container(machine, left) and peek(type(left), method) is not ABSENT:
        changed = machine.world.change(left)
        read = machine.members if isinstance(left, set | frozenset) else machine.native_iterable
        natively(function, changed, read(right))
        return left
    if isinstance(left, list):
        return natively(function, left, machine.native_iterable(right))
    if peek(type(left), method) is ABSENT:
        return _binary(machine, function, _BINARY_METHODS[plain], left, right)
    return natively(function, operand(machine, left), operand(machine, right))


def _ask(
    machine: Machine, names: tuple[str, str], hooks: tuple[Any, Any], left: Any, right: Any
) -> Any:
    """Ask the two sides in CPython's order: a subclass that has a reflected method of its own first, else the left one."""
    forward, backward = hooks
    if type(left) is type(right):
        backward = None
    is_right_first = (
        backward is not None
        and issubclass(type(right), type(left))
        and peek(type(left), names[1]) is not peek(type(right), names[1])
    )
    asked = [
        lambda: _ask_left(machine, names[0], forward, left, right),
        lambda: NotImplemented if backward is None else machine.call(backward, [right, left], {}),
    ]
    for ask in reversed(asked) if is_right_first else asked:
        result = ask()
        if result is not NotImplemented:
            return result
    return NotImplemented


def _ask_left(machine: Machine, name: str, hook: Any, left: Any, right: Any) -> Any:
    if hook is not None:
        return machine.call(hook, [left, right], {})
    own = getattr(type(left), name, None)
    if own is None or type(left) is machine.tensor_type:
        return NotImplemented
    return natively(own, operand(machine, left), _shown(machine, name, left, right))


def _shown(machine: Machine, name: str, left: Any, right: Any) -> Any:
    """Give the right side in the form that is written into the left one, where that is a template."""
    is_template = isinstance(left, str | bytes) and name == "__mod__"
    return machine.show(right) if is_template else right


def unary(machine: Machine, function: Any, value: Any) -> Any:
    """Give `function(value)` for `operator.neg`, `.pos`, `.invert` or `.not_`."""
    if function is operator.not_:
        return not machine.truth(value)
    if symbolic_ints.is_symbolic(value):
        return symbolic_ints.unary(function, value)
    if type(value) is torch.SymFloat:
        return symbolic_floats.unary(machine, function, value)
    if type(value) is LateResult:
        return machine.late_calls.call(function, (value,), {})
    hook = special(machine, value, _UNARY_METHODS[function])
    if hook is not None:
        return machine.call(hook, [value], {})
    return natively(function, operand(machine, value))
