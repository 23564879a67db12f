"""Cut off what depends on frozen inputs alone, so that it is computed once and not in each call.

In: a simplified graph of static shapes, the inputs that are frozen.   Out: `Frozen`: the graph with constants in the place of
what was cut off, and the `Fold` that gives their values.
Keeps: the inputs and their numbers; every value bit for bit, up to what one kernel computes otherwise than another; random and
effectful nodes stay.
Does not: fold views, which cost nothing, nor what is much larger than what it is made from, which costs memory in each call.

    %3 = add(%var, 1e-05)              constant %3 = folded 0        fold(%var, %w):
    %4 = rsqrt(%3)                                                     %2 = add(%var, 1e-05)
    %5 = mul(%4, %w)             →                                     %3 = rsqrt(%2)
    %6 = mul(%x, %5)                   %4 = mul(%x, %3)                %4 = mul(%3, %w)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Final, final

import msgspec
import torch

from graphwright.graph.dead_code import dead_code
from graphwright.graph.execute import execute
from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    ConstantTensor,
    GraphOutput,
    InputMutation,
    TensorMeta,
)
from graphwright.ir.fold import Fold
from graphwright.ir.overloads import UNDECLARED_VIEWS, find_overload, gives_view
from graphwright.ir.renumbering import has_effect, iter_metas, iter_reads, renumbered

SMALL_BYTES: Final = 1 << 20
"""Results up to this size stay in the second cache, and may be larger than what they are made from."""
FILLED_PART: Final = 8
"""Larger results may be larger by this part, as panels are that are filled up with zeros."""


class Frozen(msgspec.Struct, frozen=True):
    """A graph in two parts."""

    graph: AtenGraph
    """What is computed in each call."""
    fold: Fold | None
    """What is computed before the first; None where nothing is."""


def freeze(graph: AtenGraph, inputs: Collection[int]) -> Frozen:
    """Cut off what depends on the frozen `inputs` alone.

    Args:
        graph: the whole graph, of static shapes.
        inputs: the numbers of its frozen inputs.
    """
    search = _Search(graph, inputs)
    folded = search.run()
    if not folded:
        return Frozen(graph, None)
    return Frozen(_rest(graph, search, folded), _fold(graph, search, folded))


def run_fold(fold: Fold, tensors: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Give the values of a fold, one after the other: together they may be as large as the weights.

    Args:
        fold: the fold.
        tensors: its inputs.
    """
    for output in fold.graph.outputs:
        part = dead_code(msgspec.structs.replace(fold.graph, outputs=(output,)))
        yield execute(part, tensors)[0]


def find_sources(graph: AtenGraph, frozen: Collection[int]) -> dict[int, frozenset[int]]:
    """Give the values that are known beforehand, each with the inputs and constants that it is made from.

    Args:
        graph: the graph.
        frozen: the numbers of the inputs that are known; those that the graph writes are not.
    """
    written = {item.input_index for item in graph.mutations}
    num_sources = len(graph.inputs) + len(graph.constants)
    constants = range(len(graph.inputs), num_sources)
    made_from = {value: frozenset({value}) for value in ({*frozen, *constants} - written)}
    for node in graph.nodes:
        reads = set(iter_reads(node))
        metas = [meta for meta in node.metas if meta is not None]
        is_on_cpu = bool(metas) and all(meta.device == "cpu" for meta in metas)
        if is_on_cpu and reads <= made_from.keys() and not has_effect(node.op):
            sources = frozenset[int]().union(*(made_from[value] for value in reads))
            made_from |= dict.fromkeys(node.tensors, sources)
    return made_from


@final
class _Search:
    """Finds the values to fold.

    Attributes:
        metas: the metadata of the graph's values, by number.
        kept: the nodes that each call still runs.
        makers: for each value that depends on nothing but frozen inputs and constants: the node that gives it.
    """

    def __init__(self, graph: AtenGraph, frozen: Collection[int]) -> None:
        self._graph = graph
        self.metas: Final = list(iter_metas(graph))
        self._made_from = find_sources(graph, frozen)
        self.makers: dict[int, AtenNode] = {
            value: node
            for node in graph.nodes
            for value in node.results
            if value in self._made_from
        }
        self.kept: list[AtenNode] = []

    def run(self) -> list[int]:
        """Give the values to fold, in their order."""
        needed = {output.value_id for output in self._graph.outputs}
        needed.update(mutation.value_id for mutation in self._graph.mutations)
        folded: list[int] = []
        for node in reversed(self._graph.nodes):
            wanted = [value for value in node.results if value in needed]
            is_known = any(value in self.makers for value in node.results)
            if is_known and not wanted:
                continue
            if is_known and self._pays(node, wanted):
                folded += wanted
                continue
            self.kept.append(node)
            needed.update(iter_reads(node))
        self.kept.reverse()
        return sorted(folded)

    def _pays(self, node: AtenNode, values: list[int]) -> bool:
        """Tell whether keeping the results of a node is better than computing them in each call."""
        sources = self._made_from[values[0]]
        if not any(source < len(self._graph.inputs) for source in sources):
            return False
        if node.op in UNDECLARED_VIEWS or gives_view(find_overload(node.op)):
            return False
        taken = sum(self._size_bytes(source) for source in sources)
        most = max(taken + taken // FILLED_PART, SMALL_BYTES)
        return all(self._size_bytes(value) <= most for value in values)

    def _size_bytes(self, value: int) -> int:
        return numel_of(self.metas[value]) * self.metas[value].dtype.size_bytes

    def iter_needed(self, folded: list[int]) -> Iterator[AtenNode]:
        """Give the nodes that the folded values depend on, in order."""
        needed = set(folded)
        found: list[AtenNode] = []
        for node in reversed(self._graph.nodes):
            if not needed.isdisjoint(node.results):
                found.append(node)
                needed.update(iter_reads(node))
        yield from reversed(found)


def numel_of(meta: TensorMeta) -> int:
    """Give the number of elements of a tensor of static shape."""
    return math.prod(extent for extent in meta.shape if isinstance(extent, int))


def _rest(graph: AtenGraph, search: _Search, folded: list[int]) -> AtenGraph:
    """Give what each call still runs, with constants for the folded values."""
    num_sources = len(graph.inputs) + len(graph.constants)
    numbers = {value: value for value in range(num_sources)}
    constants = list(graph.constants)
    for output, value in enumerate(folded):
        numbers[value] = num_sources + output
        constants.append(ConstantTensor(_whole(search.metas[value]), b"", output))
    kept = renumbered(search.kept, numbers)
    return msgspec.structs.replace(
        graph,
        nodes=kept,
        constants=tuple(constants),
        outputs=tuple(
            msgspec.structs.replace(output, value_id=numbers[output.value_id])
            for output in graph.outputs
        ),
        mutations=tuple(
            InputMutation(item.input_index, numbers[item.value_id]) for item in graph.mutations
        ),
    )


def _fold(graph: AtenGraph, search: _Search, folded: list[int]) -> Fold:
    """Give the graph of the folded values."""
    nodes = list(search.iter_needed(folded))
    num_inputs = len(graph.inputs)
    sources = sorted({value for node in nodes for value in iter_reads(node)} - search.makers.keys())
    inputs = tuple(value for value in sources if value < num_inputs)
    numbers = {value: number for number, value in enumerate(sources)}
    made = renumbered(nodes, numbers)
    part = AtenGraph(
        inputs=tuple(graph.inputs[value] for value in inputs),
        symbols=(),
        nodes=made,
        outputs=tuple(GraphOutput(numbers[value], _whole(search.metas[value])) for value in folded),
        constants=tuple(
            graph.constants[value - num_inputs] for value in sources if value >= num_inputs
        ),
    )
    return Fold(part, inputs)


def _whole(meta: TensorMeta) -> TensorMeta:
    """Give the metadata of a value in memory of its own."""
    return msgspec.structs.replace(meta, offset=0, requires_grad=False)
