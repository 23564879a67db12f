"""Random networks train as in eager: loss, gradients of all weights (and of the input, where they are asked for), statistics.

A longer run by hand, of other networks each time: `FUZZ_EXAMPLES=2000 pytest tests/fuzz/test_random_networks.py`.
"""

import copy
import os

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import RandomNetwork

import graphwright as gw

NUM_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))


def train(function, network, x, *, is_asked):
    network.zero_grad()
    x = x.clone().requires_grad_(is_asked)
    loss = function(x)
    loss.backward()
    # A weight that nothing needs has no gradient.
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    return loss.detach(), {**gradients, "x": x.grad}, dict(network.named_buffers())


@settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
)
@given(st.integers(0, 10**6), st.booleans())
def test_random_network_trains_as_in_eager(seed, is_asked):
    network = RandomNetwork(seed)
    other = copy.deepcopy(network)
    compiled = gw.compile(other, fullgraph=True)

    for _ in range(2):
        x = network.input()
        expected = train(network, network, x, is_asked=is_asked)
        found = train(compiled, other, x, is_asked=is_asked)

        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5)
