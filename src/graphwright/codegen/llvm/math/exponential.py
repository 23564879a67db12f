"""The exponential and its relatives.

In: values of kind F32 or F64.   Out: straight-line instructions.

All rest on `exp(x) = 2**n * exp(r)`, with `n = round(x / ln 2)` and `r = x - n * ln 2` in two exact steps (Cody and Waite),
and on a polynomial for `exp(r) = 1 + r + r**2 * q(r)`, `|r| <= ln(2)/2`, by `scripts/minimax.py`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp


class Constants(msgspec.Struct, frozen=True):
    """What the exponentials need to know of a kind."""

    log2_e: float
    ln2_high: float
    ln2_low: float
    highest: float
    """`exp` of this and of all above is infinite, yet its exponent can still be scaled to."""
    lowest: float
    """`exp` of this and of all below is 0."""
    exp: tuple[float, ...]
    """q(r), for a result that is near 1."""
    expm1: tuple[float, ...]
    """q(r), for a result that is near r."""
    sinh: tuple[float, ...]
    """(sinh(x) - x) / x**3 as a polynomial in x**2, for |x| <= 1."""


CONSTANTS: Final = {
    Kind.F32: Constants(
        log2_e=1.4426950408889634,
        ln2_high=0.6931471824645996,
        ln2_low=-1.9046542121259336e-09,
        highest=89.5,
        lowest=-104.5,
        exp=(0.49999994, 0.166665167, 0.0416681021, 0.00836919248, 0.00138389028),
        expm1=(0.5, 0.166666359, 0.0416665114, 0.00834150985, 0.00139305415, 0.000150461827),
        sinh=(0.166666672, 0.00833331142, 0.000198426351, 2.78392554e-06),
    ),
    Kind.F64: Constants(
        log2_e=1.4426950408889634,
        ln2_high=0.6931471805599453,
        ln2_low=2.3190468138462996e-17,
        highest=710.5,
        lowest=-746.0,
        exp=(
            0.50000000000000111,
            0.16666666666666438,
            0.041666666666525777,
            0.0083333333334737001,
            0.0013888888944871176,
            0.0001984126956072733,
            2.4801491729990302e-05,
            2.7557530333788644e-06,
            2.763077842193345e-07,
            2.5020504210371528e-08,
        ),
        expm1=(
            0.5,
            0.16666666666666677,
            0.041666666666666692,
            0.0083333333333217453,
            0.001388888888888315,
            0.00019841269885334585,
            2.4801587303170698e-05,
            2.7557245308589723e-06,
            2.7557306607259695e-07,
            2.5108589448265223e-08,
            2.0902005774289636e-09,
        ),
        sinh=(),
    ),
}


def _reduced(m: Arithmetic, x: Value) -> tuple[Value, Value, Value]:
    """Give n (as a float), n in the low bits of a float, and r."""
    constants = CONSTANTS[m.kind]
    n, shifted = m.round_scaled(x, constants.log2_e)
    r = m.fma(n, -constants.ln2_high, x)
    return n, shifted, m.fma(n, -constants.ln2_low, r)


def exp_of_reduced(m: Arithmetic, r: Value) -> Value:
    """Write `exp(r)` for `|r| <= ln(2)/2`."""
    q = m.polynomial(CONSTANTS[m.kind].exp, r)
    return m.add(m.fma(m.mul(r, r), q, r), 1.0)


def _clamped(m: Arithmetic, x: Value) -> Value:
    constants = CONSTANTS[m.kind]
    return m.at_least(m.at_most(x, constants.highest), constants.lowest)


def emit_exp(builder: Builder, x: Value) -> Value:
    """Write `exp(x)`; denormal results are rounded once, as all others."""
    m = Arithmetic(builder, x.kind)
    n, shifted, r = _reduced(m, _clamped(m, x))
    return m.scale(exp_of_reduced(m, r), n, shifted)


def emit_exp2(builder: Builder, x: Value) -> Value:
    """Write `2**x`, as `2**n * exp((x - n) * ln 2)`; `x - n` is exact."""
    m = Arithmetic(builder, x.kind)
    log2_e = CONSTANTS[x.kind].log2_e
    limit, least = CONSTANTS[x.kind].highest * log2_e, CONSTANTS[x.kind].lowest * log2_e
    x = m.at_least(m.at_most(x, limit), least)
    n, shifted = m.round_scaled(x, 1.0)
    f = m.sub(x, n)
    r = m.fma(f, CONSTANTS[m.kind].ln2_high, m.mul(f, CONSTANTS[m.kind].ln2_low))
    return m.scale(exp_of_reduced(m, r), n, shifted)


def _expm1_parts(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """Give `2**(n-1)` and `exp(r) - 1`; one less in the exponent keeps it finite."""
    n, shifted, r = _reduced(m, _clamped(m, x))
    q = m.polynomial(CONSTANTS[m.kind].expm1, r)
    del n
    half_power = m.power_of_two(m.integer("sub", m.integer_of(shifted), 1))
    return half_power, m.fma(m.mul(r, r), q, r)


def emit_expm1(builder: Builder, x: Value) -> Value:
    """Write `exp(x) - 1`, as `2 * (2**(n-1) * (exp(r) - 1) + (2**(n-1) - 1/2))`."""
    m = Arithmetic(builder, x.kind)
    half_power, p = _expm1_parts(m, m.at_least(x, -m.format.mantissa_bits * 1.0))
    half = m.fma(half_power, p, m.sub(half_power, 0.5))
    tiny = 2.0 ** -(m.format.mantissa_bits + 2)
    return m.select(m.less(m.abs(x), tiny), x, m.add(half, half))


def emit_sigmoid(builder: Builder, x: Value) -> Value:
    """Write `1 / (1 + exp(-x))`."""
    m = Arithmetic(builder, x.kind)
    return m.div(1.0, m.add(emit_exp(builder, m.neg(x)), 1.0))


def emit_tanh(builder: Builder, x: Value) -> Value:
    """Write `tanh(|x|) = u / (u + 2)` with `u = exp(2|x|) - 1`, and the sign of x."""
    m = Arithmetic(builder, x.kind)
    flat = 10.0 if x.kind is Kind.F32 else 20.0
    doubled = m.mul(m.at_most(m.abs(x), flat), 2.0)
    half_power, p = _expm1_parts(m, doubled)
    half = m.fma(half_power, p, m.sub(half_power, 0.5))
    return m.copysign(m.div(half, m.add(half, 1.0)), x)


def _half_exp(m: Arithmetic, magnitude: Value) -> Value:
    """Write `exp(magnitude) / 2`, finite for as long as that is."""
    limit = CONSTANTS[m.kind].highest + 1.0
    n, shifted, r = _reduced(m, m.at_most(magnitude, limit))
    return m.scale(m.mul(exp_of_reduced(m, r), 0.5), n, shifted)


def emit_cosh(builder: Builder, x: Value) -> Value:
    """Write `t + 1 / (4 * t)` with `t = exp(|x|) / 2`."""
    m = Arithmetic(builder, x.kind)
    half = _half_exp(m, m.abs(x))
    return m.add(half, m.div(0.25, half))


def emit_sinh(builder: Builder, x: Value) -> Value:
    """Write `t - 1 / (4 * t)` with `t = exp(|x|) / 2`; an odd polynomial for |x| < 1."""
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    half = _half_exp(m, magnitude)
    large = m.sub(half, m.div(0.25, half))
    square = m.mul(magnitude, magnitude)
    cubed = m.mul(square, magnitude)
    small = m.fma(cubed, m.polynomial(CONSTANTS[m.kind].sinh, square), magnitude)
    return m.copysign(m.select(m.less(magnitude, 1.0), small, large), x)


_BOTH: Final = {
    ScalarOp.EXP: emit_exp,
    ScalarOp.EXP2: emit_exp2,
    ScalarOp.EXPM1: emit_expm1,
    ScalarOp.SIGMOID: emit_sigmoid,
    ScalarOp.TANH: emit_tanh,
    ScalarOp.COSH: emit_cosh,
}

EXPONENTIAL: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    **{(op, kind): emit for op, emit in _BOTH.items() for kind in (Kind.F32, Kind.F64)},
    (ScalarOp.SINH, Kind.F32): emit_sinh,
}
