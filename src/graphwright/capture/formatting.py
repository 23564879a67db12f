"""`str.format` with objects whose text is Python code.

In: a template and its arguments.   Out: the text, as `str.format` makes it.
"""

from __future__ import annotations

import _string  # type: ignore[import-not-found]
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.late_texts import join
from graphwright.capture.machine import Machine

_CONVERSIONS: Final[dict[str, Callable[..., str]]] = {"s": str, "r": repr, "a": ascii}


def format_template(
    machine: Machine, template: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Give `template.format(*args, **kwargs)`."""
    return _Filling(machine, args, kwargs).fill(template)


class _Filling:
    """One call; counts the fields that have no number."""

    def __init__(self, machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._machine = machine
        self._args = args
        self._kwargs = kwargs
        self._next = 0

    def fill(self, template: str) -> Any:
        parts: list[Any] = []
        for literal, field, spec, conversion in natively(_string.formatter_parser, template):
            parts.append(literal)
            if field is not None:
                parts.append(self._field(field, spec or "", conversion))
        return join(self._machine, "", parts)

    def _field(self, field: str, spec: str, conversion: str | None) -> Any:
        value = self._look_up(field)
        if conversion:
            value = self._machine.text(_CONVERSIONS[conversion], [value])
        return self._machine.text(format, [value, self.fill(spec)])

    def _look_up(self, field: str) -> Any:
        first, steps = natively(_string.formatter_field_name_split, field)
        if first == "":
            first = self._next
            self._next += 1
        table = self._args if isinstance(first, int) else self._kwargs
        value = natively(operator.getitem, table, first)
        for is_attribute, name in steps:
            load = self._machine.load_attr if is_attribute else self._machine.getitem
            value = load(value, name)
        return value
