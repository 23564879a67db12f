"""Give attention that is written out in plain ops to PyTorch's fused kernel, where its scores are too many for the caches.

In: a graph as it was recorded.   Out: the graph with one node in the place of two products and the softmax between them, so that
the scores are never in memory as a whole (12 heads, 4096 positions: 770 MiB).
Keeps: NaN for a row of which all is masked, where the kernel itself gives 0. Fewer scores (`decomps/attention.py` says how few) stay
products and a softmax, as do narrow floats, which eager rounds between the ops; scores that something else reads, a gradient or the
user; and scores filled by a mask, since a fill takes NaN and infinities out of them and the kernel's addition does not.

    %5 = bmm(%query, %key)
    %6 = div(view(%5, [b, h, q, k]), 8.0)
    %7 = _softmax(add(%6, %mask), -1)
    %8 = bmm(view(%7, [b * h, q, k]), %value)           →     %8 = attention(%query, %key, %value, %mask, scale=0.125)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, final

import msgspec
import torch

from graphwright.graph.decomps.emitter import Emitter, is_static, static_layout, static_shape
from graphwright.graph.decomps.rules import result_meta
from graphwright.ir.aten import AtenGraph, AtenNode, FloatArg, KwArg, LiteralArg, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import integers_of, is_number, number_of
from graphwright.ir.renumbering import iter_metas, sole_readers, with_nodes

ATTENTION: Final = "aten._scaled_dot_product_flash_attention_for_cpu.default"
FEWEST_SCORES: Final = 1 << 22
"""16 MiB in float32. From here on the fused kernel takes 0.9 to 1 of the time (float32, 2 threads of an AMD EPYC 9004)."""
_PRODUCTS: Final = ("aten.bmm.default", "aten.mm.default")
_ADD: Final = "aten.add.Tensor"
_MUL: Final = "aten.mul.Tensor"
_SCALES: Final = (_MUL, "aten.div.Tensor")
_RESHAPES: Final = frozenset(
    {
        "aten._unsafe_view.default",
        "aten.clone.default",
        "aten.reshape.default",
        "aten.squeeze.dim",
        "aten.unsqueeze.default",
        "aten.view.default",
    }
)
"""Ops whose result has the elements of their first argument in the same order."""
_RANK: Final = 4


class _Match(msgspec.Struct, frozen=True):
    """Attention that was found, or the part of it up to where the search is."""

    shape: tuple[int, ...]
    """Of the scores where the softmax is taken."""
    second: AtenNode
    """The product that takes the weights."""
    first: AtenNode | None = None
    """The product that gives the scores."""
    scale: float = 1.0
    is_scaled: bool = False
    masks: tuple[Ref, ...] = ()
    """What is added to the scores after they are scaled."""


def written_attention(graph: AtenGraph) -> AtenGraph:
    """Give attention that is written out to the fused kernel."""
    if not any(map(_is_large_softmax, graph.nodes)):
        return graph
    search = _Search(graph)
    found = {match.second.results[0]: match for match in search.matches()}
    if not found:
        return graph
    nodes: list[AtenNode] = []
    for node in graph.nodes:
        match = found.get(node.results[0]) if node.results else None
        nodes += [node] if match is None else search.fused(match)
    return with_nodes(graph, nodes, {})


def _is_large_softmax(node: AtenNode) -> bool:
    if node.op != "aten._softmax.default":
        return False
    meta = result_meta(node)
    if not is_static(meta) or len(meta.shape) < 2:
        return False
    shape = static_shape(meta)
    is_served = meta.dtype in (DType.FLOAT32, DType.FLOAT64) and meta.device == "cpu"
    is_last = number_of(node.args[1]) in (-1, len(shape) - 1)
    return is_served and is_last and math.prod(shape) >= FEWEST_SCORES


@final
class _Search:
    """Finds attention, and writes it as one node."""

    def __init__(self, graph: AtenGraph) -> None:
        self._graph = graph
        self._metas = list(iter_metas(graph))
        self._makers = {value: node for node in graph.nodes for value in node.results}
        self._readers = sole_readers(graph)

    def matches(self) -> Iterator[_Match]:
        """Give all attention of the graph."""
        for node in filter(_is_large_softmax, self._graph.nodes):
            second = self._product_behind(node.results[0])
            if second is None:
                continue
            match = self._walk(node.args[0], _Match(static_shape(result_meta(node)), second))
            if match is not None and self._is_served(match):
                yield match

    def _product_behind(self, weights: int) -> AtenNode | None:
        """Give the product whose left operand the weights are."""
        reader = self._readers.get(weights)
        while reader is not None and self._keeps_order(reader):
            weights = reader.results[0]
            reader = self._readers.get(weights)
        if reader is None or reader.op not in _PRODUCTS or reader.args[0] != Ref(weights):
            return None
        return reader

    def _walk(self, value: object, match: _Match) -> _Match | None:
        """Go from the softmax up to the product that gives the scores."""
        if not isinstance(value, Ref) or value.id not in self._readers:
            return None
        node = self._makers.get(value.id)
        if node is None:
            return None
        if node.op in _PRODUCTS:
            return msgspec.structs.replace(match, first=node)
        if self._keeps_order(node):
            return self._walk(node.args[0], match)
        if node.op in _SCALES and is_number(node.args[1]) and not node.kwargs:
            factor = float(number_of(node.args[1])) or math.nan
            scale = match.scale * factor if node.op == _MUL else match.scale / factor
            scaled = msgspec.structs.replace(match, scale=scale, is_scaled=True)
            return self._walk(node.args[0], scaled)
        if node.op == _ADD and not node.kwargs and not match.is_scaled:
            return self._walk_sum(node, match)
        return None

    def _walk_sum(self, node: AtenNode, match: _Match) -> _Match | None:
        """Take one operand for the scores, the other for a mask."""
        if result_meta(node).shape != match.shape:
            return None
        left, right = node.args
        for scores, mask in ((left, right), (right, left)):
            if isinstance(mask, Ref):
                masked = msgspec.structs.replace(match, masks=(mask, *match.masks))
                found = self._walk(scores, masked)
                if found is not None:
                    return found
        return None

    def _keeps_order(self, node: AtenNode) -> bool:
        """Tell whether the result has the elements of the first argument, in the same order."""
        if node.op in _RESHAPES:
            return True
        first = node.args[0] if node.args else None
        if not isinstance(first, Ref):
            return False
        shape = self._metas[first.id].shape
        if node.op == "aten.expand.default":
            return result_meta(node).shape == shape
        order = list(range(len(shape)))
        if node.op == "aten.permute.default":
            order = [axis % len(order) for axis in integers_of(node.args[1]) or ()]
        elif node.op == "aten.transpose.int":
            one, other = (int(number_of(axis)) for axis in node.args[1:])
            order[one], order[other] = order[other], order[one]
        else:
            return False
        moved = [axis for axis in order if shape[axis] != 1]
        return moved == sorted(moved)

    def _is_served(self, match: _Match) -> bool:
        """Tell whether the fused kernel takes what was found."""
        assert match.first is not None, "the search has come to the first product"
        refs = (*match.first.args, match.second.args[1], *match.masks)
        metas = [self._metas[ref.id] for ref in refs if isinstance(ref, Ref)]
        dtype = result_meta(match.second).dtype
        if not all(is_static(meta) and meta.dtype is dtype for meta in metas):
            return False
        features = static_shape(result_meta(match.second))[-1]
        is_alike = static_shape(metas[0])[-1] == features > 0
        is_alike &= not match.masks or len(match.shape) <= _RANK
        return is_alike and math.isfinite(match.scale) and match.scale > 0

    def fused(self, match: _Match) -> list[AtenNode]:
        """Give the nodes that stand in the place of the second product."""
        assert match.first is not None, "the search has come to the first product"
        emit = Emitter(self._metas, match.second.loc)
        *others, queries, keys = match.shape
        heads = (math.prod(others[:-1]), others[-1] if others else 1)
        meta = result_meta(match.second)
        features = static_shape(meta)[-1]
        query = self._operand(emit, match.first.args[0], (*heads, queries, features))
        key = self._operand(emit, match.first.args[1], (*heads, features, keys), is_turned=True)
        value = self._operand(emit, match.second.args[1], (*heads, keys, features))
        options = [KwArg("scale", FloatArg(match.scale.hex()))]
        mask = self._mask(emit, match)
        if mask is not None:
            options.append(KwArg("attn_mask", mask))
        args = (query, key, value, FloatArg((0.0).hex()), LiteralArg(value=False))
        result = emit.node(ATTENTION, args, _result_like(emit.meta(query)), options)
        # The logarithms of the sums are not needed.
        node = emit.nodes[-1]
        emit.nodes[-1] = msgspec.structs.replace(
            node, results=(*node.results, -1), metas=(*node.metas, None)
        )
        if mask is not None:
            greatest = emit.reduce("aten.amax.default", mask, [_RANK - 1])
            is_empty = emit.pointwise("aten.eq.Scalar", greatest, -math.inf, dtype=DType.BOOL)
            result = emit.pointwise("aten.masked_fill.Scalar", result, is_empty, math.nan)
        flat = emit.view(emit.row_major(result), static_shape(meta))
        emit.give(flat, match.second.results[0], meta)
        return emit.nodes

    def _operand(
        self, emit: Emitter, arg: object, shape: tuple[int, ...], *, is_turned: bool = False
    ) -> Ref:
        """Give an operand of a product by heads, the features of each position side by side; of rows and columns exchanged, if told."""
        assert isinstance(arg, Ref), "a product reads tensors"
        features = _RANK - 2 if is_turned else _RANK - 1
        found: tuple[Ref, tuple[int, ...]] | None = None
        source: object = arg
        while isinstance(source, Ref):
            # What a copy was made from serves, too.
            strides = _strides_of_view(self._metas[source.id], shape)
            if strides is not None and strides[features] == 1:
                found = source, strides
            node = self._makers.get(source.id)
            source = node.args[0] if node is not None and self._keeps_order(node) else None
        if found is not None:
            seen = emit.seen_as(found[0], shape, found[1])
            return emit.transposed(seen) if is_turned else seen
        seen = emit.view(emit.row_major(arg), shape)
        return emit.row_major(emit.transposed(seen)) if is_turned else seen

    def _mask(self, emit: Emitter, match: _Match) -> Ref | None:
        """Give the sum of the masks, by heads."""
        if not match.masks:
            return None
        total, *others = match.masks
        for mask in others:
            total = emit.pointwise(_ADD, total, mask)
        shape, strides = static_layout(emit.meta(total))
        missing = _RANK - len(shape)
        return emit.seen_as(total, (1,) * missing + shape, (0,) * missing + strides)


def _strides_of_view(meta: TensorMeta, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Give the strides of a value seen in another shape; None where it would have to be copied."""
    try:
        return _on_meta(meta).view(*shape).stride()
    except RuntimeError:
        return None


def _result_like(query: TensorMeta) -> TensorMeta:
    """Give the metadata of the fused kernel's result."""
    strides = torch.empty_like(_on_meta(query)).stride()
    return msgspec.structs.replace(query, strides=strides, offset=0)


def _on_meta(meta: TensorMeta) -> torch.Tensor:
    shape, strides = static_layout(meta)
    return torch.empty_strided(shape, strides, device="meta")
