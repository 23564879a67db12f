"""Build the kernels of clusters that are alike once.

In: clusters, as `kernels.py` takes them.   Out: their kernels: for a cluster that differs from an earlier one in the numbers of its values
alone, that one's kernel, on the cluster's own values.
A model of many equal layers has a few different clusters; to compare two takes a tenth of what building a kernel takes.
Keeps: what is compared is all that a kernel is built from: the nodes that compute the cluster's values, those that it computes in passing,
and of what it reads from memory how that lies there. The one fact from further away is the range of an index (`intervals.py`): clusters
that look up are not shared.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.renumbering import renumber
from graphwright.lower.clusters import Cluster
from graphwright.lower.kernels import BuiltKernel, build_kernel
from graphwright.lower.programs import Target
from graphwright.lower.roots import Roots
from graphwright.lower.rules import LOOKUPS, SCATTERS

_BY_RANGE: Final = frozenset((*LOOKUPS, *SCATTERS))
"""Ops whose code depends on the range of the indices, wherever they come from."""
_ENCODE: Final = msgspec.msgpack.Encoder().encode


class KernelBuilder:
    """Builds the kernels of one graph.

    Args:
        roots: tells what is computed in passing.
        num_threads: how many threads may share a kernel's parallel loops.
    """

    def __init__(self, roots: Roots, num_threads: int) -> None:
        self._roots = roots
        self._num_threads = num_threads
        self._known: dict[bytes, tuple[BuiltKernel | None, list[int]]] = {}

    def build(self, cluster: Cluster, stored: Collection[int]) -> BuiltKernel | None:
        """Give the kernel of `cluster`; None where there is nothing to do (no elements).

        Args:
            cluster: the roots that the kernel computes.
            stored: those of the cluster's values that must be written to memory.
        """
        found = _Reading(self._roots, cluster, stored)
        key = found.run()
        if key is None:
            return build_kernel(self._roots, cluster, stored, self._num_threads)
        known = self._known.get(key)
        if known is None:
            built = build_kernel(self._roots, cluster, stored, self._num_threads)
            self._known[key] = built, found.numbers.values_met
            return built
        built, values = known
        if built is None:
            return None
        own = dict(zip(values, found.numbers.values_met, strict=True))
        # Numbers below zero are the kernel's own temporary buffers.
        targets = tuple(
            target if target.value < 0 else Target(own[target.value], target.dtype)
            for target in built.targets
        )
        return msgspec.structs.replace(built, targets=targets)


class _Numbers(dict[int, int]):
    """Values of the graph, numbered as they are met."""

    def __init__(self) -> None:
        super().__init__()
        self.values_met: list[int] = []

    def __missing__(self, value: int) -> int:
        number = self[value] = len(self)
        self.values_met.append(value)
        return number


class _Reading:
    """Reads a cluster as building its kernel does."""

    def __init__(self, roots: Roots, cluster: Cluster, stored: Collection[int]) -> None:
        self._roots = roots
        self._cluster = cluster
        self._stored = stored
        self.numbers = _Numbers()

    def run(self) -> bytes | None:
        """Give all that the kernel is built from; None where that cannot be told from the cluster alone."""
        facts: list[object] = [self._cluster.space]
        for root in self._cluster.roots:
            facts += [self.numbers[value] for value in root.values]
        for value in self.numbers.values_met:  # Grows meanwhile.
            fact = self._fact_of(value)
            if fact is None:
                return None
            facts.append(fact)
        return _ENCODE(facts)

    def _fact_of(self, value: int) -> tuple[object, ...] | None:
        values = self._roots.values
        base = values.bases[value]
        place = (values.dtype(value), values.layouts[value])
        if base != value:
            return (*place, self.numbers[base])
        is_own = value in self._cluster.values
        if not is_own and not self._roots.is_inlined(value):
            return place
        node = values.nodes[value]
        assert node is not None, "what a kernel computes has a definition"
        if node.op in _BY_RANGE:
            return None
        is_stored = value in self._stored
        return (*place, values.kinds[value], is_own, is_stored, *self._node_facts(node))

    def _node_facts(self, node: AtenNode) -> tuple[object, ...]:
        own = renumber(node, self.numbers)
        are_used = [value >= 0 and self._roots.values.is_used(value) for value in node.results]
        return own.op, own.args, own.kwargs, own.results, own.metas, are_used
