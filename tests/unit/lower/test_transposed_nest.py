"""Transposed reads go through tiles; edges are read element by element."""

import pytest
import torch
from eager_graphs import graph_of
from plan_interpreter import run_lowered

from graphwright.ir.loops import Loop, TransposeTile
from graphwright.lower import lower_graph, transposed_nest


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(transposed_nest, "SMALLEST_EXTENT", 4)
    for name in ("LEAST_SIDE", "MOST_ROWS", "MOST_COLUMNS"):
        monkeypatch.setattr(transposed_nest, name, 4)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def statements(body):
    for statement in body:
        yield statement
        if isinstance(statement, Loop):
            yield from statements(statement.body)


def tiles_of(kernel):
    return [item for item in statements(kernel.body) if isinstance(item, TransposeTile)]


CASES = {
    "whole tiles": (lambda x, y: x.t() + y, normal(8, 12), normal(12, 8)),
    "edges": (lambda x, y: x.t() * y, normal(7, 10), normal(10, 7)),
    "two transposed": (
        lambda x, y: (x.t() + y.t().relu()).contiguous(),
        *(normal(9, 5), normal(9, 5, seed=1)),
    ),
    "batched": (lambda x, y: x.transpose(1, 2) + y, normal(3, 5, 6), normal(3, 6, 5)),
    "heads": (lambda x, y: x.permute(0, 2, 3, 1) + y, normal(2, 5, 3, 4), normal(2, 3, 4, 5)),
    "broadcast": (lambda x, y: (x.t() + y).contiguous(), normal(6, 9), normal(9, 1)),
}


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", CASES)
def test_transposed_read_gives_what_eager_gives(name):
    function, *inputs = CASES[name]
    lowered = lower_graph(graph_of(function, *inputs), num_threads=2)

    (actual,) = run_lowered(lowered, inputs)

    torch.testing.assert_close(actual, function(*inputs), check_stride=True)
    assert len(lowered.kernels) == 1
    assert tiles_of(lowered.kernels[0])


def test_small_axes_are_read_as_they_are():
    graph = graph_of(lambda x, y: x.t() + y, normal(3, 40), normal(40, 3))

    (kernel,) = lower_graph(graph, num_threads=2).kernels

    assert not tiles_of(kernel)


@pytest.mark.parametrize("extents", [(2048, 2048), (2000, 1000), (999, 3001)])
def test_tiles_of_large_tensors_are_large_and_leave_little_at_the_edges(extents):
    graph = graph_of(lambda x, y: x.t() + y, normal(*extents), normal(*extents[::-1]))

    (kernel,) = lower_graph(graph, num_threads=2).kernels

    (tile,) = tiles_of(kernel)
    sides = (tile.cols, tile.rows)
    assert tile.rows * tile.cols > transposed_nest.LEAST_SIDE**2
    for extent, side in zip(extents, sides, strict=True):
        assert extent % side <= extent // 20


def test_tiles_of_small_tensors_are_as_many_as_threads_want():
    graph = graph_of(lambda x, y: x.t() + y, normal(512, 512), normal(512, 512))

    (kernel,) = lower_graph(graph, num_threads=16).kernels

    (tile,) = tiles_of(kernel)
    assert (tile.rows, tile.cols) == (64, 64)
