"""Ints whose value is not fixed by the capture: sizes, and int arguments, that are symbols.

In: what the program does with them.   Out: what Python would give: another such int where its value follows from theirs by sums,
products and floor division; a plain value, with a guard that the symbols have the values of this call, everywhere else.
Keeps: to the program they are ints and nothing else. A comparison is decided at once, and its outcome is guarded.

The objects are `torch.SymInt`s of the recorder's, which torch's own functions take as they are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.faults import natively
from graphwright.record import Extent, fits_64_bits, greatest, least, to_extent, to_torch

SYMBOLIC_INTS: Final = range(-(2**31), 2**31)
"""Int arguments that can be symbols: sums and products of a few of them fit 64 bits, in which native code calculates."""

_MOST_POWER: Final = 4
"""Exponents up to which a power stays symbolic; higher ones are rare, and their results large."""

PLAIN_TYPES: Final = {torch.SymInt: int, torch.SymFloat: float, torch.SymBool: bool}
"""The classes of numbers that are not fixed, and those that the program sees."""

SYMBOLIC_TYPES: Final = tuple(PLAIN_TYPES)


def is_symbolic(value: object) -> bool:
    """Tell whether `value` is an int that is not fixed."""
    return type(value) is torch.SymInt


def plain(value: Any) -> Any:
    """Give the plain value of a symbolic int, float or truth, guarding that it has no other; anything else as it is."""
    kind = type(value)
    if kind is torch.SymInt:
        return int(value)
    if kind is torch.SymFloat:
        return float(value)
    if kind is torch.SymBool:
        return bool(value)
    return value


def plain_throughout(value: Any) -> Any:
    """Give `value` with all symbolic ints in it, at any depth of builtin containers, made plain; itself when there are none."""
    kind = type(value)
    if kind in SYMBOLIC_TYPES:
        return plain(value)
    if kind in (tuple, list, set, frozenset, torch.Size):
        items = [plain_throughout(item) for item in value]
        is_same = all(one is other for one, other in zip(items, value, strict=True))
        return value if is_same else kind(items)
    if kind is dict:
        entries = {plain_throughout(key): plain_throughout(item) for key, item in value.items()}
        is_same = all(entries[key] is item for key, item in value.items())
        return value if is_same else entries
    if kind is slice:
        parts = (value.start, value.stop, value.step)
        plain_parts = [plain(part) for part in parts]
        is_same = all(one is other for one, other in zip(plain_parts, parts, strict=True))
        return value if is_same else slice(*plain_parts)
    return value


def are_ints(*values: object) -> bool:
    """Tell whether all values are ints, fixed or not (bools too)."""
    return all(type(value) in (int, bool, torch.SymInt) for value in values)


def binary(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Give `function(left, right)` for a function of `operator` and two ints, one of which at least is not fixed."""
    function = _IN_PLACE.get(function, function)
    exact = _EXACT.get(function)
    if exact is not None:
        found = exact(_extent(left), _extent(right))
        if found is not None and fits_64_bits(found):
            return to_torch(found)
    return natively(function, plain(left), plain(right))


def compare(function: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    """Give `function(left, right)` for a comparison of `operator` and two ints, one of which at least is not fixed."""
    extents = _extent(left), _extent(right)
    if any(isinstance(extent, int) and extent not in _COMPARED for extent in extents):
        return bool(function(plain(left), plain(right)))
    return bool(function(*extents))


def unary(function: Callable[[Any], Any], value: Any) -> Any:
    """Give `function(value)` for `operator.neg`, `.pos` or `.invert` of an int that is not fixed."""
    extent = _extent(value)
    if function is operator.pos:
        return value
    return to_torch(-extent if function is operator.neg else -extent - 1)


def try_call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Give the result of a C function that has a meaning for ints that are not fixed; `NotImplemented` for others."""
    rule = _FUNCTIONS.get(function) if _is_hashable(function) else None
    if rule is None or kwargs:
        return NotImplemented
    return rule(*args)


def _is_hashable(function: Any) -> bool:
    return isinstance(function, type | type(len))


def _extent(value: Any) -> Extent:
    return int(value) if isinstance(value, int) else to_extent(value)


def _floor_divide(left: Extent, right: Extent) -> Extent | None:
    return left // right if _is_positive(right) else None


def _modulo(left: Extent, right: Extent) -> Extent | None:
    return left % right if _is_positive(right) else None


def _is_positive(extent: Extent) -> bool:
    """Tell, with a guard, whether a divisor is positive: division by others is left to Python."""
    return bool(extent > 0)


def _power(base: Extent, exponent: Extent) -> Extent | None:
    if isinstance(base, int) or not isinstance(exponent, int):
        return None
    return base**exponent if 0 <= exponent <= _MOST_POWER else None


_EXACT: Final[dict[Any, Callable[[Any, Any], Extent | None]]] = {
    operator.add: operator.add,
    operator.sub: operator.sub,
    operator.mul: operator.mul,
    operator.floordiv: _floor_divide,
    operator.mod: _modulo,
    operator.pow: _power,
}
"""Operators whose results are symbolic again; None where one is not."""

_IN_PLACE: Final[dict[Any, Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
    operator.itruediv: operator.truediv,
    operator.ilshift: operator.lshift,
    operator.irshift: operator.rshift,
    operator.iand: operator.and_,
    operator.ior: operator.or_,
    operator.ixor: operator.xor,
    operator.imatmul: operator.matmul,
}

_COMPARED: Final = range(-(2**62), 2**62)
"""Ints that stand in guards; with larger ones, native code could not calculate."""


def _same(*args: Any) -> Any:
    return args[0] if len(args) == 1 and is_symbolic(args[0]) else NotImplemented


def _absolute(*args: Any) -> Any:
    if len(args) != 1 or not is_symbolic(args[0]):
        return NotImplemented
    return args[0] if compare(operator.ge, args[0], 0) else unary(operator.neg, args[0])


def _divmod(*args: Any) -> Any:
    if len(args) != 2 or not are_ints(*args):
        return NotImplemented
    return binary(operator.floordiv, *args), binary(operator.mod, *args)


def _extreme(choose: Callable[[Extent, Extent], Extent]) -> Callable[..., Any]:
    """Make the rule of `min` or `max` of two or more ints, which does not ask which of them it is."""

    def rule(*args: Any) -> Any:
        if len(args) < 2 or not all(type(arg) in (int, torch.SymInt) for arg in args):
            return NotImplemented
        chosen = _extent(args[0])
        for arg in args[1:]:
            chosen = choose(chosen, _extent(arg))
        return to_torch(chosen)

    return rule


def _product(*args: Any) -> Any:
    if len(args) != 1 or type(args[0]) not in (tuple, list, torch.Size) or not are_ints(*args[0]):
        return NotImplemented
    total: Any = 1
    for item in args[0]:
        total = binary(operator.mul, total, item) if not are_plain(total, item) else total * item
    return total


def are_plain(*values: object) -> bool:
    """Tell whether none of the values is symbolic."""
    return not any(type(value) in SYMBOLIC_TYPES for value in values)


def _as_given(kind: Callable[..., Any]) -> Callable[..., Any]:
    """Make the rule of a class that only holds its arguments."""
    return lambda *args: kind(*args)


_FUNCTIONS: Final[dict[Any, Callable[..., Any]]] = {
    int: _same,
    abs: _absolute,
    operator.abs: _absolute,
    operator.index: _same,
    round: _same,
    math.floor: _same,
    math.ceil: _same,
    math.trunc: _same,
    math.prod: _product,
    divmod: _divmod,
    min: _extreme(least),
    max: _extreme(greatest),
    slice: _as_given(slice),
}
"""C functions and classes for which a symbolic int stays what it is, or gives another."""
