"""Remove nodes that give back what they were given.

In: a graph.   Out: the graph without copies and views that change neither values nor dtype, shape or layout.
In a functional graph a copy with the same layout is not needed: nobody writes to a value.

    %1 = clone(%0)
    %2 = expand(%1, [4, 8])      →      %1 = sin(%0)          (%0 is [4, 8] already)
    %3 = sin(%2)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.ir.aten import AtenGraph, AtenNode, Ref, TensorMeta
from graphwright.ir.renumbering import iter_metas, with_nodes

_IDENTITIES: Final = frozenset(
    {
        "aten._to_copy.default",
        "aten._unsafe_view.default",
        "aten.alias.default",
        "aten.clone.default",
        "aten.contiguous.default",
        "aten.detach.default",
        "aten.expand.default",
        "aten.lift_fresh.default",
        "aten.lift_fresh_copy.default",
        "aten.permute.default",
        "aten.reshape.default",
        "aten.slice.Tensor",
        "aten.squeeze.default",
        "aten.squeeze.dim",
        "aten.squeeze.dims",
        "aten.transpose.int",
        "aten.unsqueeze.default",
        "aten.view.default",
    }
)
"""Ops whose result holds elements of their first argument; with its shape, strides and dtype, it holds the same at each place."""


def no_operations(graph: AtenGraph) -> AtenGraph:
    """Remove nodes that give back what they were given."""
    metas = list(iter_metas(graph))
    same: dict[int, int] = {}
    kept: list[AtenNode] = []
    for node in graph.nodes:
        source = _identity_source(node, metas)
        if source is None:
            kept.append(node)
        else:
            same[node.results[0]] = same.get(source, source)
    if not same:
        return graph
    return with_nodes(graph, kept, same)


def _identity_source(node: AtenNode, metas: Sequence[TensorMeta]) -> int | None:
    """Give the value that the node's result equals, if the op is one of those that can give back what they were given."""
    if node.op not in _IDENTITIES or not node.args or not isinstance(node.args[0], Ref):
        return None
    source = metas[node.args[0].id]
    result = node.metas[0]
    if result is None:
        return None
    # The offset counts too: views of the result give theirs from the start of its memory.
    is_same = (source.dtype, source.device, source.shape, source.strides, source.offset) == (
        result.dtype,
        result.device,
        result.shape,
        result.strides,
        result.offset,
    )
    return node.args[0].id if is_same else None
