"""Integers that are affine in loop variables, and the division that views need.

In: `Affine` values over numbered *atoms* (each a loop variable, or a computed integer, with a known extent).
Out: sums, multiples, and exact quotients and remainders, or the way an atom must be split to have them.
Keeps: atoms run from 0 to their extent - 1; coefficients of terms are never 0; terms are sorted by atom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec


class Affine(msgspec.Struct, frozen=True):
    """`const + Σ atom * coeff`."""

    terms: tuple[tuple[int, int], ...] = ()
    """Pairs of atom number and coefficient."""
    const: int = 0

    def plus(self, other: Affine) -> Affine:
        """Give the sum."""
        if not other.terms:
            return Affine(self.terms, self.const + other.const) if other.const else self
        if not self.terms:
            return Affine(other.terms, self.const + other.const) if self.const else other
        coeffs = dict(self.terms)
        for atom, coeff in other.terms:
            coeffs[atom] = coeffs.get(atom, 0) + coeff
        return make_affine(coeffs.items(), self.const + other.const)

    def times(self, factor: int) -> Affine:
        """Give the multiple."""
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Affine(
            tuple((atom, coeff * factor) for atom, coeff in self.terms), self.const * factor
        )

    def shifted(self, amount: int) -> Affine:
        """Give `self + amount`."""
        return Affine(self.terms, self.const + amount) if amount else self

    def coeff(self, atom: int) -> int:
        """Give the coefficient of `atom`, 0 where it does not occur."""
        for number, coeff in self.terms:
            if number == atom:
                return coeff
        return 0

    @property
    def mask(self) -> int:
        """The atoms that occur, as a bit set."""
        mask = 0
        for atom, _ in self.terms:
            mask |= 1 << atom
        return mask


ZERO: Final = Affine()


class Split(msgspec.Struct, frozen=True):
    """Atom `atom` must become two, the inner one of extent `inner`, for a division to be exact."""

    atom: int
    inner: int


class Division(msgspec.Struct, frozen=True):
    """`value = quotient * divisor + remainder`, with the remainder in `0..divisor`."""

    quotient: Affine
    remainder: Affine


def make_affine(terms: Iterable[tuple[int, int]], const: int) -> Affine:
    """Give the affine value of these terms, one a atom, in canonical form."""
    return Affine(tuple(sorted((atom, coeff) for atom, coeff in terms if coeff)), const)


def atom_affine(atom: int) -> Affine:
    """Give the value of one atom."""
    return Affine(((atom, 1),), 0)


def range_of(value: Affine, extents: Sequence[int]) -> tuple[int, int]:
    """Give the least and the greatest value (over atoms that take at least one value)."""
    low = high = value.const
    for atom, coeff in value.terms:
        reach = coeff * (extents[atom] - 1)
        if reach > 0:
            high += reach
        else:
            low += reach
    return low, high


def run_length(value: Affine, extents: Sequence[int]) -> int:
    """Give how many numbers, from its least on, the value takes one after the other as its atoms count up; 1 where it leaves gaps."""
    length = 1
    for atom, coeff in sorted(value.terms, key=lambda term: term[1]):
        if coeff != length:
            break
        length *= extents[atom]
    return length


def dot(indices: Sequence[Affine], strides: Sequence[int], offset: int) -> Affine:
    """Give `offset + Σ index * stride`."""
    coeffs: dict[int, int] = {}
    const = offset
    for index, stride in zip(indices, strides, strict=True):
        if not stride:
            continue
        const += index.const * stride
        for atom, coeff in index.terms:
            coeffs[atom] = coeffs.get(atom, 0) + coeff * stride
    return make_affine(coeffs.items(), const)


def divide(value: Affine, divisor: int, extents: Sequence[int]) -> Division | Split | None:
    """Divide exactly.

    Args:
        value: what to divide; never negative.
        divisor: at least 1.
        extents: extent of each atom.

    Returns:
        Quotient and remainder; or the split of an atom after which to try again; or None where the quotient is not
        affine however atoms are split.
    """
    quotient: list[tuple[int, int]] = []
    remainder: list[tuple[int, int]] = []
    const_quotient, reach = divmod(value.const, divisor)
    const_remainder = reach
    for atom, coeff in value.terms:
        whole, rest = divmod(coeff, divisor)
        if whole:
            quotient.append((atom, whole))
        if rest:
            remainder.append((atom, rest))
            reach += rest * (extents[atom] - 1)
    if reach < divisor:
        return Division(
            Affine(tuple(quotient), const_quotient), Affine(tuple(remainder), const_remainder)
        )
    return _find_split(remainder, divisor, extents)


def apart(value: Affine, divisor: int, extents: Sequence[int]) -> tuple[Affine, int, Affine]:
    """Give coarse part, unit and fine part: `value = coarse * unit + fine`, with a unit that divides `divisor`, and fine below it.

    What of a value is fine in this sense is part of its remainder as it stands, whatever must be computed of the rest.
    """
    unit = divisor
    for coeff in sorted((coeff for _, coeff in value.terms), reverse=True):
        unit = math.gcd(unit, coeff)
        outcome = divide(value, unit, extents)
        if isinstance(outcome, Division):
            return outcome.quotient, unit, outcome.remainder
    return value, 1, ZERO


def _find_split(
    terms: Sequence[tuple[int, int]], divisor: int, extents: Sequence[int]
) -> Split | None:
    for atom, coeff in terms:
        if coeff * extents[atom] > divisor and divisor % coeff == 0:
            inner = divisor // coeff
            if inner > 1 and extents[atom] % inner == 0 and extents[atom] > inner:
                return Split(atom, inner)
    return None
