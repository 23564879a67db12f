"""Scans against eager: order, ties, NaN, dtypes and layouts."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

A = torch.ops.aten
SCANS = {
    "cumsum": A.cumsum,
    "cumprod": A.cumprod,
    "cummax": A.cummax,
    "cummin": A.cummin,
    "logcumsumexp": A.logcumsumexp,
}
DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.uint8,
    torch.bool,
]
SHAPES = {
    "rows": ((9, 70), 1),
    "columns": ((70, 9), 0),
    "middle": ((3, 17, 40), 1),
    "first of three": ((17, 3, 5), 0),
    "one line": ((300,), 0),
    "one element": ((1, 1), 1),
    "axis of one": ((6, 1), 1),
    "two lines": ((2, 33), -1),
}


def drawn(shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return (torch.randn(shape, generator=generator, dtype=torch.float64) / 2).to(dtype)
    return torch.randint(0, 3, shape, generator=generator).to(dtype)


def as_list(results):
    return list(results) if isinstance(results, (tuple, list)) else [results]


def check(function, *args, externs=0):
    expected = as_list(function(*args))
    lowered = lower_graph(graph_of(function, *args), num_threads=2)
    calls = [step for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert len(calls) == externs, calls

    actual = as_list(run_compiled(lowered, list(args)))

    for mine, eager in zip(actual, expected, strict=True):
        assert mine.dtype is eager.dtype
        torch.testing.assert_close(mine, eager, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("where", SHAPES)
def test_scans_give_what_eager_gives(name, dtype, where):
    shape, axis = SHAPES[where]
    if name == "logcumsumexp":
        if dtype.is_floating_point:
            check_close(lambda x: SCANS[name](x, axis), drawn(shape, dtype))
        return

    check(lambda x: SCANS[name](x, axis), drawn(shape, dtype))


def check_close(function, *args):
    """Compare what is made of logarithms, where the last bits are those of the library at hand."""
    expected = function(*args)
    lowered = lower_graph(graph_of(function, *args), num_threads=2)

    (actual,) = as_list(run_compiled(lowered, list(args)))

    torch.testing.assert_close(actual, expected, equal_nan=True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", SCANS)
def test_scans_of_infinities_and_nans(name, axis):
    x = drawn((12, 9), torch.float32)
    x[2, 3] = math.nan
    x[5, 3] = math.nan
    x[4, :] = math.inf
    x[7, 5] = -math.inf
    x[:, 8] = -math.inf

    (check_close if name == "logcumsumexp" else check)(lambda x: SCANS[name](x, axis), x)


def test_the_last_of_equal_elements_is_the_largest():
    x = torch.tensor([[1.0, 3.0, 2.0, 3.0, 3.0, -1.0]] * 3)

    check(lambda x: A.cummax(x, 1), x)
    check(lambda x: A.cummin(x.t(), 0), x)


def test_a_scan_reads_what_is_computed_in_passing():
    x, mask = drawn((20, 30), torch.float32), drawn((8, 128), torch.int64)

    check(lambda x: A.cumsum(x * 2 + 1, 1) - 1, x)
    check(lambda x: A.cumsum(x.t(), 1), x)
    check(lambda mask: A.cumsum(mask != 1, 1) * (mask != 1) + 1, mask)


def test_a_scan_through_a_view_that_no_stride_describes():
    x = drawn((6, 20), torch.float32)

    check(lambda x: A.cumsum((x + 1).reshape(12, 10), 0), x)
    check(lambda x: A.cumsum((x + 1).reshape(4, 30), 1), x)


def test_the_dtype_asked_for_is_accumulated_in():
    x = drawn((4, 50), torch.int64)

    check(lambda x: A.cumsum(x, 1, dtype=torch.float32), x)
    check(lambda x: A.cumsum(x, 1, dtype=torch.uint8), x)


def test_only_the_positions_of_extremes():
    check(lambda x: A.cummax(x, 1)[1], drawn((5, 40), torch.float32))


def test_nothing_is_scanned_where_there_is_nothing():
    check(lambda x: A.cumsum(x, 0), torch.empty(0, 4))
    check(lambda x: A.cumsum(x, 1), torch.empty(0, 4))


def test_a_dear_scan_of_few_lines_is_left_to_eager():
    lowered = [
        lower_graph(graph_of(lambda x: A.logcumsumexp(x, 1), torch.zeros(lines, 30)), num_threads=2)
        for lines in (1, 8)
    ]

    calls = [[step for step in one.plan.steps if isinstance(step, CallExtern)] for one in lowered]
    assert [len(found) for found in calls] == [1, 0]


def test_a_number_is_left_to_eager():
    check(lambda x: A.cumsum(x, 0), torch.tensor(3.0), externs=1)
