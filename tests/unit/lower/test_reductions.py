"""Reduction rows against the ops that they stand for."""

import itertools

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.base.errors import InternalError
from graphwright.ir.aten import AtenGraph
from graphwright.ir.loops import Access
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph
from graphwright.lower.rules import REDUCTIONS

A = torch.ops.aten
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
SHAPES = [(6, 40), (3, 5, 16), (300, 7), (1, 9), (1024, 3)]


def tensor_of(dtype, shape):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if dtype is torch.bool:
        return drawn > 0
    if not dtype.is_floating_point:
        return (drawn.abs() * 2).to(dtype)
    drawn.view(-1)[3] = float("nan")
    return drawn.to(dtype)


def variants(op, x):
    """Give calls of the overload over each axis, with and without keeping it."""
    overload = getattr(getattr(A, op.split(".")[1]), op.split(".")[2])
    if op.endswith(".default") and "arg" not in op and op.split(".")[1] not in ("amax", "amin"):
        return [lambda x: overload(x)]
    is_single = (op.endswith((".dim", ".dim_int")) and op != "aten.mean.dim") or "arg" in op
    calls = []
    for axis in range(x.dim()):
        dim = axis if is_single else [axis]
        calls += [lambda x, dim=dim, keep=keep: overload(x, dim, keep) for keep in (False, True)]
    return calls


@pytest.mark.parametrize("op", sorted(REDUCTIONS))
def test_reduction_gives_what_the_op_gives(op):
    calls, inputs = [], []
    for dtype in DTYPES:
        for shape in SHAPES:
            x = tensor_of(dtype, shape)
            for call in variants(op, x):
                try:
                    call(x)
                except RuntimeError:
                    continue
                calls.append((call, len(inputs)))
            inputs.append(x)
    assert calls, "eager refuses all dtypes"

    def program(*tensors):
        results = []
        for call, place in calls:
            result = call(tensors[place])
            results += result if isinstance(result, tuple) else [result]
        return tuple(results)

    lowered = lower_graph(graph_of(program, *inputs), num_threads=2)
    actual = run_compiled(lowered, inputs)

    for got, wanted in zip(actual, program(*inputs), strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True)
    assert not any(isinstance(step, CallExtern) for step in lowered.plan.steps)


@pytest.mark.parametrize("shape", [(4096, 70), (70, 4096), (3, 200_000), (2100, 2048)])
@pytest.mark.parametrize("axis", [0, 1])
def test_sum_is_as_near_to_the_exact_value_as_eager(shape, axis):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    (actual,) = run_compiled(lower_graph(graph_of(lambda x: x.sum(axis), x), num_threads=2), [x])

    exact = x.double().sum(axis)
    ours, theirs = (actual - exact).abs().max(), (x.sum(axis) - exact).abs().max()

    # Twice eager's error is the bound that the project states for every op.
    assert ours <= 2 * theirs + exact.abs().max() * 2**-24


@pytest.mark.parametrize(
    ("shape", "shares_rows"), [((4096, 1024), True), ((256, 1024), False), ((1024, 8192), False)]
)
def test_threads_share_the_rows_of_large_narrow_sums_of_columns(shape, shares_rows):
    x = torch.empty(shape)

    (kernel,) = lower_graph(graph_of(lambda x: x.sum(0), x), num_threads=2).kernels

    partial_results = [param for param in kernel.params if param.access is Access.READ_WRITE]
    assert bool(partial_results) is shares_rows


def test_graph_with_size_symbols_is_refused():
    graph = AtenGraph(inputs=(), symbols=("s0",), nodes=(), outputs=())

    with pytest.raises(InternalError, match="s0"):
        lower_graph(graph, num_threads=1)


@pytest.mark.parametrize("shape", [(4096, 3), (8192, 1, 5), (16, 256, 7), (4096, 16)], ids=str)
def test_narrow_rows_are_taken_together(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    axes = list(range(x.dim() - 1))

    def program(x):
        return A.sum.dim_IntList(x * 2, axes), A.amax(x, axes), A.mean.dim(x, axes) + 1

    lowered = lower_graph(graph_of(program, x), num_threads=2)
    actual = run_compiled(lowered, [x])

    for got, wanted in zip(actual, program(x), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-4)
    (kernel,) = lowered.kernels
    assert kernel.scratch[0].size > shape[-1]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("axes", [[0, 1], [0, 2], [1, 2], [0], [0, 1, 2]], ids=str)
def test_reductions_of_each_other_may_see_memory_in_several_orders(axes, order):
    """The operand lies in memory in one order, what is computed of it in another; neither need cut the other's axes in whole parts."""
    memory = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    inputs = []
    for axis, part in itertools.product(range(3), [slice(None), slice(None, None, 2), slice(1, 4)]):
        index = [slice(None)] * 3
        index[axis] = part
        inputs.append(memory[tuple(index)].permute(order))

    def program(*tensors):
        results = []
        for x in tensors:
            apart = (x - A.mean.dim(x, axes, True)).contiguous()
            spread = A.sum.dim_IntList(apart * apart, axes, True)
            results += [A.amax(apart / (spread + 1), axes), spread]
        return tuple(results)

    actual = run_compiled(lower_graph(graph_of(program, *inputs), num_threads=2), inputs)

    for got, wanted in zip(actual, program(*inputs), strict=True):
        torch.testing.assert_close(got, wanted, check_stride=True)
