"""Symbolic integers as data: polynomials over size symbols.

In: nothing.   Out: `SymExpr` and `Dim` (an int, or a `SymExpr` that is not constant).
Keeps: the form is canonical (monomials sorted, no zero coefficients, constants folded), so equality is structural.
"""

from __future__ import annotations

import msgspec


class Symbol(msgspec.Struct, frozen=True, tag="symbol"):
    """A size symbol, e.g. `s77`."""

    name: str


class FloorDiv(msgspec.Struct, frozen=True, tag="floor_div"):
    """`numerator // denominator`, Python's rounding."""

    numerator: SymExpr
    denominator: SymExpr


class Mod(msgspec.Struct, frozen=True, tag="mod"):
    """`value % modulus`, Python's sign."""

    value: SymExpr
    modulus: SymExpr


class Min(msgspec.Struct, frozen=True, tag="min"):
    """The least of the operands."""

    operands: tuple[SymExpr, ...]


class Max(msgspec.Struct, frozen=True, tag="max"):
    """The greatest of the operands."""

    operands: tuple[SymExpr, ...]


Atom = Symbol | FloorDiv | Mod | Min | Max


class Power(msgspec.Struct, frozen=True):
    """`base ** exponent`, exponent at least 1."""

    base: Atom
    exponent: int


class Monomial(msgspec.Struct, frozen=True):
    """`coeff * Π factors`; no factors: the constant term."""

    coeff: int
    factors: tuple[Power, ...] = ()


class SymExpr(msgspec.Struct, frozen=True, tag="sym_expr"):
    """A sum of monomials, in canonical order; the empty sum is 0."""

    terms: tuple[Monomial, ...]


Dim = int | SymExpr
"""An extent, stride or offset: an int, or a `SymExpr` that is not constant."""
