"""Conversions between dtypes, as `Tensor.to` makes them on the host.

In: a value and its dtype.   Out: the value in another dtype.
Keeps: float to integer truncates; what is out of range becomes what the x86 conversion instructions give (for the
narrow integers, the low bits of the 32-bit result); to bool is "differs from zero", NaN included; to bfloat16 and
float16 rounds to nearest even, through float32 as ATen does.
"""

from __future__ import annotations

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.types import REGISTER_KIND, Kind, Value
from graphwright.ir.dtypes import DType


def emit_cast(builder: Builder, value: Value, source: DType, target: DType) -> Value:
    """Convert `value` from `source` to `target`."""
    if source is target:
        return value
    if source not in REGISTER_KIND or target not in REGISTER_KIND:
        raise InternalError(f"no conversion from {source.value} to {target.value}")
    if target is DType.BOOL:
        return _to_bool(builder, value, source)
    if source is DType.BFLOAT16:
        return emit_cast(builder, bfloat16_to_float(builder, value), DType.FLOAT32, target)
    if target is DType.BFLOAT16:
        return float_to_bfloat16(builder, emit_cast(builder, value, source, DType.FLOAT32))
    if source is DType.FLOAT16 and target is not DType.FLOAT32:
        return emit_cast(builder, builder.convert("fpext", value, Kind.F32), DType.FLOAT32, target)
    if target is DType.FLOAT16 and source is not DType.FLOAT32:
        return builder.convert(
            "fptrunc", emit_cast(builder, value, source, DType.FLOAT32), Kind.F16
        )
    return _cast_plain(builder, value, source, target)


def _cast_plain(builder: Builder, value: Value, source: DType, target: DType) -> Value:
    """Convert where one or two instructions of LLVM do it."""
    kind = REGISTER_KIND[target]
    if source.is_float and target.is_float:
        return builder.convert("fpext" if value.kind.bits < kind.bits else "fptrunc", value, kind)
    if source.is_float:
        return _float_to_int(builder, value, target)
    if target.is_float:
        return builder.convert("sitofp" if source.is_signed else "uitofp", value, kind)
    if value.kind.bits == kind.bits:
        return value
    if value.kind.bits > kind.bits:
        return builder.convert("trunc", value, kind)
    return builder.convert("sext" if source.is_signed else "zext", value, kind)


def _float_to_int(builder: Builder, value: Value, target: DType) -> Value:
    kind = REGISTER_KIND[target]
    if target is DType.UINT64:
        return builder.convert("fptoui", value, kind)
    wide = Kind.I64 if target in (DType.UINT32, DType.INT64) else Kind.I32
    result = builder.convert("fptosi", value, wide)
    return result if wide is kind else builder.convert("trunc", result, kind)


def _to_bool(builder: Builder, value: Value, source: DType) -> Value:
    if source is DType.BFLOAT16:
        value, source = bfloat16_to_float(builder, value), DType.FLOAT32
    zero = builder.const(0, value.kind)
    return builder.compare("fcmp une" if source.is_float else "icmp ne", value, zero)


def bfloat16_to_float(builder: Builder, value: Value) -> Value:
    """Give the float32 of a bfloat16: the same bits, and sixteen zeros below."""
    wide = builder.convert("zext", value, Kind.I32)
    shifted = builder.binary("shl", wide, builder.const(16, Kind.I32))
    return builder.convert("bitcast", shifted, Kind.F32)


def float_to_bfloat16(builder: Builder, value: Value) -> Value:
    """Round a float32 to the nearest bfloat16, ties to even; a NaN becomes the quiet one."""
    bits = builder.to_bits(value)
    odd = builder.binary(
        "and", builder.binary("lshr", bits, builder.const(16, Kind.I32)), builder.const(1, Kind.I32)
    )
    bias = builder.binary("add", odd, builder.const(0x7FFF, Kind.I32))
    rounded = builder.binary("lshr", builder.binary("add", bits, bias), builder.const(16, Kind.I32))
    is_nan = builder.compare("fcmp uno", value, value)
    return builder.convert(
        "trunc", builder.select(is_nan, builder.const(0x7FC0, Kind.I32), rounded), Kind.I16
    )


def emit_bitcast(builder: Builder, value: Value, source: DType, target: DType) -> Value:
    """Give the same bits as another dtype of the same size."""
    if source.size_bytes != target.size_bytes:
        raise InternalError(f"bitcast from {source.value} to {target.value}, of another size")
    if source is DType.BOOL:
        value = builder.convert("zext", value, Kind.I8)
    if target is DType.BOOL:
        return builder.compare("icmp ne", value, builder.const(0, Kind.I8))
    kind = REGISTER_KIND[target]
    return value if kind is value.kind else builder.convert("bitcast", value, kind)
