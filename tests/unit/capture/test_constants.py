"""Constants: what is one, and as what data."""

import enum
import struct

import pytest
import torch

from graphwright.capture.constants import is_constant, make_constant
from graphwright.ir.sources import (
    BigIntConst,
    EnumConst,
    FloatConst,
    FrozensetConst,
    PlainConst,
    TorchConst,
    TorchConstKind,
    TupleConst,
)


class Color(enum.Enum):
    RED = 1


CONSTANTS = [
    None,
    True,
    3,
    2**70,
    -0.0,
    float("nan"),
    1j,
    "text",
    b"bytes",
    range(3),
    ...,
    NotImplemented,
    torch.float32,
    torch.device("cpu"),
    torch.strided,
    torch.channels_last,
    torch.Size([2, 3]),
    (1, ("a", None)),
    frozenset({1, 2}),
    slice(1, None, 2),
    Color.RED,
]


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_constant_is_one_and_becomes_hashable_data(value):
    made = make_constant(value, lambda kind: 7)

    assert is_constant(value)
    assert hash(made) == hash(make_constant(value, lambda kind: 7))


@pytest.mark.parametrize(
    "value",
    [[], {}, object(), ([],), torch.ones(1), len],
    ids=["list", "dict", "object", "tuple of a list", "tensor", "function"],
)
def test_object_of_identity_is_no_constant(value):
    assert not is_constant(value)


def test_nothing_but_constants_becomes_data():
    with pytest.raises(TypeError, match="object is no constant"):
        make_constant(object(), lambda kind: 0)


def test_values_that_python_calls_equal_stay_apart():
    values = [1, 1.0, True, -0.0, 0.0, (1,), (1.0,)]

    assert len({repr(make_constant(value, lambda kind: 0)) for value in values}) == len(values)


def test_nan_keeps_its_sign():
    negative = struct.unpack("d", struct.pack("Q", 0xFFF8000000000000))[0]

    assert make_constant(float("nan"), id) == FloatConst("nan")
    assert make_constant(negative, id) == FloatConst("-nan")


def test_constants_become_the_expected_data():
    assert make_constant(2**63, id) == BigIntConst(str(2**63))
    assert make_constant(2**63 - 1, id) == PlainConst(2**63 - 1)
    assert make_constant((1, "a"), id) == TupleConst((PlainConst(1), PlainConst("a")))
    assert make_constant(torch.bfloat16, id) == TorchConst(TorchConstKind.DTYPE, "bfloat16")
    assert make_constant(torch.Size([2]), id) == TorchConst(TorchConstKind.SIZE, "2")
    assert make_constant(Color.RED, lambda kind: 4) == EnumConst(4, "RED")


def test_frozensets_become_equal_data_in_any_order():
    one, other = frozenset([1, 9, 17]), frozenset([17, 9, 1])

    assert make_constant(one, id) == make_constant(other, id)
    assert isinstance(make_constant(one, id), FrozensetConst)
