"""Random numbers are drawn in the program's order, also for tensors whose size depends on values."""

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw

DRAWS = {
    "dropout": F.dropout,
    "rand_like": torch.rand_like,
    "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
    "multinomial": lambda x: torch.multinomial(x.softmax(0), 2),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, dim=0),
    "binomial": lambda x: torch.binomial(torch.full((2,), 9.0), x[:2].sigmoid()),
    "in place": lambda x: x.clone().normal_(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_are_drawn_in_order(name: str) -> None:
    draw = DRAWS[name]

    def program(x):
        first = torch.rand(2)
        drawn = draw(x[x > -1])
        second = torch.rand(2)
        again = draw(x)
        return first, drawn, second, again, torch.randn(2)

    compiled = gw.compile(program)
    for size in (6, 5, 6):
        x = torch.rand(size)
        torch.manual_seed(size)
        expected = program(x), torch.rand(1)
        torch.manual_seed(size)
        found = compiled(x), torch.rand(1)

        torch.testing.assert_close(found, expected)
