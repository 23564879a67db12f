"""Images sampled at the places of a grid against eager: modes, edges, places far outside or no numbers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from torch.nn import functional as F

from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

A = torch.ops.aten
LINEAR, NEAREST, CUBIC = range(3)
ZEROS, BORDER, REFLECTION = range(3)
IMAGE_WAYS = list(
    itertools.product((LINEAR, NEAREST, CUBIC), (ZEROS, BORDER, REFLECTION), (False, True))
)
VOLUME_WAYS = list(itertools.product((LINEAR, NEAREST), (ZEROS, BORDER), (False, True)))
ODD = [math.nan, math.inf, -math.inf, 1e20, -1e20, 3e9, 1.0, -1.0, 0.0, 1.2, -1.3, 2.9, -5.75]


def drawn(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def check(function, *args, externs=0):
    lowered = lower_graph(graph_of(function, *args), num_threads=2)
    calls = [step.op for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert len(calls) == externs, calls

    (actual,), expected = run_compiled(lowered, list(args)), function(*args)

    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, equal_nan=True)


def places(*shape):
    """Give a grid of which the first row has odd places on each axis."""
    grid = drawn(*shape)
    for axis in range(shape[-1]):
        grid.select(-2, axis).view(-1, shape[-1])[: len(ODD), axis] = torch.tensor(ODD)
    return grid


@pytest.mark.parametrize("way", IMAGE_WAYS, ids=str)
def test_images_are_sampled_as_eager_samples(way):
    check(lambda x, grid: A.grid_sampler_2d(x, grid, *way), drawn(2, 5, 4, 9), places(2, 7, 3, 2))


@pytest.mark.parametrize("mode", [LINEAR, NEAREST, CUBIC])
def test_images_of_float64(mode):
    image, grid = drawn(1, 5, 4, 9).double(), places(1, 14, 3, 2).double()

    check(lambda x, grid: A.grid_sampler_2d(x, grid, mode, REFLECTION, True), image, grid)


@pytest.mark.parametrize("way", VOLUME_WAYS, ids=str)
def test_volumes_are_sampled_as_eager_samples(way):
    check(
        lambda x, grid: A.grid_sampler_3d(x, grid, *way),
        drawn(2, 4, 3, 4, 5),
        places(2, 4, 4, 4, 3),
    )


@pytest.mark.parametrize("way", IMAGE_WAYS[:4], ids=str)
def test_what_lies_past_the_image_spoils_no_sum(way):
    image = torch.full((1, 1, 3, 3), math.inf)
    image[0, 0, 1, 1] = 1.0
    grid = torch.tensor([0.0, 1.0, -1.0, 1.4, 2 / 3]).view(1, 1, 5, 1).expand(1, 1, 5, 2).clone()

    check(lambda x, grid: A.grid_sampler_2d(x, grid, *way), image, grid)


@pytest.mark.parametrize("channels", [1, 7])
def test_layouts_of_images_and_grids(channels):
    image = drawn(2, channels, 6, 9).contiguous(memory_format=torch.channels_last)
    grid = drawn(2, 2, 11, 7).permute(0, 3, 2, 1)

    check(lambda x, grid: A.grid_sampler_2d(x, grid, 0, 0, False), image, grid)


@pytest.mark.parametrize("way", IMAGE_WAYS[:6:2], ids=str)
def test_images_of_one_element(way):
    check(lambda x, grid: A.grid_sampler_2d(x, grid, *way), drawn(1, 2, 1, 1), drawn(1, 3, 3, 2))


def test_a_warped_image_needs_no_call():
    def warp(image, flow, base):
        return F.grid_sample(image.relu(), base + 2 * flow, align_corners=True).abs()

    check(warp, drawn(1, 3, 8, 8), drawn(1, 8, 8, 2), torch.rand(1, 8, 8, 2))


def test_reflected_volumes_and_narrow_floats_are_left_to_eager():
    check(
        lambda x, grid: A.grid_sampler_3d(x, grid, LINEAR, REFLECTION, False),
        drawn(1, 2, 3, 4, 5),
        drawn(1, 3, 5, 4, 3),
        externs=1,
    )
    narrow = torch.bfloat16
    check(
        lambda x, grid: A.grid_sampler_2d(x, grid, LINEAR, ZEROS, False),
        drawn(1, 2, 3, 4, dtype=narrow),
        drawn(1, 3, 5, 2, dtype=narrow),
        externs=1,
    )


def test_channels_share_what_is_computed_of_a_place():
    lowered = lower_graph(
        graph_of(
            lambda x, grid: A.grid_sampler_2d(x, grid, LINEAR, ZEROS, False),
            drawn(1, 8, 16, 16),
            drawn(1, 9, 9, 2),
        ),
        num_threads=1,
    )
    (kernel,) = lowered.kernels

    text = str(kernel)
    assert text.count("Store(") == 4
    assert text.count("ScalarOp.FLOOR") == 2


@pytest.mark.parametrize("channels", [3, 5, 6, 8])
def test_rows_that_are_taken_together_are_all_computed(channels):
    def program(x, y):
        return x + (y * 3).sin().exp().cos().log1p().relu()

    check(program, drawn(2, channels, 5, 7), drawn(5, 7))
