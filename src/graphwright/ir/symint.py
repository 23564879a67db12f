"""Symbolic integers as data: polynomials over size symbols.

In: nothing.   Out: `SymExpr` and `Dim` (an int, or a `SymExpr` that is not constant).
Keeps: the form is canonical (monomials sorted, no zero coefficients, constants folded), so equality is structural.
"""

from __future__ import annotations

from graphwright.ir.data import Data


class Symbol(Data, frozen=True, tag="symbol"):
    """A size symbol, e.g. `s77`."""

    name: str


class FloorDiv(Data, frozen=True, tag="floor_div"):
    """`numerator // denominator`, Python's rounding."""

    numerator: SymExpr
    denominator: SymExpr


class Mod(Data, frozen=True, tag="mod"):
    """`value % modulus`, Python's sign."""

    value: SymExpr
    modulus: SymExpr


class Min(Data, frozen=True, tag="min"):
    """The least of the operands."""

    operands: tuple[SymExpr, ...]


class Max(Data, frozen=True, tag="max"):
    """The greatest of the operands."""

    operands: tuple[SymExpr, ...]


Atom = Symbol | FloorDiv | Mod | Min | Max


class Power(Data, frozen=True):
    """`base ** exponent`, exponent at least 1."""

    base: Atom
    exponent: int


class Monomial(Data, frozen=True):
    """`coeff * Π factors`; no factors: the constant term."""

    coeff: int
    factors: tuple[Power, ...] = ()


class SymExpr(Data, frozen=True, tag="sym_expr"):
    """A sum of monomials, in canonical order; the empty sum is 0."""

    terms: tuple[Monomial, ...]


Dim = int | SymExpr
"""An extent, stride or offset: an int, or a `SymExpr` that is not constant."""
