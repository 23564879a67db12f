"""The way from a graph to a plan.

In: an `AtenGraph` of static shapes.   Out: `Lowered`.
"""

from __future__ import annotations

from graphwright.base.errors import InternalError
from graphwright.ir.aten import AtenGraph
from graphwright.ir.numerics import DEFAULT, Numerics
from graphwright.lower.checks import checked, refusals_first
from graphwright.lower.classify import classify
from graphwright.lower.clusters import Partition, find_detours
from graphwright.lower.outputs import find_targets
from graphwright.lower.plans import Lowered, Planner
from graphwright.lower.roots import Roots


def lower_graph(graph: AtenGraph, *, num_threads: int, numerics: Numerics = DEFAULT) -> Lowered:
    """Lower `graph`.

    Args:
        graph: a program of static shapes.
        num_threads: how many threads a kernel may use.
        numerics: how close to eager's its numbers must be.

    Returns:
        The plan of a call, and the kernels that it runs.

    Raises:
        InternalError: the graph has size symbols.
    """
    if graph.symbols:
        message = f"only graphs of static shapes are lowered; this one has the symbols {', '.join(graph.symbols)}"
        raise InternalError(message)
    values = classify(graph, numerics)
    for prepare in (checked, refusals_first):
        graph = prepare(values)
        if graph is not values.graph:
            values = classify(graph, numerics)
    targets = find_targets(values)
    roots = Roots(values, targets.stored())
    detours = find_detours(roots, targets.written)
    if detours:
        values = classify(graph, numerics)
        targets = find_targets(values, detours)
        roots = Roots(values, targets.stored())
    units = Partition(roots, targets.written, num_threads).run()
    return Planner(roots, targets, units, num_threads).run()
