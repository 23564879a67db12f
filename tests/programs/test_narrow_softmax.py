"""Softmaxes of narrow floats are rounded where eager's kernels round them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import graphwright as gw

SHAPES = {"vector": (8,), "rows": (64, 8), "long rows": (16, 1000), "planes": (7, 5, 33)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_log_softmax_of_rows_has_eagers_bits(shape, dtype):
    """Eager keeps the sum and its logarithm in the dtype of the elements."""
    x = (torch.randn(shape) * 3).to(dtype)

    found = gw.compile(lambda x: F.log_softmax(x, -1), fullgraph=True)(x)

    assert torch.equal(found, F.log_softmax(x, -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_log_softmax_of_columns_has_eagers_bits(dtype):
    """There it keeps them in float32."""
    x = (torch.randn(50, 64) * 3).to(dtype)

    found = gw.compile(lambda x: F.log_softmax(x, 0), fullgraph=True)(x)

    assert torch.equal(found, F.log_softmax(x, 0))


def test_without_precision_casts_sums_are_not_rounded():
    x = (torch.randn(64, 8) * 3).to(torch.float16)

    with gw.config.patch(emulate_precision_casts=False):
        found = gw.compile(lambda x: F.log_softmax(x, -1), fullgraph=True)(x)

    assert torch.equal(found, F.log_softmax(x.float(), -1).to(torch.float16))
