"""Pins and digests."""

import collections
import math
import types

import pytest
import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.guards import Guards
from graphwright.ir.code_digest import code_digest
from graphwright.ir.sources import PinKind


def _code(text, filename="a.py"):
    constants = compile(text, filename, "exec").co_consts
    return next(value for value in constants if isinstance(value, types.CodeType))


def test_digest_says_what_code_does_and_not_where_it_stands():
    here = _code("def f(x): return x + 1")
    elsewhere = _code("\n\n\ndef f(x): return x + 1", "b.py")

    assert code_digest(here) == code_digest(elsewhere)


def test_digest_sees_constants_names_and_nested_code():
    texts = [
        "def f(x): return x + 1",
        "def f(x): return x + 1.0",
        "def f(x): return x + True",
        "def f(x): return x.a",
        "def f(x): return x.b",
        "def f(x): return lambda: 1",
        "def f(x): return lambda: 2",
        "def f(x, y=1): return x + 1",
    ]

    assert len({code_digest(_code(text)) for text in texts}) == len(texts)


def test_pin_stands_for_one_object_and_describes_it():
    guards = Guards(lambda: None)

    numbers = [guards.pin(x) for x in (dict, math, len, dict, torch.add, collections.OrderedDict)]

    assert numbers == [0, 1, 2, 0, 3, 4]
    assert guards.live_pins[:3] == [dict, math, len]
    kinds = [pin.kind for pin in guards.pins]
    assert kinds[:3] == [PinKind.CLASS, PinKind.MODULE, PinKind.BUILTIN]
    assert all(guards.pins[i].is_importable for i in (0, 1, 2, 4))


def test_class_of_a_function_is_not_importable():
    class Local:
        pass

    guards = Guards(lambda: None)
    guards.pin(Local)

    assert not guards.pins[0].is_importable


def test_class_that_the_program_made_has_no_pin():
    class Made:
        pass

    class Outer:
        pass

    guards = Guards(lambda: None, {Made})

    for value in (Made, Made()):
        with pytest.raises(Unsupported, match="Made"):
            guards.pin(value)
    assert guards.pin(Outer) == 0
    assert guards.live_pins == [Outer]


def test_pin_of_a_function_is_its_code():
    guards = Guards(lambda: None)
    function = types.FunctionType(_code("def f(x): return x"), {})

    guards.pin(function.__code__)

    assert guards.pins[0].kind is PinKind.FUNCTION
    assert guards.pins[0].digest == code_digest(function.__code__)
