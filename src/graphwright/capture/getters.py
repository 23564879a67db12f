"""Calls of `operator.attrgetter`, `itemgetter` and `methodcaller` objects.

In: such an object and what it is called with.   Out: what it gives, by the interpreter's own attributes, items and calls.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, Final

from graphwright.capture.machine import Machine


def _get_attributes(machine: Machine, getter: Any, value: Any) -> Any:
    _, paths = getter.__reduce__()
    found = [functools.reduce(machine.load_attr, path.split("."), value) for path in paths]
    return found[0] if len(found) == 1 else tuple(found)


def _get_items(machine: Machine, getter: Any, value: Any) -> Any:
    _, keys = getter.__reduce__()
    found = [machine.getitem(value, key) for key in keys]
    return found[0] if len(found) == 1 else tuple(found)


def _call_method(machine: Machine, getter: Any, value: Any) -> Any:
    maker, parts = getter.__reduce__()
    keywords: dict[str, Any] = {}
    if isinstance(maker, functools.partial):
        parts, keywords = (*maker.args, *parts), maker.keywords
    name, *args = parts
    return machine.call(machine.load_attr(value, name), args, keywords)


_WAYS: Final[dict[type, Callable[[Machine, Any, Any], Any]]] = {
    operator.attrgetter: _get_attributes,
    operator.itemgetter: _get_items,
    operator.methodcaller: _call_method,
}


def is_getter(value: Any) -> bool:
    """Tell whether `value` is one of these objects."""
    return type(value) in _WAYS


def call_getter(machine: Machine, getter: Any, value: Any) -> Any:
    """Call one of these objects; one that existed before the call must then be the same at each call."""
    machine.world.hold(getter)
    return _WAYS[type(getter)](machine, getter, value)
