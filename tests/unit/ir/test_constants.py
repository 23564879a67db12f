"""Constants become data and come back as what they were."""

import enum
import math

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphwright.base.errors import InternalError
from graphwright.ir.constants import is_same_constant, make_constant, make_object
from graphwright.ir.sources import Constant, EnumConst

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(),
    st.just(...),
    st.just(NotImplemented),
    st.sampled_from([torch.float32, torch.bool, torch.strided, torch.channels_last]),
    st.sampled_from(
        [torch.device("cpu"), torch.device("meta"), torch.Size([]), torch.Size([2, 3])]
    ),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5)),
)
CONSTANTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.builds(slice, inner, inner, inner),
        st.frozensets(st.one_of(st.integers(), st.text(), st.floats()), max_size=3),
    ),
    max_leaves=8,
)


class Color(enum.Enum):
    RED = 1


def pin(cls):
    raise AssertionError(cls)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(CONSTANTS)
def test_constant_survives_encoding(value):
    data = msgspec.msgpack.encode(make_constant(value, pin))

    made = make_object(msgspec.msgpack.decode(data, type=Constant), ())

    assert is_same_constant(made, value)
    assert type(made) is type(value)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(CONSTANTS, CONSTANTS)
def test_same_constants_are_equal_data(left, right):
    is_same = make_constant(left, pin) == make_constant(right, pin)

    assert is_same_constant(left, right) == is_same


def test_enum_member_is_found_in_its_pinned_class():
    constant = make_constant(Color.RED, lambda cls: [Color].index(cls))

    assert constant == EnumConst(0, "RED")
    assert make_object(constant, [Color]) is Color.RED
    with pytest.raises(InternalError, match="enum"):
        make_object(constant, [None])


def test_sign_of_nan_is_kept():
    made = make_object(make_constant(-math.nan, pin), ())

    assert math.isnan(made)
    assert math.copysign(1, made) == -1


@pytest.mark.parametrize(
    "value", [[], {}, set(), object(), torch.zeros(1), type("I", (int,), {})(3)]
)
def test_what_has_an_identity_is_no_constant(value):
    with pytest.raises(TypeError):
        make_constant(value, pin)
