"""Remainders and floor division of floats, exact for all operands.

In: operands of kind F32 or F64.   Out: what C's `fmod`, Python's `%` and eager's floor division give.
Source: the remainder of float32 is taken in float64 by repeated exact steps: a quotient cut to 28 bits times a 24-bit
divisor fits 52 bits, so each `x - q*y` is exact and shrinks `x` by about 2**27; ten steps cover the whole range.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.integers import any_lane
from graphwright.codegen.llvm.types import Kind, Value, type_text
from graphwright.ir.dtypes import DType


def emit_fmod(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write C's `fmod`: the sign of the dividend; NaN for a zero divisor or an infinite dividend."""
    del dtype
    left, right = args
    if left.kind is Kind.F64:
        return builder.call_extern("fmod", Kind.F64, (left, right))
    lanes = max(left.lanes, right.lanes)
    wide_left = builder.convert("fpext", builder.splat(left, lanes), Kind.F64)
    wide_right = builder.convert("fpext", builder.splat(right, lanes), Kind.F64)
    rest = _reduce(
        builder, builder.intrinsic("fabs", wide_left), builder.intrinsic("fabs", wide_right)
    )
    signed = builder.intrinsic("copysign", builder.convert("fptrunc", rest, Kind.F32), left)
    is_defined = builder.binary(
        "and",
        builder.compare(
            "fcmp olt", builder.intrinsic("fabs", left), builder.const(float("inf"), Kind.F32)
        ),
        builder.compare("fcmp une", right, builder.const(0, Kind.F32)),
    )
    is_number = builder.compare("fcmp ord", left, right)
    nan = builder.const(float("nan"), Kind.F32)
    return builder.select(builder.binary("and", is_defined, is_number), signed, nan)


def _reduce(builder: Builder, left: Value, right: Value) -> Value:
    """Give `left mod right` for magnitudes that are float32 numbers held in float64."""
    kind, lanes = Kind.F64, left.lanes
    start, loop, done = builder.block, builder.label("fmod"), builder.label("fmod.done")
    builder.branch(loop)
    builder.start_block(loop)
    head, name = len(builder.lines), builder.fresh()
    rest = Value(name, kind, lanes)
    quotient_bits = builder.to_bits(builder.binary("fdiv", rest, right))
    cut = builder.binary("and", quotient_bits, builder.const(-(1 << 25), Kind.I64))
    quotient = builder.intrinsic("trunc", builder.convert("bitcast", cut, kind))
    less = builder.intrinsic("fma", builder.unary("fneg", quotient), right, rest)
    less = builder.select(_is_infinite(builder, right), rest, less)
    is_negative = builder.compare("fcmp olt", less, builder.const(0, kind))
    next_rest = builder.select(is_negative, builder.binary("fadd", less, right), less)
    wide = type_text(kind, lanes)
    builder.lines.insert(
        head, f"{name} = phi {wide} [ {left.text}, %{start} ], [ {next_rest.text}, %{loop} ]"
    )
    builder.branch_if(any_lane(builder, _needs_step(builder, next_rest, right)).text, loop, done)
    builder.start_block(done)
    return next_rest


def _is_infinite(builder: Builder, value: Value) -> Value:
    """Tell where a magnitude is infinite."""
    return builder.compare("fcmp oeq", value, builder.const(float("inf"), Kind.F64))


def _needs_step(builder: Builder, rest: Value, right: Value) -> Value:
    """Tell where the remainder is not yet below a divisor that is finite and not zero."""
    is_large = builder.compare("fcmp oge", rest, right)
    is_divisor = builder.compare("fcmp one", right, builder.const(0, Kind.F64))
    is_finite = builder.compare("fcmp olt", rest, builder.const(float("inf"), Kind.F64))
    return builder.binary("and", is_large, builder.binary("and", is_divisor, is_finite))


def _has_other_sign(builder: Builder, rest: Value, divisor: Value) -> Value:
    """Tell where a remainder differs from 0 and has another sign than the divisor."""
    zero = builder.const(0, rest.kind)
    is_rest = builder.compare("fcmp une", rest, zero)
    rest_below = builder.compare("fcmp olt", rest, zero)
    divisor_below = builder.compare("fcmp olt", divisor, zero)
    return builder.binary("and", is_rest, builder.binary("xor", rest_below, divisor_below))


def emit_mod(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write Python's `%`: the remainder with the divisor's sign."""
    rest = emit_fmod(builder, args, dtype)
    moved = builder.binary("fadd", rest, args[1])
    return builder.select(_has_other_sign(builder, rest, args[1]), moved, rest)


def emit_floor_div(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write `torch.floor_divide`: exact floor of the quotient, and `a / b` for a zero divisor."""
    left, right = args
    kind = left.kind
    zero, one, half = (builder.const(number, kind) for number in (0, 1, 0.5))
    rest = emit_fmod(builder, args, dtype)
    quotient = builder.binary("fdiv", builder.binary("fsub", left, rest), right)
    lower = builder.binary("fsub", quotient, one)
    quotient = builder.select(_has_other_sign(builder, rest, right), lower, quotient)
    floor = builder.intrinsic("floor", quotient)
    is_rounded_up = builder.compare("fcmp ogt", builder.binary("fsub", quotient, floor), half)
    floor = builder.select(is_rounded_up, builder.binary("fadd", floor, one), floor)
    plain = builder.binary("fdiv", left, right)
    signed_zero = builder.intrinsic("copysign", zero, plain)
    result = builder.select(builder.compare("fcmp oeq", quotient, zero), signed_zero, floor)
    return builder.select(builder.compare("fcmp oeq", right, zero), plain, result)
