"""Ints made of size symbols as sources: what calculates them anew from the call, for the floats that are made of them.

In: an expression, and the source of each symbol.   Out: a source.

    2*s77 + 1   →   add(mul(2, n), 1)       where `s77` is the argument `n`
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import assert_never

from graphwright.ir.calculations import Operation
from graphwright.ir.constants import make_number
from graphwright.ir.sources import CalculatedSource, NumberSource, Source
from graphwright.ir.symint import Atom, Dim, FloorDiv, Max, Min, Mod, Monomial, Symbol


def source_of_dim(dim: Dim, symbols: Mapping[str, Source]) -> Source:
    """Give the source that calculates an extent."""
    if isinstance(dim, int) or not dim.terms:
        return NumberSource(make_number(dim if isinstance(dim, int) else 0))
    return _folded(Operation.ADD, [_source_of_term(term, symbols) for term in dim.terms])


def _source_of_term(term: Monomial, symbols: Mapping[str, Source]) -> Source:
    factors = [
        _source_of_atom(power.base, symbols)
        for power in term.factors
        for _ in range(power.exponent)
    ]
    if term.coeff != 1 or not factors:
        factors.insert(0, NumberSource(make_number(term.coeff)))
    return _folded(Operation.MUL, factors)


def _source_of_atom(atom: Atom, symbols: Mapping[str, Source]) -> Source:
    match atom:
        case Symbol(name):
            return symbols[name]
        case FloorDiv(left, right):
            parts = source_of_dim(left, symbols), source_of_dim(right, symbols)
            return CalculatedSource(Operation.FLOORDIV, parts)
        case Mod(left, right):
            parts = source_of_dim(left, symbols), source_of_dim(right, symbols)
            return CalculatedSource(Operation.MOD, parts)
        case Min(operands):
            return _folded(Operation.MIN, [source_of_dim(one, symbols) for one in operands])
        case Max(operands):
            return _folded(Operation.MAX, [source_of_dim(one, symbols) for one in operands])
        case _:
            assert_never(atom)


def _folded(operation: Operation, parts: Sequence[Source]) -> Source:
    return functools.reduce(lambda left, right: CalculatedSource(operation, (left, right)), parts)
