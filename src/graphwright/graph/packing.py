"""Lay out the right side of products in panels, by nodes that depend on it alone.

In: a graph, and which of its products have a right side that is known beforehand.   Out: the graph with packed products.
Keeps: values, up to the rounding of sums in another order. Folding (`freezing.py`) is to take the layout out of the calls.

    %3 = addmm(%bias, %x, %w)      →      %3 = permute(view(%w, [k, n / 32, 32]), [1, 0, 2])
                                          %4 = clone(%3)
                                          %5 = packed_mm(%x, %4, n)
                                          %6 = add(%5, %bias)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, final

import msgspec

from graphwright.graph.decomps.emitter import Emitter, as_list, static_shape
from graphwright.graph.decomps.rules import result_meta
from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    FloatArg,
    KwArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.packed import PACKED_MM, PANEL_COLS
from graphwright.ir.renumbering import iter_metas, with_nodes
from graphwright.ir.strides import row_major


def packing(graph: AtenGraph, products: Collection[int]) -> AtenGraph:
    """Pack the right sides of products.

    Args:
        graph: the graph, of static shapes.
        products: the results of the products: `mm`, or `addmm` without factors.
    """
    if not products:
        return graph
    writer = _Packing(graph)
    for node in graph.nodes:
        if node.results and node.results[0] in products:
            writer.pack(node)
        else:
            writer.nodes.append(node)
    return with_nodes(graph, writer.nodes, {})


@final
class _Packing:
    """Writes the nodes of the new graph."""

    def __init__(self, graph: AtenGraph) -> None:
        self.nodes: list[AtenNode] = []
        self._metas: Final = list(iter_metas(graph))
        self._panels: Final[dict[int, Ref]] = {}

    def pack(self, node: AtenNode) -> None:
        """Write a product with a packed right side in the place of `node`."""
        *addend, left, right = node.args
        assert isinstance(right, Ref), "a product reads tensors"
        emit = Emitter(self._metas, node.loc)
        panels = self._panels.get(right.id)
        if panels is None:
            panels = self._panels[right.id] = _lay_out(emit, right)
        meta = result_meta(node)
        args = (left, panels, LiteralArg(static_shape(meta)[-1]))
        if addend:
            product = emit.node(PACKED_MM, args, meta)
            last = msgspec.structs.replace(node, op="aten.add.Tensor", args=(product, *addend))
        else:
            last = msgspec.structs.replace(node, op=PACKED_MM, args=args)
        self.nodes += (*emit.nodes, last)


def _lay_out(emit: Emitter, matrix: Ref) -> Ref:
    """Give the panels of a matrix, the last one filled up with zeros."""
    depth, cols = emit.shape(matrix)
    rest = -cols % PANEL_COLS
    if rest:
        padding = (matrix, as_list((0, rest)), FloatArg((0.0).hex()))
        matrix = emit.node(
            "aten.constant_pad_nd.default", padding, _new(emit, matrix, (depth, cols + rest))
        )
    cut = emit.split(matrix, 1, ((cols + rest) // PANEL_COLS, PANEL_COLS))
    panels = emit.permute(cut, (1, 0, 2))
    kept = (KwArg("memory_format", MemoryFormatArg("contiguous_format")),)
    return emit.node("aten.clone.default", (panels,), _new(emit, panels, emit.shape(panels)), kept)


def _new(emit: Emitter, like: Ref, shape: tuple[int, ...]) -> TensorMeta:
    """Give the metadata of a new row-major tensor."""
    meta = emit.meta(like)
    return TensorMeta(meta.dtype, shape, row_major(shape), meta.device)
