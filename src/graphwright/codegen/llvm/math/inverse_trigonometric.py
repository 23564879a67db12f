"""Arc sine, arc cosine, arc tangent.

In: values of kind F32.   Out: straight-line instructions. Polynomials by `scripts/minimax.py`.
Arc sine and arc cosine are computed in float64: they are rare, and their square root would cost a bit of the result.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction, through_double
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp

_ASIN: Final = (
    0.16666659871914674,
    0.075005109180390397,
    0.04451572002593443,
    0.031817614464166782,
    0.014402592774813861,
    0.037565221931726886,
)
_ATAN: Final = (
    -0.333333015,
    0.199986264,
    -0.142650917,
    0.109566577,
    -0.084164612,
    0.0581781045,
    -0.0313945562,
    0.011029073,
    -0.00181875599,
)
_HALF_PI: Final = (1.5707963705062866, -4.371138828673793e-08)
_PI: Final = (3.1415927410125732, -8.742277657347586e-08)
_HALF_PI_DOUBLE: Final = 1.5707963267948966


def _arc(m: Arithmetic, magnitude: Value) -> tuple[Value, Value]:
    """Give whether the magnitude is above 1/2, and the arc sine of s.

    Up to 1/2 s is the magnitude; above, `s = sqrt((1 - magnitude) / 2)`, as `asin(a) = pi/2 - 2 * asin(s)`.
    """
    is_large = m.less(0.5, magnitude)
    halved = m.fma(magnitude, -0.5, 0.5)
    square = m.select(is_large, halved, m.mul(magnitude, magnitude))
    s = m.select(is_large, m.sqrt(halved), magnitude)
    return is_large, m.fma(m.mul(s, square), m.polynomial(_ASIN, square), s)


def _asin_double(m: Arithmetic, x: Value) -> Value:
    is_large, arc = _arc(m, m.abs(x))
    return m.copysign(m.select(is_large, m.fma(arc, -2.0, _HALF_PI_DOUBLE), arc), x)


def _acos_double(m: Arithmetic, x: Value) -> Value:
    is_large, arc = _arc(m, m.abs(x))
    doubled = m.add(arc, arc)
    is_negative = m.less(x, 0.0)
    outer = m.select(is_negative, m.sub(2.0 * _HALF_PI_DOUBLE, doubled), doubled)
    return m.select(is_large, outer, m.sub(_HALF_PI_DOUBLE, m.copysign(arc, x)))


def emit_asin(builder: Builder, x: Value) -> Value:
    """Write the arc sine; NaN outside [-1, 1]. Error: float32 0.50 ulp (eager 0.75)."""
    return through_double(builder, _asin_double, x)


def emit_acos(builder: Builder, x: Value) -> Value:
    """Write the arc cosine: `pi/2 - asin(x)`, `2 * asin(s)`, or `pi - 2 * asin(s)`; NaN outside [-1, 1].

    Error: float32 0.50 ulp (eager 0.80).
    """
    return through_double(builder, _acos_double, x)


def _atan_of_ratio(m: Arithmetic, ratio: Value) -> Value:
    """Write the arc tangent of a ratio in [0, 1]."""
    square = m.mul(ratio, ratio)
    return m.fma(m.mul(ratio, square), m.polynomial(_ATAN, square), ratio)


def emit_atan(builder: Builder, x: Value) -> Value:
    """Write the arc tangent: `pi/2 - atan(1/|x|)` above 1. Error: float32 1.37 ulp (eager 0.83)."""
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    is_large = m.less(1.0, magnitude)
    arc = _atan_of_ratio(m, m.select(is_large, m.div(1.0, magnitude), magnitude))
    large = m.sub(_HALF_PI[0], m.sub(arc, _HALF_PI[1]))
    return m.copysign(m.select(is_large, large, arc), x)


def emit_atan2(builder: Builder, y: Value, x: Value) -> Value:
    """Write the angle of (x, y): the arc of the smaller magnitude over the greater, turned to its octant.

    Error: float32 1.44 ulp (eager 0.98), over 4 million random pairs and all pairs of special values.
    """
    m = Arithmetic(builder, y.kind)
    rise, run = m.abs(y), m.abs(x)
    is_steep = m.less(run, rise)
    greater, smaller = m.select(is_steep, rise, run), m.select(is_steep, run, rise)
    ratio = m.div(smaller, greater)
    is_diagonal = m.equal(smaller, greater)
    ratio = m.select(is_diagonal, m.select(m.equal(greater, 0.0), 0.0, 1.0), ratio)
    arc = _atan_of_ratio(m, ratio)
    arc = m.select(is_steep, m.sub(_HALF_PI[0], m.sub(arc, _HALF_PI[1])), arc)
    is_left = builder.compare("icmp slt", m.bits(x), m.int_value(0))
    arc = m.select(is_left, m.sub(_PI[0], m.sub(arc, _PI[1])), arc)
    is_nan = builder.compare("fcmp uno", x, y)
    return m.select(is_nan, float("nan"), m.copysign(arc, y))


INVERSE_TRIGONOMETRIC: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (ScalarOp.ASIN, Kind.F32): emit_asin,
    (ScalarOp.ACOS, Kind.F32): emit_acos,
    (ScalarOp.ATAN, Kind.F32): emit_atan,
    (ScalarOp.ATAN2, Kind.F32): emit_atan2,
}
