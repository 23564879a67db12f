"""Methods of lists, tuples and deques that compare what is in them: searching and ordering.

In: a sequence of the program's own (or the contents of one that existed before), a method's name and arguments.
Out: what the method gives, with comparisons that are Python code interpreted.
"""

from __future__ import annotations

import collections
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.raw_containers import raw_sequence

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def call_comparing_method(
    machine: Machine, name: str, holder: Any, args: Args, kwargs: Kwargs
) -> Any:
    """Call method `name` of a sequence; `ABSENT` when it compares nothing, or nothing but values that native code may compare."""
    method = _METHODS.get(name)
    if method is None or not isinstance(holder, list | tuple | collections.deque):
        return ABSENT
    if kwargs.get("key") is None and machine.are_plain((*raw_sequence(holder), *args)):
        return ABSENT
    return method(machine, holder, args, kwargs)


def _sort(machine: Machine, holder: list[Any], args: Args, kwargs: Kwargs) -> Any:
    if args or kwargs.keys() - {"key", "reverse"}:
        return ABSENT  # CPython words the error
    list.__setitem__(
        holder, slice(None), machine.call(sorted, [list(raw_sequence(holder))], kwargs)
    )
    return None


def _places(machine: Machine, holder: Any, value: Any) -> Any:
    """Give the positions of items equal to `value`, one after another."""
    for i, item in enumerate(raw_sequence(holder)):
        if item is value or machine.truth(machine.compare(operator.eq, item, value)):
            yield i


class _Named:
    """Stands for a value in an error message of CPython's."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _fail(machine: Machine, method: Callable[..., Any], value: Any) -> Any:
    """Let CPython word the error: the method is called on an empty sequence."""
    return natively(method, _Named(machine.text(repr, [value])))


def _base_of(holder: Any) -> Any:
    return next(base for base in (list, tuple, collections.deque) if isinstance(holder, base))


def _index(machine: Machine, holder: Any, args: Args, kwargs: Kwargs) -> Any:
    if not 1 <= len(args) <= 3 or kwargs:
        return ABSENT
    limits = slice(*args[1:], *(None,) * (3 - len(args)))
    start, stop, _ = natively(limits.indices, len(holder))
    for i in _places(machine, holder, args[0]):
        if start <= i < stop:
            return i
    return _fail(machine, _base_of(holder)().index, args[0])


def _count(machine: Machine, holder: Any, args: Args, kwargs: Kwargs) -> Any:
    if len(args) != 1 or kwargs:
        return ABSENT
    return sum(1 for _ in _places(machine, holder, args[0]))


def _remove(machine: Machine, holder: Any, args: Args, kwargs: Kwargs) -> Any:
    if len(args) != 1 or kwargs:
        return ABSENT
    for i in _places(machine, holder, args[0]):
        _base_of(holder).__delitem__(holder, i)
        return None
    return _fail(machine, _base_of(holder)().remove, args[0])


_METHODS: Final[dict[str, Callable[..., Any]]] = {
    "sort": _sort,
    "index": _index,
    "count": _count,
    "remove": _remove,
}
