"""Calls: views as operands, ops that write to arguments, results that nobody needs."""

import pytest
import torch
from eager_graphs import meta_of
from plan_interpreter import run_lowered

from graphwright.graph import execute
from graphwright.ir.aten import AtenGraph, AtenNode, GraphOutput, Ref
from graphwright.ir.plan import CallExtern, ExternKind, Release
from graphwright.lower import lower_graph
from graphwright.record import record_function


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def library():
    library = torch.library.Library("lowering_tests", "DEF")
    library.define("scale_(Tensor(a!) x, float factor, Tensor(b!)? y=None) -> ()")
    library.define("halve(Tensor x, Tensor(a!) into) -> Tensor")
    library.impl("scale_", lambda x, factor, y=None: x.mul_(factor) and None, "CPU")

    def halve(x, into):
        into.copy_(x / 2)
        return x * 3

    library.impl("halve", halve, "CPU")
    yield library
    library._destroy()


def graph_of_node(op, inputs, args, results, metas):
    node = AtenNode(op, args, (), results, metas)
    outputs = tuple(
        GraphOutput(value, meta) for value, meta in zip(results, metas, strict=True) if value >= 0
    )
    return AtenGraph(tuple(map(meta_of, inputs)), (), (node,), outputs)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_op_that_writes_an_argument_writes_a_copy(library):
    x, into = normal(3, 4), normal(3, 4, seed=1)
    metas = (meta_of(x), meta_of(into))
    args = (Ref(0), Ref(1))
    graph = graph_of_node("lowering_tests.halve.default", (x, into), args, (2, 3), metas)

    lowered = lower_graph(graph, num_threads=2)
    actual = run_lowered(lowered, [x, into.clone()])

    torch.testing.assert_close(actual, execute(graph, [x, into.clone()]))
    torch.testing.assert_close(actual, [x * 3, x / 2])
    kinds = [step.kind for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert kinds == [ExternKind.INPLACE, ExternKind.FUNCTIONAL]


def test_operands_are_views_over_buffers_not_copies():
    x, w = normal(3, 4), normal(5, 4)
    graph = record_function(lambda x, w: torch.nn.functional.linear(x.relu(), w), [x, w]).graph

    lowered = lower_graph(graph, num_threads=2)
    (actual,) = run_lowered(lowered, [x, w])

    torch.testing.assert_close(actual, torch.nn.functional.linear(x.relu(), w))
    (call,) = [step for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert (call.op, call.kind) == ("aten.mm.out", ExternKind.OUT)
    assert [arg.strides for arg in call.args] == [(4, 1), (1, 4)]


def test_results_of_calls_are_released_after_their_last_use():
    x = normal(4, 6)
    graph = record_function(lambda x: x.sort(1)[0].relu() + x.topk(6, 1)[0].sum(), [x]).graph

    lowered = lower_graph(graph, num_threads=2)
    (actual,) = run_lowered(lowered, [x])

    torch.testing.assert_close(actual, x.sort(1)[0].relu() + x.topk(6, 1)[0].sum())
    calls = [step for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert all(call.outs[1] is None for call in calls)
    assert sum(isinstance(step, Release) for step in lowered.plan.steps) == len(calls)


def test_conjugates_are_computed():
    x = torch.complex(normal(3), normal(3, seed=1))
    graph = record_function(lambda x: torch.conj_physical(x) * 2, [x]).graph

    (actual,) = run_lowered(lower_graph(graph, num_threads=2), [x])

    torch.testing.assert_close(actual, x.conj() * 2)
