"""GELU is as accurate as eager's wherever it is asked."""

import pytest
import torch
from torch.nn.functional import gelu

import graphwright as gw

RANGES = [(-14.0, -3.0), (-3.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 14.0)]


def largest_error(result, exact):
    last_place = torch.ldexp(torch.ones_like(exact), torch.frexp(exact).exponent - 24)
    return float(((result.double() - exact).abs() / last_place.clamp(min=2.0**-126)).max())


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_error_is_at_most_one_ulp_more_than_eagers(approximate, low, high):
    x = torch.linspace(low, high, 200_001)
    exact = gelu(x.double(), approximate=approximate)

    result = gw.compile(lambda x: gelu(x, approximate=approximate))(x)

    eager = gelu(x, approximate=approximate)
    assert largest_error(result, exact) <= largest_error(eager, exact) + 1


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_far_values_are_the_argument_or_zero(approximate):
    x = torch.tensor([0.0, -0.0, 40.0, 1e30, -40.0, -1e30])

    result = gw.compile(lambda x: gelu(x, approximate=approximate))(x)

    assert torch.equal(result, torch.tensor([0.0, -0.0, 40.0, 1e30, -0.0, -0.0]))
    assert torch.equal(result.signbit(), x.signbit())
