"""Reading and renumbering the values of a graph.

In: nodes, graphs.   Out: the values that a node reads; nodes and graphs with their values renamed.
Keeps: values stay dense and in order, as `ir/aten.py` asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    InputMutation,
    KwArg,
    ListArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.overloads import find_overload, is_effectful, is_random


def iter_reads(node: AtenNode) -> Iterator[int]:
    """Give the values that `node` reads, in the order of its arguments, with repetition."""
    for arg in node.args:
        yield from _iter_refs(arg)
    for kwarg in node.kwargs:
        yield from _iter_refs(kwarg.value)


def _iter_refs(arg: Arg) -> Iterator[int]:
    if isinstance(arg, Ref):
        yield arg.id
    elif isinstance(arg, ListArg):
        for item in arg.items:
            yield from _iter_refs(item)


def sole_readers(graph: AtenGraph) -> dict[int, AtenNode]:
    """Give the node that reads a value, for each value that is read once, and by nobody but a node."""
    counts = Counter(value for node in graph.nodes for value in iter_reads(node))
    counts.update(output.value_id for output in graph.outputs)
    counts.update(mutation.value_id for mutation in graph.mutations)
    return {value: node for node in graph.nodes for value in iter_reads(node) if counts[value] == 1}


def iter_metas(graph: AtenGraph) -> Iterator[TensorMeta]:
    """Give the metadata of every value of `graph`, by number.

    Raises:
        InternalError: a value has none.
    """
    yield from graph.inputs
    for constant in graph.constants:
        yield constant.meta
    for node in graph.nodes:
        for value, meta in zip(node.results, node.metas, strict=True):
            if value < 0:
                continue
            if meta is None:
                message = f"%{value} of the graph, a result of {node.op}, has no metadata"
                raise InternalError(message)
            yield meta


def renumbered(nodes: Iterable[AtenNode], numbers: dict[int, int]) -> tuple[AtenNode, ...]:
    """Give nodes with their values numbered densely, behind those that `numbers` has; it gets theirs."""
    made: list[AtenNode] = []
    for node in nodes:
        for value in node.results:
            if value >= 0:
                numbers[value] = len(numbers)
        made.append(renumber(node, numbers))
    return tuple(made)


def has_effect(op: str) -> bool:
    """Tell whether a node of this op must run, in the program's order, though nobody may read its results."""
    overload = find_overload(op)
    return is_effectful(overload) or is_random(overload)


def with_nodes(graph: AtenGraph, nodes: Sequence[AtenNode], same: Mapping[int, int]) -> AtenGraph:
    """Give `graph` with these of its nodes.

    Args:
        graph: the graph.
        nodes: some of its nodes, in order; they may read renamed values.
        same: for values of nodes that are left out, the value to read instead.
    """
    numbers = {value: value for value in range(len(graph.inputs) + len(graph.constants))}
    return msgspec.structs.replace(
        graph,
        nodes=renumbered((rename_reads(node, same) for node in nodes), numbers),
        outputs=tuple(
            msgspec.structs.replace(
                output, value_id=numbers[same.get(output.value_id, output.value_id)]
            )
            for output in graph.outputs
        ),
        mutations=tuple(
            InputMutation(item.input_index, numbers[same.get(item.value_id, item.value_id)])
            for item in graph.mutations
        ),
    )


def rename_reads(node: AtenNode, names: Mapping[int, int]) -> AtenNode:
    """Give `node` reading `names[v]` in the place of each value `v` that is in `names`."""
    if names.keys().isdisjoint(iter_reads(node)):
        return node
    return _with_values(node, _Renamed(names), node.results)


class _Renamed(dict[int, int]):
    """A mapping in which every value that has no other name keeps its own."""

    def __missing__(self, value: int) -> int:
        return value


def renumber(node: AtenNode, numbers: Mapping[int, int]) -> AtenNode:
    """Give `node` with each value `v` that it reads or gives called `numbers[v]`."""
    results = tuple([value if value < 0 else numbers[value] for value in node.results])
    return _with_values(node, numbers, results)


def _with_values(node: AtenNode, numbers: Mapping[int, int], results: tuple[int, ...]) -> AtenNode:
    """Give `node` reading `numbers[v]` in the place of each value `v`, with these results."""
    return AtenNode(
        node.op,
        tuple([_renumber_arg(arg, numbers) for arg in node.args]),
        tuple([KwArg(item.name, _renumber_arg(item.value, numbers)) for item in node.kwargs]),
        results,
        node.metas,
        node.loc,
    )


def _renumber_arg(arg: Arg, numbers: Mapping[int, int]) -> Arg:
    if isinstance(arg, Ref):
        return Ref(numbers[arg.id])
    if isinstance(arg, ListArg):
        return ListArg(tuple(_renumber_arg(item, numbers) for item in arg.items))
    return arg
