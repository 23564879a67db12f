"""Scalar operations as instructions: the table that is this back end's list of capabilities.

In: a `ScalarOp`, its operands (any number of lanes) and their dtype.   Out: instructions, and the result.
Keeps: bfloat16 and float16 arithmetic is done in float32 and rounded once, as eager does it. Float arithmetic allows
contraction (`a*b + c` in one rounding) where the kernel does, and assumes nothing of NaN, infinity or signed zero.
Does not: hold the elementary functions (see `math/`) nor conversions (see `casts.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm import integers, rounding
from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.casts import emit_bitcast, emit_cast
from graphwright.codegen.llvm.math import FUNCTIONS
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import FACTS, ScalarOp

Emitter = Callable[[Builder, Sequence[Value], DType], Value]
"""Builder, operands, the operands' dtype → result."""

_LOW_PRECISION: Final = (DType.FLOAT16, DType.BFLOAT16)
_BITS_ONLY: Final = (ScalarOp.WHERE, ScalarOp.CAST, ScalarOp.BITCAST)


def emit_op(
    builder: Builder, op: ScalarOp, args: Sequence[Value], source: DType, target: DType
) -> Value:
    """Write `op(args)`.

    Args:
        builder: where to.
        op: the operation.
        args: its operands.
        source: the operands' dtype (for `WHERE`, that of the two choices).
        target: the result's dtype.

    Returns:
        The result, of `target`'s register kind.

    Raises:
        InternalError: The operation has no meaning for the dtype.
    """
    if op is ScalarOp.CAST:
        return emit_cast(builder, args[0], source, target)
    if op is ScalarOp.BITCAST:
        return emit_bitcast(builder, args[0], source, target)
    if source in _LOW_PRECISION and op not in _BITS_ONLY:
        wide = [emit_cast(builder, arg, source, DType.FLOAT32) for arg in args]
        result = EMITTERS[op](builder, wide, DType.FLOAT32)
        return result if target is DType.BOOL else emit_cast(builder, result, DType.FLOAT32, target)
    return EMITTERS[op](builder, args, source)


def _float_only(op: ScalarOp, dtype: DType) -> None:
    if not dtype.is_float:
        raise InternalError(f"{op.value} of {dtype.value}: only floats have it")


def _arithmetic(float_text: str, int_text: str, bool_text: str) -> Emitter:
    """Make the emitter of an operation that is one instruction for each family of dtypes."""

    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        if dtype.is_float:
            return builder.binary(float_text + builder.contraction, args[0], args[1])
        text = bool_text if dtype is DType.BOOL else int_text
        return builder.binary(text, args[0], args[1])

    return emit


def _bitwise(text: str) -> Emitter:
    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        if dtype.is_float:
            raise InternalError(f"{text} of {dtype.value}")
        return builder.binary(text, args[0], args[1])

    return emit


def _compare(float_condition: str, signed_condition: str, unsigned_condition: str) -> Emitter:
    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        if dtype.is_float:
            return builder.compare(f"fcmp {float_condition}", args[0], args[1])
        is_signed = dtype.is_signed and dtype is not DType.BOOL
        return builder.compare(
            f"icmp {signed_condition if is_signed else unsigned_condition}", args[0], args[1]
        )

    return emit


def _function(op: ScalarOp) -> Emitter:
    """Make the emitter of an elementary function, from the tables of `math/`."""

    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        _float_only(op, dtype)
        return FUNCTIONS[op, args[0].kind](builder, *args)

    return emit


def _rounding(intrinsic: str) -> Emitter:
    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        return builder.intrinsic(intrinsic, args[0]) if dtype.is_float else args[0]

    return emit


def _emit_div(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    _float_only(ScalarOp.DIV, dtype)
    return builder.binary("fdiv", args[0], args[1])


def _emit_reciprocal(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    _float_only(ScalarOp.RECIPROCAL, dtype)
    return builder.binary("fdiv", builder.const(1, args[0].kind), args[0])


def _emit_neg(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    if dtype.is_float:
        return builder.unary("fneg", args[0])
    return builder.binary("sub", builder.const(0, args[0].kind), args[0])


def _emit_abs(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    if dtype.is_float:
        return builder.intrinsic("fabs", args[0])
    if not dtype.is_signed or dtype is DType.BOOL:
        return args[0]
    return builder.intrinsic("abs", args[0], extra="i1 false")


def _emit_sign(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    value = args[0]
    kind = value.kind
    zero, one = builder.const(0, kind), builder.const(1, kind)
    if dtype.is_float:
        is_negative = builder.compare("fcmp olt", value, zero)
        is_positive = builder.compare("fcmp ogt", value, zero)
        return builder.select(
            is_positive, one, builder.select(is_negative, builder.const(-1, kind), zero)
        )
    if dtype is DType.BOOL:
        return value
    if not dtype.is_signed:
        return builder.select(builder.compare("icmp ne", value, zero), one, zero)
    is_negative = builder.compare("icmp slt", value, zero)
    is_positive = builder.compare("icmp sgt", value, zero)
    return builder.select(
        is_positive, one, builder.select(is_negative, builder.const(-1, kind), zero)
    )


def _emit_signbit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    value = args[0]
    if dtype.is_float:
        bits = builder.to_bits(value)
        return builder.compare("icmp slt", bits, builder.const(0, bits.kind))
    if not dtype.is_signed or dtype is DType.BOOL:
        return builder.splat(builder.const(0, Kind.I1), value.lanes)
    return builder.compare("icmp slt", value, builder.const(0, value.kind))


def _emit_is_nan(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    _float_only(ScalarOp.IS_NAN, dtype)
    return builder.compare("fcmp uno", args[0], args[0])


def _emit_is_inf(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    _float_only(ScalarOp.IS_INF, dtype)
    magnitude = builder.intrinsic("fabs", args[0])
    return builder.compare("fcmp oeq", magnitude, builder.const(float("inf"), magnitude.kind))


def _emit_copysign(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    _float_only(ScalarOp.COPYSIGN, dtype)
    return builder.intrinsic("copysign", args[0], args[1])


def _extreme(float_condition: str, int_stem: str, *, propagates_nan: bool) -> Emitter:
    """Make the emitter of a maximum or minimum.

    `select (fcmp ogt a, b), a, b` is one x86 instruction, which gives `b` when either is NaN. So NaN propagation
    needs a look at `a` alone (none, if it is a literal), and dropping NaN a look at `b`.
    """

    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        left, right = args[0], args[1]
        if not dtype.is_float:
            is_signed = dtype.is_signed and dtype is not DType.BOOL
            return builder.intrinsic(("s" if is_signed else "u") + int_stem, left, right)
        if right.is_literal and propagates_nan:
            left, right = right, left
        best = builder.select(builder.compare(f"fcmp {float_condition}", left, right), left, right)
        tested = left if propagates_nan else right
        if tested.is_literal and tested.text not in _NAN_TEXTS:
            return best
        return builder.select(builder.compare("fcmp uno", tested, tested), left, best)

    return emit


_NAN_TEXTS: Final = (
    "0x7FF8000000000000",
    "splat (float 0x7FF8000000000000)",
    "splat (double 0x7FF8000000000000)",
)


def _emit_where(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    del dtype
    return builder.select(args[0], args[1], args[2])


def _emit_not(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
    if dtype.is_float:
        raise InternalError(f"bitwise_not of {dtype.value}")
    return builder.binary(
        "xor", args[0], builder.const(1 if dtype is DType.BOOL else -1, args[0].kind)
    )


def _by_family(float_emitter: Emitter | None, int_emitter: Emitter) -> Emitter:
    """Make the emitter of an operation that floats and integers do in quite different ways."""

    def emit(builder: Builder, args: Sequence[Value], dtype: DType) -> Value:
        if not dtype.is_float:
            return int_emitter(builder, args, dtype)
        if float_emitter is None:
            raise InternalError(f"an operation of integers met {dtype.value}")
        return float_emitter(builder, args, dtype)

    return emit


_OWN: Final[dict[ScalarOp, Emitter]] = {
    ScalarOp.ADD: _arithmetic("fadd", "add", "or"),
    ScalarOp.SUB: _arithmetic("fsub", "sub", "xor"),
    ScalarOp.MUL: _arithmetic("fmul", "mul", "and"),
    ScalarOp.DIV: _emit_div,
    ScalarOp.FLOOR_DIV: _by_family(rounding.emit_floor_div, integers.emit_floor_div),
    ScalarOp.TRUNC_DIV: _by_family(None, integers.emit_trunc_div),
    ScalarOp.MOD: _by_family(rounding.emit_mod, integers.emit_mod),
    ScalarOp.FMOD: _by_family(rounding.emit_fmod, integers.emit_fmod),
    ScalarOp.NEG: _emit_neg,
    ScalarOp.ABS: _emit_abs,
    ScalarOp.RECIPROCAL: _emit_reciprocal,
    ScalarOp.MAXIMUM: _extreme("ogt", "max", propagates_nan=True),
    ScalarOp.MINIMUM: _extreme("olt", "min", propagates_nan=True),
    ScalarOp.FMAX: _extreme("ogt", "max", propagates_nan=False),
    ScalarOp.FMIN: _extreme("olt", "min", propagates_nan=False),
    ScalarOp.FLOOR: _rounding("floor"),
    ScalarOp.CEIL: _rounding("ceil"),
    ScalarOp.ROUND: _rounding("roundeven"),
    ScalarOp.TRUNC: _rounding("trunc"),
    ScalarOp.SIGN: _emit_sign,
    ScalarOp.COPYSIGN: _emit_copysign,
    ScalarOp.SIGNBIT: _emit_signbit,
    ScalarOp.IS_NAN: _emit_is_nan,
    ScalarOp.IS_INF: _emit_is_inf,
    ScalarOp.EQ: _compare("oeq", "eq", "eq"),
    ScalarOp.NE: _compare("une", "ne", "ne"),
    ScalarOp.LT: _compare("olt", "slt", "ult"),
    ScalarOp.LE: _compare("ole", "sle", "ule"),
    ScalarOp.GT: _compare("ogt", "sgt", "ugt"),
    ScalarOp.GE: _compare("oge", "sge", "uge"),
    ScalarOp.LOGICAL_NOT: _emit_not,
    ScalarOp.BITWISE_AND: _bitwise("and"),
    ScalarOp.BITWISE_OR: _bitwise("or"),
    ScalarOp.BITWISE_XOR: _bitwise("xor"),
    ScalarOp.BITWISE_NOT: _emit_not,
    ScalarOp.SHIFT_LEFT: _by_family(None, integers.emit_shift_left),
    ScalarOp.SHIFT_RIGHT: _by_family(None, integers.emit_shift_right),
    ScalarOp.WHERE: _emit_where,
    ScalarOp.POW: _by_family(_function(ScalarOp.POW), integers.emit_pow),
}

EMITTERS: Final[dict[ScalarOp, Emitter]] = {
    **{op: _function(op) for op, _ in FUNCTIONS},
    **_OWN,
}
"""`ScalarOp` → emitter, `CAST` and `BITCAST` excepted (they need both dtypes; see `emit_op`)."""

_MISSING: Final = set(FACTS) - set(EMITTERS) - {ScalarOp.CAST, ScalarOp.BITCAST}
if _MISSING:
    raise InternalError(f"no emitter for {', '.join(sorted(op.value for op in _MISSING))}")
