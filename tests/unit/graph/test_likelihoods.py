"""Losses of classes and their gradients against the ops that they stand for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from eager_graphs import graph_of

from graphwright.graph import execute
from graphwright.graph.decompositions import decompositions
from graphwright.graph.decomps.likelihoods import LIKELIHOODS
from graphwright.ir.lookups import CHECK_LOOKUP

A = torch.ops.aten
NONE, MEAN, SUM = 0, 1, 2
NARROW = (torch.float16, torch.bfloat16)
NAN, INF = float("nan"), float("inf")


def drawn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def classes(*shape, of):
    return torch.randint(of, shape, generator=torch.Generator().manual_seed(1))


ITEMS = {
    "rows": (drawn(7, 5), classes(7, of=5)),
    "columns": (drawn(5, 7).t(), classes(14, of=5)[::2]),
    "one row": (drawn(1, 5), classes(1, of=5)),
    "one class": (drawn(4, 1), classes(4, of=1)),
    "no batch": (drawn(5), classes(of=5)),
    "images": (drawn(2, 5, 3, 4), classes(2, 3, 4, of=5)),
    "images, targets turned": (drawn(2, 5, 3, 4), classes(4, 3, 2, of=5).permute(2, 1, 0)),
    "channels last": (drawn(2, 3, 4, 5).permute(0, 3, 1, 2), classes(2, 3, 4, of=5)),
}
IGNORED = {"none": -100, "one class": 0, "all": 3}


def forward(x, target, weight, reduction, ignored):
    op = A.nll_loss2d_forward if x.ndim == 4 else A.nll_loss_forward
    return op(x, target, weight, reduction, ignored)


def backward(gradient, x, target, weight, reduction, ignored, total):
    op = A.nll_loss2d_backward if x.ndim == 4 else A.nll_loss_backward
    return op(gradient, x, target, weight, reduction, ignored, total)


def case(name, ignored, dtype, *, is_weighted):
    x, target = ITEMS[name]
    ignored = IGNORED[ignored]
    target = torch.full_like(target, ignored) if ignored == 3 else target
    weight = drawn(x.shape[min(x.ndim - 1, 1)], dtype=dtype, seed=2).abs()
    return x.to(dtype), target, weight if is_weighted else None, ignored


def decomposed(function: Any, *inputs: torch.Tensor) -> tuple[list[torch.Tensor], bool]:
    """Give what the decomposition gives, and whether the op is gone."""
    graph = decompositions(graph_of(function, *inputs))
    return execute(graph, inputs), not {node.op for node in graph.nodes} & LIKELIHOODS.keys()


def same_bits(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    return (
        got.stride() == wanted.stride()
        and torch.equal(got, wanted)
        and torch.equal(got.signbit(), wanted.signbit())
    )


CASES = list(itertools.product(ITEMS, IGNORED, (False, True)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *NARROW])
@pytest.mark.parametrize("reduction", [NONE, MEAN, SUM])
def test_loss_is_that_of_the_op(reduction, dtype):
    for name, ignored, is_weighted in CASES:
        x, target, weight, number = case(name, ignored, dtype, is_weighted=is_weighted)

        def loss(x, target, reduction=reduction, weight=weight, number=number):
            return forward(x, target, weight, reduction, number)

        got, is_gone = decomposed(loss, x, target)
        wanted = loss(x, target)

        is_sum = reduction != NONE or x.ndim == 1
        assert is_gone is not (is_sum and dtype in NARROW)
        torch.testing.assert_close(got, list(wanted), equal_nan=True, check_stride=True)
        assert is_sum or all(map(same_bits, got, wanted))


@pytest.mark.parametrize("dtype", [torch.float32, *NARROW])
@pytest.mark.parametrize("reduction", [NONE, MEAN, SUM])
def test_gradient_is_that_of_the_op_to_the_bit(reduction, dtype):
    for name, ignored, is_weighted in CASES:
        x, target, weight, number = case(name, ignored, dtype, is_weighted=is_weighted)
        if name == "channels last":
            continue  # which eager refuses
        is_each = reduction == NONE and x.ndim > 1
        gradient = drawn(*(target.shape if is_each else ()), dtype=dtype, seed=3)
        total = drawn(dtype=dtype, seed=4).abs()

        def slope(g, x, t, total, reduction=reduction, weight=weight, number=number):
            return backward(g, x, t, weight, reduction, number, total)

        (got,), is_gone = decomposed(slope, gradient, x, target, total)

        assert is_gone
        assert same_bits(got, slope(gradient, x, target, total))


@pytest.mark.parametrize("value", [0.0, -0.0, INF, NAN])
def test_gradient_stays_at_the_targets(value):
    x, target = drawn(3, 4), torch.tensor([1, -100, 3])

    def slope(g, x, t):
        return A.nll_loss_backward(g, x, t, None, SUM, -100, torch.zeros(()))

    (got,), _ = decomposed(slope, torch.tensor(value), x, target)

    wanted = slope(torch.tensor(value), x, target)
    assert torch.equal(got.signbit(), wanted.signbit())
    torch.testing.assert_close(got, wanted, equal_nan=True)


def test_nothing_of_an_ignored_item_counts():
    x, target = drawn(3, 4), torch.tensor([1, 0, 3])
    x[1], weight = NAN, torch.tensor([NAN, 1.0, 1.0, 2.0])

    got, _ = decomposed(lambda x, t, w: A.nll_loss_forward(x, t, w, MEAN, 0), x, target, weight)

    assert all(one.isfinite() for one in got)
    torch.testing.assert_close(got, list(A.nll_loss_forward(x, target, weight, MEAN, 0)))


X, TARGET = drawn(3, 4), torch.tensor([1, 2, 3])
KEPT = {
    "bytes": (lambda x, t: A.nll_loss_forward(x, t, None, MEAN, -100), X, TARGET.byte()),
    "no items": (lambda x, t: A.nll_loss_forward(x, t, None, MEAN, -100), X[:0], TARGET[:0]),
    "no image": (
        lambda x, t: A.nll_loss2d_forward(x, t, None, MEAN, -100),
        *(drawn(0, 4, 2, 2), classes(0, 2, 2, of=4)),
    ),
    "no places": (
        lambda g, x, t: A.nll_loss_backward(g, x, t, None, NONE, -100, torch.zeros(())),
        *(torch.ones(0), X[:0], TARGET[:0]),
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_rare_stays_as_it_is(name):
    function, *inputs = KEPT[name]

    got, is_gone = decomposed(function, *inputs)

    wanted = function(*inputs)
    assert not is_gone
    torch.testing.assert_close(
        got, list(wanted) if isinstance(wanted, tuple) else [wanted], equal_nan=True
    )


IMAGES = (drawn(2, 4, 3, 3), classes(2, 3, 3, of=4))
ROWS = (X, TARGET)
LOSSES = {
    f"{name}, {reduction}": (lambda x, t, r=reduction: (forward(x, t, None, r, 3)[0],), *given)
    for (name, given), reduction in itertools.product(
        {"rows": ROWS, "images": IMAGES, "no batch": (X[0], TARGET[0])}.items(), (NONE, MEAN, SUM)
    )
}
GRADIENTS = {
    f"gradient of {name}, {reduction}": (
        lambda x, t, r=reduction: (backward(torch.ones(()), x, t, None, r, 3, torch.ones(())),),
        *given,
    )
    for (name, given), reduction in itertools.product(
        {"rows": ROWS, "images": IMAGES, "no batch": (X[0], TARGET[0])}.items(), (MEAN, SUM)
    )
}
CHECKED = LOSSES | GRADIENTS


def outcome(function, *args):
    try:
        return function(*args)
    except IndexError as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", CHECKED)
def test_target_that_is_no_class_raises_what_the_op_raises(name):
    function, x, target = CHECKED[name]
    graph = decompositions(graph_of(function, x, target))
    assert [node.op for node in graph.nodes].count(CHECK_LOOKUP) == 1

    for number in (4, 3, -1, -100, 2**40):  # of which 3 is ignored
        wrong = target.clone()
        wrong.view(-1)[-1] = number
        wanted = outcome(function, x, wrong)

        got = outcome(lambda wrong=wrong: tuple(execute(graph, [x, wrong])))

        if number == 3:
            torch.testing.assert_close(got, wanted, equal_nan=True)
        else:
            assert got == wanted == (IndexError, f"Target {number} is out of bounds.")


def test_gradient_of_each_row_at_a_target_that_is_no_class_is_nowhere():
    """Eager writes to whatever memory that would be."""
    target = torch.tensor([1, 9, -3])

    def slope(g, x, t):
        return A.nll_loss_backward(g, x, t, None, NONE, -100, torch.zeros(()))

    graph = decompositions(graph_of(slope, torch.ones(3), X, TARGET))
    (got,) = execute(graph, [torch.ones(3), X, target])

    assert got[0].tolist() == [0, -1, 0, 0]
    assert not got[1:].any()
