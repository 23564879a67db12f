"""Sine, cosine and tangent.

In: values of kind F32 or F64.   Out: straight-line instructions, with a branch to the C library for huge arguments.

`|x| = n * pi/2 + r` with `n = round(|x| * 2/pi)`; r is found by three fused steps with the parts of pi/2 (Cody and Waite). The
first is exact, so that r keeps a relative precision even next to multiples of pi/2, up to `LIMITS`. Beyond it (and
only if a lane is there) each lane is computed by the C library. Polynomials on |r| <= pi/4 by `scripts/minimax.py`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction
from graphwright.codegen.llvm.math.libm import LIBM
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp


class Constants(msgspec.Struct, frozen=True):
    """What the functions need to know of a kind."""

    half_pi: tuple[float, float, float]
    limit: float
    """The greatest magnitude that is reduced here."""
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    tan: tuple[float, ...]


CONSTANTS: Final = {
    Kind.F32: Constants(
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        limit=131072.0,
        sin=(-0.166666672, 0.00833338033, -0.000198535126, 2.83754275e-06),
        cos=(0.0416666456, -0.00138873013, 2.44306702e-05),
        tan=(
            0.333333522,
            0.13332583,
            0.0540686511,
            0.0212386101,
            0.0109455436,
            -4.61868476e-05,
            0.0044418294,
        ),
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
        tan=(),
    ),
}
_TWO_OVER_PI: Final = 0.6366197723675814


def _reduced(m: Arithmetic, magnitude: Value) -> tuple[Value, Value]:
    """Give r, and an integer whose low bits are n's."""
    n, shifted = m.round_scaled(magnitude, _TWO_OVER_PI)
    r = magnitude
    for part in CONSTANTS[m.kind].half_pi:
        r = m.fma(n, -part, r)
    return r, m.bits(shifted)


def _sin_of_reduced(m: Arithmetic, r: Value, square: Value) -> Value:
    return m.fma(m.mul(r, square), m.polynomial(CONSTANTS[m.kind].sin, square), r)


def _cos_of_reduced(m: Arithmetic, square: Value) -> Value:
    """Write `1 - u/2 + u**2 * c(u)`; the rounding of `1 - u/2` is given back."""
    half = m.mul(square, 0.5)
    near = m.sub(1.0, half)
    lost = m.sub(m.sub(1.0, near), half)
    return m.add(
        near, m.fma(m.mul(square, square), m.polynomial(CONSTANTS[m.kind].cos, square), lost)
    )


def _or_libm(m: Arithmetic, op: ScalarOp, x: Value, magnitude: Value, result: Value) -> Value:
    """Replace the result by the C library's if some lane is finite but past the limit."""
    is_large = m.less(CONSTANTS[m.kind].limit, magnitude)
    is_rare = m.both(is_large, m.less(magnitude, float("inf")))
    return m.rarely(is_rare, result, lambda: LIBM[op, m.kind](m.builder, x))


def emit_sin(builder: Builder, x: Value) -> Value:
    """Write the sine."""
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    r, n = _reduced(m, magnitude)
    square = m.mul(r, r)
    wave = m.select(m.has_bit(n, 1), _cos_of_reduced(m, square), _sin_of_reduced(m, r, square))
    sign = m.integer("and", m.bits(x), -(1 << (x.kind.bits - 1)))
    turn = m.integer("shl", m.integer("and", n, 2), x.kind.bits - 2)
    result = m.from_bits(m.integer("xor", m.bits(wave), m.integer("xor", sign, turn)))
    return _or_libm(m, ScalarOp.SIN, x, magnitude, result)


def emit_cos(builder: Builder, x: Value) -> Value:
    """Write the cosine."""
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    r, n = _reduced(m, magnitude)
    square = m.mul(r, r)
    wave = m.select(m.has_bit(n, 1), _sin_of_reduced(m, r, square), _cos_of_reduced(m, square))
    turn = m.integer("shl", m.integer("and", m.integer("add", n, 1), 2), x.kind.bits - 2)
    result = m.from_bits(m.integer("xor", m.bits(wave), turn))
    return _or_libm(m, ScalarOp.COS, x, magnitude, result)


def emit_tan(builder: Builder, x: Value) -> Value:
    """Write the tangent: `t = tan(r)`, or `-1/t` in odd quadrants."""
    m = Arithmetic(builder, x.kind)
    magnitude = m.abs(x)
    r, n = _reduced(m, magnitude)
    square = m.mul(r, r)
    t = m.fma(m.mul(r, square), m.polynomial(CONSTANTS[m.kind].tan, square), r)
    is_odd = m.has_bit(n, 1)
    wave = m.select(is_odd, m.div(-1.0, t), t)
    sign = m.integer("and", m.bits(x), -(1 << (x.kind.bits - 1)))
    result = m.from_bits(m.integer("xor", m.bits(wave), sign))
    return _or_libm(m, ScalarOp.TAN, x, magnitude, result)


TRIGONOMETRIC: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (ScalarOp.SIN, Kind.F32): emit_sin,
    (ScalarOp.COS, Kind.F32): emit_cos,
    (ScalarOp.TAN, Kind.F32): emit_tan,
    (ScalarOp.SIN, Kind.F64): emit_sin,
    (ScalarOp.COS, Kind.F64): emit_cos,
}
