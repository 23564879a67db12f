"""The passes that simplify a graph, in their order.

In: an `AtenGraph` as it was recorded.   Out: an equal graph with fewer nodes.
Keeps: functional form; the order of random and effectful nodes; every output's and mutation's value, bit for bit but for what
the decompositions compute in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from graphwright.graph.common_subexpressions import common_subexpressions
from graphwright.graph.dead_code import dead_code
from graphwright.graph.decompositions import decompositions
from graphwright.graph.no_operations import no_operations
from graphwright.ir.aten import AtenGraph


class Pass(msgspec.Struct, frozen=True):
    """A step from graph to graph."""

    name: str
    run: Callable[[AtenGraph], AtenGraph]
    why: str


PASSES: Final = (
    Pass(
        "decompositions",
        decompositions,
        why="reductions and pointwise ops fuse with their neighbours, whole norms and softmaxes do not",
    ),
    Pass(
        "no_operations",
        no_operations,
        why="a copy that changes nothing hides that two values are one",
    ),
    Pass(
        "common_subexpressions",
        common_subexpressions,
        why="masks and positions are made anew by each layer",
    ),
    Pass("dead_code", dead_code, why="what nobody reads is not worth a kernel"),
)


def simplify(graph: AtenGraph) -> AtenGraph:
    """Run all passes."""
    for item in PASSES:
        graph = item.run(graph)
    return graph
