"""Sine, cosine and tangent.

In: values of kind F32 or F64.   Out: straight-line instructions, with a branch to the C library for huge arguments.

`|x| = n * pi/2 + r` with `n = round(|x| * 2/pi)`; r is found by fused steps with the parts of pi/2 (Cody and Waite), of which the
first is exact, so that it is right even next to multiples of pi/2. Past `limit` (and only if a lane is there) the C library
computes each lane. Polynomials on |r| <= pi/4 by `scripts/minimax.py`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction, through_double
from graphwright.codegen.llvm.math.libm import LIBM
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp


class Constants(msgspec.Struct, frozen=True):
    """What the functions need to know of a kind."""

    half_pi: tuple[float, float, float]
    limit: float
    """The greatest magnitude that is reduced here."""
    sin: tuple[float, ...]
    """(sin(r) - r) / r**3 as a polynomial in r**2."""
    cos: tuple[float, ...]
    """(cos(r) - 1 + r**2 / 2) / r**4 as a polynomial in r**2."""


CONSTANTS: Final = {
    Kind.F32: Constants(
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        limit=131072.0,
        sin=(-0.166666672, 0.00833338033, -0.000198535126, 2.83754275e-06),
        cos=(0.0416666456, -0.00138873013, 2.44306702e-05),
    ),
    Kind.F64: Constants(
        half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
        limit=2097152.0,
        sin=(
            -0.16666666666666666,
            0.0083333333333330383,
            -0.00019841269840955878,
            2.7557319069609212e-06,
            -2.5052069605821092e-08,
            1.6054127199717761e-10,
            -7.3797112285833102e-13,
        ),
        cos=(
            0.041666666666666602,
            -0.0013888888888874474,
            2.4801587289671537e-05,
            -2.7557314401030759e-07,
            2.0875729281296194e-09,
            -1.1359934249448956e-11,
        ),
    ),
}
_TWO_OVER_PI: Final = 0.6366197723675814
_KEPT_FROM: Final = 2.0**-16
"""Square of 2**-8, which is above `n * half_pi[1]` for every n within the limit."""
_HALF_PI_DOUBLE: Final = (1.5707963267948966, 6.123233995736766e-17)
_TAN_LIMIT: Final = 1073741824.0
_TAN: Final = (
    0.33333331693695678,
    0.13333416869326076,
    0.053953753446150381,
    0.021990466168373256,
    0.0083109313330912288,
    0.0050324193468280843,
    -0.00063573320370471941,
    0.0020574007654274563,
)


def _waves(m: Arithmetic, magnitude: Value) -> tuple[Value, Value, Value]:
    """Give sin(r), cos(r), and an integer whose low bits are n's.

    What r lost in its rounding is added to the small terms of the sine. It is found exactly where r is not much smaller
    than what it was made of, which `_KEPT_FROM` ensures; where r is smaller, its rounding is the result's.
    """
    constants = CONSTANTS[m.kind]
    first, second, third = constants.half_pi
    n, shifted = m.round_scaled(magnitude, _TWO_OVER_PI)
    near = m.fma(n, -first, magnitude)
    r = m.fma(n, -second, near)
    square = m.mul(r, r)
    lost = m.fma(n, -second, m.sub(near, r))
    lost = m.select(m.less(_KEPT_FROM, square), lost, 0.0)
    low = m.fma(n, -third, lost)
    bend = m.fma(m.mul(m.polynomial(constants.sin, square), square), r, low)
    cosine = m.fma(square, m.polynomial((-0.5, *constants.cos), square), 1.0)
    return m.add(r, bend), cosine, m.bits(shifted)


def _or_libm(m: Arithmetic, op: ScalarOp, x: Value, limit: float, result: Value) -> Value:
    """Replace the result by the C library's if some lane is past the limit."""
    is_rare = m.less(limit, m.abs(x))
    return m.rarely(is_rare, result, lambda: LIBM[op, m.kind](m.builder, x))


def emit_sin(builder: Builder, x: Value) -> Value:
    """Write the sine.

    Error: float32 1.18 ulp (eager 0.60), float64 1.07 (eager 0.50).
    """
    m = Arithmetic(builder, x.kind)
    sine, cosine, n = _waves(m, m.abs(x))
    wave = m.select(m.has_bit(n, 1), cosine, sine)
    sign = m.integer("and", m.bits(x), -(1 << (x.kind.bits - 1)))
    turn = m.integer("shl", m.integer("and", n, 2), x.kind.bits - 2)
    result = m.from_bits(m.integer("xor", m.bits(wave), m.integer("xor", sign, turn)))
    return _or_libm(m, ScalarOp.SIN, x, CONSTANTS[x.kind].limit, result)


def emit_cos(builder: Builder, x: Value) -> Value:
    """Write the cosine.

    Error: float32 1.19 ulp (eager 0.61), float64 1.06 (eager 0.50).
    """
    m = Arithmetic(builder, x.kind)
    sine, cosine, n = _waves(m, m.abs(x))
    wave = m.select(m.has_bit(n, 1), sine, cosine)
    turn = m.integer("shl", m.integer("and", m.integer("add", n, 1), 2), x.kind.bits - 2)
    result = m.from_bits(m.integer("xor", m.bits(wave), turn))
    return _or_libm(m, ScalarOp.COS, x, CONSTANTS[x.kind].limit, result)


def _tan_double(m: Arithmetic, x: Value) -> Value:
    n, shifted = m.round_scaled(x, _TWO_OVER_PI)
    r = m.fma(n, -_HALF_PI_DOUBLE[1], m.fma(n, -_HALF_PI_DOUBLE[0], x))
    square = m.mul(r, r)
    t = m.fma(m.mul(r, square), m.polynomial(_TAN, square), r)
    return m.select(m.has_bit(m.bits(shifted), 1), m.div(-1.0, t), t)


def emit_tan(builder: Builder, x: Value) -> Value:
    """Write the tangent, in float64: `t = tan(r)`, or `-1/t` about odd multiples of pi/2; the sign of zero is kept.

    Error: float32 0.50 ulp up to 2**30, beyond it the C library's 1.48 (eager 0.94).
    """
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    wave = through_double(builder, _tan_double, magnitude)
    sign = m.integer("and", m.bits(x), -(1 << (x.kind.bits - 1)))
    result = m.from_bits(m.integer("xor", m.bits(wave), sign))
    return _or_libm(m, ScalarOp.TAN, x, _TAN_LIMIT, result)


TRIGONOMETRIC: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (ScalarOp.SIN, Kind.F32): emit_sin,
    (ScalarOp.COS, Kind.F32): emit_cos,
    (ScalarOp.TAN, Kind.F32): emit_tan,
    (ScalarOp.SIN, Kind.F64): emit_sin,
    (ScalarOp.COS, Kind.F64): emit_cos,
}
