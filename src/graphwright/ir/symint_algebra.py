"""Arithmetic on symbolic integers.

In:  `Dim`s (ints and canonical `SymExpr`s).   Out: `Dim`s in canonical form: an int wherever the result is constant.
Keeps: the result of every function equals Python's own arithmetic for all values of the symbols for which no divisor
is zero (a rewrite may make an expression defined where it was not, never the other way round).

Canonical form: no zero coefficients, no two monomials alike; monomials by falling degree, then by text, the constant
last; factors by text, no two alike. `x // k` and `x % k` have what is divisible taken out; `min` and `max` are flat.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import assert_never

from graphwright.ir.dims import render_atom, render_dim
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

Factors = tuple[Power, ...]
Polynomial = dict[Factors, int]


def symbol(name: str) -> SymExpr:
    """Give the expression that is one symbol."""
    return SymExpr((Monomial(1, (Power(Symbol(name), 1),)),))


def as_expr(dim: Dim) -> SymExpr:
    """Give the expression for a `Dim`; a constant becomes a constant polynomial."""
    if isinstance(dim, SymExpr):
        return dim
    return SymExpr((Monomial(dim),)) if dim else SymExpr(())


def as_dim(expr: SymExpr) -> Dim:
    """Give the int if the expression is constant, else the expression."""
    match expr.terms:
        case ():
            return 0
        case (Monomial(coeff=coeff, factors=()),):
            return coeff
        case _:
            return expr


def add(left: Dim, right: Dim) -> Dim:
    """Give `left + right`."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    total = _polynomial(left)
    for factors, coeff in _polynomial(right).items():
        total[factors] = total.get(factors, 0) + coeff
    return _canonical(total)


def neg(value: Dim) -> Dim:
    """Give `-value`."""
    return mul(value, -1)


def sub(left: Dim, right: Dim) -> Dim:
    """Give `left - right`."""
    return add(left, neg(right))


def mul(left: Dim, right: Dim) -> Dim:
    """Give `left * right`."""
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    return _canonical(_product(_polynomial(left), _polynomial(right)))


def power(base: Dim, exponent: int) -> Dim:
    """Give `base ** exponent`, for an exponent of at least 0."""
    result: Dim = 1
    for _ in range(exponent):
        result = mul(result, base)
    return result


def floordiv(numerator: Dim, denominator: Dim) -> Dim:
    """Give `numerator // denominator`, rounded as Python does.

    Raises:
        ZeroDivisionError: the denominator is the constant 0.
    """
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator
    if denominator == 0:
        msg = "symbolic division by zero"
        raise ZeroDivisionError(msg)
    quotient, rest = _divide(_polynomial(numerator), _polynomial(denominator))
    if not rest:
        return _canonical(quotient)
    return add(_canonical(quotient), _floordiv_atom(_canonical(rest), denominator))


def mod(value: Dim, modulus: Dim) -> Dim:
    """Give `value % modulus`, with the sign of the modulus as in Python.

    Raises:
        ZeroDivisionError: the modulus is the constant 0.
    """
    if isinstance(value, int) and isinstance(modulus, int):
        return value % modulus
    if modulus == 0:
        msg = "symbolic modulo by zero"
        raise ZeroDivisionError(msg)
    _, rest = _divide(_polynomial(value), _polynomial(modulus))
    if not rest:
        return 0
    remainder, reduced, common = _cancel(_canonical(rest), modulus)
    if isinstance(remainder, int) and isinstance(reduced, int):
        return mul(remainder % reduced, common)
    return mul(_atom_dim(Mod(as_expr(remainder), as_expr(reduced))), common)


def minimum(operands: Iterable[Dim]) -> Dim:
    """Give the least of one or more operands."""
    flat = _flatten(operands, Min)
    return _extreme(flat, Min)


def maximum(operands: Iterable[Dim]) -> Dim:
    """Give the greatest of one or more operands."""
    flat = _flatten(operands, Max)
    return _extreme(flat, Max)


def substitute(dim: Dim, replacements: Mapping[str, Dim]) -> Dim:
    """Replace symbols by expressions, all at once; symbols without a replacement stay."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for term in dim.terms:
        value: Dim = term.coeff
        for factor in term.factors:
            value = mul(value, power(_substitute_atom(factor.base, replacements), factor.exponent))
        total = add(total, value)
    return total


def free_symbols(dim: Dim) -> tuple[str, ...]:
    """Give the names of the symbols that occur, each once, in order of appearance."""
    names: dict[str, None] = {}
    _collect_symbols(dim, names)
    return tuple(names)


def _collect_symbols(dim: Dim, names: dict[str, None]) -> None:
    if isinstance(dim, int):
        return
    for term in dim.terms:
        for factor in term.factors:
            match factor.base:
                case Symbol(name=name):
                    names.setdefault(name)
                case (
                    FloorDiv(numerator=first, denominator=second) | Mod(value=first, modulus=second)
                ):
                    _collect_symbols(first, names)
                    _collect_symbols(second, names)
                case Min(operands=operands) | Max(operands=operands):
                    for operand in operands:
                        _collect_symbols(operand, names)
                case _:
                    assert_never(factor.base)


def _substitute_atom(atom: Atom, replacements: Mapping[str, Dim]) -> Dim:
    match atom:
        case Symbol(name=name):
            return replacements.get(name, _atom_dim(atom))
        case FloorDiv(numerator=numerator, denominator=denominator):
            return floordiv(
                substitute(numerator, replacements), substitute(denominator, replacements)
            )
        case Mod(value=value, modulus=modulus):
            return mod(substitute(value, replacements), substitute(modulus, replacements))
        case Min(operands=operands):
            return minimum(substitute(operand, replacements) for operand in operands)
        case Max(operands=operands):
            return maximum(substitute(operand, replacements) for operand in operands)
        case _:
            assert_never(atom)


def _polynomial(dim: Dim) -> Polynomial:
    if isinstance(dim, int):
        return {(): dim} if dim else {}
    return {term.factors: term.coeff for term in dim.terms}


def _canonical(polynomial: Polynomial) -> Dim:
    terms = [Monomial(coeff, factors) for factors, coeff in polynomial.items() if coeff]
    if not terms:
        return 0
    if len(terms) == 1:
        return as_dim(SymExpr((terms[0],)))
    terms.sort(key=_monomial_key)
    return SymExpr(tuple(terms))


def _monomial_key(term: Monomial) -> tuple[int, str]:
    degree = sum(factor.exponent for factor in term.factors)
    return -degree, "*".join(_power_key(factor) for factor in term.factors)


def _power_key(factor: Power) -> str:
    return f"{render_atom(factor.base)}^{factor.exponent}"


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    product: Polynomial = {}
    for left_factors, left_coeff in left.items():
        for right_factors, right_coeff in right.items():
            factors = _join_factors(left_factors, right_factors)
            product[factors] = product.get(factors, 0) + left_coeff * right_coeff
    return product


def _join_factors(left: Factors, right: Factors) -> Factors:
    if not left or not right:
        return left or right
    exponents: dict[Atom, int] = {factor.base: factor.exponent for factor in left}
    for factor in right:
        exponents[factor.base] = exponents.get(factor.base, 0) + factor.exponent
    return _sorted_factors(exponents)


def _sorted_factors(exponents: Mapping[Atom, int]) -> Factors:
    powers = [Power(base, exponent) for base, exponent in exponents.items() if exponent]
    if len(powers) > 1:
        powers.sort(key=_power_key)
    return tuple(powers)


def _divide(numerator: Polynomial, denominator: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Split into quotient and rest, `numerator = quotient * denominator + rest`."""
    if len(denominator) == 1:
        ((factors, coeff),) = denominator.items()
        return _divide_by_monomial(numerator, factors, coeff)
    quotient = _divide_exactly(numerator, denominator)
    return ({}, numerator) if quotient is None else (quotient, {})


def _divide_by_monomial(
    numerator: Polynomial, factors: Factors, coeff: int
) -> tuple[Polynomial, Polynomial]:
    quotient: Polynomial = {}
    rest: Polynomial = {}
    for own_factors, own_coeff in numerator.items():
        shared = _divide_factors(own_factors, factors)
        share, left = (0, own_coeff) if shared is None else divmod(own_coeff, coeff)
        if shared is not None and share:
            quotient[shared] = share
        if left:
            rest[own_factors] = left
    return quotient, rest


def _divide_exactly(numerator: Polynomial, denominator: Polynomial) -> Polynomial | None:
    """Divide by the leading monomial until nothing is left, or give None."""
    lead_factors, lead_coeff = next(iter(denominator.items()))
    quotient: Polynomial = {}
    work = numerator
    for _ in range(2 * len(numerator) + 4):
        if not work:
            return quotient
        factors, coeff = min(work.items(), key=lambda item: _monomial_key(Monomial(1, item[0])))
        shared = _divide_factors(factors, lead_factors)
        if shared is None or coeff % lead_coeff:
            return None
        ratio = coeff // lead_coeff
        quotient[shared] = quotient.get(shared, 0) + ratio
        taken = _product({shared: -ratio}, denominator)
        work = {key: value for key, value in _sum(work, taken).items() if value}
    return None


def _sum(left: Polynomial, right: Polynomial) -> Polynomial:
    total = dict(left)
    for factors, coeff in right.items():
        total[factors] = total.get(factors, 0) + coeff
    return total


def _divide_factors(factors: Factors, divisor: Factors) -> Factors | None:
    if not divisor:
        return factors
    exponents: dict[Atom, int] = {factor.base: factor.exponent for factor in factors}
    for factor in divisor:
        left = exponents.get(factor.base, 0) - factor.exponent
        if left < 0:
            return None
        exponents[factor.base] = left
    return tuple(
        Power(factor.base, exponents[factor.base]) for factor in factors if exponents[factor.base]
    )


def _cancel(first: Dim, second: Dim) -> tuple[Dim, Dim, Dim]:
    """Take out the positive integer and the factors that divide every monomial of both; give both and the common part."""
    terms = (*as_expr(first).terms, *as_expr(second).terms)
    divisor = math.gcd(*(term.coeff for term in terms))
    shared: dict[Atom, int] = {factor.base: factor.exponent for factor in terms[0].factors}
    for term in terms[1:]:
        own = {factor.base: factor.exponent for factor in term.factors}
        shared = {base: min(count, own[base]) for base, count in shared.items() if base in own}
    if divisor == 1 and not shared:
        return first, second, 1
    factors = _sorted_factors(shared)
    common = _canonical({factors: divisor})
    reduced = [
        _canonical(_divide_by_monomial(_polynomial(dim), factors, divisor)[0])
        for dim in (first, second)
    ]
    return reduced[0], reduced[1], common


def _floordiv_atom(numerator: Dim, denominator: Dim) -> Dim:
    numerator, denominator, _ = _cancel(numerator, denominator)
    if denominator == 1:
        return numerator
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator
    if isinstance(numerator, SymExpr) and isinstance(denominator, int) and denominator > 0:
        match numerator.terms:
            case (
                Monomial(
                    coeff=1,
                    factors=(Power(base=FloorDiv(numerator=inner, denominator=by), exponent=1),),
                ),
            ):
                first = as_dim(by)
                if isinstance(first, int) and first > 0:
                    return floordiv(as_dim(inner), first * denominator)
            case _:
                pass
    return _atom_dim(FloorDiv(as_expr(numerator), as_expr(denominator)))


def _atom_dim(atom: Atom) -> Dim:
    return SymExpr((Monomial(1, (Power(atom, 1),)),))


def _flatten(operands: Iterable[Dim], kind: type[Min] | type[Max]) -> list[Dim]:
    flat: list[Dim] = []
    for operand in operands:
        if isinstance(operand, SymExpr) and len(operand.terms) == 1:
            (term,) = operand.terms
            if term.coeff == 1 and len(term.factors) == 1 and term.factors[0].exponent == 1:
                base = term.factors[0].base
                if isinstance(base, kind):
                    flat.extend(as_dim(inner) for inner in base.operands)
                    continue
        flat.append(operand)
    return flat


def _extreme(operands: list[Dim], kind: type[Min] | type[Max]) -> Dim:
    """Keep one of operands that differ by a constant, then fold."""
    kept: list[Dim] = []
    for operand in operands:
        for place, other in enumerate(kept):
            distance = sub(operand, other)
            if isinstance(distance, int):
                if (distance < 0) is (kind is Min):
                    kept[place] = operand
                break
        else:
            kept.append(operand)
    if len(kept) == 1:
        return kept[0]
    ordered = sorted(map(as_expr, kept), key=render_dim)
    return _atom_dim(kind(tuple(ordered)))
