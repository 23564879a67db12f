"""What depends on frozen inputs alone is cut off, and the two parts give what the whole gives."""

from __future__ import annotations

import weakref

import pytest
import torch

from graphwright.graph import execute, freeze, run_fold
from graphwright.ir.aten import AtenGraph, ConstantTensor
from graphwright.ir.aten_text import parse_graph, render_graph
from graphwright.ir.aten_verify import verify_graph

NORM = """
graph(%0: f32[3, 4] = [4, 1], %1: f32[4] = [1] grad, %2: f32[4] = [1]):
  %3: f32[4] = [1] = aten.add.Tensor(%2, 0.5)
  %4: f32[4] = [1] = aten.rsqrt.default(%3)
  %5: f32[4] = [1] = aten.mul.Tensor(%4, %1)
  %6: f32[1, 4] = [4, 1] = aten.unsqueeze.default(%5, 0)
  %7: f32[3, 4] = [4, 1] = aten.mul.Tensor(%0, %6)
  return (%7: f32[3, 4] = [4, 1])
"""
NORM_REST = """
graph(%0: f32[3, 4] = [4, 1], %1: f32[4] = [1] grad, %2: f32[4] = [1]):
  constant %3: f32[4] = [1] folded 0
  %4: f32[1, 4] = [4, 1] = aten.unsqueeze.default(%3, 0)
  %5: f32[3, 4] = [4, 1] = aten.mul.Tensor(%0, %4)
  return (%5: f32[3, 4] = [4, 1])
"""
NORM_FOLD = """
graph(%0: f32[4] = [1] grad, %1: f32[4] = [1]):
  %2: f32[4] = [1] = aten.add.Tensor(%1, 0.5)
  %3: f32[4] = [1] = aten.rsqrt.default(%2)
  %4: f32[4] = [1] = aten.mul.Tensor(%3, %0)
  return (%4: f32[4] = [1])
"""
WRITTEN = """
graph(%0: f32[4] = [1], %1: f32[4] = [1]):
  %2: f32[4] = [1] = aten.sin.default(%1)
  write %1 = %2
  return (%2: f32[4] = [1])
"""
DRAWN = """
graph(%0: f32[4] = [1], %1: f32[4] = [1]):
  %2: f32[4] = [1] = aten.bernoulli.p(%1, 0.5)
  %3: f32[4] = [1] = aten.mul.Tensor(%0, %2)
  return (%3: f32[4] = [1])
"""
HALVES = """
graph(%0: f32[2] = [1], %1: f32[4] = [1]):
  constant %2: f32[4] = [1] hex 0000803f000000400000404000008040
  %3: f32[4] = [1] = aten.mul.Tensor(%1, %2)
  %4: f32[2] = [1], %5: f32[2] = [1] at [2] = aten.split.Tensor(%3, 2)
  %6: f32[2] = [1], %7: i64[2] = [1] = aten.sort.default(%4)
  %8: f32[2] = [1] = aten.add.Tensor(%0, %6)
  return (%8: f32[2] = [1], %7: i64[2] = [1], %3: f32[4] = [1])
"""


def parts_agree(graph: AtenGraph, frozen: tuple[int, ...]) -> None:
    inputs = [torch.rand([int(extent) for extent in meta.shape]) for meta in graph.inputs]
    parts = freeze(graph, frozen)
    assert parts.fold is not None
    for part in (parts.graph, parts.fold.graph):
        verify_graph(part)
        assert parse_graph(render_graph(part)) == part
    folded = list(run_fold(parts.fold, [inputs[index] for index in parts.fold.inputs]))
    constants = tuple(
        constant
        if constant.folded is None
        else ConstantTensor(constant.meta, folded[constant.folded].numpy().tobytes())
        for constant in parts.graph.constants
    )
    whole = AtenGraph(graph.inputs, (), parts.graph.nodes, parts.graph.outputs, constants=constants)

    for found, wanted in zip(execute(whole, inputs), execute(graph, inputs), strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_longest_part_is_cut_off_and_views_are_left():
    parts = freeze(parse_graph(NORM.strip()), {1, 2})

    assert render_graph(parts.graph).strip() == NORM_REST.strip()
    assert parts.fold is not None
    assert parts.fold.inputs == (1, 2)
    assert render_graph(parts.fold.graph).strip() == NORM_FOLD.strip()


@pytest.mark.parametrize(("text", "frozen"), [(NORM, (1, 2)), (NORM, (2,)), (HALVES, (1,))])
def test_the_parts_give_what_the_whole_gives(text, frozen):
    parts_agree(parse_graph(text.strip()), frozen)


def test_values_of_a_fold_are_computed_one_by_one():
    parts = freeze(parse_graph(HALVES.strip()), (1,))
    assert parts.fold is not None
    values = run_fold(parts.fold, [torch.rand(4)])

    first = next(values)
    held = weakref.ref(first)
    del first
    rest = list(values)

    assert held() is None
    assert 1 + len(rest) == len(parts.fold.graph.outputs) > 1


@pytest.mark.parametrize("text", [WRITTEN, DRAWN])
def test_written_inputs_and_random_numbers_are_not_frozen(text):
    graph = parse_graph(text.strip())

    parts = freeze(graph, {1})

    assert parts.fold is None
    assert parts.graph == graph


def test_nothing_is_folded_where_nothing_is_frozen():
    graph = parse_graph(NORM.strip())

    assert freeze(graph, ()).fold is None
