"""The plan of a graph, with its code: found in the caches, or made now.

In: a static `AtenGraph`.   Out: its `Plan`, and its kernels' code in memory.
Keeps: a plan is in the store of graphs by the graph, whichever program it is of, so it knows of no lines of the user's.
"""

from __future__ import annotations

import msgspec

from graphwright.base.config import Config
from graphwright.cache import Caches, GraphEntry, Key, Kind, make_part
from graphwright.ir.aten import AtenGraph
from graphwright.ir.encoding import structural_hash
from graphwright.ir.plan import Plan, Release
from graphwright.observe import Observer
from graphwright.pipeline.plans import PlanCode, num_threads_of, try_load_plan
from graphwright.pipeline.session import SESSION


def plan_graph(graph: AtenGraph, settings: Config, observer: Observer) -> tuple[Plan, PlanCode]:
    """Give the plan of a graph, and its code: from the caches, or made now."""
    caches = SESSION.caches(settings)
    if caches is None:
        return _make_plan(graph, settings, observer)
    with observer.span("find"):
        key = _graph_key(graph, settings, caches)
        kept = caches.graphs.get(key)
        code = None if kept is None else try_load_plan(kept.plan, settings, caches)
    if kept is not None and code is not None:
        return kept.plan, code
    plan, code = _make_plan(graph, settings, observer)
    caches.graphs.put(key, GraphEntry(plan=_without_lines(plan)))
    return plan, code


def _make_plan(graph: AtenGraph, settings: Config, observer: Observer) -> tuple[Plan, PlanCode]:
    # What lowers and writes code is loaded when there is a graph for it.
    from graphwright.pipeline.planning import load_kernels, lower_program  # noqa: PLC0415

    plan, kernels = lower_program(graph, settings, observer)
    return plan, load_kernels(plan, kernels, settings, observer)


def _graph_key(graph: AtenGraph, settings: Config, caches: Caches) -> Key:
    nodes = tuple(msgspec.structs.replace(node, loc=None) for node in graph.nodes)
    content = structural_hash(msgspec.structs.replace(graph, nodes=nodes))
    threads = make_part("threads", str(num_threads_of(settings)))
    return caches.make_key(Kind.GRAPH, make_part("graph", content), threads)


def _without_lines(plan: Plan) -> Plan:
    steps = tuple(
        step if isinstance(step, Release) else msgspec.structs.replace(step, loc=None)
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=steps)
