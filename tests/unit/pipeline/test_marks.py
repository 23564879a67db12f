"""Marks: what the user says of one tensor's sizes."""

from __future__ import annotations

import pytest
import torch

import graphwright as gw
from graphwright.cache import fresh
from graphwright.ir.program import SymbolBinding
from graphwright.ir.sources import ArgSource
from graphwright.pipeline.dynamic import SymbolChoice

X = ArgSource(0, "x")


@pytest.fixture(autouse=True)
def fresh_caches():
    """Capture in each test what it asks for: its programs differ from those of other tests in options and marks alone."""
    with fresh():
        yield


def double(x):
    return x * 2


def frames():
    return gw.counters["capture"]["frames"]


def marked(*shape, dim=0, **limits):
    x = torch.randn(*shape)
    gw.mark_dynamic(x, dim, **limits)
    return x


def symbols_of(compiled):
    return compiled._compiled_target.entries[-1].program.symbols


@pytest.mark.parametrize("dynamic", [None, False])
def test_marked_size_is_a_symbol_from_the_first_compile_on(dynamic):
    compiled = gw.compile(double, fullgraph=True, dynamic=dynamic)
    before = frames()

    compiled(marked(5, 3))
    assert symbols_of(compiled) == (SymbolBinding("s77", X, 0),)
    for rows in (6, 7, 8):
        x = torch.randn(rows, 3)
        assert torch.equal(compiled(x), x * 2)

    assert frames() == before + 1


def test_negative_dimension_counts_from_the_last():
    compiled = gw.compile(double, fullgraph=True)

    compiled(marked(5, 3, dim=-1))

    assert symbols_of(compiled) == (SymbolBinding("s27", X, 1),)


def test_range_of_a_marked_size_is_guarded():
    compiled = gw.compile(double, fullgraph=True)
    before = frames()

    compiled(marked(5, 3, min=4, max=8))
    for rows in (4, 8):
        compiled(torch.randn(rows, 3))
    assert frames() == before + 1
    compiled(torch.randn(9, 3))

    assert frames() == before + 2


def test_size_outside_its_own_range_is_refused():
    with pytest.raises(ValueError, match="size 5 of dimension 0"):
        marked(5, 3, max=4)
    with pytest.raises(IndexError):
        gw.maybe_mark_dynamic(torch.ones(2), 1)


def test_program_that_needs_a_marked_size_is_refused():
    def needs_five(x):
        return x + torch.ones(5, 3)

    compiled = gw.compile(needs_five, fullgraph=True)

    with pytest.raises(
        gw.errors.Unsupported, match=r"0 of L\['x'\], that the program needs to be 5"
    ):
        compiled(marked(5, 3))


def test_program_that_needs_a_size_marked_as_perhaps_dynamic_is_compiled_for_it():
    x = torch.randn(5, 3)
    gw.maybe_mark_dynamic(x, 0)
    compiled = gw.compile(lambda x: x + torch.ones(5, 3), fullgraph=True)

    assert torch.equal(compiled(x), x + 1)


def test_static_mark_keeps_a_size_from_being_a_symbol():
    compiled = gw.compile(double, fullgraph=True, dynamic=True)
    x = torch.randn(5, 3)
    gw.mark_static(x, 1)

    compiled(x)
    assert symbols_of(compiled) == (SymbolBinding("s77", X, 0),)

    everything = torch.randn(6, 4)
    gw.mark_static(everything)
    compiled(everything)
    assert symbols_of(compiled) == ()


def test_marked_size_of_a_tensor_behind_a_graph_break(capsys):
    def program(x, y):
        z = x * 2
        print("break")
        return z + y.sum()

    compiled = gw.compile(program)
    for rows in (5, 6, 7):
        y = marked(rows, 3)
        x = torch.randn(2)
        torch.testing.assert_close(compiled(x, y), x * 2 + y.sum())


def test_program_that_ends_before_a_marked_tensor_leaves_its_size_open():
    compiled = gw.compile(double)
    compiled(torch.randn(4, 3))
    choice = SymbolChoice(dynamic=None, earlier=())
    choice.dims_of(marked(5, 3), ArgSource(1, "y"))

    choice.check_demands(compiled._compiled_target.entries[-1].program)

    choice.dims_of(marked(5, 3), X)
    with pytest.raises(gw.errors.Unsupported):
        choice.check_demands(compiled._compiled_target.entries[-1].program)
