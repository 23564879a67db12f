"""What is known of a symbolic integer from the ranges of its symbols.

In:  a `Dim` and a range for each symbol.   Out: an `Interval` that holds every value it can take.
Keeps: sound, not tight. A polynomial whose symbols are shifted to start at their least values, and that then has only
non-negative (non-positive) coefficients, gets its exact least (greatest) value; otherwise intervals are added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from graphwright.ir.data import Data
from graphwright.ir.symint import Atom, Dim, FloorDiv, Max, Min, Mod, Symbol, SymExpr


class Interval(Data, frozen=True):
    """`low <= value <= high`; None is unbounded."""

    low: int | None = None
    high: int | None = None

    def __contains__(self, value: int) -> bool:
        """True if the value lies in the interval."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def within(self, limit: int) -> Interval:
        """Give the part of the interval whose magnitude is at most `limit`."""
        low = -limit if self.low is None else max(self.low, -limit)
        return Interval(low, limit if self.high is None else min(self.high, limit))


EVERYTHING = Interval()


def bounds(dim: Dim, ranges: Mapping[str, Interval]) -> Interval:
    """Give an interval that holds `dim` for all values of the symbols in their ranges."""
    if isinstance(dim, int):
        return Interval(dim, dim)
    total = Interval(0, 0)
    for term in dim.terms:
        value = Interval(term.coeff, term.coeff)
        for factor in term.factors:
            own = _atom_bounds(factor.base, ranges)
            for _ in range(factor.exponent):
                value = multiply(value, own)
        total = _sum(total, value)
    if total.low is None or total.high is None:
        return _tighten(dim, total, ranges)
    return total


def multiply(left: Interval, right: Interval) -> Interval:
    """Give the interval of products."""
    if left == Interval(0, 0) or right == Interval(0, 0):
        return Interval(0, 0)
    ends = [
        _end_product(a, a_sign, b, b_sign)
        for a, a_sign in _ends(left)
        for b, b_sign in _ends(right)
    ]
    lows = [None if value is None and sign < 0 else value for value, sign in ends]
    low = (
        None
        if any(value is None and sign < 0 for value, sign in ends)
        else min(v for v in lows if v is not None)
    )
    high = (
        None
        if any(value is None and sign > 0 for value, sign in ends)
        else max(v for v in lows if v is not None)
    )
    return Interval(low, high)


def _ends(interval: Interval) -> tuple[tuple[int | None, int], tuple[int | None, int]]:
    """Give both ends with their signs; an infinite end is None."""
    low = (interval.low, -1 if interval.low is None else _sign(interval.low))
    high = (interval.high, 1 if interval.high is None else _sign(interval.high))
    return low, high


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _end_product(a: int | None, a_sign: int, b: int | None, b_sign: int) -> tuple[int | None, int]:
    sign = a_sign * b_sign
    if sign == 0:
        return 0, 0
    if a is None or b is None:
        return None, sign
    return a * b, sign


def _sum(left: Interval, right: Interval) -> Interval:
    low = None if left.low is None or right.low is None else left.low + right.low
    high = None if left.high is None or right.high is None else left.high + right.high
    return Interval(low, high)


def _atom_bounds(atom: Atom, ranges: Mapping[str, Interval]) -> Interval:
    match atom:
        case Symbol(name=name):
            return ranges.get(name, EVERYTHING)
        case FloorDiv(numerator=numerator, denominator=denominator):
            return _floordiv_bounds(bounds(numerator, ranges), bounds(denominator, ranges))
        case Mod(value=value, modulus=modulus):
            return _mod_bounds(bounds(value, ranges), bounds(modulus, ranges))
        case Min(operands=operands):
            return _extreme_bounds([bounds(operand, ranges) for operand in operands], is_min=True)
        case Max(operands=operands):
            return _extreme_bounds([bounds(operand, ranges) for operand in operands], is_min=False)
        case _:
            assert_never(atom)


def _floordiv_bounds(numerator: Interval, denominator: Interval) -> Interval:
    if denominator.low is None or denominator.low < 1:
        return EVERYTHING
    least, most = denominator.low, denominator.high
    # A numerator is brought nearest to 0 by the greatest denominator, and farthest from it by the least.
    at_most = (0, -1) if most is None else (numerator.low or 0, numerator.high or 0)
    low: int | None = None
    high: int | None = None
    if numerator.low is not None:
        low = numerator.low // least if numerator.low < 0 else at_most[0] // (most or 1)
    if numerator.high is not None:
        high = numerator.high // least if numerator.high >= 0 else at_most[1] // (most or 1)
    return Interval(low, high)


def _mod_bounds(value: Interval, modulus: Interval) -> Interval:
    if modulus.low is None or modulus.low < 1:
        return EVERYTHING
    if (
        value.low is not None
        and value.low >= 0
        and value.high is not None
        and value.high < modulus.low
    ):
        return value
    high = None if modulus.high is None else modulus.high - 1
    if value.low is not None and value.low >= 0 and value.high is not None:
        high = value.high if high is None else min(high, value.high)
    return Interval(0, high)


def _extreme_bounds(operands: list[Interval], *, is_min: bool) -> Interval:
    lows = [operand.low for operand in operands]
    highs = [operand.high for operand in operands]
    known_lows = [low for low in lows if low is not None]
    known_highs = [high for high in highs if high is not None]
    if is_min:
        low = min(known_lows) if len(known_lows) == len(lows) else None
        return Interval(low, min(known_highs, default=None))
    high = max(known_highs) if len(known_highs) == len(highs) else None
    return Interval(max(known_lows, default=None), high)


def _tighten(dim: SymExpr, interval: Interval, ranges: Mapping[str, Interval]) -> Interval:
    """Write each atom as its least value plus a rest of at least 0, and look at the signs of the coefficients."""
    shifted: dict[tuple[tuple[Atom, int], ...], int] = {}
    for term in dim.terms:
        expanded: dict[tuple[tuple[Atom, int], ...], int] = {(): term.coeff}
        for factor in term.factors:
            least = _atom_bounds(factor.base, ranges).low
            if least is None:
                return interval
            for _ in range(factor.exponent):
                expanded = _times_shifted(expanded, factor.base, least)
        for key, coeff in expanded.items():
            shifted[key] = shifted.get(key, 0) + coeff
    constant = shifted.pop((), 0)
    low, high = interval.low, interval.high
    if low is None and all(coeff >= 0 for coeff in shifted.values()):
        low = constant
    if high is None and all(coeff <= 0 for coeff in shifted.values()):
        high = constant
    return Interval(low, high)


def _times_shifted(
    polynomial: dict[tuple[tuple[Atom, int], ...], int], atom: Atom, least: int
) -> dict[tuple[tuple[Atom, int], ...], int]:
    product: dict[tuple[tuple[Atom, int], ...], int] = {}
    for key, coeff in polynomial.items():
        product[key] = product.get(key, 0) + coeff * least
        exponents = dict(key)
        exponents[atom] = exponents.get(atom, 0) + 1
        raised = tuple(sorted(exponents.items(), key=lambda item: repr(item[0])))
        product[raised] = product.get(raised, 0) + coeff
    return product
