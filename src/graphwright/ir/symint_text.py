"""The text form of symbolic integers: `render_dim` writes it, `parse_dim` reads it back.

In:  a `Dim`, or its text.   Out: the text, or a `Dim`.
Keeps: the text is a Python expression over the symbols, `Min` and `Max`; `parse_dim(render_dim(d)) == d`.

    2*s77**2 + s77*(s3 // 2) - 4
"""

from __future__ import annotations

from typing import assert_never

from graphwright.ir.symint import Atom, Dim, FloorDiv, Max, Min, Mod, Monomial, Power, SymExpr, Symbol


def render_dim(dim: Dim) -> str:
    """Give the text of an int or an expression."""
    return str(dim) if isinstance(dim, int) else render(dim)


def render(expr: SymExpr) -> str:
    """Give the text of an expression."""
    if not expr.terms:
        return "0"
    text = ""
    for term in expr.terms:
        body = _render_monomial(Monomial(abs(term.coeff), term.factors))
        sign = "-" if term.coeff < 0 else "+"
        text = f"{text} {sign} {body}" if text else (f"-{body}" if sign == "-" else body)
    return text


def render_atom(atom: Atom) -> str:
    """Give the text of an atom, fit to be a factor."""
    match atom:
        case Symbol(name=name):
            return name
        case FloorDiv(numerator=numerator, denominator=denominator):
            return f"({_operand(numerator)} // {_operand(denominator)})"
        case Mod(value=value, modulus=modulus):
            return f"({_operand(value)} % {_operand(modulus)})"
        case Min(operands=operands):
            return f"Min({', '.join(map(render, operands))})"
        case Max(operands=operands):
            return f"Max({', '.join(map(render, operands))})"
        case _:
            assert_never(atom)


def _render_monomial(term: Monomial) -> str:
    factors = [_render_power(factor) for factor in term.factors]
    if term.coeff != 1 or not factors:
        factors.insert(0, str(term.coeff))
    return "*".join(factors)


def _render_power(factor: Power) -> str:
    base = render_atom(factor.base)
    return base if factor.exponent == 1 else f"{base}**{factor.exponent}"


def _operand(expr: SymExpr) -> str:
    text = render(expr)
    match expr.terms:
        case (Monomial(coeff=1, factors=(Power(exponent=1),)),) | ():
            return text
        case (Monomial(coeff=coeff, factors=()),) if coeff > 0:
            return text
        case _:
            return f"({text})"
