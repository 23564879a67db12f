"""Nothing that was made for a call outlives it, as in eager: objects go when their last owner does, not when garbage is collected."""

from __future__ import annotations

import contextlib
import gc
import warnings
import weakref
from collections.abc import Iterator

import pytest
import torch

import graphwright as gw


class Holder:
    """An argument."""

    def __init__(self) -> None:
        self.tensor = torch.ones(5)


def plain(held):
    return held.tensor * 2 + 1


def needs_gradients(held):
    return (held.tensor.requires_grad_() * 2).sum()


def mutates(held):
    held.tensor = held.tensor + 1
    held.others = [held.tensor]
    return held.tensor


def drives_a_generator(held):
    def steps():
        for i in range(3):
            yield held.tensor * i

    return sum(steps())


def catches(held):
    try:
        raise ValueError(held)
    except ValueError:
        return held.tensor * 3


def raises(held):
    raise ValueError(held.tensor * 2)


def breaks(held):
    y = held.tensor * 2
    gw.graph_break()
    return y + held.tensor


def breaks_inside(held):
    def inner(x):
        gw.graph_break()
        return x * 2

    return inner(held.tensor) + 1


def breaks_while_it_handles(held):
    try:
        raise ValueError(held)
    except ValueError:
        gw.graph_break()
        return held.tensor * 2


def breaks_then_raises(held):
    y = held.tensor * 2
    gw.graph_break()
    raise ValueError(y, held)


def breaks_while_an_exception_leaves(held):
    try:
        raise ValueError(held)
    finally:
        gw.graph_break()
        held.tensor = held.tensor * 2


def breaks_in_a_generator(held):
    def steps():
        gw.graph_break()
        yield held.tensor

    return next(steps()) * 2


PROGRAMS = (
    plain,
    needs_gradients,
    mutates,
    drives_a_generator,
    catches,
    raises,
    breaks,
    breaks_inside,
    breaks_while_it_handles,
    breaks_then_raises,
    breaks_while_an_exception_leaves,
    breaks_in_a_generator,
)


@pytest.fixture
def without_collection() -> Iterator[None]:
    """Turn the garbage collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "options", [{}, {"fullgraph": True}, {"backend": "aten"}, {"dynamic": True}]
)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.usefixtures("without_collection")
def test_arguments_go_with_their_last_owner(program, options) -> None:
    compiled = gw.compile(program, **options)

    for _ in range(2):
        held = Holder()
        alive = [weakref.ref(held), weakref.ref(held.tensor)]
        with warnings.catch_warnings(), contextlib.suppress(ValueError, gw.errors.Unsupported):
            warnings.simplefilter("ignore")
            compiled(held)
        del held
        assert [one() for one in alive] == [None, None]
