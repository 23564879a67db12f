"""How many arguments builtins take.

In: a function and its rule.   Out: the rule, which leaves a call with too few or too many arguments to CPython: it raises.
Keeps: rules themselves may take the number of their arguments for right.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine, Rule

_ONE: Final = range(1, 2)
_TWO: Final = range(2, 3)
_ONE_OR_TWO: Final = range(1, 3)
_MANY: Final = 2**31


def _names(module: Any, *names: str) -> list[Callable[..., Any]]:
    return [getattr(module, name) for name in names]


_COUNTS: Final[Mapping[Any, Collection[int]]] = {
    **dict.fromkeys((len, id, all, any, repr, ascii, callable, hash, reversed), _ONE),
    **dict.fromkeys((isinstance, issubclass, hasattr, delattr, filter), _TWO),
    **dict.fromkeys((iter, next), _ONE_OR_TWO),
    **dict.fromkeys((getattr, functools.reduce), range(2, 4)),
    **dict.fromkeys((vars, dir), range(2)),
    setattr: range(3, 4),
    map: range(2, _MANY),
    **dict.fromkeys(_names(operator, "neg", "pos", "invert", "not_", "truth", "index"), _ONE),
    **dict.fromkeys(
        _names(operator, "lt", "le", "eq", "ne", "gt", "ge", "is_", "contains", "getitem"), _TWO
    ),
    **dict.fromkeys(_names(operator, "add", "sub", "mul", "matmul", "truediv", "floordiv"), _TWO),
    **dict.fromkeys(_names(operator, "mod", "pow", "lshift", "rshift", "and_", "or_", "xor"), _TWO),
    **dict.fromkeys(_names(operator, "iadd", "isub", "imul", "imatmul", "itruediv"), _TWO),
    **dict.fromkeys(_names(operator, "ifloordiv", "imod", "ipow", "iand", "ior", "ixor"), _TWO),
    **dict.fromkeys(_names(operator, "delitem", "iconcat"), _TWO),
    operator.setitem: range(3, 4),
    **dict.fromkeys((abs, operator.abs, math.ceil, math.floor, math.trunc), _ONE),
    divmod: _TWO,
}
"""Functions that take no keywords; `type` with keywords passes them on."""

_SIGNATURES: Final = {
    function: inspect.signature(function)
    for function in (sum, sorted, round, copy.copy, copy.deepcopy)
}
"""Of those that take keywords: what may stand in its place does."""


def check_count(function: Any, rule: Rule) -> Rule:
    """Give the rule, with a look at the arguments before it where it is known what the function takes."""
    signature = _SIGNATURES.get(function)
    if signature is not None:
        return _bound(function, rule, signature)
    counts = (1, 3) if function is type else _COUNTS.get(function)
    return rule if counts is None else _counted(function, rule, counts)


def _bound(function: Any, rule: Rule, signature: inspect.Signature) -> Rule:
    def bound(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            return natively(function, *args, **kwargs)
        return rule(machine, given.args, given.kwargs)

    bound.__doc__ = rule.__doc__
    return bound


def _counted(function: Any, rule: Rule, counts: Collection[int]) -> Rule:
    takes_keywords = function is type

    def counted(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if len(args) not in counts or (kwargs and not takes_keywords):
            return natively(function, *args, **kwargs)
        return rule(machine, args, kwargs)

    counted.__doc__ = rule.__doc__
    return counted
