"""The passes that simplify a graph, in their order.

In: an `AtenGraph` as it was recorded.   Out: an equal graph with fewer nodes.
Keeps: functional form; the order of random and effectful nodes; every output's and mutation's value, bit for bit but for what
the decompositions compute in another order, values of matrices without their vectors, and random numbers where those need not be eager's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from graphwright.graph.common_subexpressions import common_subexpressions
from graphwright.graph.dead_code import dead_code
from graphwright.graph.decompositions import decompositions
from graphwright.graph.fast_random import fast_random
from graphwright.graph.no_operations import no_operations
from graphwright.graph.values_alone import values_alone
from graphwright.graph.written_attention import written_attention
from graphwright.ir.aten import AtenGraph
from graphwright.ir.numerics import DEFAULT, Numerics


def _always(_numerics: Numerics) -> bool:
    return True


class Pass(msgspec.Struct, frozen=True):
    """A step from graph to graph."""

    name: str
    run: Callable[[AtenGraph], AtenGraph]
    why: str
    is_wanted: Callable[[Numerics], bool] = _always


PASSES: Final = (
    Pass(
        "fast_random",
        fast_random,
        why="numbers that are computed where they are used need no memory, and any number of threads",
        is_wanted=lambda numerics: not numerics.keeps_random_stream,
    ),
    Pass(
        "written_attention",
        written_attention,
        why="scores that do not fit the caches are better never written",
        is_wanted=lambda numerics: not numerics.is_strict,
    ),
    Pass(
        "decompositions",
        decompositions,
        why="reductions and pointwise ops fuse with their neighbours, whole norms and softmaxes do not",
        is_wanted=lambda numerics: not numerics.is_strict,
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
    Pass(
        "values_alone",
        values_alone,
        why="singular values without vectors come faster, and as eager gives them",
    ),
)


def simplify(graph: AtenGraph, numerics: Numerics = DEFAULT) -> AtenGraph:
    """Run all passes that `numerics` allows."""
    for item in PASSES:
        if item.is_wanted(numerics):
            graph = item.run(graph)
    return graph
