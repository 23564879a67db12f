"""Positions of the largest elements, and the gradients that go back to them, against eager: ties, NaN, windows past the image."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

A = torch.ops.aten
DTYPES = [torch.float32, torch.bfloat16, torch.float64]
WINDOWS = {
    "overlapping": ([3, 3], [2, 2], [1, 1], [1, 1], False),
    "side by side": ([2, 2], [2, 2], [0, 0], [1, 1], False),
    "each element": ([3, 3], [1, 1], [1, 1], [1, 1], False),
    "with gaps": ([3, 3], [2, 2], [1, 1], [2, 2], False),
    "uneven": ([3, 2], [2, 1], [1, 0], [1, 1], False),
    "past the image": ([3, 3], [2, 2], [1, 1], [1, 1], True),
}
FORMATS = [torch.contiguous_format, torch.channels_last]


def image(dtype, memory_format=torch.contiguous_format):
    x = torch.randn(2, 16, 14, 15, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0, 3, 3] = x[0, 0, 3, 5] = math.nan
    x[0, 1] = 1
    x[1, 2] = -math.inf
    return x.contiguous(memory_format=memory_format)


def check(function, *args):
    expected = function(*args)
    lowered = lower_graph(graph_of(function, *args), num_threads=2)
    assert not any(isinstance(step, CallExtern) for step in lowered.plan.steps)

    actual = run_compiled(lowered, list(args))

    for mine, eager in zip(actual, expected, strict=True):
        assert mine.stride() == eager.stride()
        torch.testing.assert_close(mine, eager, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", WINDOWS)
def test_positions_are_eagers(name, dtype, memory_format):
    window = WINDOWS[name]

    check(lambda x: A.max_pool2d_with_indices(x, *window), image(dtype, memory_format))


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("size", [(7, 5), (4, 4), (14, 20)], ids=str)
def test_positions_of_adaptive_pools_are_eagers(size, memory_format):
    check(lambda x: A.adaptive_max_pool2d(x, size), image(torch.float32, memory_format))


def test_positions_of_adaptive_pools_of_volumes_are_eagers():
    x = torch.randn(2, 3, 6, 7, 8).bfloat16()

    check(lambda x: A.adaptive_max_pool3d(x, (4, 7, 3)), x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_positions_in_volumes_are_eagers(dtype):
    x = torch.randn(2, 3, 6, 7, 8).to(dtype)

    check(lambda x: A.max_pool3d_with_indices(x, [3], [2], [1]), x)


def test_positions_alone_are_eagers():
    check(lambda x: (A.max_pool2d_with_indices(x, [2, 2], [2, 2])[1],), image(torch.float32))


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_go_back_to_the_positions(dtype, memory_format):
    x, window = image(dtype, memory_format), WINDOWS["overlapping"]
    largest, positions = A.max_pool2d_with_indices(x, *window)
    gradient = torch.randn(largest.shape).to(dtype).contiguous(memory_format=memory_format)

    check(
        lambda g, x, i: (A.max_pool2d_with_indices_backward(g, x, *window, i),),
        gradient,
        x,
        positions,
    )


def test_gradients_of_adaptive_pools_and_volumes_go_back_to_the_positions():
    x, volume = image(torch.float32), torch.randn(2, 3, 6, 7, 8)
    largest, positions = A.adaptive_max_pool2d(x, [5, 4])
    deepest, places = A.max_pool3d_with_indices(volume, [3], [2], [1])

    check(lambda g, x, i: (A.adaptive_max_pool2d_backward(g, x, i),), largest, x, positions)
    check(
        lambda g, x, i: (A.max_pool3d_with_indices_backward(g, x, [3], [2], [1], [1], False, i),),
        deepest,
        volume,
        places,
    )


def test_positions_outside_of_the_image_are_passed_over():
    x, gradient = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 2, 2)
    positions = torch.tensor([[[[0, 16], [-1, 15]]]])

    def function(g, x, i):
        return (A.max_pool2d_with_indices_backward(g, x, [2], [2], [0], [1], False, i),)

    lowered = lower_graph(graph_of(function, gradient, x, positions.clamp(0, 15)), num_threads=2)
    (actual,) = run_compiled(lowered, [gradient, x, positions])

    assert actual.flatten().nonzero().flatten().tolist() == [0, 15]
