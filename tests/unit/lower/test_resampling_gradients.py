"""Gradients of images that became 2 and 4 times larger against eager: edges, infinite gradients, several axes."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.graph import simplify
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

A = torch.ops.aten
LINE, IMAGE, VOLUME = (2, 3, 5), (2, 3, 4, 6), (1, 2, 3, 4, 5)
OPS = {
    1: A.upsample_linear1d_backward,
    2: A.upsample_bilinear2d_backward,
    3: A.upsample_trilinear3d_backward,
}
FACTORS = {
    "lines by 2": (LINE, (2,)),
    "lines by 4": (LINE, (4,)),
    "images by 2": (IMAGE, (2, 2)),
    "images by 4": (IMAGE, (4, 4)),
    "images by unlike factors": (IMAGE, (4, 2)),
    "volumes by 2": (VOLUME, (2, 2, 2)),
}
LEFT = {
    "lines by 3": (LINE, (3,)),
    "few elements": ((2, 3, 2), (2,)),
    "an axis by 3": (IMAGE, (2, 3)),
}


def backward(shape, factors, *, scales=False):
    sizes = [extent * factor for extent, factor in zip(shape[2:], factors, strict=True)]
    given = [float(factor) if scales else None for factor in factors]
    op = OPS[len(factors)]
    gradient = torch.randn(*shape[:2], *sizes, generator=torch.Generator().manual_seed(0))
    return lambda g: op(g, sizes, list(shape), False, *given), gradient


def check(function, gradient, *, externs=0):
    lowered = lower_graph(simplify(graph_of(function, gradient)), num_threads=2)
    calls = [step.op for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert len(calls) == externs, calls

    (actual,), expected = run_compiled(lowered, [gradient]), function(gradient)

    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, equal_nan=True)


@pytest.mark.parametrize(("scales", "dtype"), [(False, torch.float32), (True, torch.float64)])
@pytest.mark.parametrize("name", FACTORS)
def test_gradients_are_eagers(name, scales, dtype):
    function, gradient = backward(*FACTORS[name], scales=scales)

    check(function, gradient.to(dtype))


@pytest.mark.parametrize("name", ["images by 2", "images by unlike factors"])
def test_gradients_with_channels_last(name):
    function, gradient = backward(*FACTORS[name])

    check(function, gradient.contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("start", [0, 3])
def test_infinite_gradients_spread_as_in_eager(name, start):
    function, gradient = backward(*FACTORS[name])
    gradient.view(-1)[start :: 2 * start + 53] = math.inf

    check(function, gradient)


@pytest.mark.parametrize("name", LEFT)
def test_the_rest_is_left_to_eager(name):
    check(*backward(*LEFT[name]), externs=1)


def test_narrow_gradients_are_left_to_eager():
    function, gradient = backward(IMAGE, (2, 2))

    check(function, gradient.bfloat16(), externs=1)
