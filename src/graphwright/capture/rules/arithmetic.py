"""Rules for builtins that do arithmetic through special methods, and for the counting of items.

In: the arguments.   Out: what the builtin gives, with methods that are Python code interpreted.
"""

from __future__ import annotations

import collections
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.machine import Machine, Rule

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def _by_method(function: Callable[..., Any], name: str) -> Rule:
    """Make the rule of a builtin that calls method `name` of its first argument."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        hook = machine.special(args[0], name) if args else None
        if hook is not None and not kwargs:
            return machine.call(hook, args, {})
        return machine.call_native(function, args, kwargs)

    rule.__doc__ = f"`{function.__name__}(...)`, by `{name}`."
    return rule


def divmod_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`divmod(x, y)`."""
    if len(args) == 2:
        for names, ordered in ((("__divmod__",), args), (("__rdivmod__",), args[::-1])):
            hook = machine.special(ordered[0], *names)
            if hook is None:
                continue
            result = machine.call(hook, ordered, {})
            if result is not NotImplemented:
                return result
    return machine.call_native(divmod, args, kwargs)


def pow_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`pow(x, y[, modulus])`."""
    if len(args) == 2 and not kwargs:
        return machine.binary(operator.pow, *args)
    return _by_method(pow, "__pow__")(machine, args, kwargs)


def count_elements(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`collections._count_elements(mapping, items)`, with which a Counter counts."""
    mapping, items = args
    for item in machine.native_iterable(items):
        before = machine.getitem(mapping, item) if machine.contains(mapping, item) else 0
        machine.setitem(mapping, item, machine.binary(operator.add, before, 1))


def _number(machine: Machine, value: Any, names: Sequence[str]) -> Any:
    """Give the number that an object stands for by the first of these methods that it has; anything else as it is."""
    for name in names:
        if name == "__index__" and isinstance(value, int):
            return int.__index__(value)  # It is the number that it is, whatever its method gives.
        hook = machine.special(value, name)
        if hook is not None:
            return machine.call(hook, [value], {})
    return value


def _of_numbers(function: Callable[..., Any], *names: str) -> Rule:
    """Make the rule of a function of numbers, which objects may stand for by these methods."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
        numbers = [_number(machine, value, names) for value in args]
        return machine.call_native(function, numbers, kwargs)

    rule.__doc__ = f"`{function.__name__}(...)` of numbers, or of objects that stand for one."
    return rule


def _math_functions() -> dict[Any, Rule]:
    by_method: dict[Any, str] = {
        math.ceil: "__ceil__",
        math.floor: "__floor__",
        math.trunc: "__trunc__",
    }
    functions: set[Any] = {f for f in vars(math).values() if callable(f) and f not in _OF_ITERABLES}
    rules = {f: _of_numbers(f, "__float__", "__index__") for f in functions - _OF_INTEGERS}
    rules |= {f: _of_numbers(f, "__index__") for f in _OF_INTEGERS}
    return rules | {f: _by_method(f, name) for f, name in by_method.items()}


_OF_ITERABLES: Final[set[Any]] = {math.fsum, math.prod, math.dist, getattr(math, "sumprod", None)}
_OF_INTEGERS: Final[set[Any]] = {
    math.gcd,
    math.lcm,
    math.comb,
    math.perm,
    math.factorial,
    math.isqrt,
}

RULES: Final[dict[Any, Rule]] = {
    abs: _by_method(abs, "__abs__"),
    operator.abs: _by_method(operator.abs, "__abs__"),
    round: _by_method(round, "__round__"),
    divmod: divmod_,
    **{f: _of_numbers(f, "__index__") for f in (range, hex, oct, bin, chr, operator.index)},
    **_math_functions(),
    pow: pow_,
    collections._count_elements: count_elements,  # type: ignore[attr-defined]  # noqa: SLF001
}
