"""The exponential and its relatives.

In: values of kind F32 or F64.   Out: straight-line instructions.

All rest on `exp(x) = 2**n * exp(r)`, with `n = round(x / ln 2)` and `r = x - n * ln 2` in two exact steps (Cody and Waite),
and on a polynomial for `exp(r) = 1 + r + r**2 * q(r)`, `|r| <= ln(2)/2`, by `scripts/minimax.py`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction, through_double
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


CONSTANTS: Final = {
    Kind.F32: Constants(
        log2_e=1.4426950408889634,
        ln2_high=0.6931471824645996,
        ln2_low=-1.9046542121259336e-09,
        highest=89.0,
        lowest=-104.5,
        exp=(0.49999994, 0.166665167, 0.0416681021, 0.00836919248, 0.00138389028),
        expm1=(0.5, 0.166666359, 0.0416665114, 0.00834150985, 0.00139305415, 0.000150461827),
    ),
    Kind.F64: Constants(
        log2_e=1.4426950408889634,
        ln2_high=0.6931471805599453,
        ln2_low=2.3190468138462996e-17,
        highest=710.0,
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
    ),
}

_TANH: Final = (
    -0.333333284,
    0.133331731,
    -0.0539504774,
    0.0217730012,
    -0.00856742542,
    0.00304307207,
    -0.000817737542,
    0.000115276227,
)
_TANH_BOUNDARY: Final = 1.0
_TANH_FLAT: Final = 20.0
"""tanh rounds to 1 from here on (float64), or from half of it on (float32)."""


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
    """Write `exp(x)`; denormal results are rounded once, as all others.

    Error: float32 0.99 ulp (eager 0.56), float64 0.93 (eager 0.51).
    """
    m = Arithmetic(builder, x.kind)
    n, shifted, r = _reduced(m, _clamped(m, x))
    return m.scale(exp_of_reduced(m, r), n, shifted)


def emit_exp2(builder: Builder, x: Value) -> Value:
    """Write `2**x`, as `2**n * exp((x - n) * ln 2)`; `x - n` is exact.

    Error: float32 1.01 ulp (eager 0.84), float64 0.91 (eager 0.76).
    """
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
    """Write `exp(x) - 1`, as `2 * (2**(n-1) * (exp(r) - 1) + (2**(n-1) - 1/2))`.

    Error: float32 1.44 ulp (eager 1.00), float64 1.65 (eager 0.92).
    """
    m = Arithmetic(builder, x.kind)
    half_power, p = _expm1_parts(m, m.at_least(x, -m.format.mantissa_bits * 1.0))
    half = m.fma(half_power, p, m.sub(half_power, 0.5))
    tiny = 2.0 ** -(m.format.mantissa_bits + 2)
    return m.select(m.less(m.abs(x), tiny), x, m.add(half, half))


def emit_sigmoid(builder: Builder, x: Value) -> Value:
    """Write `1 / (1 + exp(-x))`.

    Error: float32 2.48 ulp, as eager. Below -88.7 (float64: -709.8) the result is 0, as eager's is, not denormal.
    """
    m = Arithmetic(builder, x.kind)
    return m.div(1.0, m.add(emit_exp(builder, m.neg(x)), 1.0))


def emit_tanh(builder: Builder, x: Value) -> Value:
    """Write the hyperbolic tangent: an odd polynomial for small x, else `1 - 2 / (exp(2|x|) + 1)`.

    The exponential is reduced in one step: n is 29 at most, and an error of the exponential counts less the larger it is.
    Error: float32 0.94 ulp (eager 0.52).
    """
    m = Arithmetic(builder, x.kind)
    constants = CONSTANTS[m.kind]
    magnitude = m.abs(x)
    double = m.at_most(m.add(magnitude, magnitude), _TANH_FLAT)
    n, shifted = m.round_scaled(double, constants.log2_e)
    r = m.fma(n, -constants.ln2_high, double)
    power = m.scale_normal(exp_of_reduced(m, r), n, shifted)
    large = m.sub(1.0, m.div(2.0, m.add(power, 1.0)))
    square = m.mul(magnitude, magnitude)
    small = m.fma(m.mul(magnitude, square), m.polynomial(_TANH, square), magnitude)
    return m.copysign(m.select(m.less(magnitude, _TANH_BOUNDARY), small, large), x)


def emit_tanh_double(builder: Builder, x: Value) -> Value:
    """Write `tanh(|x|) = u / (u + 2)` with `u = exp(2|x|) - 1`, and the sign of x.

    Error: float64 2.13 ulp (eager 0.72).
    """
    m = Arithmetic(builder, x.kind)
    half_power, p = _expm1_parts(m, m.mul(m.at_most(m.abs(x), _TANH_FLAT), 2.0))
    half = m.fma(half_power, p, m.sub(half_power, 0.5))
    return m.copysign(m.div(half, m.add(half, 1.0)), x)


def emit_cosh(builder: Builder, x: Value) -> Value:
    """Write `(e + 1/e) / 2` with `e = exp(|x|)`, in float64 (where it does not overflow).

    Error: float32 0.50 ulp (eager 0.51, and infinite from 88.7 on, where the cosh of up to 89.4 is finite).
    """

    def cosh(m: Arithmetic, wide: Value) -> Value:
        power = emit_exp(builder, m.abs(wide))
        return m.mul(m.add(power, m.div(1.0, power)), 0.5)

    return through_double(builder, cosh, x)


def emit_sinh(builder: Builder, x: Value) -> Value:
    """Write `(e - 1/e) / 2` with `e = exp(|x|)`, in float64; x itself below 2**-12.

    Error: float32 0.50 ulp (eager 1.00, and infinite from 88.7 on, where the sinh of up to 89.4 is finite).
    """

    def sinh(m: Arithmetic, wide: Value) -> Value:
        magnitude = m.abs(wide)
        power = emit_exp(builder, magnitude)
        large = m.mul(m.sub(power, m.div(1.0, power)), 0.5)
        return m.copysign(m.select(m.less(magnitude, 2.0**-12), magnitude, large), wide)

    return through_double(builder, sinh, x)


_BOTH: Final = {
    ScalarOp.EXP: emit_exp,
    ScalarOp.EXP2: emit_exp2,
    ScalarOp.EXPM1: emit_expm1,
    ScalarOp.SIGMOID: emit_sigmoid,
}

EXPONENTIAL: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    **{(op, kind): emit for op, emit in _BOTH.items() for kind in (Kind.F32, Kind.F64)},
    (ScalarOp.TANH, Kind.F32): emit_tanh,
    (ScalarOp.TANH, Kind.F64): emit_tanh_double,
    (ScalarOp.COSH, Kind.F32): emit_cosh,
    (ScalarOp.SINH, Kind.F32): emit_sinh,
}
