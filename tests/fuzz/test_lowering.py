"""Random programs, lowered and compiled (or interpreted), against eager."""

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_interpreter import run_lowered
from random_tensor_programs import RandomProgram

from graphwright.graph import simplify
from graphwright.lower import (
    clusters,
    kernels,
    lanes_nest,
    loops,
    lower_graph,
    pointwise_nest,
    rows_nest,
    slots,
    transposed_nest,
)

SMALL = {
    loops: {"PARALLEL_COST": 1},
    pointwise_nest: {"PARALLEL_COST": 1, "SMALLEST_BLOCK": 64, "LARGEST_BLOCK": 64},
    kernels: {"PARALLEL_COST": 1, "SUM_BLOCK": 16, "SHORTEST_CUT": 4, "STREAMED_BYTES": 0},
    rows_nest: {"LONG_ROW": 20, "SUM_BLOCK": 16},
    lanes_nest: {"SMALLEST_TILE": 2, "LARGEST_TILE": 4, "SUM_ROWS": 4},
    clusters: {"PARALLEL_NUMEL": 1},
    transposed_nest: {"SMALLEST_EXTENT": 4, "LEAST_SIDE": 4, "MOST_ROWS": 8, "MOST_COLUMNS": 4},
}
"""Sizes from which on work is cut up and shared, so small that the programs' tensors meet them."""


def check(seed, run):
    program = RandomProgram(seed)
    inputs = program.inputs()
    graph = simplify(graph_of(program, *inputs))
    actual = run(lower_graph(graph, num_threads=2), list(inputs))
    for got, wanted in zip(actual, program(*inputs), strict=True):
        torch.testing.assert_close(
            got, wanted, equal_nan=True, check_stride=True, rtol=2e-5, atol=2e-5
        )


@pytest.fixture(scope="module")
def small_limits():
    with pytest.MonkeyPatch.context() as patch:
        for module, limits in SMALL.items():
            for name, value in limits.items():
                patch.setattr(module, name, value)
        yield


@pytest.fixture(scope="module")
def no_scratch():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "SCRATCH_BYTES", 0)
        yield


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_random_program_gives_what_eager_gives(seed):
    check(seed, run_compiled)


@pytest.mark.usefixtures("small_limits")
@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_random_program_that_is_cut_up_gives_what_eager_gives(seed):
    check(seed, run_compiled)


@pytest.mark.usefixtures("small_limits", "no_scratch")
@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_random_program_keeps_what_the_loop_ir_promises(seed):
    """The interpreter checks bounds, access and dtypes, and runs parallel iterations in another order."""
    check(seed, run_lowered)
