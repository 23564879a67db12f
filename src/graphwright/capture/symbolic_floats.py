"""Floats whose value is not fixed by the capture: float arguments, and floats that plain Python took out of tensors.

In: what the program does with them.   Out: what Python would give: another such float where it follows from theirs by arithmetic or a
function of `math`; a plain value, with a guard that they have the values of this call, everywhere else.
Keeps: to the program they are floats and nothing else. Arithmetic on them is Python's own, done before the graph runs; a comparison
is decided at once, and its outcome is guarded.

The objects are `torch.SymFloat`s of the recorder's, which torch's own functions take as they are.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine
from graphwright.capture.symbolic_ints import are_plain, plain
from graphwright.ir.calculations import FUNCTIONS, Operation
from graphwright.record import SymbolicNumber, calculate

_NUMBERS: Final = frozenset({float, int, bool, torch.SymFloat, torch.SymInt})

_OPERATIONS: Final[Mapping[Any, Operation]] = {
    **{function: operation for operation, function in FUNCTIONS.items()},
    operator.iadd: Operation.ADD,
    operator.isub: Operation.SUB,
    operator.imul: Operation.MUL,
    operator.itruediv: Operation.TRUEDIV,
    operator.ifloordiv: Operation.FLOORDIV,
    operator.imod: Operation.MOD,
    operator.ipow: Operation.POW,
    builtins.abs: Operation.ABS,
    builtins.pow: Operation.POW,
}
"""The operations, by the functions that programs call."""

_TAKES_MANY: Final = (min, max)
_MAKES_FLOATS: Final = frozenset(
    {float, *(one for one in FUNCTIONS.values() if one.__module__ == "math")}
)
"""Functions that give floats, or truths, for ints too."""


def are_floats(*values: object) -> bool:
    """Tell whether all values are numbers, one at least a float that is not fixed."""
    kinds = [type(value) for value in values]
    return torch.SymFloat in kinds and _NUMBERS.issuperset(kinds)


def apply(machine: Machine, function: Callable[..., Any], *values: Any) -> Any:
    """Give `function(*values)` for a function that has an operation, and numbers, some of them not fixed."""
    numbers = [machine.world.number_of(value) for value in values]
    result = natively(calculate, _OPERATIONS[function], *numbers)
    return machine.recorder.new_float(result) if isinstance(result, SymbolicNumber) else result


def binary(machine: Machine, function: Callable[..., Any], left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a function of `operator` and two numbers, one of which at least is not fixed."""
    if function in _OPERATIONS:
        return apply(machine, function, left, right)
    return natively(function, plain(left), plain(right))


def unary(machine: Machine, function: Callable[..., Any], value: Any) -> Any:
    """Give `function(value)` for `operator.neg`, `.pos` or `.invert` of a float that is not fixed."""
    if function is operator.pos:
        return value
    return apply(machine, function, value) if function is operator.neg else natively(function, 0.0)


def try_call(
    machine: Machine, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Give the result of a C function that makes floats, or truths, of numbers that are not fixed; `NotImplemented` for others."""
    if kwargs or not isinstance(function, type | type(len)) or function not in _OPERATIONS:
        return NotImplemented
    if not are_floats(*args) and not (function in _MAKES_FLOATS and are_numbers(*args)):
        return NotImplemented
    if function is float and type(args[0]) is torch.SymFloat:
        return args[0]
    if function not in _TAKES_MANY:
        return apply(machine, function, *args)
    found, *others = args
    for value in others:
        found = apply(machine, function, found, value)
    return found if others else NotImplemented


def are_numbers(*values: object) -> bool:
    """Tell whether all values are numbers, one at least not fixed."""
    return _NUMBERS.issuperset(map(type, values)) and not are_plain(*values)
