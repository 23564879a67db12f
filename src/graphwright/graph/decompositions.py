"""Express composite ops by reductions and pointwise ops, which the lowering fuses.

In: a graph.   Out: the graph with each node that has a decomposition (`decomps/`) replaced by the nodes it stands for, and each
whose results have no elements by numbers that are none.
Keeps: values to the accuracy of eager's kernels (not bit for bit: sums may be taken in another order); nodes with symbolic
shapes, on other devices than the CPU, or of complex numbers.

    %1 = _softmax(%0, 1, False)    →    %1 = amax(%0, [1], True);  %2 = sub(%0, %1);  %3 = exp(%2)
                                        %4 = sum(%3, [1], True);   %5 = div(%3, %4)
"""

from __future__ import annotations

from typing import Final

from graphwright.graph.decomps import DECOMPOSITIONS
from graphwright.graph.decomps.emitter import Emitter, is_static
from graphwright.ir.aten import AtenGraph, AtenNode, TensorMeta
from graphwright.ir.renumbering import iter_metas, iter_reads, with_nodes

_ABOUT_NOTHING: Final = frozenset(
    (
        *(
            "aten.cat.default",
            "aten.stack.default",
            "aten.repeat.default",
            "aten.constant_pad_nd.default",
        ),
        *("aten._softmax.default", "aten._log_softmax.default", "aten.native_layer_norm.default"),
    )
)
"""Ops whose kernels take what has no elements as it comes. Others refuse some of it, by shape or by dtype."""


def decompositions(graph: AtenGraph) -> AtenGraph:
    """Replace the nodes that have a decomposition."""
    if not any(node.op in DECOMPOSITIONS or _gives_nothing(node) for node in graph.nodes):
        return graph
    metas = list(iter_metas(graph))
    read = _values_read(graph)
    nodes: list[AtenNode] = []
    for node in graph.nodes:
        if _gives_nothing(node):
            nodes += _nothing(node, metas)
            continue
        row = DECOMPOSITIONS.get(node.op)
        if row is None or not _can_decompose(node, metas):
            nodes.append(node)
            continue
        emit = Emitter(metas, node.loc, read)
        is_done = row.write(emit, node)
        nodes += emit.nodes if is_done else [node]
    return with_nodes(graph, nodes, {})


def _values_read(graph: AtenGraph) -> set[int]:
    read = {value for node in graph.nodes for value in iter_reads(node)}
    read.update(output.value_id for output in graph.outputs)
    read.update(mutation.value_id for mutation in graph.mutations)
    return read


def _gives_nothing(node: AtenNode) -> bool:
    """Tell whether all results are without elements, and nothing else comes of a node."""
    given = [meta for meta in node.metas if meta is not None]
    return node.op in _ABOUT_NOTHING and all(0 in meta.shape and _is_plain(meta) for meta in given)


def _nothing(node: AtenNode, metas: list[TensorMeta]) -> list[AtenNode]:
    """Write results without elements; whoever refuses shapes has done so when the program was captured."""
    emit = Emitter(metas, node.loc)
    for result, meta in zip(node.results, node.metas, strict=True):
        if result >= 0 and meta is not None:
            emit.give_filled(result, meta, value=False)
    return emit.nodes


def _can_decompose(node: AtenNode, metas: list[TensorMeta]) -> bool:
    read = [metas[value] for value in iter_reads(node)]
    given = [meta for meta in node.metas if meta is not None]
    # A reduction of nothing has no largest element; eager's own kernels know what an op of no elements gives.
    return all(map(_is_plain, (*read, *given))) and not any(0 in meta.shape for meta in read)


def _is_plain(meta: TensorMeta) -> bool:
    return meta.device == "cpu" and not meta.dtype.is_complex and is_static(meta)
