"""Symbolic extents as instructions.

In: a `Dim` over size symbols.   Out: an i64, computed in the current block from the symbols' values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.builder import Builder, Int, index_value
from graphwright.codegen.llvm.types import Kind
from graphwright.ir.symint import Atom, Dim, FloorDiv, Max, Min, Mod, Monomial, Symbol, SymExpr


def emit_dim(builder: Builder, dim: Dim, symbols: Mapping[str, str]) -> Int:
    """Write the computation of `dim`; `symbols` maps a size symbol to the name of its i64."""
    if isinstance(dim, int):
        return dim
    total: Int = 0
    for term in dim.terms:
        total = builder.index_add(total, _emit_monomial(builder, term, symbols))
    return total


def _emit_monomial(builder: Builder, monomial: Monomial, symbols: Mapping[str, str]) -> Int:
    product: Int = monomial.coeff
    for power in monomial.factors:
        base = _emit_atom(builder, power.base, symbols)
        for _ in range(power.exponent):
            product = builder.index_multiply(product, base)
    return product


def _emit_atom(builder: Builder, atom: Atom, symbols: Mapping[str, str]) -> Int:
    match atom:
        case Symbol(name):
            if name not in symbols:
                raise InternalError(f"the size symbol {name} is not one of the kernel's symbols")
            return symbols[name]
        case FloorDiv(numerator, denominator):
            quotient, _ = _emit_floor_division(builder, numerator, denominator, symbols)
            return quotient
        case Mod(value, modulus):
            _, remainder = _emit_floor_division(builder, value, modulus, symbols)
            return remainder
        case Min(operands):
            return _emit_extreme(builder, operands, symbols, is_min=True)
        case Max(operands):
            return _emit_extreme(builder, operands, symbols, is_min=False)
        case _:
            assert_never(atom)


def _emit_extreme(
    builder: Builder, operands: tuple[SymExpr, ...], symbols: Mapping[str, str], *, is_min: bool
) -> Int:
    result = emit_dim(builder, operands[0], symbols)
    for operand in operands[1:]:
        other = emit_dim(builder, operand, symbols)
        result = builder.index_min(result, other) if is_min else builder.index_max(result, other)
    return result


def _emit_floor_division(
    builder: Builder, numerator: SymExpr, denominator: SymExpr, symbols: Mapping[str, str]
) -> tuple[Int, Int]:
    """Write quotient and remainder with Python's rounding."""
    top = emit_dim(builder, numerator, symbols)
    bottom = emit_dim(builder, denominator, symbols)
    if isinstance(top, int) and isinstance(bottom, int):
        return divmod(top, bottom)
    divisor = index_value(bottom)
    quotient = builder.binary("sdiv", index_value(top), divisor)
    remainder = builder.binary("srem", index_value(top), divisor)
    zero = builder.const(0, Kind.I64)
    has_rest = builder.compare("icmp ne", remainder, zero)
    signs_differ = builder.compare("icmp slt", builder.binary("xor", remainder, divisor), zero)
    is_off = builder.binary("and", has_rest, signs_differ)
    floor = builder.binary("sub", quotient, builder.convert("zext", is_off, Kind.I64))
    modulus = builder.binary("add", remainder, builder.select(is_off, divisor, zero))
    return floor.text, modulus.text
