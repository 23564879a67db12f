"""Equal numbers and strings may be one object, or several: a program that asks is told what is so in its call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import graphwright as gw

X = torch.ones(2)


@pytest.fixture(autouse=True)
def strictly() -> Iterator[None]:
    with gw.config.patch(strict=True):
        yield


def _two(text: str) -> tuple[Any, Any]:
    return eval(text), eval(text)


EQUAL = {
    "str": lambda: _two("'-'.join(['a', 'b'])"),
    "int": lambda: _two("int('1234567')"),
    "large int": lambda: _two("int('9' * 30)"),
    "float": lambda: _two("float('1.5')"),
    "nan": lambda: _two("float('nan')"),
    "complex": lambda: _two("complex('1j')"),
    "bytes": lambda: _two("bytes([1, 2])"),
    "tuple": lambda: _two("(1, 'a', float('2'))"),
    "frozenset": lambda: _two("frozenset([1, 2])"),
}

Holder = type("Holder", (), {})


def of_arguments(x, a, b):
    return x + 1 if a is b else x - 1


def negated(x, a, b):
    return x + 1 if a is not b else x - 1


def in_a_list(x, a, b):
    kept = [a, 3]
    return x * 2 if kept[0] is b else x


def by_operator(x, a, b):
    import operator

    return x * 2 if operator.is_(a, b) else x


def of_attributes(x, a, b):
    first, second = Holder(), Holder()
    first.value, second.value = a, b
    return x * 2 if first.value is second.value else x


PROGRAMS = [of_arguments, negated, in_a_list, by_operator, of_attributes]


@pytest.mark.parametrize("kind", EQUAL)
@pytest.mark.parametrize("program", PROGRAMS)
def test_arguments(program: Callable[..., Any], kind: str) -> None:
    one, other = EQUAL[kind]()
    assert one is not other
    for calls in ([(one, one), (one, other), (other, other)], [(one, other), (other, other)]):
        compiled = gw.compile(program)
        for args in calls:
            assert torch.equal(compiled(X, *args), program(X, *args))


@pytest.mark.parametrize("kind", EQUAL)
def test_a_default_that_marks_what_was_not_given(kind: str) -> None:
    default, equal = EQUAL[kind]()

    def program(x, value=default):
        return x if value is default else x * 2

    compiled = gw.compile(program)
    assert [compiled(X).sum(), compiled(X, equal).sum(), compiled(X, default).sum()] == [2, 4, 2]


def test_one_of_several_places_changes() -> None:
    one, other = EQUAL["str"]()
    holders = [Holder() for _ in range(3)]

    def program(x):
        return x * 2 if holders[0].value is holders[1].value is holders[2].value else x

    compiled = gw.compile(program)
    for values in (one, one, one), (one, one, other), (one, other, one), (other, other, other):
        for holder, value in zip(holders, values, strict=True):
            holder.value = value
        assert torch.equal(compiled(X), program(X))


def test_programs_that_do_not_ask_serve_both() -> None:
    one, other = EQUAL["float"]()
    compiled = gw.compile(lambda x, a, b: x + a if a == b else x)
    compiled(X, one, one)
    with gw.set_stance("fail_on_recompile"):
        assert torch.equal(compiled(X, one, other), X + 1.5)
