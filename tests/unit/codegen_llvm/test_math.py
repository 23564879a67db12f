"""The elementary functions: how far they are from the true values, and what they give at the edges.

The limits are the errors that `scripts/math_accuracy.py` measured over every 37th float32, rounded up; eager's, by the same
script, stand beside them.
"""

from __future__ import annotations

import pytest
import torch
from loop_interpreter import OPS
from loop_kernels import apply_compiled

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp

STRIDE = 4093
LEAST_NORMAL_EXPONENT = -126
MANTISSA_BITS = 23

LIMITS = {
    ScalarOp.SQRT: 0.5,  # eager 0.75
    ScalarOp.RSQRT: 1.5,  # eager 1.5
    ScalarOp.EXP: 1.0,  # eager 0.57
    ScalarOp.EXP2: 1.05,  # eager 0.84
    ScalarOp.EXPM1: 1.5,  # eager 1.0
    ScalarOp.LOG: 0.9,  # eager 0.91
    ScalarOp.LOG2: 1.0,  # eager 0.67
    ScalarOp.LOG10: 1.0,  # eager 0.72
    ScalarOp.LOG1P: 1.45,  # eager 1.0
    ScalarOp.SIN: 1.2,  # eager 0.61
    ScalarOp.COS: 1.2,  # eager 0.61
    ScalarOp.TAN: 1.5,  # eager 0.94
    ScalarOp.ASIN: 0.51,  # eager 0.76
    ScalarOp.ACOS: 0.51,  # eager 0.80
    ScalarOp.ATAN: 1.4,  # eager 0.84
    ScalarOp.SINH: 0.51,  # eager 1.0, and infinite where it need not be
    ScalarOp.COSH: 0.51,  # eager 0.51, and infinite where it need not be
    ScalarOp.TANH: 0.95,  # eager 0.52
    ScalarOp.ERF: 1.2,  # eager 0.77
    ScalarOp.ERFC: 0.6,  # eager 0.83
    ScalarOp.SIGMOID: 2.5,  # eager 2.5
}
"""Largest error in units in the last place of float32, over all arguments with a normal result."""

DOUBLE = (
    ScalarOp.SQRT,
    ScalarOp.RSQRT,
    ScalarOp.EXP,
    ScalarOp.EXP2,
    ScalarOp.EXPM1,
    ScalarOp.LOG,
    ScalarOp.LOG2,
    ScalarOp.LOG10,
    ScalarOp.LOG1P,
    ScalarOp.SIN,
    ScalarOp.COS,
    ScalarOp.TAN,
    ScalarOp.ASIN,
    ScalarOp.ACOS,
    ScalarOp.ATAN,
    ScalarOp.SINH,
    ScalarOp.COSH,
    ScalarOp.TANH,
    ScalarOp.ERF,
    ScalarOp.ERFC,
    ScalarOp.SIGMOID,
)

SPECIAL = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 16777216.0, 1e30, -1e30),
    *(float("inf"), float("-inf"), float("nan"), 1e-40, -1e-40, 1.5e-45, -1.5e-45, 1e-38),
]


def every_float(stride: int) -> torch.Tensor:
    """Give every `stride`-th float32, by its bits: all exponents, both signs, denormals, infinities, NaN."""
    bits = torch.arange(0, 1 << 32, stride)
    return torch.where(bits >= 1 << 31, bits - (1 << 32), bits).int().view(torch.float32)


def ulp(reference: torch.Tensor) -> torch.Tensor:
    """Give the distance of float32 numbers next to float64 values."""
    exponent = (torch.frexp(reference).exponent - 1).clamp(min=LEAST_NORMAL_EXPONENT)
    return torch.ldexp(torch.ones_like(reference), exponent - MANTISSA_BITS)


def errors(result: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Give errors in units in the last place where the true result is a normal float32 number."""
    is_normal = reference.float().isfinite() & (reference.abs() >= 2.0**LEAST_NORMAL_EXPONENT)
    distance = (result.double() - reference).abs() / ulp(reference)
    return torch.where(is_normal, distance, torch.zeros_like(distance))


@pytest.mark.parametrize("op", LIMITS, ids=lambda op: op.value)
def test_float32_error_is_within_its_limit(op):
    x = every_float(STRIDE)
    reference = OPS[op](x.double())

    result = apply_compiled(op, x, dtype=DType.FLOAT32)

    assert float(errors(result, reference).max()) <= LIMITS[op]
    rounded = reference.float()
    is_special = ~rounded.isfinite()
    torch.testing.assert_close(
        result[is_special], rounded[is_special], equal_nan=True, rtol=0, atol=0
    )
    assert bool(result[~is_special].isfinite().all())


@pytest.mark.parametrize("op", LIMITS, ids=lambda op: op.value)
def test_float32_gives_what_eager_gives_at_the_edges(op):
    x = torch.tensor(SPECIAL * 3)
    expected = OPS[op](x)

    result = apply_compiled(op, x, dtype=DType.FLOAT32)

    torch.testing.assert_close(result, expected, equal_nan=True, rtol=3e-7, atol=1e-44)
    zeros = result == 0
    assert torch.equal(result[zeros].signbit(), OPS[op](x.double())[zeros].signbit())


def test_normal_distribution_is_accurate_as_a_factor_of_its_argument():
    x = every_float(STRIDE)
    x = x[x.isfinite()]
    reference = torch.special.ndtr(x.double())

    result = apply_compiled(ScalarOp.NORMAL_CDF, x, dtype=DType.FLOAT32)

    is_near = x > -1
    assert float(errors(result, reference)[is_near].max()) <= 2.0
    distance = x.double() * (result.double() - reference)  # what it does to `x * Φ(x)`
    assert float(distance[~is_near].abs().max()) <= 4.0e-8


@pytest.mark.parametrize(("dtype", "rtol"), [(DType.FLOAT32, 2e-6), (DType.FLOAT64, 1e-14)])
def test_normal_distribution_gives_what_eager_gives_at_the_edges(dtype, rtol):
    x = torch.tensor(SPECIAL * 3, dtype=dtype.torch_dtype)

    result = apply_compiled(ScalarOp.NORMAL_CDF, x, dtype=dtype)

    torch.testing.assert_close(result, torch.special.ndtr(x), equal_nan=True, rtol=rtol, atol=0)


@pytest.mark.parametrize("op", DOUBLE, ids=lambda op: op.value)
def test_float64_is_within_four_ulp_of_eager(op):
    scales = torch.tensor([1e-12, 1e-6, 1e-3, 0.3, 1, 3, 30, 300, 1e5, 1e8], dtype=torch.float64)
    x = (torch.randn(2000, dtype=torch.float64)[:, None] * scales).flatten()
    x = torch.cat([x, torch.tensor(SPECIAL, dtype=torch.float64)])
    expected = OPS[op](x)

    result = apply_compiled(op, x, dtype=DType.FLOAT64)

    torch.testing.assert_close(result, expected, equal_nan=True, rtol=4 * 2.0**-53, atol=1e-307)
    zeros = expected == 0
    assert torch.equal(result[zeros].signbit(), expected[zeros].signbit())


@pytest.mark.parametrize("op", [ScalarOp.SIN, ScalarOp.COS, ScalarOp.TAN], ids=lambda op: op.value)
@pytest.mark.parametrize("numel", [1, 5, 16, 100])
def test_huge_arguments_among_usual_ones_are_right(op, numel):
    x = torch.linspace(-3, 3, numel)
    x[numel // 2] = 3e38
    reference = OPS[op](x.double())

    result = apply_compiled(op, x, dtype=DType.FLOAT32)

    assert float(errors(result, reference).max()) <= LIMITS[op]


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Give random pairs of float32, and all pairs of special values."""
    bits = torch.randint(-(1 << 31), (1 << 31) - 1, (2, 1 << 18)).int().view(torch.float32)
    near = torch.randn(2, 1 << 18) * 4
    grid = torch.cartesian_prod(torch.tensor(SPECIAL), torch.tensor(SPECIAL)).T
    both = torch.cat([bits, near, near.abs(), grid], dim=1)
    return both[0].clone(), both[1].clone()


@pytest.mark.parametrize(
    ("op", "limit"), [(ScalarOp.POW, 0.51), (ScalarOp.ATAN2, 1.5)], ids=["pow", "atan2"]
)
def test_functions_of_two_arguments_are_within_their_limits(op, limit):
    x, y = pairs()
    reference = OPS[op](x.double(), y.double())

    result = apply_compiled(op, x, y, dtype=DType.FLOAT32)

    assert float(errors(result, reference).max()) <= limit
    rounded = reference.float()
    is_special = ~rounded.isfinite()
    torch.testing.assert_close(
        result[is_special], rounded[is_special], equal_nan=True, rtol=0, atol=0
    )
    zeros = rounded == 0
    assert torch.equal(result[zeros].signbit(), OPS[op](x, y)[zeros].signbit())


@pytest.mark.parametrize(
    "op", [ScalarOp.FMOD, ScalarOp.MOD, ScalarOp.FLOOR_DIV], ids=lambda op: op.value
)
def test_remainders_are_exact(op):
    """Eager gives NaN for quotients past about 2**31, where the remainder is defined; those are left out."""
    x, y = pairs()
    expected = OPS[op](x, y)
    is_defined = ~(expected.isnan() & x.isfinite() & (y != 0) & ~y.isnan())

    result = apply_compiled(op, x, y, dtype=DType.FLOAT32)

    torch.testing.assert_close(
        result[is_defined], expected[is_defined], equal_nan=True, rtol=0, atol=0
    )
    assert int(is_defined.sum()) > x.numel() // 2


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16], ids=lambda dtype: dtype.value)
@pytest.mark.parametrize("op", LIMITS, ids=lambda op: op.value)
def test_low_precision_is_the_true_value_rounded(op, dtype):
    """All 65536 values: computed in float32 and rounded once, so that next to ties the neighbour may come out."""
    x = torch.arange(1 << 16).short().view(dtype.torch_dtype)
    expected = OPS[op](x.double()).float().to(dtype.torch_dtype)

    result = apply_compiled(op, x, dtype=dtype)

    rtol = 2.0**-7 if dtype is DType.BFLOAT16 else 2.0**-10
    is_flushed = (op is ScalarOp.SIGMOID) & (x.float() < -87)
    torch.testing.assert_close(
        result.float()[~is_flushed],
        expected.float()[~is_flushed],
        equal_nan=True,
        rtol=rtol,
        atol=2.0**-24 if dtype is DType.FLOAT16 else 2.0**-133,
    )
    is_same = (result == expected) | (result.isnan() & expected.isnan())
    assert float(is_same.float().mean()) > 0.999
