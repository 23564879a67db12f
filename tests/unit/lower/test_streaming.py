"""Results that are written past the caches lie right, wherever the memory begins that they are written to."""

from __future__ import annotations

import pytest
import torch
from eager_graphs import graph_of

import graphwright as gw
from graphwright.lower import kernels, lower_graph

PROGRAMS = {
    "add": lambda x: x.add_(1),
    "rows": lambda x: x.mul_(x[:1] + 2),
    "columns": lambda x: x.sub_(x[:, :1] * 2),
    "softmax": lambda x: x.copy_(x.softmax(1)),
    "transposed": lambda x: x.copy_(x.flip(0).t().contiguous().t() + 1),
    "halves": lambda x: torch.cat([x.sin(), x.cos()], 1),
    "stacked": lambda x: torch.stack([x + 1, x * 2], 2),
    "product": lambda x: x.addmm_(x[:, :4] + 0.0, x[:4] + 1.0),
}
SHAPES = ((7, 19), (5, 40), (33, 33), (4, 128))


@pytest.fixture(autouse=True)
def _always_streams(monkeypatch):
    monkeypatch.setattr(kernels, "STREAMED_BYTES", 0)


@pytest.mark.parametrize("begin", [0, 1, 3, 8, 16])
@pytest.mark.parametrize("name", PROGRAMS)
def test_memory_of_the_caller_may_begin_anywhere(name, begin):
    program = PROGRAMS[name]
    compiled = gw.compile(lambda x: program(x))

    for rows, columns in SHAPES:
        values = torch.randn(rows * columns + begin)
        one, other = (values.clone()[begin:].view(rows, columns) for _ in range(2))
        expected, found = program(one), compiled(other)

        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(other, one)


def test_only_fresh_memory_is_known_to_be_aligned():
    x = torch.randn(4, 64)
    fresh = lower_graph(graph_of(lambda x: x.sin() + x[0], x), num_threads=1)
    written = lower_graph(graph_of(lambda x: (x.sin() + 1,), x, mutated={0: 0}), num_threads=1)

    assert [param.align_bytes for param in fresh.kernels[0].params] == [0, 64]
    assert [param.align_bytes for param in written.kernels[0].params] == [0] * len(
        written.kernels[0].params
    )
