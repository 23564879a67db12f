"""Pooling, padding and repetition of images against eager, edges and memory formats included."""

from __future__ import annotations

import math
import random

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from torch.nn import functional as F

from graphwright.ir.numerics import Numerics
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

A = torch.ops.aten
FLAT, LINE, IMAGE, VOLUME = (3, 2, 9), (2, 3, 40), (2, 3, 12, 20), (1, 2, 6, 8, 10)
OWN = {
    "max 2/2": (lambda x: F.max_pool2d(x, 2), IMAGE),
    "max 3/2 padded": (lambda x: F.max_pool2d(x, 3, 2, 1), IMAGE),
    "max 3/1 padded": (lambda x: F.max_pool2d(x, 3, 1, 1), IMAGE),
    "max of unlike axes": (lambda x: F.max_pool2d(x, (3, 2), (2, 3), (1, 0)), IMAGE),
    "max, dilated": (lambda x: F.max_pool2d(x, 3, 1, 1, 2), IMAGE),
    "max, last window cut": (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), IMAGE),
    "max of an unbatched image": (lambda x: F.max_pool2d(x, 2), (3, 8, 10)),
    "max of volumes": (lambda x: F.max_pool3d(x, 2), VOLUME),
    "average 2/2": (lambda x: F.avg_pool2d(x, 2), IMAGE),
    "average padded": (lambda x: F.avg_pool2d(x, 3, 1, 1), IMAGE),
    "average with a divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), IMAGE),
    "average of volumes": (lambda x: F.avg_pool3d(x, 2), VOLUME),
    "average of lines": (lambda x: F.avg_pool1d(x, 4, 2), LINE),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), IMAGE),
    "adaptive of volumes": (lambda x: F.adaptive_avg_pool3d(x, (3, 4, 5)), VOLUME),
    "reflect": (lambda x: F.pad(x, (1, 2, 3, 4), "reflect"), IMAGE),
    "reflect lines": (lambda x: F.pad(x, (3, 1), "reflect"), LINE),
    "reflect volumes": (lambda x: F.pad(x, (1, 2, 3, 0, 1, 2), "reflect"), VOLUME),
    "replicate": (lambda x: F.pad(x, (1, 2, 3, 4), "replicate"), IMAGE),
    "replicate, cut": (lambda x: F.pad(x, (-1, 2, 3, -4), "replicate"), IMAGE),
    "replicate lines": (lambda x: F.pad(x, (0, 5), "replicate"), LINE),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), IMAGE),
    "nearest by unlike factors": (lambda x: F.interpolate(x, size=(36, 20)), IMAGE),
    "nearest exact": (lambda x: F.interpolate(x, scale_factor=3, mode="nearest-exact"), IMAGE),
    "nearest lines": (lambda x: F.interpolate(x, scale_factor=5), LINE),
    "nearest volumes": (lambda x: F.interpolate(x, scale_factor=2), VOLUME),
    "roll": (lambda x: torch.roll(x, (2, -5), (0, 2)), FLAT),
    "roll around": (lambda x: torch.roll(x, (9, 13), (2, 1)), FLAT),
    "pool of a computed image": (lambda x: F.max_pool2d(torch.relu(x * 2), 3, 2, 1) + 1, IMAGE),
    "pool of a dear image": (lambda x: F.avg_pool2d(torch.tanh(x), 2) * 2, IMAGE),
    "sum of a padded image": (lambda x: F.pad(x, (1, 1, 1, 1), "reflect").sum((2, 3)), IMAGE),
    "pool of a padded image": (lambda x: F.max_pool2d(F.pad(x, (1,) * 4, "replicate"), 2), IMAGE),
}
UNEVEN = {
    "average of what is in the image": (
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        IMAGE,
    ),
    "average of what is in the image, by steps": (
        lambda x: F.avg_pool2d(x, (3, 4), 2, (1, 2), count_include_pad=False),
        IMAGE,
    ),
    "average cut at the end": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), IMAGE),
    "average cut past the padding": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGE),
    "average of lines, cut": (lambda x: F.avg_pool1d(x, 3, 2, ceil_mode=True), LINE),
    "average of volumes, cut": (
        lambda x: F.avg_pool3d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        VOLUME,
    ),
    "adaptive, uneven": (lambda x: F.adaptive_avg_pool2d(x, (5, 7)), IMAGE),
    "adaptive, larger": (lambda x: F.adaptive_avg_pool2d(x, (17, 40)), IMAGE),
    "adaptive lines": (lambda x: F.adaptive_avg_pool1d(x, 7), LINE),
    "adaptive maxima": (lambda x: F.adaptive_max_pool2d(x, (6, 7)), IMAGE),
    "adaptive maxima of volumes": (lambda x: F.adaptive_max_pool3d(x, (4, 8, 3)), VOLUME),
    "adaptive, uneven volumes": (lambda x: F.adaptive_avg_pool3d(x, (4, 8, 3)), VOLUME),
    "nearest at an uneven size": (lambda x: F.interpolate(x, size=(13, 30)), IMAGE),
    "nearest and smaller": (lambda x: F.interpolate(x, size=(4, 11)), IMAGE),
    "nearest by a fraction": (lambda x: F.interpolate(x, scale_factor=(0.5, 0.3)), IMAGE),
    "nearest exact at an uneven size": (
        lambda x: F.interpolate(x, size=(5, 31), mode="nearest-exact"),
        IMAGE,
    ),
}
EXTERN = {
    "large windows": (lambda x: F.avg_pool2d(x, 7), IMAGE),
    "large uneven windows": (lambda x: F.adaptive_max_pool2d(x, (1, 3)), IMAGE),
    "roll of all": (lambda x: torch.roll(x, 2), FLAT),
}


def drawn(shape, dtype=torch.float32):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x.view(-1)[::17] = math.inf
    x.view(-1)[5::23] = math.nan
    x.view(-1)[7::29] = -math.inf
    return x.to(dtype)


def run(function, x):
    lowered = lower_graph(graph_of(function, x), num_threads=2)
    calls = [step.op for step in lowered.plan.steps if isinstance(step, CallExtern)]
    return run_compiled(lowered, [x]), calls


def check(function, x, *, externs=0):
    expected = function(x)
    results, calls = run(function, x)
    assert len(calls) == externs, calls

    assert results[0].stride() == (expected if externs == 0 else results[0]).stride()
    wanted = expected if isinstance(expected, torch.Tensor) else expected[0]
    torch.testing.assert_close(results[0], wanted, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", OWN)
def test_images_are_what_eager_makes(name, dtype):
    function, shape = OWN[name]
    if dtype is torch.bfloat16 and name in ("average of volumes", "adaptive of volumes"):
        pytest.skip("eager has no kernel")

    check(function, drawn(shape, dtype))


@pytest.mark.parametrize("name", [name for name, (_, shape) in OWN.items() if shape is IMAGE])
def test_images_with_channels_last(name):
    function, shape = OWN[name]

    check(function, drawn(shape).contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize("name", UNEVEN)
def test_windows_and_sizes_that_do_not_fit(name):
    function, shape = UNEVEN[name]

    check(function, drawn(shape))
    if shape is IMAGE:
        check(function, drawn(shape, torch.bfloat16).contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize("name", EXTERN)
def test_the_rest_is_left_to_eager(name):
    function, shape = EXTERN[name]

    check(function, drawn(shape), externs=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_nearest_elements_are_those_that_eager_takes(dtype):
    drawer = random.Random(0)
    for _ in range(8):
        extent, size = drawer.randint(1, 200), drawer.randint(1, 400)
        scale = drawer.choice(
            [None, drawer.uniform(0.3, 4), drawer.choice([2, 3, 1.5, 0.5, 1 / 3])]
        )
        size = size if scale is None else max(int(extent * scale), 1)
        line = torch.arange(extent).to(dtype)[None, None]

        for name in ("upsample_nearest1d", "_upsample_nearest_exact1d"):
            op = getattr(A, name)
            (actual,), _ = run(lambda x: op(x, [size], scale), line)  # noqa: B023
            assert torch.equal(actual, op(line, [size], scale)), (name, extent, size, scale)


def test_long_lines_are_repeated_without_computed_indices():
    line = torch.randn(1, 1, 20000)

    check(lambda x: F.interpolate(x, scale_factor=4), line)


def test_a_size_at_which_eagers_kernels_differ_is_left_to_eager():
    line = torch.randn(1, 1, 158)

    check(lambda x: A.upsample_nearest1d(x, [158], 1.0013114411883208), line, externs=1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.interpolate(x, size=(13, 30)),
        lambda x: F.max_pool2d(x, 3),
        lambda x: F.pad(x, (1, 2, 3, 4), "reflect"),
        lambda x: torch.roll(x, (2, -5), (0, 2)),
    ],
)
def test_moves_stay_own_code_where_bits_count(function):
    numerics = Numerics(is_strict=True)
    lowered = lower_graph(graph_of(function, torch.randn(IMAGE)), num_threads=1, numerics=numerics)

    assert not any(isinstance(step, CallExtern) for step in lowered.plan.steps)


def test_a_dear_operand_is_computed_once():
    lowered = lower_graph(
        graph_of(lambda x: F.max_pool2d(torch.tanh(x), 3, 1, 1), drawn(IMAGE)), num_threads=1
    )

    assert len(lowered.kernels) == 2


FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
GRADIENTS = {
    "repeated": (
        lambda g: A.upsample_nearest2d_backward(g, [24, 45], [2, 16, 12, 15], 2.0, 3.0),
        (24, 45),
    ),
    "repeated exactly": (
        lambda g: A._upsample_nearest_exact2d_backward(g, [24, 45], [2, 16, 12, 15]),
        (24, 45),
    ),
    "averages": (
        lambda g, x: A.avg_pool2d_backward(g, x, [3, 2], [3, 2], [0], False, True, None),
        (4, 7),
    ),
    "averages with a divisor": (
        lambda g, x: A.avg_pool2d_backward(g, x, [3, 2], [], [0], False, False, 5),
        (4, 7),
    ),
    "adaptive": (lambda g, x: A._adaptive_avg_pool2d_backward(g, x), (4, 5)),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_go_back_to_what_windows_are_made_of(name, dtype, memory_format):
    function, size = GRADIENTS[name]
    gradient = torch.randn(2, 16, *size).to(dtype).contiguous(memory_format=memory_format)
    image = torch.randn(2, 16, 12, 15).to(dtype).contiguous(memory_format=memory_format)
    args = [gradient, image][: function.__code__.co_argcount]
    expected = function(*args)

    lowered = lower_graph(graph_of(function, *args), num_threads=2)

    assert not any(isinstance(step, CallExtern) for step in lowered.plan.steps)
    (actual,) = run_compiled(lowered, args)
    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_gradients_of_lines_and_volumes():
    volume, gradient = torch.randn(2, 3, 4, 6, 8), torch.randn(2, 3, 2, 2, 4)
    window = ([2, 3, 2], [2, 3, 2], [0], False, True, None)
    check(lambda g: A.avg_pool3d_backward(g, volume, *window), gradient)
    check(lambda g: A._adaptive_avg_pool3d_backward(g, volume), gradient)
    check(lambda g: A.upsample_nearest3d_backward(g, [2, 2, 4], [2, 3, 1, 2, 2]), gradient)
    check(lambda g: A.upsample_nearest1d_backward(g, [4], [3, 2, 2]), gradient[0, :, 0])


OVERLAPPING = {
    "padded": ([3, 3], [1, 1], [1, 1], False, True, None),
    "padding does not count": ([3, 3], [1, 1], [1, 1], False, False, None),
    "unlike axes": ([2, 4], [1, 1], [0, 2], False, False, None),
    "with a divisor": ([3, 2], [1, 1], [1, 0], False, True, 5),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", OVERLAPPING)
def test_gradients_of_windows_that_begin_at_each_element(name, memory_format):
    window = OVERLAPPING[name]
    image = torch.randn(2, 5, 9, 11).contiguous(memory_format=memory_format)
    gradient = torch.randn_like(A.avg_pool2d(image, *window))

    check(lambda g: A.avg_pool2d_backward(g, image, *window), gradient)


def test_gradients_of_windows_that_overlap_by_steps_are_left_to_eager():
    image, window = torch.randn(1, 2, 9, 9), ([3, 3], [2, 2], [1, 1], False, True, None)

    check(lambda g: A.avg_pool2d_backward(g, image, *window), torch.randn(1, 2, 5, 5), externs=1)


SIZES = {
    "twice": {"scale_factor": 2},
    "smaller": {"scale_factor": 0.7},
    "by a given factor": {"scale_factor": 1.7, "recompute_scale_factor": True},
    "a size": {"size": 20},
    "aligned corners": {"size": 13, "align_corners": True},
    "one element": {"size": 1, "align_corners": True},
    "one axis as it was": {"size": (21, 7)},
}


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", SIZES)
def test_interpolated_images_are_no_further_off_than_eagers(name, dtype, mode):
    image = torch.randn(2, 16, 9, 7).to(dtype).contiguous(memory_format=torch.channels_last)

    check_against_double(lambda x: F.interpolate(x, mode=mode, **SIZES[name]), image, externs=0)


@pytest.mark.parametrize("name", SIZES)
def test_cubic_polynomials_along_memory(name):
    image = torch.randn(2, 3, 9, 7)

    check_against_double(
        lambda x: F.interpolate(x, mode="bicubic", **SIZES[name]), image, externs=0
    )


def test_linear_interpolation_along_memory_is_left_to_eager():
    image = torch.randn(2, 3, 9, 7)

    check_against_double(lambda x: F.interpolate(x, mode="bilinear", size=20), image, externs=1)


TWICE_AND_MORE = {
    "lines by 2": ("linear", 2, (2, 3, 9)),
    "lines by 4": ("linear", 4, (2, 3, 2)),
    "images by 2": ("bilinear", 2, (2, 3, 9, 7)),
    "images by 4": ("bilinear", 4, (2, 3, 5, 8)),
    "images by 8": ("bilinear", 8, (1, 2, 3, 5)),
    "images by 32": ("bilinear", 32, (1, 1, 2, 3)),
    "images by unlike factors": ("bilinear", (3, 2), (2, 3, 5, 8)),
    "volumes by 2": ("trilinear", 2, (1, 2, 3, 4, 5)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", TWICE_AND_MORE)
def test_linear_interpolation_along_memory_by_whole_factors(name, dtype):
    mode, factor, shape = TWICE_AND_MORE[name]
    image = torch.randn(shape).to(dtype)

    check_against_double(
        lambda x: F.interpolate(x, mode=mode, scale_factor=factor), image, externs=0
    )


def test_interpolation_by_whole_factors_spreads_what_is_no_number():
    check(lambda x: F.interpolate(x, mode="bilinear", scale_factor=2), drawn(IMAGE))


def test_interpolation_by_whole_factors_joins_its_neighbours():
    def step(x):
        return F.interpolate(torch.relu(x), mode="bilinear", scale_factor=2).sigmoid()

    lowered = lower_graph(graph_of(step, torch.randn(2, 3, 8, 8)), num_threads=1)
    assert len(lowered.kernels) == 1


def test_what_is_interpolated_may_be_summed():
    check_against_double(
        lambda x: F.interpolate(x, mode="bilinear", scale_factor=2).sum((2, 3)),
        torch.randn(2, 3, 8, 9),
        externs=0,
    )


def check_against_double(function, x, *, externs):
    exact, eager = function(x.double()), function(x)
    (actual,), calls = run(function, x)

    assert len(calls) == externs, calls
    assert actual.stride() == eager.stride()
    one_bit = torch.finfo(x.dtype).eps * exact.abs().max()
    assert (actual - exact).abs().max() <= 2 * (eager - exact).abs().max() + one_bit
