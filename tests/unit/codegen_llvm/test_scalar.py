"""Every scalar operation on every dtype it has, against eager."""

from __future__ import annotations

import itertools

import pytest
import torch
from loop_interpreter import OPS, apply
from loop_kernels import apply_compiled

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.scalar import EMITTERS
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import FACTS, ScalarOp

FLOATS = (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
SIGNED = (DType.INT64, DType.INT32, DType.INT16, DType.INT8)
INTEGERS = (*SIGNED, DType.UINT8)
ALL = (*FLOATS, *INTEGERS, DType.BOOL)

EXACT: dict[ScalarOp, tuple[DType, ...]] = {
    ScalarOp.ADD: (*FLOATS, *INTEGERS, DType.BOOL),
    ScalarOp.SUB: (*FLOATS, *INTEGERS),
    ScalarOp.MUL: (*FLOATS, *INTEGERS, DType.BOOL),
    ScalarOp.DIV: FLOATS,
    ScalarOp.FLOOR_DIV: (DType.FLOAT64, DType.FLOAT32, *INTEGERS),
    ScalarOp.TRUNC_DIV: INTEGERS,
    ScalarOp.MOD: (DType.FLOAT64, DType.FLOAT32, *INTEGERS),
    ScalarOp.FMOD: (DType.FLOAT64, DType.FLOAT32, *INTEGERS),
    ScalarOp.NEG: (*FLOATS, *INTEGERS),
    ScalarOp.ABS: (*FLOATS, *INTEGERS),
    ScalarOp.RECIPROCAL: FLOATS,
    ScalarOp.MAXIMUM: ALL,
    ScalarOp.MINIMUM: ALL,
    ScalarOp.FMAX: (*FLOATS, *INTEGERS),
    ScalarOp.FMIN: (*FLOATS, *INTEGERS),
    ScalarOp.FLOOR: FLOATS,
    ScalarOp.CEIL: FLOATS,
    ScalarOp.ROUND: FLOATS,
    ScalarOp.TRUNC: FLOATS,
    ScalarOp.SIGN: ALL,
    ScalarOp.COPYSIGN: FLOATS,
    ScalarOp.SIGNBIT: ALL,
    ScalarOp.IS_NAN: FLOATS,
    ScalarOp.IS_INF: FLOATS,
    **dict.fromkeys((ScalarOp.EQ, ScalarOp.NE, ScalarOp.LT, ScalarOp.LE, ScalarOp.GT), ALL),
    ScalarOp.GE: ALL,
    ScalarOp.LOGICAL_NOT: (DType.BOOL,),
    **dict.fromkeys((ScalarOp.BITWISE_AND, ScalarOp.BITWISE_OR), (*INTEGERS, DType.BOOL)),
    ScalarOp.BITWISE_XOR: (*INTEGERS, DType.BOOL),
    ScalarOp.BITWISE_NOT: (*INTEGERS, DType.BOOL),
    ScalarOp.SHIFT_LEFT: INTEGERS,
    ScalarOp.SHIFT_RIGHT: INTEGERS,
}
"""Operations whose result is one number, and the dtypes on which eager has them."""

CASES = [(op, dtype) for op, dtypes in EXACT.items() for dtype in dtypes]


def values(dtype: DType) -> torch.Tensor:
    """Give the values that matter of a dtype, and some between."""
    torch_dtype = dtype.torch_dtype
    if dtype is DType.BOOL:
        return torch.tensor([False, True])
    if dtype.is_float:
        info = torch.finfo(torch_dtype)
        edges = [
            0.0,
            -0.0,
            float("inf"),
            -float("inf"),
            float("nan"),
            info.max,
            info.min,
            info.tiny,
        ]
        plain = [0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 7.0, -7.0, 100.25, 0.3, -0.3]
        return torch.tensor([*edges, *plain], dtype=torch_dtype)
    info = torch.iinfo(torch_dtype)
    wanted = [0, 1, -1, 2, -2, 3, -3, 7, -7, 31, 63, 100, -100, info.max, info.min, info.max - 1]
    return torch.tensor([v for v in wanted if info.min <= v <= info.max], dtype=torch_dtype)


def operands(op: ScalarOp, dtype: DType) -> list[torch.Tensor]:
    """Give all combinations of values, for the operation's arity."""
    one = values(dtype)
    if FACTS[op].arity == 1:
        return [one.repeat(5)]
    pairs = torch.tensor(list(itertools.product(range(len(one)), repeat=2)))
    left, right = one[pairs[:, 0]].clone(), one[pairs[:, 1]].clone()
    if op in (ScalarOp.FLOOR_DIV, ScalarOp.TRUNC_DIV, ScalarOp.MOD, ScalarOp.FMOD):
        return [part[_is_defined(left, right, dtype)].clone() for part in (left, right)]
    return [left, right]


def _is_defined(left: torch.Tensor, right: torch.Tensor, dtype: DType) -> torch.Tensor:
    """Leave out where eager stops (integer division by zero, or of the least integer by -1), or gives NaN for a remainder
    that is a number (of quotients past about 2**31).
    """
    if dtype.is_float:
        return ~((left / right).abs() > 2.0**31) | (right == 0) | left.isinf()
    overflows = (left == torch.iinfo(left.dtype).min) & (right == -1) & dtype.is_signed
    return (right != 0) & ~overflows


def result_dtype(op: ScalarOp, dtype: DType) -> DType:
    """Give the dtype of a result."""
    return DType.BOOL if FACTS[op].gives_bool else dtype


@pytest.mark.parametrize(("op", "dtype"), CASES, ids=lambda case: case.value)
def test_operation_gives_what_eager_gives(op, dtype):
    args = operands(op, dtype)
    target = result_dtype(op, dtype)
    expected = apply(op, args, target) if not _is_guarded(op) else _eager(op, args)

    result = apply_compiled(op, *args, dtype=target)

    torch.testing.assert_close(result, expected, equal_nan=True, rtol=0, atol=0)


def _is_guarded(op: ScalarOp) -> bool:
    return op in (ScalarOp.FLOOR_DIV, ScalarOp.TRUNC_DIV, ScalarOp.MOD, ScalarOp.FMOD)


def _eager(op: ScalarOp, args: list[torch.Tensor]) -> torch.Tensor:
    if op is ScalarOp.FLOOR_DIV:
        return torch.floor_divide(*args)
    if op is ScalarOp.TRUNC_DIV:
        return torch.div(*args, rounding_mode="trunc")
    return torch.remainder(*args) if op is ScalarOp.MOD else torch.fmod(*args)


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.value)
def test_integer_division_is_defined_where_the_processor_stops(dtype):
    least = torch.iinfo(dtype.torch_dtype).min
    left = torch.tensor([5, -5 if dtype.is_signed else 5, 0, least], dtype=dtype.torch_dtype)
    right = torch.tensor([0, 0, 0, 0], dtype=dtype.torch_dtype)

    for op in (ScalarOp.FLOOR_DIV, ScalarOp.TRUNC_DIV, ScalarOp.MOD, ScalarOp.FMOD):
        assert apply_compiled(op, left, right, dtype=dtype).tolist() == [0, 0, 0, 0]
    if dtype.is_signed:
        minus_one = torch.full_like(left, -1)
        assert apply_compiled(ScalarOp.FLOOR_DIV, left, minus_one, dtype=dtype)[3] == least
        assert apply_compiled(ScalarOp.MOD, left, minus_one, dtype=dtype)[3] == 0


@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda dtype: dtype.value)
def test_integer_power_gives_what_eager_gives(dtype):
    base, exponent = operands(ScalarOp.POW, dtype)
    expected = torch.stack(
        [_power(int(b), int(e), dtype) for b, e in zip(base, exponent, strict=True)]
    )

    result = apply_compiled(ScalarOp.POW, base, exponent, dtype=dtype)

    assert torch.equal(result, expected)


def _power(base: int, exponent: int, dtype: DType) -> torch.Tensor:
    inverse = {1: 1, -1: 1 if exponent % 2 == 0 else -1}.get(base, 0)
    number = inverse if exponent < 0 else pow(base, exponent, 1 << 64)
    return torch.tensor((number + (1 << 63)) % (1 << 64) - (1 << 63)).to(dtype.torch_dtype)


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.value)
def test_where_chooses_by_element(dtype):
    left = values(dtype)
    right = left.flip(0).clone()
    condition = torch.arange(len(left)) % 3 == 0

    result = apply_compiled(ScalarOp.WHERE, condition, left, right, dtype=dtype)

    torch.testing.assert_close(result, torch.where(condition, left, right), equal_nan=True)


def test_every_operation_has_an_emitter():
    assert set(FACTS) - set(EMITTERS) == {ScalarOp.CAST, ScalarOp.BITCAST}
    assert set(OPS) == set(EMITTERS)


@pytest.mark.parametrize("op", [ScalarOp.SIN, ScalarOp.DIV, ScalarOp.IS_NAN])
def test_a_float_operation_on_integers_is_refused(op):
    left = torch.ones(4, dtype=torch.int32)
    args = [left] * FACTS[op].arity

    with pytest.raises(InternalError, match=op.value):
        apply_compiled(op, *args, dtype=DType.INT32)
