"""Division of integers in own code: values, and the zero that eager refuses."""

from __future__ import annotations

import pytest
import torch

import graphwright as gw
from graphwright.base.config import Wrapper
from graphwright.base.counters import counters
from graphwright.cache import fresh
from graphwright.pipeline import collect_observers

U8, I8, I32, I64 = torch.uint8, torch.int8, torch.int32, torch.int64
DTYPES = ((I64, I64), (I32, I32), (U8, U8), (I8, I8), (U8, I8), (I32, I64), (I64, U8))
DIVISIONS = {
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "fmod": torch.fmod,
    "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
    "floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "remainder of a number": lambda x, y: 7 % y,
}
SHAPES = (((5, 6), (6,)), ((4,), ()), ((), ()), ((0,), (1,)), ((3, 1), (3,)))


@pytest.fixture(autouse=True)
def strict():
    with fresh(), gw.config.patch(strict=True):
        yield


def num_calls():
    return counters["codegen"]["extern_calls"]


def outcome(function, *args):
    try:
        return function(*args).tolist()
    except RuntimeError as error:
        return repr(error)


@pytest.mark.parametrize(("left", "right"), DTYPES)
@pytest.mark.parametrize("name", DIVISIONS)
def test_quotients_are_eagers(name, left, right):
    function = DIVISIONS[name]
    compiled = gw.compile(function, fullgraph=True, dynamic=False)
    left_shape, right_shape = SHAPES[0]
    x = torch.randint(-100, 100, left_shape).to(left)
    y = (torch.randint(1, 9, right_shape) * torch.tensor([1, -1, 1, -1, 1, -1])).to(right)
    before = num_calls()

    actual, expected = compiled(x, y), function(x, y)

    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert torch.equal(actual, expected)
    assert num_calls() == before


@pytest.mark.parametrize(
    ("wrapper", "shapes"),
    [(Wrapper.PYTHON, SHAPES[0]), *((Wrapper.NATIVE, shapes) for shapes in SHAPES)],
)
@pytest.mark.parametrize("name", DIVISIONS)
def test_zero_raises_what_eager_raises(name, shapes, wrapper):
    function = DIVISIONS[name]
    x, y = torch.full(shapes[0], 9), torch.full(shapes[1], 4)
    with gw.config.patch(wrapper=wrapper):
        compiled = gw.compile(function, fullgraph=True)
        for divisor in (y, y * 0, -y):
            assert outcome(compiled, x, divisor) == outcome(function, x, divisor)


def test_divisor_that_wraps_to_zero_is_refused():
    x, y = torch.tensor([7, 9], dtype=torch.int8), torch.tensor(256)
    compiled = gw.compile(DIVISIONS["remainder"], fullgraph=True)

    assert outcome(compiled, x, y) == outcome(DIVISIONS["remainder"], x, y)
    assert outcome(compiled, x, y + 5) == [2, 4]


def test_nothing_is_written_where_a_zero_is_refused():
    def program(x, y):
        x.add_(1)
        x.remainder_(y)
        return x * 2

    for function in (program, gw.compile(program, fullgraph=True)):
        x = torch.tensor([5, 6])
        assert "ZeroDivisionError" in outcome(function, x, torch.tensor([2, 0]))
        assert outcome(function, torch.tensor([5, 6]), torch.tensor([4, 4])) == [4, 6]


def test_places_of_flat_indices_are_one_kernel():
    shape = (4, 5, 6)
    flat = torch.randint(4 * 5 * 6, (50,))

    def places(flat):
        return torch.unravel_index(flat, shape)

    before = num_calls()
    actual = gw.compile(places, fullgraph=True)(flat)

    assert all(map(torch.equal, actual, places(flat)))
    assert num_calls() == before


def test_divisors_known_not_to_be_zero_are_not_checked():
    def buckets(x):
        widths = torch.arange(1, 9)
        return x // widths + x % (widths.clamp(max=3) + 2)

    def quotient(x, y):
        return x // y

    x, y = torch.randint(-50, 50, (6, 8)), torch.arange(1, 9)
    for function, args, is_checked in ((buckets, (x,), False), (quotient, (x, y), True)):
        with collect_observers("plan") as seen:
            assert torch.equal(gw.compile(function, fullgraph=True)(*args), function(*args))
        plans = [artifact.text for observer in seen for artifact in observer.artifacts]
        assert any("check_lookup" in plan for plan in plans) == is_checked
