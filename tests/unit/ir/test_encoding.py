"""Plans and programs are bytes and back; damage is told."""

import pytest

from graphwright.base.errors import InternalError
from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.encoding import (
    decode_plan,
    decode_program,
    encode_plan,
    encode_program,
    structural_hash,
)
from graphwright.ir.plan import Buffer, InputOutput, InputPlace, Plan
from graphwright.ir.plan_text import render_plan, verify_plan
from graphwright.ir.program import CallPattern, Program
from graphwright.ir.program_text import verify_program
from graphwright.ir.recipes import FromOutput
from graphwright.ir.sources import ArgSource

META = TensorMeta(DType.FLOAT32, (2,), (1,))


def make_plan(index=0):
    buffers = (Buffer(DType.FLOAT32, (2,), (1,), 8, InputPlace(0)),)
    return Plan((META,), (), buffers, (), (), (InputOutput(index),), (), 0)


def make_program(**changes):
    fields = {
        "name": "f",
        "pattern": CallPattern(1),
        "pins": (),
        "guards": (),
        "symbols": (),
        "inputs": (ArgSource(0, "x"),),
        "graph": AtenGraph((META,), (), (), ()),
        "built": (),
        "result": FromOutput(0),
    }
    return Program(**{**fields, **changes})


def test_plan_and_program_survive():
    assert decode_plan(encode_plan(make_plan())) == make_plan()
    assert decode_program(encode_program(make_program())) == make_program()


@pytest.mark.parametrize("decode", [decode_plan, decode_program])
@pytest.mark.parametrize(
    "data", [b"", b"\x93\x01", b"not msgpack at all", encode_plan(make_plan())[:-3]]
)
def test_damaged_bytes_are_refused(decode, data):
    with pytest.raises(InternalError, match="hold no"):
        decode(data)


def test_hash_tells_data_apart():
    assert structural_hash(make_plan()) == structural_hash(decode_plan(encode_plan(make_plan())))
    assert structural_hash(make_plan()) != structural_hash(make_plan(index=1))


def test_faults_of_a_plan_are_listed_with_its_text():
    with pytest.raises(InternalError) as raised:
        verify_plan(make_plan(index=3))

    assert "output 0 names input 3 of 1" in str(raised.value)
    assert render_plan(make_plan(index=3)) in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"inputs": ()}, "0 sources for 1 graph inputs"),
        ({"inputs": (ArgSource(4, "x"),)}, "argument 4 of 1"),
        ({"result": FromOutput(7)}, "output 7 of 0"),
        ({"graph": AtenGraph((META,), ("s0",), (), ())}, "size symbol s0 is bound nowhere"),
    ],
)
def test_faults_of_a_program_are_listed(changes, fault):
    with pytest.raises(InternalError) as raised:
        verify_program(make_program(**changes))

    assert fault in str(raised.value)
