"""Which sizes and ints are symbols, and what they are called."""

from __future__ import annotations

import pytest
import torch

import graphwright as gw
from graphwright.capture import torch_name
from graphwright.ir.program import SymbolBinding
from graphwright.ir.sources import (
    ArgSource,
    AttrSource,
    ClosureSource,
    InstanceDictSource,
    ItemSource,
    KwargSource,
    ModuleDictSource,
    PlainConst,
    TargetSource,
)
from graphwright.pipeline.dynamic import SymbolChoice

X, Y, N = ArgSource(0, "x"), ArgSource(1, "y"), ArgSource(2, "n")


def frames():
    return gw.counters["capture"]["frames"]


def symbols_of(compiled):
    return compiled._compiled_target.entries[-1].program.symbols


def test_names_are_those_of_pytorch():
    choice = SymbolChoice(dynamic=True, earlier=())

    assert choice.dims_of(torch.ones(5, 6), X) == {0: "s77", 1: "s27"}
    assert choice.int_symbol(7, N) == "s86"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (X, "L['x']"),
        (KwargSource("mask"), "L['mask']"),
        (ItemSource(X, PlainConst(2)), "L['x'][2]"),
        (ItemSource(X, PlainConst("key")), "L['x']['key']"),
        (AttrSource(X, "grad"), "L['x'].grad"),
        (ItemSource(InstanceDictSource(TargetSource()), PlainConst("cache")), "L['self'].cache"),
        (ItemSource(ModuleDictSource("m"), PlainConst("TABLE")), "G['TABLE']"),
        (ClosureSource(TargetSource(), 0, "y"), "L['y']"),
    ],
)
def test_source_is_written_as_pytorch_writes_it(source, text):
    assert torch_name(source) == text


def test_sizes_of_zero_and_one_stay_static():
    choice = SymbolChoice(dynamic=True, earlier=())

    assert list(choice.dims_of(torch.ones(1, 3, 0), X)) == [1]
    assert choice.int_symbol(0, N) is None
    assert choice.int_symbol(1, N) is None
    assert choice.int_symbol(-1, N) is not None
    assert choice.int_symbol(2**40, N) is None


def test_parameters_and_module_state_stay_static():
    choice = SymbolChoice(dynamic=True, earlier=())
    table = ItemSource(InstanceDictSource(X), PlainConst("_buffers"))

    assert choice.dims_of(torch.nn.Parameter(torch.ones(3)), X) == {}
    assert choice.dims_of(torch.ones(3), ItemSource(table, PlainConst("mean"))) == {}
    assert choice.dims_of(torch.ones(3), ItemSource(TargetSource(), PlainConst(0))) == {}


def test_equal_sizes_are_one_symbol():
    choice = SymbolChoice(dynamic=True, earlier=())

    assert choice.dims_of(torch.ones(5, 6), X) == {0: "s77", 1: "s27"}
    assert choice.dims_of(torch.ones(6, 5), Y) == {0: "s27", 1: "s77"}


def test_nothing_is_symbolic_when_that_is_asked_for():
    choice = SymbolChoice(dynamic=False, earlier=())

    assert choice.dims_of(torch.ones(5, 6), X) == {}
    assert choice.int_symbol(7, N) is None


def test_size_that_changed_is_symbolic_from_the_second_compile_on():
    compiled = gw.compile(lambda x: x * 2, fullgraph=True)
    before = frames()

    compiled(torch.ones(3, 4))
    assert symbols_of(compiled) == ()
    compiled(torch.ones(5, 4))
    assert symbols_of(compiled) == (SymbolBinding("s77", X, 0),)
    for rows in range(6, 20):
        compiled(torch.ones(rows, 4))
    assert frames() == before + 2

    compiled(torch.ones(7, 9))
    assert [binding.dim for binding in symbols_of(compiled)] == [0, 1]
    for columns in range(10, 20):
        compiled(torch.ones(7, columns))
    assert frames() == before + 3


def test_int_that_changed_is_symbolic_from_the_second_compile_on():
    compiled = gw.compile(lambda x, n: x * n, fullgraph=True)
    x = torch.ones(3)
    before = frames()

    for n in (3, 8, -5, 11, 2**31 - 1):
        assert torch.equal(compiled(x, n), x * n)

    assert frames() == before + 2


def test_sizes_that_changed_together_are_one_symbol_and_others_are_not():
    compiled = gw.compile(lambda x, y, z: (x + y, z * 2), fullgraph=True)

    compiled(torch.ones(3), torch.ones(3), torch.ones(7))
    compiled(torch.ones(5), torch.ones(5), torch.ones(5))

    assert len(symbols_of(compiled)) == 2
    before = frames()
    compiled(torch.ones(6), torch.ones(6), torch.ones(9))
    assert frames() == before


def test_change_of_something_else_leaves_the_sizes_static():
    compiled = gw.compile(lambda x, flag: x * 2 if flag else x * 3, fullgraph=True)

    compiled(torch.ones(3), True)
    compiled(torch.ones(3), False)

    assert symbols_of(compiled) == ()


def test_static_compile_has_a_variant_for_each_size():
    compiled = gw.compile(lambda x: x * 2, fullgraph=True, dynamic=False)
    before = frames()

    for rows in (3, 4, 5, 6):
        compiled(torch.ones(rows))

    assert frames() == before + 4


def test_capture_that_fails_with_symbols_is_made_without():
    def upsample(x):
        return torch.nn.functional.interpolate(x, size=(x.size(2) * 2, 5))

    compiled = gw.compile(upsample, fullgraph=True, dynamic=True)
    before = gw.counters["capture"]["static_again"]

    for size in (3, 4):
        x = torch.randn(1, 2, size, size)
        assert torch.equal(compiled(x), upsample(x))
    assert gw.counters["capture"]["static_again"] == before + 2


def test_user_backend_gets_symbolic_ints_first():
    seen = []

    def backend(graph, example_inputs):
        seen.append(example_inputs)
        return graph.forward

    compiled = gw.compile(
        lambda x, n: x.expand(n, -1) * n, backend=backend, fullgraph=True, dynamic=True
    )
    for n in (6, 4, 9):
        x = torch.randn(1, n + 1)
        assert torch.equal(compiled(x, n), x.expand(n, -1) * n)

    ((number, tensor),) = seen
    assert number == 6
    assert tensor.shape == (1, 7)
