"""How accumulators start, take in a value, and come together.

In: a `Carry`.   Out: `Accumulator`s: one operand, or value and index for the arg-reductions.
Keeps: float sums may be reassociated, nothing else is assumed; NaN wins a maximum or minimum; an arg-reduction gives the
first index of the extreme value. Float16 and bfloat16 accumulate in float32 and are rounded at the end.
"""

from __future__ import annotations

from typing import Final, assert_never

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.casts import emit_cast
from graphwright.codegen.llvm.types import REGISTER_KIND, Kind, Value
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Carry
from graphwright.ir.ops import ReduceOp

Accumulator = tuple[Value, ...]

_ARG_OPS: Final = (ReduceOp.ARGMAX, ReduceOp.ARGMIN)
_NO_INDEX: Final = (1 << 63) - 1


def accumulation_dtype(carry: Carry) -> DType:
    """Give the dtype in which the reduction is done."""
    low_precision = carry.dtype in (DType.FLOAT16, DType.BFLOAT16)
    return DType.FLOAT32 if low_precision else carry.dtype


def _lowest(dtype: DType) -> float:
    if dtype.is_float:
        return float("-inf")
    if dtype is DType.BOOL or not dtype.is_signed:
        return 0
    return -(1 << (dtype.size_bytes * 8 - 1))


def _highest(dtype: DType) -> float:
    if dtype.is_float:
        return float("inf")
    if dtype is DType.BOOL:
        return 1
    return (1 << (dtype.size_bytes * 8 - (1 if dtype.is_signed else 0))) - 1


def identity(builder: Builder, carry: Carry) -> Accumulator:
    """Give the accumulator of no values, as literals."""
    dtype = accumulation_dtype(carry)
    kind = REGISTER_KIND[dtype]
    match carry.op:
        case ReduceOp.SUM | ReduceOp.ANY:
            return (builder.const(0, kind),)
        case ReduceOp.PROD | ReduceOp.ALL:
            return (builder.const(1, kind),)
        case ReduceOp.MAX:
            return (builder.const(_lowest(dtype), kind),)
        case ReduceOp.MIN:
            return (builder.const(_highest(dtype), kind),)
        case ReduceOp.ARGMAX:
            return builder.const(_lowest(dtype), kind), builder.const(_NO_INDEX, Kind.I64)
        case ReduceOp.ARGMIN:
            return builder.const(_highest(dtype), kind), builder.const(_NO_INDEX, Kind.I64)
        case _:
            assert_never(carry.op)


def combine(builder: Builder, carry: Carry, left: Accumulator, right: Accumulator) -> Accumulator:
    """Bring two accumulators together."""
    dtype = accumulation_dtype(carry)
    match carry.op:
        case ReduceOp.SUM:
            text = (
                "fadd reassoc contract"
                if dtype.is_float
                else "or"
                if dtype is DType.BOOL
                else "add"
            )
            return (builder.binary(text, left[0], right[0]),)
        case ReduceOp.PROD:
            text = (
                "fmul reassoc contract"
                if dtype.is_float
                else "and"
                if dtype is DType.BOOL
                else "mul"
            )
            return (builder.binary(text, left[0], right[0]),)
        case ReduceOp.ANY:
            return (builder.binary("or", left[0], right[0]),)
        case ReduceOp.ALL:
            return (builder.binary("and", left[0], right[0]),)
        case ReduceOp.MAX | ReduceOp.MIN:
            return (_extreme(builder, dtype, left[0], right[0], is_max=carry.op is ReduceOp.MAX),)
        case ReduceOp.ARGMAX | ReduceOp.ARGMIN:
            return _arg_extreme(builder, dtype, left, right, is_max=carry.op is ReduceOp.ARGMAX)
        case _:
            assert_never(carry.op)


def _extreme(builder: Builder, dtype: DType, left: Value, right: Value, *, is_max: bool) -> Value:
    """Give the greater or smaller one; for floats, whichever is NaN.

    `left` is the accumulator: where it is NaN, the comparison is false and the select keeps it.
    """
    if not dtype.is_float:
        prefix = "s" if dtype.is_signed and dtype is not DType.BOOL else "u"
        return builder.intrinsic(prefix + ("max" if is_max else "min"), left, right)
    is_better = builder.compare(f"fcmp {'ogt' if is_max else 'olt'}", right, left)
    best = builder.select(is_better, right, left)
    return builder.select(builder.compare("fcmp uno", right, right), right, best)


def _arg_extreme(
    builder: Builder, dtype: DType, left: Accumulator, right: Accumulator, *, is_max: bool
) -> Accumulator:
    """Give the pair that wins: a NaN over a number, then the more extreme value, then the smaller index."""
    is_earlier = builder.compare("icmp slt", right[1], left[1])
    if dtype.is_float:
        is_beyond = builder.compare(f"fcmp {'ogt' if is_max else 'olt'}", right[0], left[0])
        left_nan = builder.compare("fcmp uno", left[0], left[0])
        right_nan = builder.compare("fcmp uno", right[0], right[0])
        is_beyond = builder.binary(
            "or", is_beyond, builder.compare("icmp ult", left_nan, right_nan)
        )
        is_level = builder.compare("fcmp oeq", right[0], left[0])
        is_level = builder.binary("or", is_level, builder.binary("and", left_nan, right_nan))
    else:
        prefix = "s" if dtype.is_signed and dtype is not DType.BOOL else "u"
        is_beyond = builder.compare(f"icmp {prefix}{'gt' if is_max else 'lt'}", right[0], left[0])
        is_level = builder.compare("icmp eq", right[0], left[0])
    wins = builder.binary("or", is_beyond, builder.binary("and", is_level, is_earlier))
    return builder.select(wins, right[0], left[0]), builder.select(wins, right[1], left[1])


def narrow(builder: Builder, carry: Carry, accumulator: Accumulator, lanes: int) -> Accumulator:
    """Fold an accumulator of many lanes into one of `lanes`, by halves."""
    while accumulator[0].lanes > lanes:
        half = accumulator[0].lanes // 2
        if half == 1:
            low = tuple(builder.extract(part, 0) for part in accumulator)
            high = tuple(builder.extract(part, 1) for part in accumulator)
        else:
            low = tuple(builder.shuffle(part, None, list(range(half))) for part in accumulator)
            high = tuple(
                builder.shuffle(part, None, list(range(half, 2 * half))) for part in accumulator
            )
        accumulator = combine(builder, carry, low, high)
    return accumulator


def finish(builder: Builder, carry: Carry, accumulator: Accumulator) -> tuple[Value, DType]:
    """Give the reduction's result, and its dtype, from an accumulator."""
    if carry.op in _ARG_OPS:
        return accumulator[1], DType.INT64
    dtype = accumulation_dtype(carry)
    if dtype is carry.dtype:
        return accumulator[0], dtype
    return emit_cast(builder, accumulator[0], dtype, carry.dtype), carry.dtype


def taken_in(builder: Builder, carry: Carry, update: Value, index: Value | None) -> Accumulator:
    """Give the accumulator of one value."""
    value = emit_cast(builder, update, carry.dtype, accumulation_dtype(carry))
    if carry.op not in _ARG_OPS:
        return (value,)
    if index is None:
        raise InternalError(f"{carry.op.value} without an index")
    return value, index
