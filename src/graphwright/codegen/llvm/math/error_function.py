"""The error function, its complement, and the distribution function of normal numbers.

In: values of kind F32 (the last: or F64).   Out: straight-line instructions. Polynomials by `scripts/minimax.py`.
"""

from __future__ import annotations

import math
from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction, through_double
from graphwright.codegen.llvm.math.exponential import CONSTANTS, emit_exp, exp_of_reduced
from graphwright.codegen.llvm.math.libm import LIBM
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp

_SMALL: Final = (
    0.128379166,
    -0.376126289,
    0.112836182,
    -0.026855126,
    0.00519073335,
    -0.000803075032,
    7.92030332e-05,
)
_LARGE: Final = (
    -1.62814617,
    -0.917058289,
    -0.151776224,
    0.0326228403,
    -0.0041731284,
    5.21992151e-05,
    6.95048147e-05,
    -7.42792417e-06,
)
_SCALED: Final = (
    1.2769783819128273,
    -0.092763827999140125,
    -0.16603044277168538,
    0.16405132677112341,
    -0.054219066225334844,
    -0.0080342284703137333,
    0.0087154470636161621,
    0.0012694410114502779,
    -0.0014315614028920093,
    -0.00043803833678636135,
    0.00016710141935890203,
    0.00010991565674506827,
    1.4725055039352743e-05,
)
_NORMAL: Final = (
    -1.1511054,
    -0.459209412,
    -0.0524768084,
    0.00699862652,
    -4.04235652e-05,
    -0.000261573674,
    7.17211369e-05,
    -1.02584863e-05,
    8.0356557e-07,
    -2.71381886e-08,
)
"""Fitted up to 5.4; from there on it goes on falling, to where the power is 0."""
_BOUNDARY: Final = 0.95
_ONE_FROM: Final = 4.0
"""From here on erf rounds to 1."""
_LEAST_EXPONENT: Final = -126.0
_ZERO_FROM: Final = 10.25
"""From here on erfc rounds to 0."""


def emit_erf(builder: Builder, x: Value) -> Value:
    """Write erf: `x + x * p(x**2)` for small x; else `1 - 2**(x * q(x))`, q fitting the logarithm of erfc.

    Error: float32 1.19 ulp (eager 0.77).
    """
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    square = m.mul(magnitude, magnitude)
    small = m.fma(magnitude, m.polynomial(_SMALL, square), magnitude)
    bounded = m.at_most(magnitude, _ONE_FROM)
    exponent = m.mul(bounded, m.polynomial(_LARGE, bounded))
    n, shifted = m.round_scaled(exponent, 1.0)
    complement = exp_of_reduced(m, m.mul(m.sub(exponent, n), CONSTANTS[x.kind].ln2_high))
    power = m.power_of_two(m.integer_of(shifted))
    large = m.fma(m.neg(complement), power, 1.0)
    return m.copysign(m.select(m.less(magnitude, _BOUNDARY), small, large), x)


def emit_erfc(builder: Builder, x: Value) -> Value:
    """Write erfc, in float64, where `x**2` is exact.

    `exp(-x**2) * p(t) / (1 + 2x)` with `t = (x - 2) / (x + 2)`, and 2 minus that for negative x.
    Error: float32 0.56 ulp (eager 0.83).
    """

    def erfc(m: Arithmetic, wide: Value) -> Value:
        magnitude = m.at_most(m.abs(wide), _ZERO_FROM)
        t = m.div(m.sub(magnitude, 2.0), m.add(magnitude, 2.0))
        scaled = m.div(m.polynomial(_SCALED, t), m.fma(magnitude, 2.0, 1.0))
        result = m.mul(emit_exp(builder, m.neg(m.mul(magnitude, magnitude))), scaled)
        return m.select(m.less(wide, 0.0), m.sub(2.0, result), result)

    return through_double(builder, erfc, x)


def emit_normal_cdf(builder: Builder, x: Value) -> Value:
    """Write `erfc(-x / √2) / 2`: `2**(|x| * q(|x|)) / 2` for negative x, q fitting the logarithm of erfc, else 1 minus that.

    Error: float32 1.94 ulp for x > -1, 4.0e-8 below.
    """
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    exponent = m.at_least(m.mul(magnitude, m.polynomial(_NORMAL, magnitude)), _LEAST_EXPONENT)
    n, shifted = m.round_scaled(exponent, 1.0)
    part = exp_of_reduced(m, m.mul(m.sub(exponent, n), CONSTANTS[x.kind].ln2_high))
    half_power = m.power_of_two(m.integer("sub", m.integer_of(shifted), 1))
    above = m.fma(m.neg(part), half_power, 1.0)
    return m.select(m.less(x, 0.0), m.mul(part, half_power), above)


def emit_normal_cdf_double(builder: Builder, x: Value) -> Value:
    """Write `erfc(-x / √2) / 2`, erfc from the C library."""
    m = Arithmetic(builder, x.kind)
    complement = LIBM[ScalarOp.ERFC, x.kind](builder, m.mul(x, -math.sqrt(0.5)))
    return m.mul(complement, 0.5)


ERROR_FUNCTION: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (ScalarOp.ERF, Kind.F32): emit_erf,
    (ScalarOp.ERFC, Kind.F32): emit_erfc,
    (ScalarOp.NORMAL_CDF, Kind.F32): emit_normal_cdf,
    (ScalarOp.NORMAL_CDF, Kind.F64): emit_normal_cdf_double,
}
