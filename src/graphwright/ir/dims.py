"""Values and text of symbolic extents.

In: a `Dim` (or `SymExpr`) and the values of its size symbols.   Out: its value, or a Python expression over the symbols' names.
Keeps: the text is valid Python, and evaluating it gives the value that `evaluate_dim` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from graphwright.ir.symint import (
    Atom,
    Dim,
    FloorDiv,
    Max,
    Min,
    Mod,
    Monomial,
    Power,
    Symbol,
    SymExpr,
)


def evaluate_dim(dim: Dim, symbols: Mapping[str, int]) -> int:
    """Give the value of `dim` for these values of the size symbols."""
    if isinstance(dim, int):
        return dim
    total = 0
    for term in dim.terms:
        product = term.coeff
        for factor in term.factors:
            product *= _evaluate_atom(factor.base, symbols) ** factor.exponent
        total += product
    return total


def _evaluate_atom(atom: Atom, symbols: Mapping[str, int]) -> int:
    match atom:
        case Symbol(name):
            return symbols[name]
        case FloorDiv(numerator, denominator):
            return evaluate_dim(numerator, symbols) // evaluate_dim(denominator, symbols)
        case Mod(value, modulus):
            return evaluate_dim(value, symbols) % evaluate_dim(modulus, symbols)
        case Min(operands):
            return min(evaluate_dim(operand, symbols) for operand in operands)
        case Max(operands):
            return max(evaluate_dim(operand, symbols) for operand in operands)
        case _:
            assert_never(atom)


def render_dim(dim: Dim) -> str:
    """Give `dim` as a Python expression."""
    if isinstance(dim, int):
        return str(dim)
    text = ""
    for term in dim.terms:
        sign, body = _render_monomial(term)
        if text:
            text += f" {sign} {body}"
        else:
            text = body if sign == "+" else f"-{body}"
    return text or "0"


def render_dims(dims: Iterable[Dim]) -> str:
    """Give extents as a Python tuple."""
    parts = [render_dim(dim) for dim in dims]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def render_atom(atom: Atom) -> str:
    """Give one factor as a Python expression, fit to stand in a product."""
    match atom:
        case Symbol(name):
            return name
        case FloorDiv(numerator, denominator):
            return f"({_render_operand(numerator)} // {_render_operand(denominator)})"
        case Mod(value, modulus):
            return f"({_render_operand(value)} % {_render_operand(modulus)})"
        case Min(operands):
            return _render_call("min", operands)
        case Max(operands):
            return _render_call("max", operands)
        case _:
            assert_never(atom)


def _render_monomial(term: Monomial) -> tuple[str, str]:
    sign = "-" if term.coeff < 0 else "+"
    factors = [
        render_atom(power.base) + (f"**{power.exponent}" if power.exponent > 1 else "")
        for power in term.factors
    ]
    if abs(term.coeff) != 1 or not factors:
        factors.insert(0, str(abs(term.coeff)))
    return sign, "*".join(factors)


def _render_operand(expr: SymExpr) -> str:
    text = render_dim(expr)
    is_plain = text.isidentifier() or text.isdecimal() or _is_one_factor(expr)
    return text if is_plain else f"({text})"


def _is_one_factor(expr: SymExpr) -> bool:
    match expr.terms:
        case (Monomial(coeff=1, factors=(Power(exponent=1),)),):
            return True
        case _:
            return False


def _render_call(name: str, operands: tuple[SymExpr, ...]) -> str:
    texts = [render_dim(operand) for operand in operands]
    return f"{name}({', '.join(texts)})" if len(texts) > 1 else f"({texts[0]})"


def symbols_of(dim: Dim) -> frozenset[str]:
    """Give the names of the size symbols that `dim` depends on."""
    if isinstance(dim, int):
        return frozenset()
    found: set[str] = set()
    for term in dim.terms:
        for power in term.factors:
            found |= _symbols_of_atom(power.base)
    return frozenset(found)


def _symbols_of_atom(atom: Atom) -> frozenset[str]:
    match atom:
        case Symbol(name):
            return frozenset({name})
        case FloorDiv(numerator, denominator):
            return symbols_of(numerator) | symbols_of(denominator)
        case Mod(value, modulus):
            return symbols_of(value) | symbols_of(modulus)
        case Min(operands) | Max(operands):
            return frozenset().union(*map(symbols_of, operands))
        case _:
            assert_never(atom)
