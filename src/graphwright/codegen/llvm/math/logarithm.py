"""Logarithms.

In: values of kind F32 or F64.   Out: straight-line instructions.

All rest on `log(x) = e * ln 2 + log(1 + f)` with `x = 2**e * (1 + f)` and 1 + f between sqrt(1/2) and sqrt(2). `log(1 + f)` is
kept as `f + rest`, f being exact: for float32 `rest = -f**2/2 + f**3 * q(f)`; for float64 with `s = f / (2 + f)`, `log(1 + f)
= 2 * atanh(s)`, so that `rest = s * (f**2/2 + s**2 * q(s**2)) - f**2/2`. Polynomials by `scripts/minimax.py`.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import Arithmetic, MathFunction
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp

_LOG_SINGLE: Final = (
    0.333333135,
    -0.250000626,
    0.200020909,
    -0.166651905,
    0.142182842,
    -0.12450733,
    0.119369201,
    -0.114436544,
    0.0638054982,
)
_LOG_DOUBLE: Final = (
    0.6666666666666734,
    0.39999999999416641,
    0.28571428742028165,
    0.22222198605058358,
    0.1818356285085502,
    0.15314084861968422,
    0.1479563301887277,
)
_SQRT_HALF_BITS: Final = {Kind.F32: 0x3F3504F3, Kind.F64: 0x3FE6A09E667F3BCD}
_LN2: Final = {
    Kind.F32: (0.6931471824645996, -1.9046542121259336e-09),
    Kind.F64: (0.6931471805599453, 2.3190468138462996e-17),
}
_LOG2_E: Final = {
    Kind.F32: (1.4426950216293335, 1.925963033500011e-08),
    Kind.F64: (1.4426950408889634, 2.0355273740931033e-17),
}
_LOG10_E: Final = {
    Kind.F32: (0.4342944920063019, -1.0103049952192578e-08),
    Kind.F64: (0.4342944819032518, 1.098319650216765e-17),
}
_LOG10_2: Final = {
    Kind.F32: (0.3010300099849701, -1.432098883924482e-08),
    Kind.F64: (0.3010299956639812, -2.8037281277851704e-18),
}


def split_exponent(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """Give e (as an integer) and m for `x = 2**e * m`, m in [sqrt(1/2), sqrt(2)); x is positive, finite and normal."""
    shift = m.format.mantissa_bits
    offset = _SQRT_HALF_BITS[m.kind]
    moved = m.integer("sub", m.bits(x), offset)
    exponent = m.integer("ashr", moved, shift)
    mantissa = m.integer("add", m.integer("and", moved, (1 << shift) - 1), offset)
    return exponent, m.from_bits(mantissa)


def log1p_rest(m: Arithmetic, f: Value) -> Value:
    """Write `log(1 + f) - f` for 1 + f in [sqrt(1/2), sqrt(2))."""
    square = m.mul(f, f)
    if m.kind is Kind.F32:
        cubic = m.mul(m.mul(f, square), m.polynomial(_LOG_SINGLE, f))
        return m.fma(square, -0.5, cubic)
    s = m.div(f, m.add(f, 2.0))
    s_squared = m.mul(s, s)
    tail = m.mul(s_squared, m.polynomial(_LOG_DOUBLE, s_squared))
    half = m.mul(square, 0.5)
    return m.sub(m.mul(s, m.add(half, tail)), half)


def _parts(m: Arithmetic, x: Value) -> tuple[Value, Value, Value]:
    """Give e as a float, f and `log(1 + f) - f`; denormals are scaled up first."""
    is_denormal = m.less(x, m.format.least_normal)
    shift = m.format.mantissa_bits + 1
    scaled = m.select(is_denormal, m.mul(x, 2.0**shift), x)
    exponent, mantissa = split_exponent(m, scaled)
    e = m.builder.convert("sitofp", exponent, m.kind)
    e = m.sub(e, m.select(is_denormal, float(shift), 0.0))
    f = m.sub(mantissa, 1.0)
    return e, f, log1p_rest(m, f)


def _with_edges(m: Arithmetic, x: Value, result: Value) -> Value:
    """Put in what logarithms are at the edges: -inf of 0, NaN below, inf of inf, NaN of NaN."""
    infinity = float("inf")
    result = m.select(m.equal(x, infinity), infinity, result)
    edge = m.select(m.equal(x, 0.0), -infinity, float("nan"))
    return m.select(m.less(0.0, x), result, edge)


def emit_log(builder: Builder, x: Value) -> Value:
    """Write the natural logarithm.

    Error: float32 0.85 ulp (eager 0.91), float64 0.77 (eager 0.73).
    """
    m = Arithmetic(builder, x.kind)
    high, low = _LN2[x.kind]
    e, f, rest = _parts(m, x)
    fraction = m.add(f, m.fma(e, low, rest))
    return _with_edges(m, x, m.fma(e, high, fraction))


def emit_log2(builder: Builder, x: Value) -> Value:
    """Write the logarithm to base 2; exact for powers of two.

    Error: float32 0.95 ulp (eager 0.67), float64 0.89 (eager 0.50).
    """
    m = Arithmetic(builder, x.kind)
    high, low = _LOG2_E[x.kind]
    e, f, rest = _parts(m, x)
    small = m.fma(f, low, m.mul(rest, high))
    return _with_edges(m, x, m.add(m.fma(f, high, small), e))


def emit_log10(builder: Builder, x: Value) -> Value:
    """Write the logarithm to base 10.

    Error: float32 0.95 ulp (eager 0.72), float64 0.84 (eager 0.51).
    """
    m = Arithmetic(builder, x.kind)
    high, low = _LOG10_E[x.kind]
    two_high, two_low = _LOG10_2[x.kind]
    e, f, rest = _parts(m, x)
    small = m.fma(f, low, m.fma(rest, high, m.mul(e, two_low)))
    return _with_edges(m, x, m.fma(e, two_high, m.fma(f, high, small)))


def emit_log1p(builder: Builder, x: Value) -> Value:
    """Write `log(1 + x)`: what `u = 1 + x` lost in rounding is added to f.

    Error: float32 1.39 ulp (eager 1.00), float64 1.30 (eager 1.00).
    """
    m = Arithmetic(builder, x.kind)
    high, low = _LN2[x.kind]
    u = m.add(x, 1.0)
    lost = m.sub(x, m.sub(u, 1.0))
    exponent, mantissa = split_exponent(m, u)
    bounded = m.builder.intrinsic("smin", exponent, m.int_value(m.format.exponent_bias - 1))
    inverse = m.power_of_two(m.integer("sub", 0, bounded))
    f = m.fma(lost, inverse, m.sub(mantissa, 1.0))
    e = m.builder.convert("sitofp", exponent, m.kind)
    fraction = m.add(f, m.fma(e, low, log1p_rest(m, f)))
    result = _with_edges(m, u, m.fma(e, high, fraction))
    tiny = 2.0 ** -(m.format.mantissa_bits + 2)
    return m.select(m.less(m.abs(x), tiny), x, result)


LOGARITHM: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (op, kind): emit
    for op, emit in (
        (ScalarOp.LOG, emit_log),
        (ScalarOp.LOG2, emit_log2),
        (ScalarOp.LOG10, emit_log10),
        (ScalarOp.LOG1P, emit_log1p),
    )
    for kind in (Kind.F32, Kind.F64)
}
