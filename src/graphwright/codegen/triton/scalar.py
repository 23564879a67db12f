"""Scalar operations in Triton source; the tables are the back end's capability list.

In: an operation, the texts of its operands, their dtype and the result's.   Out: one expression.

Keeps:
- results are those of the CPU's rules in `ir/ops.py`: correctly rounded `/` and `sqrt`, NVIDIA's accurate math library
  instead of the approximate instructions, no assumption on NaN, infinity or the sign of zero;
- 16-bit floats are computed in float32 and rounded once (float32 has more than twice their digits, so that this gives the
  correctly rounded result of `+ - * /` and `sqrt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.codegen.triton.elements import NotExpressible, is_small_float, value_type
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp as Op

_UNARY_LIBRARY: Final = {
    Op.RSQRT: "rsqrt",
    Op.EXP: "exp",
    Op.EXP2: "exp2",
    Op.EXPM1: "expm1",
    Op.LOG: "log",
    Op.LOG2: "log2",
    Op.LOG10: "log10",
    Op.LOG1P: "log1p",
    Op.SIN: "sin",
    Op.COS: "cos",
    Op.TAN: "tan",
    Op.ASIN: "asin",
    Op.ACOS: "acos",
    Op.ATAN: "atan",
    Op.SINH: "sinh",
    Op.COSH: "cosh",
    Op.TANH: "tanh",
    Op.ERF: "erf",
    Op.ERFC: "erfc",
    Op.NORMAL_CDF: "normcdf",
    Op.ROUND: "rint",
    Op.TRUNC: "trunc",
}

FLOAT: Final[dict[Op, str]] = {
    Op.ADD: "{0} + {1}",
    Op.SUB: "{0} - {1}",
    Op.MUL: "{0} * {1}",
    Op.FLOOR_DIV: "gw_floor_div_float({0}, {1})",
    Op.MOD: "gw_mod_float({0}, {1})",
    Op.FMOD: "libdevice.fmod({0}, {1})",
    # Triton writes `-x` as `0 - x`, which gives +0 for 0.
    Op.NEG: "{0} * -1.0",
    Op.ABS: "tl.abs({0})",
    Op.ATAN2: "libdevice.atan2({0}, {1})",
    Op.POW: "libdevice.pow({0}, {1})",
    Op.MAXIMUM: "tl.where(({0} != {0}) | ({0} >= {1}), {0}, {1})",
    Op.MINIMUM: "tl.where(({0} != {0}) | ({0} <= {1}), {0}, {1})",
    Op.FMAX: "tl.where(({1} != {1}) | ({0} >= {1}), {0}, {1})",
    Op.FMIN: "tl.where(({1} != {1}) | ({0} <= {1}), {0}, {1})",
    Op.FLOOR: "tl.floor({0})",
    Op.CEIL: "tl.ceil({0})",
    Op.SIGN: "({0} > 0).to({type}) - ({0} < 0).to({type})",
    Op.COPYSIGN: "libdevice.copysign({0}, {1})",
    Op.IS_NAN: "{0} != {0}",
    Op.IS_INF: 'tl.abs({0}) == float("inf")',
    **{op: f"libdevice.{name}({{0}})" for op, name in _UNARY_LIBRARY.items()},
}
FLOAT32: Final[dict[Op, str]] = {
    Op.DIV: "tl.div_rn({0}, {1})",
    Op.RECIPROCAL: "tl.div_rn(tl.full([], 1.0, tl.float32), {0})",
    Op.SQRT: "tl.sqrt_rn({0})",
    Op.SIGMOID: "tl.div_rn(tl.full([], 1.0, tl.float32), 1.0 + libdevice.exp({0} * -1.0))",
    Op.SIGNBIT: "{0}.to(tl.int32, bitcast=True) < 0",
}
FLOAT64: Final[dict[Op, str]] = {
    Op.DIV: "{0} / {1}",
    Op.RECIPROCAL: "1.0 / {0}",
    Op.SQRT: "tl.sqrt({0})",
    Op.SIGMOID: "1.0 / (1.0 + libdevice.exp({0} * -1.0))",
    Op.SIGNBIT: "{0}.to(tl.int64, bitcast=True) < 0",
}
INTEGER: Final[dict[Op, str]] = {
    Op.ADD: "{0} + {1}",
    Op.SUB: "{0} - {1}",
    Op.MUL: "{0} * {1}",
    Op.FLOOR_DIV: "gw_floor_div({0}, {1})",
    Op.TRUNC_DIV: "gw_trunc_div({0}, {1})",
    Op.MOD: "gw_mod({0}, {1})",
    Op.FMOD: "gw_trunc_mod({0}, {1})",
    Op.NEG: "0 - {0}",
    Op.ABS: "tl.abs({0})",
    Op.MAXIMUM: "tl.maximum({0}, {1})",
    Op.MINIMUM: "tl.minimum({0}, {1})",
    Op.FMAX: "tl.maximum({0}, {1})",
    Op.FMIN: "tl.minimum({0}, {1})",
    Op.FLOOR: "{0}",
    Op.CEIL: "{0}",
    Op.ROUND: "{0}",
    Op.TRUNC: "{0}",
    Op.SIGN: "({0} > 0).to({type}) - ({0} < 0).to({type})",
    Op.SIGNBIT: "{0} < 0",
    Op.BITWISE_AND: "{0} & {1}",
    Op.BITWISE_OR: "{0} | {1}",
    Op.BITWISE_XOR: "{0} ^ {1}",
    Op.BITWISE_NOT: "~{0}",
    Op.SHIFT_LEFT: "gw_shift_left({0}, {1}, {bits})",
    Op.SHIFT_RIGHT: "gw_shift_right({0}, {1}, {bits})",
}
BOOL: Final[dict[Op, str]] = {
    Op.ADD: "{0} | {1}",
    Op.MUL: "{0} & {1}",
    Op.MAXIMUM: "{0} | {1}",
    Op.MINIMUM: "{0} & {1}",
    Op.FMAX: "{0} | {1}",
    Op.FMIN: "{0} & {1}",
    Op.SIGN: "{0}",
    Op.ABS: "{0}",
    Op.SIGNBIT: "{0} & False",
    Op.BITWISE_AND: "{0} & {1}",
    Op.BITWISE_OR: "{0} | {1}",
    Op.BITWISE_XOR: "{0} ^ {1}",
    Op.BITWISE_NOT: "{0} == 0",
    Op.LOGICAL_NOT: "{0} == 0",
}
COMPARISON: Final[dict[Op, str]] = {
    Op.EQ: "{0} == {1}",
    Op.NE: "{0} != {1}",
    Op.LT: "{0} < {1}",
    Op.LE: "{0} <= {1}",
    Op.GT: "{0} > {1}",
    Op.GE: "{0} >= {1}",
}

_FUNCTIONS: Final = {
    "gw_trunc_div": '''
@triton.jit
def gw_trunc_div(a, b):
    """Zero where b is."""
    return tl.where(b == 0, 0, a // tl.where(b == 0, 1, b))
''',
    "gw_trunc_mod": '''
@triton.jit
def gw_trunc_mod(a, b):
    """Zero where b is; else the sign of a."""
    return tl.where(b == 0, 0, a % tl.where(b == 0, 1, b))
''',
    "gw_mod": '''
@triton.jit
def gw_mod(a, b):
    """Zero where b is; else the sign of b."""
    rest = gw_trunc_mod(a, b)
    return tl.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)
''',
    "gw_floor_div": '''
@triton.jit
def gw_floor_div(a, b):
    """Zero where b is; else rounded down."""
    rest = gw_trunc_mod(a, b)
    whole = gw_trunc_div(a, b)
    return tl.where((rest != 0) & ((rest < 0) != (b < 0)), whole - 1, whole)
''',
    "gw_mod_float": '''
@triton.jit
def gw_mod_float(a, b):
    """The sign of b; a zero has the sign of a."""
    rest = libdevice.fmod(a, b)
    return tl.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)
''',
    "gw_floor_div_float": '''
@triton.jit
def gw_floor_div_float(a, b):
    """Through the remainder, so that the quotient is not rounded up before it is rounded down."""
    rest = libdevice.fmod(a, b)
    whole = (a - rest) / b
    whole = tl.where((rest != 0) & ((rest < 0) != (b < 0)), whole - 1.0, whole)
    floor = tl.floor(whole)
    floor = tl.where(whole - floor > 0.5, floor + 1.0, floor)
    floor = tl.where(whole == 0, libdevice.copysign(whole * 0.0, a / b), floor)
    return tl.where(b == 0, a / b, floor)
''',
    "gw_shift_left": '''
@triton.jit
def gw_shift_left(a, b, bits: tl.constexpr):
    """Zero where the count is out of range."""
    fits = (b >= 0) & (b < bits)
    return tl.where(fits, a << tl.where(fits, b, 0), 0)
''',
    "gw_shift_right": '''
@triton.jit
def gw_shift_right(a, b, bits: tl.constexpr):
    """The sign fills up; a count out of range shifts out all bits but the sign."""
    fits = (b >= 0) & (b < bits)
    return tl.where(fits | (a < 0), a >> tl.where(fits, b, bits - 1), 0)
''',
    "gw_multiply": """
@triton.jit
def gw_multiply(a, b):
    return a * b
""",
}
"""Functions that the expressions above call, as Triton source; one may call those before it."""


def render_functions(body: str) -> str:
    """Give the source of the functions that `body` calls, in order."""
    needed = body
    found: list[str] = []
    for name, source in reversed(_FUNCTIONS.items()):
        if f"{name}(" in needed or f"{name})" in needed:
            needed += source
            found.insert(0, source)
    return "\n".join(found)


def render_compute(op: Op, operands: Sequence[str], operand_dtype: DType, dtype: DType) -> str:
    """Give `op(operands)` as an expression.

    Args:
        op: the operation.
        operands: names of values.
        operand_dtype: dtype of the operands (for `WHERE`, of the last two).
        dtype: dtype of the result.

    Raises:
        NotExpressible: the back end has no such operation for this dtype.
    """
    match op:
        case Op.CAST:
            return _render_cast(operands[0], operand_dtype, dtype)
        case Op.BITCAST:
            return f"{operands[0]}.to({value_type(dtype)}, bitcast=True)"
        case Op.WHERE:
            return f"tl.where({', '.join(operands)})"
        case _:
            return _render_operation(op, operands, operand_dtype, dtype)


def _render_operation(op: Op, operands: Sequence[str], operand_dtype: DType, dtype: DType) -> str:
    row = _table(operand_dtype).get(op) or COMPARISON.get(op)
    if row is None:
        raise NotExpressible(
            what=f"{op.value} of {operand_dtype.value}", why="there is no rule for it"
        )
    computed = _computed_dtype(operand_dtype, op)
    if computed is not operand_dtype:
        operands = [f"{operand}.to({value_type(computed)})" for operand in operands]
    bits = computed.size_bytes * 8
    text = row.format(*operands, type=value_type(computed), bits=bits)
    if dtype is DType.BOOL or dtype is computed:
        return text
    return f"({text}).to({value_type(dtype)})"


def _table(dtype: DType) -> dict[Op, str]:
    if dtype is DType.FLOAT64:
        return FLOAT | FLOAT64
    if dtype.is_float:
        return FLOAT | FLOAT32
    return BOOL if dtype is DType.BOOL else INTEGER


def _computed_dtype(dtype: DType, op: Op) -> DType:
    if is_small_float(dtype):
        return DType.FLOAT32
    # In one bit, true is -1 and so less than false.
    return DType.INT8 if dtype is DType.BOOL and op in COMPARISON else dtype


def _render_cast(operand: str, source: DType, target: DType) -> str:
    if target is DType.BOOL:
        return operand if source is DType.BOOL else f"{operand} != 0"
    return operand if source is target else f"{operand}.to({value_type(target)})"
