"""Integer operations that are more than one instruction, or that LLVM leaves undefined at their edges.

In: operands of one integer dtype.   Out: instructions with a defined result for all operands.
Keeps: a zero divisor gives 0; the least integer divided by -1 wraps; a shift by a negative or too large distance gives
what eager gives (0, or the sign for right shifts).
"""

from __future__ import annotations

from collections.abc import Sequence

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.types import Kind, Value, type_text
from graphwright.ir.dtypes import DType


def _safe_divisor(builder: Builder, divisor: Value, dtype: DType) -> tuple[Value, Value, Value]:
    """Give a divisor that never traps, whether the real one is 0, and whether it is -1."""
    one = builder.const(1, divisor.kind)
    is_zero = builder.compare("icmp eq", divisor, builder.const(0, divisor.kind))
    if not dtype.is_signed:
        return builder.select(is_zero, one, divisor), is_zero, builder.const(0, Kind.I1)
    is_minus_one = builder.compare("icmp eq", divisor, builder.const(-1, divisor.kind))
    is_special = builder.binary("or", is_zero, is_minus_one)
    return builder.select(is_special, one, divisor), is_zero, is_minus_one


def _divide(builder: Builder, args: Sequence[Value], dtype: DType) -> tuple[Value, Value]:
    """Give quotient (towards zero) and remainder."""
    left, right = args
    prefix = "s" if dtype.is_signed else "u"
    zero = builder.const(0, left.kind)
    if right.is_literal and right.text not in ("0", "-1", "splat (i64 0)"):
        return builder.binary(f"{prefix}div", left, right), builder.binary(
            f"{prefix}rem", left, right
        )
    safe, is_zero, is_minus_one = _safe_divisor(builder, right, dtype)
    quotient = builder.binary(f"{prefix}div", left, safe)
    rest = builder.binary("sub", left, builder.binary("mul", quotient, safe))
    if dtype.is_signed:
        quotient = builder.select(is_minus_one, builder.binary("sub", zero, left), quotient)
    quotient = builder.select(is_zero, zero, quotient)
    return quotient, builder.select(is_zero, zero, rest)


def emit_trunc_div(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write C's `/`."""
    return _divide(builder, args, dtype)[0]


def emit_fmod(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write C's `%`."""
    return _divide(builder, args, dtype)[1]


def _is_off_by_one(builder: Builder, rest: Value, divisor: Value) -> Value:
    """Tell where Python's division rounds further down than C's."""
    zero = builder.const(0, rest.kind)
    has_rest = builder.compare("icmp ne", rest, zero)
    signs_differ = builder.compare("icmp slt", builder.binary("xor", rest, divisor), zero)
    return builder.binary("and", has_rest, signs_differ)


def emit_floor_div(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write Python's `//`."""
    quotient, rest = _divide(builder, args, dtype)
    if not dtype.is_signed:
        return quotient
    is_off = _is_off_by_one(builder, rest, args[1])
    return builder.binary("add", quotient, builder.convert("sext", is_off, quotient.kind))


def emit_mod(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write Python's `%`."""
    _, rest = _divide(builder, args, dtype)
    if not dtype.is_signed:
        return rest
    is_off = _is_off_by_one(builder, rest, args[1])
    return builder.binary("add", rest, builder.select(is_off, args[1], builder.const(0, rest.kind)))


def _is_distance_out_of_range(builder: Builder, distance: Value) -> Value:
    """Tell where a shift distance, read as unsigned (so that negative ones are large), is the width or more."""
    return builder.compare("icmp uge", distance, builder.const(distance.kind.bits, distance.kind))


def emit_shift_left(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write `<<`."""
    del dtype
    value, distance = args
    is_out = _is_distance_out_of_range(builder, distance)
    zero = builder.const(0, value.kind)
    shifted = builder.binary("shl", value, builder.select(is_out, zero, distance))
    return builder.select(is_out, zero, shifted)


def emit_shift_right(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write `>>`, arithmetic for signed dtypes."""
    value, distance = args
    is_out = _is_distance_out_of_range(builder, distance)
    if dtype.is_signed:
        farthest = builder.const(value.kind.bits - 1, value.kind)
        return builder.binary("ashr", value, builder.select(is_out, farthest, distance))
    zero = builder.const(0, value.kind)
    shifted = builder.binary("lshr", value, builder.select(is_out, zero, distance))
    return builder.select(is_out, zero, shifted)


def emit_pow(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    """Write an integer power by squaring, in a loop until no lane has exponent bits left.

    A negative exponent gives what eager gives: 1 for base 1, ±1 for base -1, else 0.
    """
    lanes = max(arg.lanes for arg in args)
    base, exponent = (builder.splat(arg, lanes) for arg in args)
    kind = base.kind
    zero, one = builder.const(0, kind), builder.const(1, kind)
    # As an unsigned number, a negative exponent would take as many steps as the kind has bits.
    steps = builder.intrinsic("smax", exponent, zero) if dtype.is_signed else exponent
    start, loop, done = builder.block, builder.label("pow"), builder.label("pow.done")
    builder.branch(loop)
    builder.start_block(loop)
    wide = type_text(kind, lanes)
    names = [builder.fresh() for _ in range(3)]
    head = len(builder.lines)
    result, square, left = (Value(name, kind, lanes) for name in names)
    is_odd = builder.compare("icmp ne", builder.binary("and", left, one), zero)
    next_result = builder.select(is_odd, builder.binary("mul", result, square), result)
    next_square = builder.binary("mul", square, square)
    next_left = builder.binary("lshr", left, one)
    firsts = (builder.splat(one, lanes), base, steps)
    nexts = (next_result, next_square, next_left)
    builder.lines[head:head] = [
        f"{name} = phi {wide} [ {first.text}, %{start} ], [ {after.text}, %{loop} ]"
        for name, first, after in zip(names, firsts, nexts, strict=True)
    ]
    is_going = builder.compare("icmp ne", next_left, zero)
    builder.branch_if(any_lane(builder, is_going).text, loop, done)
    builder.start_block(done)
    if not dtype.is_signed:
        return next_result
    is_even = builder.compare("icmp eq", builder.binary("and", exponent, one), zero)
    minus_one = builder.const(-1, kind)
    of_minus_one = builder.select(is_even, one, minus_one)
    is_base_one = builder.compare("icmp eq", base, one)
    is_base_minus_one = builder.compare("icmp eq", base, minus_one)
    inverse = builder.select(
        is_base_one, one, builder.select(is_base_minus_one, of_minus_one, zero)
    )
    return builder.select(builder.compare("icmp slt", exponent, zero), inverse, next_result)


def any_lane(builder: Builder, condition: Value) -> Value:
    """Tell whether a condition holds in any lane."""
    if condition.lanes == 1:
        return condition
    wide = type_text(Kind.I1, condition.lanes)
    name = f"llvm.vector.reduce.or.v{condition.lanes}i1"
    return builder.call(name, Kind.I1, 1, [f"{wide} {condition.text}"])
