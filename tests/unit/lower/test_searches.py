"""Searches in sequences, and evenly spaced numbers: eager's bits, without calls of eager."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8]


def drawn(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator) * 50).abs().to(dtype)


def calls_of(lowered):
    return [step.op for step in lowered.plan.steps if isinstance(step, CallExtern)]


def check(function, *args, **tolerance):
    lowered = lower_graph(graph_of(function, *args), num_threads=2)
    assert not calls_of(lowered)

    (actual,) = run_compiled(lowered, list(args))

    expected = function(*args)
    assert actual.dtype is expected.dtype
    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, **(tolerance or {"rtol": 0, "atol": 0}))


def values_to_find(sequence, dtype):
    x = drawn(3, 40, dtype=dtype, seed=1)
    x[0, 0], x[1, 0] = sequence[0], sequence[-1]
    if dtype.is_floating_point:
        x[2, 3:6] = torch.tensor([math.nan, math.inf, -math.inf])
    return x


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 300])
def test_values_are_found_in_sequences(length, dtype):
    sequence = drawn(length, dtype=dtype).sort()[0]
    x = values_to_find(sequence, dtype)

    check(torch.bucketize, x, sequence)
    check(lambda x, s: torch.bucketize(x, s, right=True, out_int32=True), x, sequence)
    check(lambda x, s: torch.searchsorted(s, x.view(2, 3, 20), side="right"), x, sequence)
    check(lambda x, s: torch.searchsorted(s, x[0, 0], side="left"), x, sequence)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
@pytest.mark.parametrize("right", [False, True])
def test_sequences_without_order_lead_where_eager_is_led(right, dtype):
    """A search that halves in another way finds other places in them; so does NaN."""
    sequences = drawn(3, 33, dtype=dtype)
    if dtype.is_floating_point:
        sequences[0, 7:9] = math.nan

    check(
        lambda x, s: torch.searchsorted(s, x, right=right),
        *(values_to_find(sequences[0], dtype), sequences),
    )


def test_bounds_may_be_computed():
    check(lambda x: torch.bucketize(x.sigmoid(), torch.linspace(0, 1, 9)) * 2, drawn(200) - 40)


SEARCHES_OF_EAGER = {
    "sorter": lambda x, s: torch.searchsorted(s, x, sorter=torch.arange(5)),
    "nothing to search": lambda x, s: torch.searchsorted(s[:0], x),
}


@pytest.mark.parametrize("name", SEARCHES_OF_EAGER)
def test_the_rest_is_left_to_eager(name):
    args = (drawn(9), drawn(5).sort()[0])

    lowered = lower_graph(graph_of(SEARCHES_OF_EAGER[name], *args), num_threads=2)

    assert calls_of(lowered)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int32, torch.uint8], ids=str)
@pytest.mark.parametrize(
    "bounds", [(0, 1, 1000), (0.1, 33.3, 1001), (15, 2.5, 50), (3, 5, 7), (3, 9, 1), (2, 9, 2)]
)
def test_spaced_numbers_are_eagers(bounds, dtype):
    start, end, steps = bounds
    first, last = torch.tensor(start), torch.tensor(end)

    check(
        lambda x: torch.linspace(start, end, steps, dtype=dtype) + 0 * x,
        torch.zeros(1, dtype=dtype),
    )
    check(lambda a, b: torch.linspace(a, b, steps, dtype=dtype), first, last)
    check(lambda a: torch.linspace(a, end, steps, dtype=dtype), first)
    check(lambda b: torch.linspace(start, b, steps, dtype=dtype), last)


def test_spaced_numbers_of_float64_are_within_a_rounding():
    check(
        lambda x: x * torch.linspace(-3, 5, 107, dtype=torch.float64),
        torch.ones(1, dtype=torch.float64),
        rtol=0,
        atol=1e-15,
    )


@pytest.mark.parametrize("base", [10.0, 2.0, 0.5])
def test_spaced_powers(base):
    check(lambda a: torch.logspace(a, 2, 77, base), torch.tensor(-3.0), rtol=1e-6, atol=0)
    check(lambda a: a * torch.logspace(-1, 1, 1, base), torch.ones(1), rtol=1e-6, atol=0)
