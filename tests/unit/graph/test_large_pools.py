"""Pools with large windows against eager: as reductions, and as pools of one axis after the other."""

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from torch.nn import functional as F

from graphwright.graph import simplify
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

IMAGE, VOLUME = (2, 3, 14, 48), (1, 2, 8, 9, 12)
FORMATS = [torch.contiguous_format, torch.channels_last]
OWN = {
    "averages side by side": (lambda x: F.avg_pool2d(x, 7), (2, 3, 14, 49)),
    "one average": (lambda x: F.avg_pool2d(x, (14, 48)), IMAGE),
    "averages that overlap": (lambda x: F.avg_pool2d(x, 9, 2, 4), IMAGE),
    "averages of what is in the image": (
        lambda x: F.avg_pool2d(x, 7, 3, 3, ceil_mode=True, count_include_pad=False),
        IMAGE,
    ),
    "averages with a divisor": (lambda x: F.avg_pool2d(x, 7, divisor_override=5), (3, 14, 49)),
    "averages that overlap, with a divisor": (
        lambda x: F.avg_pool2d(x, 7, 2, divisor_override=5),
        IMAGE,
    ),
    "lines": (lambda x: F.avg_pool1d(x, 48), (2, 3, 48)),
    "volumes": (lambda x: F.avg_pool3d(x, (4, 3, 6)), VOLUME),
    "volumes that overlap": (lambda x: F.avg_pool3d(x, 5, 1, 2), VOLUME),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (2, 6)), IMAGE),
    "adaptive, uneven": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), IMAGE),
    "adaptive, with one long axis": (lambda x: F.adaptive_avg_pool2d(x, (3, 1)), IMAGE),
    "adaptive volumes": (lambda x: F.adaptive_avg_pool3d(x, (2, 2, 3)), VOLUME),
    "maxima side by side": (lambda x: F.max_pool2d(x, (14, 8)), IMAGE),
    "maxima that overlap": (lambda x: F.max_pool2d(x, 9, 1, 4), IMAGE),
    "maxima with gaps": (lambda x: F.max_pool2d(x, 7, 2, 3, 2, ceil_mode=True), IMAGE),
    "maxima of volumes": (lambda x: F.max_pool3d(x, (8, 3, 4)), VOLUME),
    "adaptive maxima": (lambda x: F.adaptive_max_pool2d(x, 1), IMAGE),
    "adaptive maxima, uneven": (lambda x: F.adaptive_max_pool2d(x, (3, 5)), IMAGE),
    "adaptive maxima of a column": (lambda x: F.adaptive_max_pool2d(x, (1, 48)), (2, 3, 40, 48)),
    "adaptive maxima of volumes": (lambda x: F.adaptive_max_pool3d(x, (1, 1, 1)), VOLUME),
}
EXTERN = {
    "positions": lambda x: F.max_pool2d(x, 9, return_indices=True)[1],
    "long windows that overlap": lambda x: F.avg_pool2d(x, (1, 40), 1),
}


def drawn(shape, dtype, memory_format=torch.contiguous_format):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    x.view(-1)[::301] = math.inf
    x.view(-1)[7::501] = math.nan
    return x.contiguous(memory_format=memory_format)


def check(function, x, *, externs=0):
    lowered = lower_graph(simplify(graph_of(function, x)), num_threads=2)
    calls = [step.op for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert len(calls) == externs, calls

    (actual,), expected = run_compiled(lowered, [x]), function(x)

    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, equal_nan=True)


@pytest.mark.parametrize("name", OWN)
def test_large_windows_are_what_eager_makes(name):
    function, shape = OWN[name]

    check(function, drawn(shape, torch.float32))


@pytest.mark.parametrize("name", [name for name, (_, shape) in OWN.items() if len(shape) == 4])
def test_large_windows_with_channels_last(name):
    function, shape = OWN[name]

    check(function, drawn(shape, torch.bfloat16, torch.channels_last))


@pytest.mark.parametrize("name", EXTERN)
def test_the_rest_is_left_to_eager(name):
    check(EXTERN[name], drawn(IMAGE, torch.float32), externs=1)
