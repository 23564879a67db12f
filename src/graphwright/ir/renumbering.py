"""Reading and renumbering the values of a graph.

In: nodes, graphs.   Out: the values that a node reads; nodes and graphs with their values renamed.
Keeps: values stay dense and in order, as `ir/aten.py` asks.
"""

from __future__ import annotations

import operator
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
    for arg in (*node.args, *[kwarg.value for kwarg in node.kwargs]):
        if isinstance(arg, Ref):
            yield arg.id
        elif isinstance(arg, ListArg):
            yield from _iter_listed(arg)


def _iter_listed(arg: ListArg) -> Iterator[int]:
    for item in arg.items:
        if isinstance(item, Ref):
            yield item.id
        elif isinstance(item, ListArg):
            yield from _iter_listed(item)


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
    numbers = _Numbers(same)
    numbers.update((value, value) for value in range(len(graph.inputs) + len(graph.constants)))
    return msgspec.structs.replace(
        graph,
        nodes=renumbered(nodes, numbers),
        outputs=tuple(
            msgspec.structs.replace(output, value_id=numbers[output.value_id])
            for output in graph.outputs
        ),
        mutations=tuple(
            InputMutation(item.input_index, numbers[item.value_id]) for item in graph.mutations
        ),
    )


class _Numbers(dict[int, int]):
    """New numbers of values; one that is not among them has that of the value that is read instead."""

    def __init__(self, same: Mapping[int, int]) -> None:
        super().__init__()
        self._same = same

    def __missing__(self, value: int) -> int:
        return self[self._same[value]]


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
    """Give `node` reading `numbers[v]` in the place of each value `v`, with these results; itself where nothing changes."""
    args = tuple([_renumber_arg(arg, numbers) for arg in node.args])
    kwargs = tuple([_renumber_kwarg(item, numbers) for item in node.kwargs])
    if results == node.results and _is_same(args, node.args) and _is_same(kwargs, node.kwargs):
        return node
    return AtenNode(node.op, args, kwargs, results, node.metas, node.loc)


def _renumber_kwarg(item: KwArg, numbers: Mapping[int, int]) -> KwArg:
    value = _renumber_arg(item.value, numbers)
    return item if value is item.value else KwArg(item.name, value)


def _renumber_arg(arg: Arg, numbers: Mapping[int, int]) -> Arg:
    if isinstance(arg, Ref):
        number = numbers[arg.id]
        return arg if number == arg.id else Ref(number)
    if isinstance(arg, ListArg):
        items = tuple([_renumber_arg(item, numbers) for item in arg.items])
        return arg if _is_same(items, arg.items) else ListArg(items)
    return arg


def _is_same(made: tuple[object, ...], given: tuple[object, ...]) -> bool:
    return all(map(operator.is_, made, given))
