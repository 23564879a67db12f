"""Compute equal things once.

In: a graph.   Out: the graph in which no two nodes with the same op and arguments are left, but for random and effectful ones.

    %1 = sin(%0)
    %2 = sin(%0)          →      %1 = sin(%0)
    %3 = add(%1, %2)             %2 = add(%1, %1)
"""

from __future__ import annotations

import msgspec

from graphwright.ir.aten import AtenGraph, AtenNode
from graphwright.ir.renumbering import has_effect, rename_reads, with_nodes


def common_subexpressions(graph: AtenGraph) -> AtenGraph:
    """Compute equal things once."""
    encode = msgspec.msgpack.Encoder().encode
    seen: dict[bytes, AtenNode] = {}
    same: dict[int, int] = {}
    kept: list[AtenNode] = []
    for node in graph.nodes:
        current = rename_reads(node, same) if same else node
        if has_effect(current.op):
            kept.append(current)
            continue
        # Encoded, since `True == 1` in Python, and an op may tell them apart.
        key = encode((current.op, current.args, current.kwargs))
        first = seen.setdefault(key, current)
        if first is current:
            kept.append(current)
            continue
        pairs = zip(node.results, first.results, strict=True)
        same.update((value, known) for value, known in pairs if value >= 0)
    if not same:
        return graph
    return with_nodes(graph, kept, same)
