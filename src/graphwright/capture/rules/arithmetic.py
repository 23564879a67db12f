"""Rules for builtins that do arithmetic through special methods, and for the counting of items.

In: the arguments.   Out: what the builtin gives, with methods that are Python code interpreted.
"""

from __future__ import annotations

import collections
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


RULES: Final[dict[Any, Rule]] = {
    abs: _by_method(abs, "__abs__"),
    operator.abs: _by_method(operator.abs, "__abs__"),
    round: _by_method(round, "__round__"),
    divmod: divmod_,
    pow: pow_,
    collections._count_elements: count_elements,  # type: ignore[attr-defined]  # noqa: SLF001
}
