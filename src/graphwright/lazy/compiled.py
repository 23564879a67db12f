"""Graphs that were compiled before, by what they compute.

In: an `AtenGraph` of a step.   Out: the function that runs it, compiled once for all graphs that are alike.
Keeps: graphs are alike when all but their source lines is equal: ops, scalars, shapes, constants, aliasing, mutations.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, final

import msgspec
import torch

from graphwright.base.counters import Counters
from graphwright.ir.aten import AtenGraph

RunGraph = Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]
CompileGraph = Callable[[AtenGraph], RunGraph]

_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")
_MAX_GRAPHS: Final = 256


@final
class CompiledGraphs:
    """The graphs of a session, the least recently used dropped first."""

    def __init__(self, compile_graph: CompileGraph, counters: Counters) -> None:
        self._compile = compile_graph
        self._counters = counters
        self._known: OrderedDict[bytes, RunGraph] = OrderedDict()

    def find(self, graph: AtenGraph) -> RunGraph:
        """Give the function that runs `graph`."""
        key = structural_hash(graph)
        run = self._known.get(key)
        if run is not None:
            self._known.move_to_end(key)
            self._counters.add("lazy", "graph_hit")
            return run
        self._counters.add("lazy", "graph_miss")
        run = self._known[key] = self._compile(graph)
        if len(self._known) > _MAX_GRAPHS:
            self._known.popitem(last=False)
        return run


def structural_hash(graph: AtenGraph) -> bytes:
    """Hash all of a graph but its source lines."""
    nodes = tuple(msgspec.structs.replace(node, loc=None) for node in graph.nodes)
    bare = msgspec.structs.replace(graph, nodes=nodes)
    return hashlib.blake2b(_ENCODER.encode(bare), digest_size=16).digest()
