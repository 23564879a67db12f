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

from graphwright.graph.decomps.emitter import row_major
from graphwright.graph.renumbering import iter_metas, with_nodes
from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    FloatArg,
    KwArg,
    ListArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.locations import Loc
from graphwright.ir.packed import PACKED_MM, PANEL_COLS


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
    """Writes the nodes of the new graph; new values are numbered behind the old ones, whatever their place."""

    def __init__(self, graph: AtenGraph) -> None:
        self.nodes: list[AtenNode] = []
        self._metas: Final = list(iter_metas(graph))
        self._panels: Final[dict[int, int]] = {}

    def pack(self, node: AtenNode) -> None:
        """Write a product with a packed right side in the place of `node`."""
        *addend, left, right = node.args
        meta = node.metas[0]
        assert isinstance(right, Ref), "a product reads tensors"
        assert meta is not None, "a product gives a tensor"
        panels = self._panels.get(right.id)
        if panels is None:
            panels = self._panels[right.id] = self._lay_out(right.id, node.loc)
        args = (left, Ref(panels), LiteralArg(_extent(meta, -1)))
        if not addend:
            self.nodes.append(msgspec.structs.replace(node, op=PACKED_MM, args=args))
            return
        product = self._add(PACKED_MM, args, meta, node.loc)
        sum_args = (Ref(product), *addend)
        self.nodes.append(msgspec.structs.replace(node, op="aten.add.Tensor", args=sum_args))

    def _lay_out(self, value: int, loc: Loc | None) -> int:
        meta = self._metas[value]
        assert meta is not None, "a product reads tensors"
        depth, cols = _extent(meta, 0), _extent(meta, 1)
        rest = -cols % PANEL_COLS
        if rest:
            pad = (Ref(value), ListArg((LiteralArg(0), LiteralArg(rest))), FloatArg((0.0).hex()))
            meta = _shaped(meta, (depth, cols + rest))
            value = self._add("aten.constant_pad_nd.default", pad, meta, loc)
        row, col = (int(stride) for stride in meta.strides if isinstance(stride, int))
        count = (cols + rest) // PANEL_COLS
        cut = (depth, count, PANEL_COLS)
        meta = msgspec.structs.replace(meta, shape=cut, strides=(row, col * PANEL_COLS, col))
        value = self._add("aten.view.default", (Ref(value), _list(cut)), meta, loc)
        turned, strides = (count, depth, PANEL_COLS), (col * PANEL_COLS, row, col)
        meta = msgspec.structs.replace(meta, shape=turned, strides=strides)
        value = self._add("aten.permute.default", (Ref(value), _list((1, 0, 2))), meta, loc)
        kept = (KwArg("memory_format", MemoryFormatArg("contiguous_format")),)
        return self._add("aten.clone.default", (Ref(value),), _shaped(meta, turned), loc, kept)

    def _add(
        self,
        op: str,
        args: tuple[Arg, ...],
        meta: TensorMeta,
        loc: Loc | None,
        kwargs: tuple[KwArg, ...] = (),
    ) -> int:
        self._metas.append(meta)
        value = len(self._metas) - 1
        self.nodes.append(AtenNode(op, args, kwargs, (value,), (meta,), loc))
        return value


def _extent(meta: TensorMeta, dim: int) -> int:
    extent = meta.shape[dim]
    assert isinstance(extent, int), "the shapes are static"
    return extent


def _shaped(meta: TensorMeta, shape: tuple[int, ...]) -> TensorMeta:
    """Give the metadata of a new row-major tensor."""
    strides = row_major(shape)
    return msgspec.structs.replace(
        meta, shape=shape, strides=strides, offset=0, requires_grad=False
    )


def _list(numbers: tuple[int, ...]) -> ListArg:
    return ListArg(tuple(LiteralArg(number) for number in numbers))
