"""Elements put back to where they were the largest, against eager: gaps, positions named twice, positions that do not exist."""

from __future__ import annotations

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from torch.nn import functional as F

import graphwright as gw
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

A = torch.ops.aten
CHECK = "graphwright.check_lookup.default"


def check(function, *args):
    lowered = lower_graph(graph_of(function, *args), num_threads=2)
    calls = {step.op for step in lowered.plan.steps if isinstance(step, CallExtern)}
    assert calls <= {CHECK}, calls

    (actual,), expected = run_compiled(lowered, list(args)), function(*args)

    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [(8, 10), (9, 11), (4, 40)], ids=str)
def test_images_are_what_eager_makes(size, dtype):
    image = torch.randn(2, 3, 8, 10).to(dtype)
    pooled, positions = F.max_pool2d(image, 2, return_indices=True)

    check(lambda x, i: A.max_unpool2d(x, i, size), pooled, positions)


def test_an_unbatched_image_of_other_strides():
    pooled, positions = torch.randn(5, 4, 3).permute(2, 1, 0), torch.arange(60).view(3, 4, 5) % 49

    check(lambda x, i: A.max_unpool2d(x, i, [7, 7]), pooled, positions)


def test_volumes_are_what_eager_makes():
    pooled, positions = F.max_pool3d(torch.randn(2, 3, 4, 6, 8), 2, return_indices=True)

    check(lambda x, i: A.max_unpool3d(x, i, [4, 6, 8], [2, 2, 2], [0, 0, 0]), pooled, positions)


def test_of_several_at_one_position_the_last_stays():
    """In eager threads race for it."""
    positions = torch.tensor([3, 1, 3, 1, 0, 3]).view(1, 1, 2, 3)
    x = torch.arange(1.0, 7.0).view(1, 1, 2, 3)
    lowered = lower_graph(
        graph_of(lambda x, i: A.max_unpool2d(x, i, [2, 3]), x, positions), num_threads=2
    )

    (actual,) = run_compiled(lowered, [x, positions])

    assert actual.flatten().tolist() == [5, 4, 0, 6, 0, 0]


def test_positions_of_a_pool_in_one_program():
    def program(x):
        pooled, positions = F.max_pool2d(x.relu(), 2, return_indices=True)
        return F.max_unpool2d(pooled * 2, positions, 2) + 1

    check(program, torch.randn(2, 3, 8, 10))


@pytest.mark.parametrize("wrong", [-1, 25])
def test_positions_that_do_not_exist_raise_what_eager_raises(wrong):
    x, positions = torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2, 2, dtype=torch.int64)
    positions[0, 1, 1, 0] = wrong
    with pytest.raises(RuntimeError) as eager:
        A.max_unpool2d(x, positions, [5, 5])

    with pytest.raises(RuntimeError) as compiled:
        gw.compile(lambda x, i: A.max_unpool2d(x, i, [5, 5]) + 1)(x, positions)

    assert str(compiled.value) == str(eager.value)


def test_gradients_through_pool_and_unpool_are_eagers():
    def program(x):
        return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2).square().sum()

    x = torch.randn(2, 3, 8, 10)
    own, eager = x.clone().requires_grad_(), x.clone().requires_grad_()
    gw.compile(program)(own).backward()
    program(eager).backward()

    torch.testing.assert_close(own.grad, eager.grad)
