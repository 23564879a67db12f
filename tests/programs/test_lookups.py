"""Indices that are values: those out of range, and calls that eager refuses, raise what eager raises."""

from __future__ import annotations

import pytest
import torch

import graphwright as gw
from graphwright.base.config import Wrapper
from graphwright.cache import fresh

A = torch.ops.aten
WRAPPERS = (Wrapper.NATIVE, Wrapper.PYTHON)
LOOKUPS = {
    "embedding": lambda x, i: A.embedding(x, i),
    "index_select": lambda x, i: x.index_select(0, i),
    "index_select of columns": lambda x, i: x.index_select(1, i),
    "index": lambda x, i: x[i],
    "index of two axes": lambda x, i: x[i, i],
    "gather": lambda x, i: x.gather(0, i[:, None]),
    "scatter": lambda x, i: x.scatter(0, i[:, None], 1.0),
    "scatter in place": lambda x, i: x.clone().scatter_(0, i[:, None], 1.0),
    "scatter_add": lambda x, i: x.scatter_add(0, i[:, None], x[:2, :1]),
    "scatter_reduce": lambda x, i: x.scatter_reduce(0, i[:, None], x[:2, :1], "amax"),
    "index_add": lambda x, i: x.index_add(0, i, x[:2]),
    "index_add, scaled": lambda x, i: x.index_add(0, i, x[:2], alpha=2),
    "index_copy": lambda x, i: x.index_copy(0, i, x[:2]),
    "index_fill": lambda x, i: x.index_fill(0, i, 1.0),
    "take": lambda x, i: x.take(i),
    "take of a line": lambda x, i: x[0].take(i),
    "put": lambda x, i: A.put(x, i, x[0, :2]),
    "index_reduce": lambda x, i: x.index_reduce(0, i, x[:2], "amax"),
    "index_reduce of new rows": lambda x, i: x.index_reduce(
        0, i, x[:2], "prod", include_self=False
    ),
    "index_reduce by mean": lambda x, i: x.index_reduce(1, i, x[:, :2], "mean"),
    "index_put": lambda x, i: torch.index_put(x, (i,), x[:2], accumulate=True),
}
REFUSED = {
    "another dtype": lambda x, i: x.scatter(0, i[:, None], x[:2].double()),
    "another dtype, narrow": lambda x, i: x.bfloat16().scatter_add(0, i[:, None], x[:2]),
    "fewer updates than indices": lambda x, i: x.scatter_add(0, i[:, None], x[:1]),
    "indices with an axis less": lambda x, i: x.gather(0, i),
    "indices past other axes": lambda x, i: x.gather(0, i.repeat(2)[None]),
    "a slice too few": lambda x, i: x.index_add(0, i, x[:1]),
    "slices of another size": lambda x, i: x.index_copy(0, i, x[:2, :2]),
    "int32 where eager wants int64": lambda x, i: x.index_fill(0, i.int(), 1.0),
    "values that do not broadcast": lambda x, i: torch.index_put(x, (i,), x[:3]),
    "too many indices": lambda x, i: A.index(x, [i, i, i]),
    "rows for other indices": lambda x, i: A.embedding_dense_backward(x[:3], i, 4, -1, False),
}


@pytest.fixture(autouse=True)
def strict():
    with fresh(), gw.config.patch(strict=True):
        yield


def outcome(function, *args):
    """Give the result, or the exception, as text."""
    try:
        return str(function(*args))
    except (IndexError, RuntimeError) as error:
        return repr(error)


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", LOOKUPS)
def test_indices_out_of_range_raise_what_eager_raises(name, wrapper):
    x = torch.randn(4, 3)
    with gw.config.patch(wrapper=wrapper):
        compiled = gw.compile(LOOKUPS[name], fullgraph=True)

        for index in (1, 2, 4, 7, 12, -1, -5, -13, 0):
            places = torch.tensor([0, index])
            assert outcome(compiled, x, places) == outcome(LOOKUPS[name], x, places)


@pytest.mark.parametrize("name", REFUSED)
def test_what_eager_refuses_is_refused(name):
    x, places = torch.randn(4, 3), torch.tensor([0, 1])
    expected = outcome(REFUSED[name], x, places)
    assert "Error(" in expected

    assert outcome(gw.compile(REFUSED[name]), x, places) == expected


def test_what_comes_before_a_wrong_index_has_happened():
    def program(x, places):
        x.add_(1)
        y = x.index_select(0, places)
        x.mul_(2)
        return y

    x, mine = torch.zeros(4), torch.zeros(4)
    places = torch.tensor([9])
    assert "Error(" in outcome(program, x, places)

    assert outcome(gw.compile(program), mine, places) == outcome(program, torch.zeros(4), places)


def test_gradients_of_lookups_are_scattered():
    def loss(weight, places):
        return (torch.embedding(weight, places) * 2).sin().sum() + weight.gather(
            0, places[:, None]
        ).sum()

    weight, places = torch.randn(7, 5), torch.tensor([3, 1, 3, 0])
    expected = weight.clone().requires_grad_()
    loss(expected, places).backward()

    actual = weight.clone().requires_grad_()
    gw.compile(loss, fullgraph=True)(actual, places).backward()

    torch.testing.assert_close(actual.grad, expected.grad)


def test_gradients_of_values_written_by_a_mask_count_on_no_other_number_than_eager_takes():
    def write(x, mask, values):
        return torch.index_put(x, (mask,), values)

    x, mask = torch.randn(4, 3), torch.tensor([True, False, True, False])
    two, three = (torch.randn(number, 3, requires_grad=True) for number in (2, 3))
    compiled = gw.compile(write, fullgraph=True)
    compiled(x, mask, two).sum().backward()

    assert torch.equal(two.grad, torch.ones(2, 3))
    assert outcome(compiled, x, mask, three) == outcome(write, x, mask, three)
