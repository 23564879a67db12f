"""Conversions between all dtypes, against `Tensor.to`."""

from __future__ import annotations

import pytest
import torch
from loop_kernels import apply_compiled

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp

DTYPES = (
    DType.FLOAT64,
    DType.FLOAT32,
    DType.FLOAT16,
    DType.BFLOAT16,
    DType.INT64,
    DType.INT32,
    DType.INT16,
    DType.INT8,
    DType.UINT8,
    DType.BOOL,
)
SAME_SIZE = [
    (DType.FLOAT32, DType.INT32),
    (DType.INT32, DType.FLOAT32),
    (DType.FLOAT64, DType.INT64),
    (DType.BFLOAT16, DType.INT16),
    (DType.INT16, DType.FLOAT16),
    (DType.FLOAT16, DType.BFLOAT16),
    (DType.UINT8, DType.INT8),
    (DType.BOOL, DType.UINT8),
]


def values(dtype: DType) -> torch.Tensor:
    """Give 200 values of a dtype that every other dtype can hold, roughly, and its special ones."""
    plain = torch.arange(-100, 100)
    if dtype is DType.BOOL:
        return plain % 3 == 0
    if not dtype.is_float:
        return (
            plain.clamp(min=0).to(dtype.torch_dtype)
            if dtype is DType.UINT8
            else plain.to(dtype.torch_dtype)
        )
    special = torch.tensor([0.0, -0.0, 0.99, -0.99, 1.5, 2.5, 127.9])
    return torch.cat([plain * 1.27, special]).to(dtype.torch_dtype)


@pytest.mark.parametrize("target", DTYPES, ids=lambda dtype: dtype.value)
@pytest.mark.parametrize("source", DTYPES, ids=lambda dtype: dtype.value)
def test_cast_gives_what_eager_gives(source, target):
    x = values(source)

    result = apply_compiled(ScalarOp.CAST, x, dtype=target)

    expected = x.to(target.torch_dtype)
    torch.testing.assert_close(result, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("target", [DType.FLOAT16, DType.BFLOAT16], ids=lambda dtype: dtype.value)
@pytest.mark.parametrize("source", [DType.FLOAT32, DType.FLOAT64], ids=lambda dtype: dtype.value)
def test_rounding_to_low_precision_is_eagers_bit_for_bit(source, target):
    bits = torch.arange(0, 1 << 32, 8191)
    x = torch.where(bits >= 1 << 31, bits - (1 << 32), bits).int().view(torch.float32)
    x = x.to(source.torch_dtype)

    result = apply_compiled(ScalarOp.CAST, x, dtype=target)

    expected = x.to(target.torch_dtype)
    is_number = ~expected.isnan()
    assert torch.equal(result.isnan(), expected.isnan())
    assert torch.equal(result.view(torch.int16)[is_number], expected.view(torch.int16)[is_number])


@pytest.mark.parametrize("source", [DType.FLOAT16, DType.BFLOAT16], ids=lambda dtype: dtype.value)
def test_widening_is_exact_for_all_values(source):
    x = torch.arange(1 << 16).short().view(source.torch_dtype)

    result = apply_compiled(ScalarOp.CAST, x, dtype=DType.FLOAT32)

    torch.testing.assert_close(result, x.float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "target",
    [DType.INT64, DType.INT32, DType.INT16, DType.INT8, DType.UINT8],
    ids=lambda dtype: dtype.value,
)
def test_floats_out_of_range_become_what_the_host_gives(target):
    """One element at a time, where eager uses the scalar conversion of the processor."""
    numbers = [float("nan"), float("inf"), -float("inf"), 3e9, -3e9, 1e20, 300.7, -129.5, 70000.0]
    expected = torch.stack([torch.tensor(x).to(target.torch_dtype) for x in numbers])

    result = apply_compiled(ScalarOp.CAST, torch.tensor(numbers), dtype=target)

    assert result.tolist() == expected.tolist()


@pytest.mark.parametrize(("source", "target"), SAME_SIZE, ids=lambda dtype: dtype.value)
def test_bitcast_keeps_the_bits(source, target):
    x = values(source)

    result = apply_compiled(ScalarOp.BITCAST, x, dtype=target)

    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[source.size_bytes]
    assert torch.equal(result.view(whole), x.view(whole))
