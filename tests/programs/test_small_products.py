"""Products of small matrices and of integers in compiled programs: values, gradients, and no call of a library."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw
from graphwright.base.counters import counters
from graphwright.cache import fresh

INTEGERS = (torch.int64, torch.uint8)
PRODUCTS = {
    "matrices": lambda a, b, v, w: a @ b,
    "many matrices": lambda a, b, v, w: a.expand(7, 4, 5) @ b.expand(7, 5, 3),
    "sums": lambda a, b, v, w: torch.addmm(w, a, b, beta=2, alpha=3),
    "without the addend": lambda a, b, v, w: torch.addmm(w, a, b, beta=0),
    "vector": lambda a, b, v, w: a @ v,
    "sum with vector": lambda a, b, v, w: torch.addmv(a[:, 0], a, v, beta=2, alpha=3),
    "vectors": lambda a, b, v, w: torch.dot(v, b[:, 1]),
    "outer product": lambda a, b, v, w: torch.addr(b, v, w, beta=2, alpha=3),
}


@pytest.fixture(autouse=True)
def strict():
    with fresh(), gw.config.patch(strict=True):
        yield


def num_calls():
    return counters["codegen"]["extern_calls"]


def operands(dtype, *, is_transposed):
    torch.manual_seed(0)
    shapes = ((4, 5), (3, 5) if is_transposed else (5, 3), (5,), (3,))
    a, b, v, w = (torch.randn(shape).mul(9).to(dtype) for shape in shapes)
    return a, b.t() if is_transposed else b, v, w


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, *INTEGERS])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_eagers(name, dtype, is_transposed):
    args, before = operands(dtype, is_transposed=is_transposed), num_calls()

    actual = gw.compile(PRODUCTS[name], fullgraph=True)(*args)

    torch.testing.assert_close(actual, PRODUCTS[name](*args), check_stride=True)
    assert num_calls() == before


@pytest.mark.parametrize("name", PRODUCTS)
def test_integers_wrap_around(name):
    args = [arg * 2**61 + 1 for arg in operands(torch.int64, is_transposed=False)]

    assert torch.equal(gw.compile(PRODUCTS[name])(*args), PRODUCTS[name](*args))


def test_gradients_of_a_small_network_need_no_library():
    def loss(x, first, second):
        return F.linear(F.relu(F.linear(x, first)), second).square().sum()

    x, weights = torch.randn(6, 8), (torch.randn(8, 8), torch.randn(2, 8))
    before = num_calls()
    found = []
    for function in (loss, gw.compile(loss, fullgraph=True)):
        first, second = (weight.clone().requires_grad_() for weight in weights)
        function(x, first, second).backward()
        found.append((first.grad, second.grad))

    torch.testing.assert_close(*found)
    assert num_calls() == before


def test_sizes_may_change():
    def product(x, weight):
        return torch.tanh(x @ weight)

    compiled = gw.compile(product, fullgraph=True, dynamic=True)
    for rows, depth, cols in ((3, 4, 2), (1, 4, 2), (5, 1, 1), (0, 4, 2), (40, 30, 20)):
        x, weight = torch.randn(rows, depth), torch.randn(depth, cols)
        torch.testing.assert_close(compiled(x, weight), product(x, weight))
