"""Check the indices of lookups and the divisors of integers once, before the kernels that use them.

In: a graph, classified.   Out: the graph in which every lookup that has a row uses indices known to be in range, and every
division of integers divisors known not to be zero; and one in which what may refuse values comes before what changes anything.
Keeps: an index out of range, or a zero, raises what eager raises, before any later effect; no kernel looks at it.

Indices that a caller passes can be anything. They are clamped where they are used, which costs nothing beside the lookup, and one
pass over them tells whether that changed any: then `check_lookup` calls the op itself, which refuses.

    %2 = gather(%0, 1, %1)    →    %2 = clamp(%1, 0, 9);  %3 = any(ne(%2, %1));  check_lookup(%3, [%1], …)
                                   %4 = gather(%0, 1, %2)

A divisor needs no other value in its place: a kernel divides by zero as by any number.

    %2 = remainder(%0, %1)    →    %3 = any(eq(%1, 0));  check_lookup(%3, [%1], …);  %2 = remainder(%0, %1)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import msgspec

from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    DTypeArg,
    KwArg,
    ListArg,
    LiteralArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import DType
from graphwright.ir.lookups import CHECK_LOOKUP, describe_lookup
from graphwright.ir.refusals import changes, may_refuse
from graphwright.ir.renumbering import iter_reads, rename_reads, with_nodes
from graphwright.ir.strides import row_major
from graphwright.lower.classify import is_in_range, unchecked_divisor, unchecked_lookups
from graphwright.lower.intervals import Interval
from graphwright.lower.rules.rows import Lookup
from graphwright.lower.values import ValueKind, Values, static_dims


def checked(values: Values) -> AtenGraph:
    """Give the graph of `values` with its lookups checked."""
    graph = values.graph
    lookups = [unchecked_lookups(values, node) for node in graph.nodes]
    divisors = [unchecked_divisor(values, node) for node in graph.nodes]
    if not any(lookups) and all(divisor is None for divisor in divisors):
        return graph
    writer = _Checks(values)
    for node, found, divisor in zip(graph.nodes, lookups, divisors, strict=True):
        if divisor is not None:
            writer.check_divisor(node, divisor)
        writer.add(node, found)
    return with_nodes(graph, writer.nodes, {})


def refusals_first(values: Values) -> AtenGraph:
    """Put what may refuse values, and what it reads, before all else, where the graph draws random numbers or writes to inputs.

    So an index out of range is found before anything has changed (`ir/refusals.py`). What depends on numbers that are drawn stays.
    """
    graph = values.graph
    if not any(_may_refuse(values, node) for node in graph.nodes):
        return graph
    maker_of: dict[int, AtenNode] = {}
    drawn: set[int] = set()
    """Values that depend on a node that changes something."""
    waiting: list[AtenNode] = []
    has_changed = bool(graph.mutations)
    for node in graph.nodes:
        maker_of |= dict.fromkeys(node.tensors, node)
        if changes(node.op) or not drawn.isdisjoint(iter_reads(node)):
            has_changed = True
            drawn.update(node.tensors)
        elif _may_refuse(values, node):
            waiting.append(node)
    if not (waiting and has_changed):
        return graph
    first: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) not in first:
            first.add(id(node))
            waiting += [maker_of[value] for value in iter_reads(node) if value in maker_of]
    return with_nodes(graph, sorted(graph.nodes, key=lambda node: id(node) not in first), {})


def _may_refuse(values: Values, node: AtenNode) -> bool:
    value = node.first_tensor
    is_call = value is None or values.kinds[value] is ValueKind.EXTERN
    return is_call and may_refuse(node.op)


@final
class _Checks:
    def __init__(self, values: Values) -> None:
        self.nodes: list[AtenNode] = []
        self._values = values
        self._metas: list[TensorMeta] = list(values.metas)
        self._clamped: dict[tuple[int, Interval], int] = {}
        """(indices, their bounds) → the same indices, clamped."""
        self._divisors: set[tuple[int, DType]] = set()
        """Divisors that are checked, and in which dtype."""

    def check_divisor(self, node: AtenNode, divisor: int) -> None:
        """Write the check of what `node` divides by, in the dtype that it divides in."""
        meta = node.metas[0]
        assert meta is not None, f"{node.op} has a result"
        if (divisor, meta.dtype) in self._divisors:
            return
        self._divisors.add((divisor, meta.dtype))
        value, own = Ref(divisor), self._dense(divisor)
        if own.dtype is not meta.dtype:
            own = msgspec.structs.replace(own, dtype=meta.dtype)
            kwargs = (KwArg("dtype", DTypeArg(meta.dtype)),)
            value = self._write(node, "aten._to_copy.default", (value,), own, kwargs)
        flags = msgspec.structs.replace(own, dtype=DType.BOOL)
        is_zero = self._write(node, "aten.eq.Scalar", (value, LiteralArg(0)), flags)
        self._refuse(node, is_zero, [divisor])

    def add(self, node: AtenNode, lookups: Sequence[Lookup]) -> None:
        """Write `node`, its `lookups` checked before it."""
        renamed: dict[int, int] = {}
        indices = list(dict.fromkeys(lookup.indices for lookup in lookups))
        for value in indices:
            own = [lookup for lookup in lookups if lookup.indices == value]
            if not all(is_in_range(self._values, lookup) for lookup in own):
                lowest = max(lookup.lowest for lookup in own)
                highest = min(lookup.extent for lookup in own) - 1
                bounds = Interval(lowest, highest)
                renamed[value] = self._checked(node, value, bounds, indices)
        self.nodes.append(rename_reads(node, renamed))

    def _checked(self, node: AtenNode, value: int, bounds: Interval, passed: Sequence[int]) -> int:
        """Give `value`, of which `bounds` are the only ones that are no error, clamped to them."""
        key = (value, bounds)
        known = self._clamped.get(key)
        if known is not None:
            return known
        dense = self._dense(value)
        indices = Ref(value)
        limits = (LiteralArg(bounds.low), LiteralArg(bounds.high))
        clamped = self._write(node, "aten.clamp.default", (indices, *limits), dense)
        flags = msgspec.structs.replace(dense, dtype=DType.BOOL)
        differs = self._write(node, "aten.ne.Tensor", (clamped, indices), flags)
        self._refuse(node, differs, passed)
        self._clamped[key] = clamped.id
        return clamped.id

    def _refuse(self, node: AtenNode, flags: Ref, passed: Sequence[int]) -> None:
        """Let `node`, called with the values `passed`, raise where any of the flags holds."""
        flag = msgspec.structs.replace(self._metas[flags.id], shape=(), strides=())
        is_wrong = self._write(node, "aten.any.default", (flags,), flag)
        text = describe_lookup(node, passed, self._metas)
        args = (is_wrong, ListArg(tuple(map(Ref, passed))), LiteralArg(text))
        self.nodes.append(AtenNode(CHECK_LOOKUP, args, (), (), (), node.loc))

    def _dense(self, value: int) -> TensorMeta:
        """Give the metadata of a row-major copy."""
        given = self._metas[value]
        strides = row_major(static_dims(given.shape))
        return msgspec.structs.replace(given, strides=strides, offset=0)

    def _write(
        self,
        node: AtenNode,
        op: str,
        args: tuple[Arg, ...],
        meta: TensorMeta,
        kwargs: tuple[KwArg, ...] = (),
    ) -> Ref:
        number = len(self._metas)
        self._metas.append(meta)
        self.nodes.append(AtenNode(op, args, kwargs, (number,), (meta,), node.loc))
        return Ref(number)
