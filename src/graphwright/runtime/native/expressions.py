"""Expressions over size symbols as words for the native stack machine.

In: a `Dim`, the positions of the size symbols in a frame.   Out: words (see `ExpressionOp`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from graphwright.ir.guards import Comparison, ShapeGuard
from graphwright.ir.symint import Atom, Dim, FloorDiv, Max, Min, Mod, Monomial, Symbol, SymExpr
from graphwright.runtime.native.records import WORD, ExpressionOp

Positions = Mapping[str, int]

_COMPARISONS: Final = {
    Comparison.EQ: ExpressionOp.EQ,
    Comparison.NE: ExpressionOp.NE,
    Comparison.LE: ExpressionOp.LE,
    Comparison.LT: ExpressionOp.LT,
}


def encode_dim(dim: Dim, positions: Positions) -> list[int]:
    """Give the words of an extent."""
    return [*_iter_dim(dim, positions), ExpressionOp.END]


def encode_shape_guard(guard: ShapeGuard, positions: Positions) -> list[int]:
    """Give the words of a comparison; its value is 1 where it holds."""
    left, right = _iter_dim(guard.left, positions), _iter_dim(guard.right, positions)
    return [*left, *right, _COMPARISONS[guard.comparison], ExpressionOp.END]


def _iter_dim(dim: Dim, positions: Positions) -> Iterator[int]:
    if isinstance(dim, int):
        yield from (ExpressionOp.CONST, dim)
        return
    if not dim.terms:
        yield from (ExpressionOp.CONST, 0)
    for number, term in enumerate(dim.terms):
        yield from _iter_monomial(term, positions)
        if number:
            yield ExpressionOp.ADD


def _iter_monomial(term: Monomial, positions: Positions) -> Iterator[int]:
    yield from (ExpressionOp.CONST, term.coeff)
    for power in term.factors:
        for _ in range(power.exponent):
            yield from _iter_atom(power.base, positions)
            yield ExpressionOp.MUL


def _iter_atom(atom: Atom, positions: Positions) -> Iterator[int]:
    match atom:
        case Symbol(name):
            yield from (ExpressionOp.SYMBOL, positions[name] * WORD)
        case FloorDiv(numerator, denominator):
            yield from _iter_dim(numerator, positions)
            yield from _iter_dim(denominator, positions)
            yield ExpressionOp.FLOOR_DIV
        case Mod(value, modulus):
            yield from _iter_dim(value, positions)
            yield from _iter_dim(modulus, positions)
            yield ExpressionOp.MOD
        case Min(operands):
            yield from _iter_extreme(operands, ExpressionOp.MIN, positions)
        case Max(operands):
            yield from _iter_extreme(operands, ExpressionOp.MAX, positions)
        case _:
            assert_never(atom)


def _iter_extreme(
    operands: tuple[SymExpr, ...], op: ExpressionOp, positions: Positions
) -> Iterator[int]:
    for number, operand in enumerate(operands):
        yield from _iter_dim(operand, positions)
        if number:
            yield op
