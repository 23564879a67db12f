"""The target that kernels are made for rounds where eager does."""

import pytest
import torch

import graphwright as gw
from graphwright.codegen.llvm.target import host_target


def test_target_has_no_arithmetic_on_half_precision() -> None:
    features = host_target().features.split(",")
    assert not {"+avx512fp16", "+fullfp16"} & set(features)


CHAINS = [
    lambda x, y: x * 3 + 1,
    lambda x, y: x * y + x,
    lambda x, y: (x * y - y) * x + y,
    lambda x, y: (x / 3 + y) * y - x * x,
]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("number", range(len(CHAINS)))
def test_products_are_rounded_before_they_are_added(dtype, number) -> None:
    generator = torch.Generator().manual_seed(number)
    x, y = (torch.randn(1000, generator=generator).to(dtype) for _ in range(2))
    chain = CHAINS[number]
    assert gw.compile(chain)(x, y).equal(chain(x, y))
