"""Lookups and scatters against eager: order of updates, rounding, NaN, repeated and absent places, checks of indices."""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.graph import simplify
from graphwright.ir.plan import CallExtern, ExternKind
from graphwright.lower import lower_graph

A = torch.ops.aten
FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
DTYPES = [*FLOATS, torch.int64, torch.int32, torch.uint8]
SHAPES = {
    "rows": ((9, 37), (9, 80), 1),
    "columns": ((5, 33), (60, 33), 0),
    "columns in part": ((5, 33), (60, 21), 0),
    "middle": ((3, 4, 18), (3, 30, 18), 1),
    "one line": ((7,), (300,), 0),
    "one element of each": ((6, 1), (6, 40), 1),
}
REDUCTIONS = ["sum", "prod", "mean", "amax", "amin"]


def drawn(shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return torch.randint(0, 9, shape, generator=generator).to(dtype)


def indices(shape, extent, *, lowest=0, dtype=torch.int64):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(lowest, extent, shape, generator=generator).to(dtype)


def calls_of(lowered):
    steps = [step for step in lowered.plan.steps if isinstance(step, CallExtern)]
    return [step.op for step in steps if step.kind is not ExternKind.CHECK]


def lowered_of(function, *args):
    return lower_graph(simplify(graph_of(function, *args)), num_threads=2)


def check(function, *args):
    expected = function(*args)
    lowered = lowered_of(function, *args)
    assert not calls_of(lowered)

    (actual,) = run_compiled(lowered, list(args))

    assert actual.dtype is expected.dtype
    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("where", SHAPES)
def test_scattered_elements_are_taken_in_in_eagers_order(where, dtype):
    shape, listed, axis = SHAPES[where]
    x, places = drawn(shape, dtype), indices(listed, shape[axis])
    source = drawn(listed, dtype, seed=2)

    check(lambda x, i, s: A.scatter(x, axis, i, s), x, places, source)
    check(lambda x, i: A.scatter(x, axis, i, 3), x, places)
    check(lambda x, i, s: A.scatter_add(x, axis, i, s), x, places, source)
    check(lambda x, i, s: A.scatter(x, axis, i, s, reduce="multiply"), x, places, source)


@pytest.mark.parametrize("includes", [True, False])
@pytest.mark.parametrize("how", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_scatter_reduce_starts_from_what_is_there_or_from_nothing(dtype, how, includes):
    x, source = drawn((9, 37), dtype), drawn((9, 80), dtype, seed=2)
    x[3, 5] = source[4, 7] = math.nan
    x[2, 2] = source[1, 1] = math.inf

    check(
        lambda x, i, s: A.scatter_reduce(x, 1, i, s, how, include_self=includes),
        x,
        indices((9, 80), 30),
        source,
    )


@pytest.mark.parametrize("how", ["sum", "prod", "amax", "amin"])
def test_scatter_reduce_of_integers(how):
    x, source = drawn((9, 37), torch.int32), drawn((9, 80), torch.int32, seed=2)

    check(
        lambda x, i, s: A.scatter_reduce(x, 1, i, s, how),
        x,
        indices((9, 80), 37),
        source,
    )


@pytest.mark.parametrize("index", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("where", ["rows", "columns", "middle", "one line"])
def test_rows_are_added_copied_and_filled(where, dtype, index):
    shape, listed, axis = SHAPES[where]
    x, source = drawn(shape, dtype), drawn(listed, dtype, seed=2)
    places = indices((listed[axis],), shape[axis], dtype=index)

    check(lambda x, i, s: A.index_add(x, axis, i, s), x, places, source)
    check(lambda x, i, s: A.index_add(x, axis, i, s, alpha=2), x, places, source)
    if index is torch.int64:
        check(lambda x, i, s: A.index_copy(x, axis, i, s), x, places, source)
        check(lambda x, i: A.index_fill(x, axis, i - shape[axis], 2), x, places)


@pytest.mark.parametrize("accumulates", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_index_put_counts_negative_places_from_the_end(dtype, accumulates):
    x, source = drawn((6, 5, 17), dtype), drawn((40, 17), dtype, seed=2)
    first, second = indices((40,), 6, lowest=-6), indices((40,), 5, lowest=-5)
    if not accumulates:  # eager may write any of several elements of one place
        first, second = torch.arange(5), torch.arange(5) - 5
        source = source[:5]

    check(lambda x, i, j, s: A.index_put(x, [i, j], s, accumulates), x, first, second, source)
    check(
        lambda x, i, s: A.index_put(x, [None, i], s, accumulates),
        x,
        second,
        source[None].expand(6, *source.shape),
    )


@pytest.mark.parametrize("padding", [-1, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_of_embeddings_pass_over_rows_that_do_not_exist(dtype, padding):
    gradient, rows = drawn((4, 50, 48), dtype), indices((4, 50), 9, lowest=-1)

    check(
        lambda g, i: A.embedding_dense_backward(g, i, 7, padding, False),
        gradient,
        rows,
    )


def test_what_is_scattered_is_computed_in_passing():
    x, places, source = (
        drawn((9, 37), torch.float32),
        indices((9, 80), 37),
        drawn((9, 80), torch.float32),
    )

    lowered = lowered_of(lambda x, i, s: A.scatter_add(x * 2, 1, i, s.sin()), x, places, source)

    checks, scatters = lowered.kernels
    assert "aten.sin.default" in scatters.origins
    assert "aten.mul.Tensor" in scatters.origins
    assert "aten.any.default" in checks.origins


def test_indices_known_to_be_in_range_are_not_checked():
    x = drawn((9, 37), torch.float32)

    lowered = lowered_of(lambda x: A.index_select(x, 0, torch.arange(4) * 2), x)

    assert not any(isinstance(step, CallExtern) for step in lowered.plan.steps)


def test_indices_are_checked_once_for_all_that_use_them():
    x, places = drawn((9, 37), torch.float32), indices((20,), 9)

    lowered = lowered_of(
        lambda x, i: A.index_select(x, 0, i) + A.index_select(x.sin(), 0, i), x, places
    )

    assert sum(isinstance(step, CallExtern) for step in lowered.plan.steps) == 1
