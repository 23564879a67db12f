"""Late texts: strings into which numbers are written that the capture does not fix.

In: what makes a text, and values.   Out: a `LateResult`, where one of the values is such a number (an open float, a symbolic int, a number
that is taken out of a tensor after the graph); else nothing, and the text is made as any other.

    return f"loss {loss.item():.4f}"    result: str.join("", ["loss ", format(item(output 0), ".4f")])

A text that is only handed on (to `print`, a logger, the caller) so depends on nothing, and no call is compiled anew for its sake. What
could not be written so is an error of the program's, raised where it writes it: it is tried with a number of the same type.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.late_calls import LateResult, used_late
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.symbolic_ints import SYMBOLIC_TYPES

_FIELD: Final = re.compile(r"%(?:%|[-#0 +]*\d*(?:\.\d+)?([a-zA-Z]))")
"""A field of a template for `%` that takes one value, and says by itself how wide it is."""

_CONVERSIONS: Final[dict[type, str]] = {float: "eEfFgGrsa", int: "diuxXoeEfFgGrsa", str: "rsa"}
"""Those which write any number of a type; others look at its value."""


def late_text(
    machine: Machine, function: Callable[..., str], value: Any, rest: Sequence[Any]
) -> LateResult | None:
    """Make the text that `function(value, *rest)` gives, for `str`, `repr`, `ascii` or `format`; None where it is not late."""
    sample = _sample(machine, value)
    if sample is ABSENT:
        return None
    for spec in rest:
        if type(spec) is LateResult:
            raise used_late(spec)
        if spec.endswith("c") and type(sample) is not str:
            return None  # whether there is such a character, its number tells
    made = natively(function, sample, *rest)
    if type(sample) is str and made == sample and function is not repr and not any(rest):
        own: LateResult = value
        return own
    result: LateResult = machine.late_calls.make(function, (value, *rest), sample=made)
    return result


def join(machine: Machine, separator: str, parts: Sequence[Any]) -> Any:
    """Give `separator.join(parts)`."""
    samples = [_sample(machine, part) if type(part) is LateResult else part for part in parts]
    if all(map(operator.is_, samples, parts)):
        return natively(str.join, separator, parts)
    unknown = (part for part, sample in zip(parts, samples, strict=True) if sample is ABSENT)
    for part in unknown:
        raise used_late(part)
    made = natively(str.join, separator, samples)
    return machine.late_calls.make(str.join, (separator, list(parts)), sample=made)


def fill(machine: Machine, template: str, values: Any) -> LateResult | None:
    """Make the text that `template % values` gives; None where it is not late."""
    given = values if type(values) is tuple else (values,)
    samples = [_sample(machine, value) for value in given]
    if all(sample is ABSENT for sample in samples):
        return None
    fields = _FIELD.findall(template)
    rest = _FIELD.sub("", template)
    conversions = [conversion for conversion in fields if conversion]
    if "%" in rest or len(conversions) != len(given):
        return None
    for conversion, value, sample in zip(conversions, given, samples, strict=True):
        is_fixed = sample is ABSENT and type(value) in (str, int, float, bool)
        if not is_fixed and conversion not in _CONVERSIONS.get(type(sample), ()):
            return None
    filled = tuple(
        value if sample is ABSENT else sample for value, sample in zip(given, samples, strict=True)
    )
    made = natively(operator.mod, template, filled)
    result: LateResult = machine.late_calls.make(
        operator.mod, (template, tuple(given)), sample=made
    )
    return result


def _sample(machine: Machine, value: Any) -> Any:
    """Give a value of the type that a number or text will have which is not fixed; `ABSENT` for anything else."""
    kind = type(value)
    if kind is LateResult:
        return value.sample if machine.late_calls.may_be_texts else ABSENT
    if kind not in SYMBOLIC_TYPES or not machine.late_calls.may_be_texts:
        return ABSENT
    return machine.world.sample_of(value)
