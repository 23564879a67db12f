"""Clusters that are alike share one kernel; those that differ in anything that the code depends on do not."""

from __future__ import annotations

import itertools

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from graphwright.ir.plan import RunKernel
from graphwright.lower import kernels, lower_graph, sharing

X = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
Y = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
NUMBERS = torch.tensor([[0, 5, 2, 7, 1, 1, 3, 4]]).expand(6, 8).contiguous()

STEPS = {
    "sin": torch.sin,
    "tanh": torch.tanh,
    "scale": lambda x: x * 3,
    "scale by a float": lambda x: x * 3.0,
    "copysign": lambda x: torch.copysign(x, torch.zeros_like(x)),
    "copysign negative": lambda x: torch.copysign(x, torch.full_like(x, -0.0)),
    "fill 0": lambda x: x * torch.full_like(x, 0.0),
    "fill -0": lambda x: x * torch.full_like(x, -0.0),
    "transposed twice": lambda x: (x.T + 1).contiguous().T,
    "transposed once": lambda x: (x.T + 1).T,
    "row sums": lambda x: x - x.sum(1, keepdim=True),
    "column sums": lambda x: x - x.sum(0, keepdim=True),
    "row means": lambda x: x - x.mean(1, keepdim=True),
    "softmax": lambda x: torch.softmax(x, 1),
    "layer norm": lambda x: F.layer_norm(x, (8,)),
    "as float64": lambda x: x.double() + 1,
    "through bfloat16": lambda x: x.bfloat16().float(),
    "through float16": lambda x: x.half().float(),
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(1, 1),
    "roll 2": lambda x: x.roll(2, 1),
    "pairs": lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
    "product": lambda x: x @ x.T @ x,
    "cumulative": lambda x: x.cumsum(1),
    "gather": lambda x: x.gather(1, NUMBERS),
    "gather from the end": lambda x: x.gather(1, (NUMBERS + 8) % 8),
    "maximum and place": lambda x: x + x.max(1, keepdim=True).indices,
    "maximum": lambda x: x + x.max(1, keepdim=True).values,
}


@pytest.mark.parametrize("pair", list(itertools.combinations(STEPS, 2)), ids="-".join)
def test_two_programs_side_by_side_give_eagers_results(pair):
    first, second = (STEPS[name] for name in pair)

    def both(x, y):
        return torch.sin(first(torch.cos(x))), torch.sin(second(torch.cos(y)))

    lowered = lower_graph(graph_of(both, X, Y), num_threads=2)

    for actual, expected in zip(run_compiled(lowered, [X, Y]), both(X, Y), strict=True):
        torch.testing.assert_close(actual, expected)
        assert torch.equal(actual.signbit(), expected.signbit())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4), st.integers(2, 3))
def test_layers_that_are_alike_give_what_kernels_of_their_own_give(names, num_layers):
    def layers(x, y):
        for _ in range(num_layers):
            for name in names:
                x, y = torch.tanh(y + STEPS[name](x)).float(), x
        return x, y

    graph = graph_of(layers, X, Y)
    shared = lower_graph(graph, num_threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_ENCODE", _never_alike())
        alone = lower_graph(graph, num_threads=2)

    for actual, expected in zip(
        run_compiled(shared, [X, Y]), run_compiled(alone, [X, Y]), strict=True
    ):
        assert torch.equal(actual, expected)


def _never_alike():
    numbers = itertools.count()
    return lambda _facts: next(numbers)


def test_the_kernels_of_equal_layers_are_built_once(monkeypatch):
    built = []
    monkeypatch.setattr(
        sharing, "build_kernel", lambda *args: built.append(args) or kernels.build_kernel(*args)
    )

    def layers(x):
        for _ in range(5):
            x = F.layer_norm(x + torch.softmax(x, 1).matmul(torch.ones(8, 8)), (8,))
        return x

    lowered = lower_graph(graph_of(layers, X), num_threads=2)

    runs = [step for step in lowered.plan.steps if isinstance(step, RunKernel)]
    assert len(runs) > 2 * len(built)
    assert len(built) < 5


def test_values_that_are_stored_are_told_from_those_that_are_not():
    def both(x, y):
        one = torch.sin(x).sum(1, keepdim=True)
        two = torch.sin(y).sum(1, keepdim=True)
        return torch.exp(x - one), torch.exp(y - two), two

    lowered = lower_graph(graph_of(both, X, Y), num_threads=2)

    for actual, expected in zip(run_compiled(lowered, [X, Y]), both(X, Y), strict=True):
        torch.testing.assert_close(actual, expected)


def test_operands_that_lie_otherwise_in_memory_are_told_apart():
    def both(x, y):
        return torch.sin(x).sum(1), torch.sin(y).sum(1), torch.sin(y[:, ::2]).sum(1)

    inputs = [X, Y.T.contiguous().T]
    lowered = lower_graph(graph_of(both, *inputs), num_threads=2)

    for actual, expected in zip(run_compiled(lowered, inputs), both(*inputs), strict=True):
        torch.testing.assert_close(actual, expected)


def test_lookups_by_indices_that_may_be_negative_are_told_from_others():
    table = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    indices = torch.tensor([-1, 3, -8, 0, 7, -2])

    def both(x, rows, numbers, others):
        return rows[x.argmax(1)], others[numbers]

    inputs = [X, table, indices, table + 1]
    lowered = lower_graph(graph_of(both, *inputs), num_threads=2)

    for actual, expected in zip(run_compiled(lowered, inputs), both(*inputs), strict=True):
        torch.testing.assert_close(actual, expected)
