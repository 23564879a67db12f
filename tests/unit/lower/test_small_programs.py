"""Small programs, lowered and interpreted, against eager."""

import pytest
import torch
from eager_graphs import graph_of
from plan_interpreter import run_lowered

import graphwright as gw
from graphwright.lower import lower_graph


def check(function, *inputs, num_threads=2, **tolerance):
    graph = graph_of(function, *inputs)
    lowered = lower_graph(graph, num_threads=num_threads)
    expected = function(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    actual = run_lowered(lowered, list(inputs))
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True, check_stride=True, **tolerance)
    return lowered


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def softmax_parts(x):
    shifted = x - x.amax(1, keepdim=True)
    e = shifted.exp()
    return e / e.sum(1, keepdim=True)


PROGRAMS = {
    "chain": lambda x: (x * 2 + 1).relu().sin(),
    "two outputs": lambda x: (x + 1, x * 3),
    "broadcast": lambda x: x + x[0] * x[:, :1],
    "transposed": lambda x: x.t() + 1,
    "sum of transposed": lambda x: x[:5].t() + x[:, :5],
    "row sum": lambda x: x.sum(1),
    "column sum": lambda x: x.sum(0),
    "full sum": lambda x: x.sum(),
    "mean keepdim": lambda x: x - x.mean(1, keepdim=True),
    "softmax": softmax_parts,
    "softmax of columns": lambda x: softmax_parts(x.t()).t(),
    "max and index": lambda x: x.max(1),
    "min and index of columns": lambda x: x.min(0),
    "argmax of all": lambda x: x.argmax(),
    "cat": lambda x: torch.ops.aten.cat([x, x * 2, x[:, :3]], 1) + 1,
    "cat rows": lambda x: torch.ops.aten.cat([x, x * 2], 0),
    "pad": lambda x: torch.ops.aten.constant_pad_nd(x, [1, 2, 0, 3], 5.0) * 2,
    "slice and select": lambda x: x[1:4, 2:] + x[2, 2:],
    "matmul": lambda x: torch.mm(x.relu(), (x + 1).t()) * 2,
    "flip": lambda x: torch.ops.aten.flip(x, [1]),
    "repeat": lambda x: x.repeat(2, 3) + 1,
    "arange": lambda x: x + torch.ops.aten.arange(x.shape[1]),
    "triangle": lambda x: torch.ops.aten.tril(x, 1),
    "reshape": lambda x: (x + 1).view(-1) * 2,
    "view through": lambda x: (x + 1).view(5, 3, 4).permute(2, 0, 1) * 2,
    "gather": lambda x: torch.ops.aten.index(x, [torch.ops.aten.arange(3) * 2]),
    "unused": lambda x: (x.exp(), x + 1)[1],
    "nothing": lambda x: x[:0] + 1,
    "sum of nothing": lambda x: x[:, :0].sum(1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_gives_what_eager_gives(name):
    check(PROGRAMS[name], normal(5, 12) if "sum of transposed" not in name else normal(12, 12))


def test_long_chain_is_one_kernel_that_stores_only_the_result():
    def program(x):
        for number in range(300):
            x = torch.sin(x) + number
        return x

    lowered = check(program, normal(4, 16))

    (kernel,) = lowered.kernels
    assert len(kernel.params) == 2


def test_arange_of_fractions_is_rounded_once():
    def program(x):
        return x + torch.arange(2.1, -2.9, -1.0)

    exact = torch.arange(2.1, -2.9, -1.0, dtype=torch.float64)

    assert torch.equal(gw.compile(program, fullgraph=True)(torch.zeros(5)), exact.float())
