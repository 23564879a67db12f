"""The error function and its complement.

In: values of kind F32.   Out: straight-line instructions. Polynomials by `scripts/minimax.py`.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction
from graphwright.codegen.llvm.math.exponential import CONSTANTS, exp_of_reduced
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
    1.27697837,
    -0.0927659571,
    -0.166030079,
    0.164101586,
    -0.0542085804,
    -0.0083576981,
    0.00855895039,
    0.00203941553,
    -0.000872078934,
    -0.00100175419,
    -0.000411108136,
)
_BOUNDARY: Final = 0.95
_ONE_FROM: Final = 4.0
"""From here on erf rounds to 1."""
_ZERO_FROM: Final = 10.25
"""From here on erfc rounds to 0."""


def emit_erf(builder: Builder, x: Value) -> Value:
    """Write erf: `x + x * p(x**2)` for small x; else `1 - 2**(x * q(x))`, q fitting the logarithm of erfc."""
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
    """Write erfc: `exp(-x**2) * p(t) / (1 + 2x)` with `t = (x - 2) / (x + 2)`, and 2 minus that for negative x.

    `x**2` is taken with its rounding error, which the exponential would magnify.
    """
    m = Arithmetic(builder, x.kind)
    magnitude = m.at_most(m.abs(x), _ZERO_FROM)
    t = m.div(m.sub(magnitude, 2.0), m.add(magnitude, 2.0))
    scaled = m.div(m.polynomial(_SCALED, t), m.fma(magnitude, 2.0, 1.0))
    square = m.mul(magnitude, magnitude)
    lost = m.fma(magnitude, magnitude, m.neg(square))
    constants = CONSTANTS[x.kind]
    n, shifted = m.round_scaled(m.neg(square), constants.log2_e)
    r = m.fma(n, -constants.ln2_high, m.neg(square))
    r = m.sub(m.fma(n, -constants.ln2_low, r), lost)
    result = m.scale(m.mul(exp_of_reduced(m, r), scaled), n, shifted)
    return m.select(m.less(x, 0.0), m.sub(2.0, result), result)


ERROR_FUNCTION: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (ScalarOp.ERF, Kind.F32): emit_erf,
    (ScalarOp.ERFC, Kind.F32): emit_erfc,
}
