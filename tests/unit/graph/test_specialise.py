"""A symbolic graph, specialised, is the graph that would have been recorded for those sizes."""

from __future__ import annotations

import pytest
import torch

from graphwright.graph import execute, specialise
from graphwright.ir.aten_verify import hash_graph, verify_graph
from graphwright.record import record_function, record_joint

SIZES = [(2, 3), (5, 4), (7, 12)]


def attend(x, y):
    return torch.softmax(x @ y.T, dim=-1) @ y


def cut(x, y):
    return x[1:], torch.cat([x, y]), x.reshape(-1), y.unsqueeze(0).expand(3, -1, -1)


def fill(x, y):
    return x + torch.arange(x.size(1)), torch.zeros(y.size(0), 2 * y.size(1)), x * x.size(0)


def inputs(rows, columns):
    return [torch.randn(rows, columns), torch.randn(rows + 1, columns)]


DYNAMIC = {0: {0: "s0", 1: "s1"}, 1: {0: "s2", 1: "s1"}}


@pytest.mark.parametrize("function", [attend, cut, fill])
def test_specialised_graph_is_the_one_recorded_for_these_sizes(function):
    graph = record_function(function, inputs(6, 8), dynamic_dims=DYNAMIC).graph

    for rows, columns in SIZES:
        values = {"s0": rows, "s1": columns, "s2": rows + 1}
        made = specialise(graph, values)
        verify_graph(made)
        assert made.symbols == ()
        assert hash_graph(made) == hash_graph(
            record_function(function, inputs(rows, columns)).graph
        )


@pytest.mark.parametrize("function", [attend, cut, fill])
def test_specialised_graph_computes_what_the_function_does(function):
    graph = record_function(function, inputs(6, 8), dynamic_dims=DYNAMIC).graph
    given = inputs(5, 4)

    found = execute(specialise(graph, {"s0": 5, "s1": 4, "s2": 6}), given, {})

    expected = function(*given)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_joint_graph_is_specialised_with_its_tangents():
    given = [tensor.requires_grad_() for tensor in inputs(6, 8)]
    graph = record_joint(attend, given, dynamic_dims=DYNAMIC).graph

    made = specialise(graph, {"s0": 5, "s1": 4, "s2": 6})

    verify_graph(made)
    assert [meta.shape for meta in made.inputs] == [(5, 4), (6, 4), (5, 4)]


def test_static_graph_is_given_back():
    graph = record_function(attend, inputs(6, 8)).graph

    assert specialise(graph, {}) is graph
