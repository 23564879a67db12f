"""Functions that one factory has made share the key of their programs: of those of the others, nothing is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import graphwright as gw
from graphwright.cache import fresh
from graphwright.pipeline import revival

X = torch.arange(3.0)


class Scale:
    factor = 2.0


class Shift:
    factor = 3.0


def double(x):
    return x * 2


def triple(x):
    return x * 3


def of_cells(kept):
    def program(x):
        return kept(x) if callable(kept) and not isinstance(kept, type) else (x, str(kept))

    return program, ()


def of_defaults(kept):
    def program(x, kept=kept):
        return x + 1, repr(kept)

    return program, ()


def of_keyword_defaults(kept):
    def program(x, *, kept=kept):
        return x + 1, repr(kept)

    return program, ()


def of_arguments(kept):
    def program(x, given):
        return x + 1, repr(given)

    return program, (kept,)


KEPT = [1.5, -0.0, 0.0, 7, True, None, "a", b"a", 2j, (1, 2), (1, "b"), float("nan"), 1 << 80]
OBJECTS = [double, triple, torch.sin, torch.relu, Scale, Shift, len]


@pytest.fixture
def made(monkeypatch) -> list[Any]:
    calls: list[Any] = []
    make = revival.make_entry

    def make_and_note(program, *args, **kwargs):
        calls.append(program)
        return make(program, *args, **kwargs)

    monkeypatch.setattr(revival, "make_entry", make_and_note)
    return calls


def _run(factory, kept) -> str:
    program, args = factory(kept)
    expected = repr(program(X, *args))
    assert repr(gw.compile(program)(X, *args)) == expected
    return expected


@pytest.mark.parametrize("factory", [of_cells, of_defaults, of_keyword_defaults, of_arguments])
def test_constants(factory, made) -> None:
    with fresh(), gw.config.patch(strict=True):
        for kept in KEPT:
            _run(factory, kept)
        tuples = sum(type(kept) is tuple for kept in KEPT)
        assert len(made) <= len(KEPT) * tuples
        made.clear()
        for kept in KEPT:
            _run(factory, kept)
        # each is found, after the tuples that may be in the way
        assert len(KEPT) <= len(made) <= len(KEPT) * (tuples + 1)


@pytest.mark.parametrize("kept", OBJECTS)
def test_objects(kept, made) -> None:
    with fresh(), gw.config.patch(strict=True):
        others = [other for other in OBJECTS if other is not kept]
        for other in others:
            _run(of_cells, other)
        made.clear()
        _run(of_cells, kept)
        assert made == []
        _run(of_cells, kept)
        assert len(made) == 1


def test_tensors(made) -> None:
    tensors = [X, X.double(), X[:2], X[None], torch.ones(2, 3).t(), torch.nn.Buffer(X.int())]

    def program(x):
        return x * 2

    with fresh(), gw.config.patch(strict=True):
        for number in range(2):
            for tensor in tensors:
                compiled = gw.compile(program, dynamic=False)
                assert torch.equal(compiled(tensor), program(tensor))
            assert len(made) == number * len(tensors)
