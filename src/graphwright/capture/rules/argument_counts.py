"""How many arguments builtins take.

In: a function and its rule.   Out: the rule, which leaves a call with too few or too many arguments to CPython: it raises.
Keeps: rules themselves may take the number of their arguments for right.
"""

from __future__ import annotations

import copy
import functools
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

_COUNTS_WITH_KEYWORDS: Final[Mapping[Any, tuple[Collection[int], frozenset[str]]]] = {
    sum: (_ONE_OR_TWO, frozenset({"start"})),
    sorted: (_ONE, frozenset({"key", "reverse"})),
    round: (range(3), frozenset({"number", "ndigits"})),
    copy.copy: (range(2), frozenset({"x"})),
    copy.deepcopy: (range(4), frozenset({"x", "memo", "_nil"})),
}
"""The first argument may be one of the keywords."""


def check_count(function: Any, rule: Rule) -> Rule:
    """Give the rule, with a look at the number of arguments before it where that is known."""
    if function is type:
        return _checked(function, rule, (1, 3), None)
    counts = _COUNTS.get(function)
    if counts is not None:
        return _checked(function, rule, counts, frozenset())
    known = _COUNTS_WITH_KEYWORDS.get(function)
    return rule if known is None else _checked(function, rule, *known)


def _checked(
    function: Any, rule: Rule, counts: Collection[int], keywords: frozenset[str] | None
) -> Rule:
    least = 0 if function in (vars, dir) else 1

    def checked(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        is_known = keywords is None or keywords.issuperset(kwargs)
        if len(args) not in counts or not is_known or not (args or kwargs or least == 0):
            return natively(function, *args, **kwargs)
        return rule(machine, args, kwargs)

    checked.__doc__ = rule.__doc__
    return checked
