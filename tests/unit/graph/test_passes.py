"""The simplifying passes: what goes, what stays, and that values stay the same."""

from __future__ import annotations

import pytest
import torch

from graphwright.graph import execute, simplify
from graphwright.graph.common_subexpressions import common_subexpressions
from graphwright.graph.dead_code import dead_code
from graphwright.graph.no_operations import no_operations
from graphwright.graph.values_alone import values_alone
from graphwright.record import record_function


def record(function, *inputs):
    return record_function(function, inputs).graph


def ops(graph):
    return [node.op.split(".")[1] for node in graph.nodes]


def test_dead_code_removes_what_nobody_reads():
    def work(x):
        x.cos()
        return x.sin()

    assert ops(dead_code(record(work, torch.ones(3)))) == ["sin"]


def test_dead_code_keeps_random_nodes():
    def work(x):
        torch.rand_like(x)
        return x.sin()

    assert ops(dead_code(record(work, torch.ones(3)))) == ["rand_like", "sin"]


def test_dead_code_keeps_what_an_input_is_set_to():
    def work(x):
        x.mul_(2)
        return torch.ones(2)

    graph = dead_code(record(work, torch.ones(3)))
    x = torch.ones(3)
    execute(graph, [x])

    assert torch.equal(x, torch.full((3,), 2.0))


def test_common_subexpressions_computes_equal_things_once():
    def work(x):
        return x.sin() + x.sin(), x.sin().cos(), x.sin().cos()

    assert ops(common_subexpressions(record(work, torch.ones(3)))) == ["sin", "add", "cos"]


def test_common_subexpressions_tells_true_from_one():
    def work(x):
        return torch.full_like(x, True), torch.full_like(x, 1)

    graph = record(work, torch.ones(3, dtype=torch.int64))

    assert len(common_subexpressions(graph).nodes) == len(graph.nodes)


def test_common_subexpressions_draws_twice_where_the_program_does():
    def work(x):
        return torch.rand_like(x), torch.rand_like(x)

    first, second = execute(common_subexpressions(record(work, torch.ones(8))), [torch.ones(8)])

    assert not torch.equal(first, second)


def test_equal_results_are_two_tensors():
    def work(x):
        return x.sin(), x.sin()

    first, second = execute(simplify(record(work, torch.ones(3))), [torch.ones(3)])
    first.zero_()

    assert torch.equal(second, torch.ones(3).sin())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.clone().sin(),
        lambda x: x.to(torch.float32).sin(),
        lambda x: x.expand(4, 6).sin(),
        lambda x: x.view(4, 6).sin(),
        lambda x: x[:].sin(),
        lambda x: x.detach().sin(),
    ],
    ids=["clone", "to", "expand", "view", "slice", "detach"],
)
def test_no_operations_removes_what_changes_nothing(function):
    assert ops(no_operations(record(function, torch.randn(4, 6)))) == ["sin"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.t().contiguous().view(-1),
        lambda x: x.view(6, 4).sin(),
        lambda x: x.to(torch.float64).sin(),
        lambda x: x[:, ::2].sin(),
        lambda x: x.t().sin(),
    ],
    ids=["layout", "view", "to", "slice", "transpose"],
)
def test_no_operations_keeps_what_changes_something(function):
    x = torch.randn(4, 6)
    graph = record(function, x)

    simple = no_operations(graph)

    assert len(simple.nodes) == len(graph.nodes)
    assert torch.equal(execute(simple, [x])[0], function(x))


def test_no_operations_leaves_a_square_transpose():
    x = torch.randn(4, 4)

    assert torch.equal(
        execute(no_operations(record(lambda x: x.t().sin(), x)), [x])[0], x.t().sin()
    )


def test_simplify_gives_eager_values_for_a_transformer_layer():
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    x = torch.randn(2, 5, 16)
    recorded = record_function(layer, [x])

    (result,) = execute(simplify(recorded.graph), [x, *recorded.extra_inputs])

    torch.testing.assert_close(result, layer(x).detach())


def test_no_operations_keeps_a_copy_of_what_lies_elsewhere():
    """A view of the copy counts its offset from the copy's own start."""

    def work(x):
        return x[1:].clone()[:, :1] + 1

    x = torch.arange(12.0).view(3, 4)
    graph = no_operations(record(work, x))

    assert "clone" in ops(graph)


def singular_values_of_wide(x):
    return torch.linalg.svd(x, full_matrices=False)[1]


def eigenvalues_of_lower(x):
    return torch.linalg.eigvalsh(x, "L")


def eigenvalues_of_upper(x):
    return torch.linalg.eigh(x, "U")[0]


@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.svdvals,
        torch.linalg.cond,
        singular_values_of_wide,
        eigenvalues_of_lower,
        eigenvalues_of_upper,
        torch.linalg.eigvals,
    ],
    ids=lambda function: function.__name__,
)
def test_values_alone_asks_for_no_vectors(function):
    torch.manual_seed(0)
    x = torch.randn(3, 7, 7)
    graph = values_alone(dead_code(record(function, x)))

    assert all(len([value for value in node.results if value >= 0]) == 1 for node in graph.nodes)
    assert torch.allclose(*execute(graph, [x]), function(x))


def test_values_alone_gives_the_bits_of_eager():
    torch.manual_seed(0)
    x = torch.randn(9, 6)

    (result,) = execute(simplify(record(torch.linalg.svdvals, x)), [x])

    assert torch.equal(result, torch.linalg.svdvals(x))


def test_values_alone_keeps_vectors_that_are_read():
    def work(x):
        values, vectors = torch.linalg.eigh(x)
        return values, vectors[0]

    graph = record(work, torch.eye(3))

    assert values_alone(graph) == graph
