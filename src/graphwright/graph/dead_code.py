"""Remove nodes whose results nobody reads.

In: a graph.   Out: the graph without them.
Keeps: nodes with effects, and random nodes, since a draw moves the random stream.

    %1 = sin(%0)
    %2 = cos(%0)          →      %1 = sin(%0)
    return %1                    return %1
"""

from __future__ import annotations

from graphwright.ir.aten import AtenGraph, AtenNode
from graphwright.ir.renumbering import has_effect, iter_reads, with_nodes


def dead_code(graph: AtenGraph) -> AtenGraph:
    """Remove nodes whose results nobody reads."""
    needed = {output.value_id for output in graph.outputs}
    needed.update(mutation.value_id for mutation in graph.mutations)
    kept: list[AtenNode] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.results) or has_effect(node.op):
            kept.append(node)
            needed.update(iter_reads(node))
    if len(kept) == len(graph.nodes):
        return graph
    return with_nodes(graph, kept[::-1], {})
