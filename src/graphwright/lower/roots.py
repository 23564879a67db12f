"""Choose what is computed in a place of its own, and what in passing.

In: `Values`, and the values that must be in memory at the end.   Out: `Roots`: the *roots* (values with a place of their own:
reductions, what calls and the caller need in memory, what several readers share), in order; all other computed values are
*inlined*: each reader computes the element that it needs.
Keeps: an inlined value is cheap, or has one reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.overloads import find_overload, is_effectful, is_random
from graphwright.lower.elements import expression_of
from graphwright.lower.expressions import cost_of
from graphwright.lower.links import read_operands
from graphwright.lower.reader import ref_of
from graphwright.lower.rules import ELEMENTS, IMAGES, POOL_GRADIENTS, POOLS
from graphwright.lower.values import ValueKind, Values

CHEAP_COST: Final = 2
"""A value that costs no more, and reads no more than one other, is computed again rather than stored."""
REPLICATED_COST: Final = 6
"""A value that costs more is stored rather than computed again in each row of a larger reader."""
MOST_COST: Final = 1500
MOST_READS: Final = 24
"""Past these a value is stored, so that no kernel grows without bound."""
MOST_DEPTH: Final = 32
"""After so many values in a row, each computed in passing for the next, one is a root: an element is read from what it needs, and a
chain of any length must not meet Python's limit of calls within calls. In one kernel with its reader, it is not stored either."""

SECTIONED: Final = frozenset(
    {
        "aten.cat.default",
        "aten.stack.default",
        "aten.constant_pad_nd.default",
        "aten.select_scatter.default",
        "aten.slice_scatter.default",
        "aten.roll.default",
        *IMAGES,
        *POOLS,
        *POOL_GRADIENTS,
    }
)
"""Ops that join pieces: their kernels are built in sections, which no reduction can be."""


class Weight(msgspec.Struct, frozen=True):
    """What it takes to compute an element of a value."""

    cost: int
    reads: frozenset[int]
    """The values in memory (or roots) that are read."""
    is_sectioned: bool
    depth: int = 0
    """The values on the longest way to what is read."""


_AXIS_KINDS: Final = frozenset({ValueKind.REDUCTION, ValueKind.SCAN, ValueKind.SCATTER})
"""Kernels of these go along some axes in a certain way."""
_ROOT_KINDS: Final = _AXIS_KINDS | {ValueKind.EXTERN, ValueKind.PRODUCT}
"""Values of these kinds are never computed in passing."""
_NOTHING: Final = Weight(0, frozenset(), is_sectioned=False)


class Roots:
    """The roots of a graph.

    Args:
        values: the graph's values, copies for outputs included.
        stored: values that must be in memory at the end.
    """

    def __init__(self, values: Values, stored: Iterable[int]) -> None:
        self.values = values
        self.stored = set(stored)
        """Values (no views) that must be in memory."""
        self.nodes: list[AtenNode] = []
        """Nodes of roots and calls, in order."""
        self.weights: list[Weight] = [_NOTHING] * len(values.kinds)
        self._is_root = [False] * len(values.kinds)
        self._readers: list[list[AtenNode]] = [[] for _ in values.kinds]
        self._effects: dict[str, bool] = {}
        self._find_readers()
        self._choose()

    def is_inlined(self, value: int) -> bool:
        """Tell whether a value (no view) is computed in passing."""
        kind = self.values.kinds[value]
        is_computed = kind is ValueKind.POINTWISE or kind is ValueKind.ELEMENTS
        return is_computed and not self._is_root[value]

    def has_readers(self, value: int) -> bool:
        """Tell whether anything that runs reads `value` (no view)."""
        return bool(self._readers[value])

    def operands(self, value: int) -> list[int]:
        """Give the values (no views) whose elements the node of `value` reads."""
        node = self.values.nodes[value]
        if node is None:
            return []
        return list(dict.fromkeys(self.values.bases[ref] for ref in read_operands(node)))

    def has_effect(self, node: AtenNode) -> bool:
        """Tell whether a node must run, in the program's order, though nobody may need its result."""
        value = node.first_tensor
        if value is not None and self.values.kinds[value] is not ValueKind.EXTERN:
            return False
        known = self._effects.get(node.op)
        if known is None:
            overload = find_overload(node.op)
            known = self._effects[node.op] = is_effectful(overload) or is_random(overload)
        return known

    def _find_readers(self) -> None:
        """Walk backwards from what is needed; note who reads what, through views."""
        values = self.values
        needed: set[int] = set(self.stored)
        for node in self._iter_backwards():
            is_needed = any(value in needed for value in node.results)
            if not is_needed and not self.has_effect(node):
                continue
            self.nodes.append(node)
            first = node.first_tensor
            kind = ValueKind.EXTERN if first is None else values.kinds[first]
            reads_memory = kind in (ValueKind.EXTERN, ValueKind.PRODUCT)
            for operand in dict.fromkeys(values.bases[ref] for ref in read_operands(node)):
                needed.add(operand)
                self._readers[operand].append(node)
                if reads_memory:
                    self.stored.add(operand)
        self.nodes.reverse()

    def _iter_backwards(self) -> Iterable[AtenNode]:
        """Give all nodes that are no views, last first; those without results too."""
        values = self.values
        for node in reversed(values.nodes[values.num_graph_values :]):
            if node is not None:
                yield node
        for node in reversed(values.graph.nodes):
            first = node.first_tensor
            if first is None or values.kinds[first] is not ValueKind.VIEW:
                yield node

    def _choose(self) -> None:
        values = self.values
        kept: list[AtenNode] = []
        for node in self.nodes:
            value = node.first_tensor
            kind = ValueKind.EXTERN if value is None else values.kinds[value]
            if kind in _ROOT_KINDS or value is None:
                kept.append(node)
                if value is not None and kind in _AXIS_KINDS:
                    self.weights[value] = self._weigh(node)
                continue
            weight = self._weigh(node)
            self.weights[value] = weight
            needs_all = any(values.is_used(other) for other in node.results if other > value)
            if needs_all or self._needs_place(value, weight):
                for result in node.results:
                    if result >= 0:
                        self._is_root[result] = True
                kept.append(node)
        self.nodes = kept

    def _weigh(self, node: AtenNode) -> Weight:
        values = self.values
        row = ELEMENTS.get(node.op)
        if row is not None:
            cost = row.cost
        elif self._has_axes(node):
            cost = 1
        else:
            cost = cost_of(expression_of(node)[0])
        is_sectioned = node.op in SECTIONED
        reads: set[int] = set()
        depth = 0
        for operand in dict.fromkeys(values.bases[ref] for ref in read_operands(node)):
            if self.is_inlined(operand):
                inner = self.weights[operand]
                depth = max(depth, inner.depth)
                cost += inner.cost
                reads |= inner.reads
                is_sectioned = is_sectioned or inner.is_sectioned
            else:
                reads.add(operand)
        return Weight(cost, frozenset(reads), is_sectioned, depth + 1)

    def _needs_place(self, value: int, weight: Weight) -> bool:
        if value in self.stored or weight.cost > MOST_COST or len(weight.reads) > MOST_READS:
            return True
        if weight.depth >= MOST_DEPTH:
            return True
        readers = self._readers[value]
        if weight.is_sectioned and any(self._has_axes(reader) for reader in readers):
            return True
        if self.values.layouts[value].numel <= 1 or not weight.reads:
            return False
        if len(readers) > 1:
            return weight.cost > CHEAP_COST or len(weight.reads) > 1
        return weight.cost > REPLICATED_COST and any(
            self._replicates(reader, value) for reader in readers
        )

    def _has_axes(self, node: AtenNode) -> bool:
        """Tell whether a node reduces or scans."""
        value = node.first_tensor
        return value is not None and self.values.kinds[value] in _AXIS_KINDS

    def _replicates(self, reader: AtenNode, value: int) -> bool:
        """Tell whether `reader` goes over `value` again and again in its innermost loop."""
        values = self.values
        if values.kinds[next(n for n in reader.results if n >= 0)] is ValueKind.SCATTER:
            return False
        if self._has_axes(reader):
            total = values.layouts[ref_of(reader.args[0])].numel
            return total > values.layouts[value].numel
        row = ELEMENTS.get(reader.op)
        if row is not None and row.rereads:
            return True
        result = next(number for number in reader.results if number >= 0)
        layout = values.layouts[result]
        if layout.numel <= values.layouts[value].numel:
            return False
        return any(
            values.bases[ref] == value and _varies_along_innermost(values, ref, result)
            for ref in read_operands(reader)
        )


def _varies_along_innermost(values: Values, operand: int, result: int) -> bool:
    layout, own = values.layouts[result], values.layouts[operand]
    innermost = [
        axis for axis, stride in enumerate(layout.strides) if stride == 1 and layout.shape[axis] > 1
    ]
    if not innermost:
        return True
    axis = innermost[-1] - len(layout.shape)
    if -axis > len(own.shape):
        return False
    return own.shape[axis] > 1 and own.strides[axis] != 0
