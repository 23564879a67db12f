"""Take attention apart into products and a softmax where the scores are small.

In: a graph.   Out: the graph with each call of the CPU's flash attention that has small scores replaced by plain ops.
Keeps: values up to the rounding of sums in another order; rows without a key stay zero; calls whose logarithms of sums are
needed (for gradients), in narrow floats, with dropout, or with heads that share keys.

    %3, _ = flash_attention(%q, %k, %v)    →    %3 = bmm(%q, %kᵀ);  %4 = mul(%3, scale);  %5 = _softmax(%4)
                                                %6 = bmm(%5, %v)

The flash kernel never holds all scores, which is right for long sequences. While they stay in the cache, products of our own and a
softmax that is fused with scale and mask take less time (12 heads of 64, float32, one thread of an AMD EPYC 9004): 0.35 of the
flash kernel's for one position of 64, 0.47 for 16 positions, 0.75 for 64, 0.81 for 128, 0.87 for 197, 0.96 for 256, but
1.05 for 512; 0.87 for 8 batches of 64, 0.92 for 4 of 128.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from graphwright.graph.decomps.emitter import Emitter, as_list, is_row_major, row_major
from graphwright.graph.renumbering import iter_metas, iter_reads, with_nodes
from graphwright.ir.aten import (
    AtenGraph,
    AtenNode,
    DTypeArg,
    KwArg,
    LiteralArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, flag_of, is_given, number_of

FLASH: Final = "aten._scaled_dot_product_flash_attention_for_cpu.default"
MOST_BYTES: Final = 4 << 20
"""Scores that take more memory are left to the flash kernel."""


def attention(graph: AtenGraph) -> AtenGraph:
    """Take apart the calls of attention that have small scores."""
    if not any(node.op == FLASH for node in graph.nodes):
        return graph
    metas = [meta for meta in iter_metas(graph) if meta is not None]
    used = {value for node in graph.nodes for value in iter_reads(node)}
    used.update(output.value_id for output in graph.outputs)
    used.update(mutation.value_id for mutation in graph.mutations)
    nodes: list[AtenNode] = []
    for node in graph.nodes:
        if node.op != FLASH or not _pays(node, metas, used):
            nodes.append(node)
            continue
        emit = Emitter(metas, node.loc)
        _write(emit, node)
        nodes += emit.nodes
    return with_nodes(graph, nodes, {})


def _pays(node: AtenNode, metas: list[TensorMeta], used: set[int]) -> bool:
    query, key, value = (metas[arg.id] for arg in node.args[:3] if isinstance(arg, Ref))
    read = [metas[number] for number in iter_reads(node)]
    if len(node.results) != 2 or node.results[1] in used or node.results[0] < 0:
        return False
    if is_given(node, 3, "dropout_p") and number_of(argument(node, 3, "dropout_p")) != 0:
        return False
    dims = [dim for meta in read for dim in (*meta.shape, *meta.strides)]
    if not all(isinstance(dim, int) for dim in dims):
        return False
    if query.dtype not in (DType.FLOAT32, DType.FLOAT64) or query.device != "cpu":
        return False
    if not query.shape[:2] == key.shape[:2] == value.shape[:2]:
        return False  # heads that share keys
    extents = (*query.shape[:3], key.shape[2])
    numel = math.prod(extent for extent in extents if isinstance(extent, int))
    return 0 < numel * query.dtype.size_bytes <= MOST_BYTES


def _write(emit: Emitter, node: AtenNode) -> None:
    query, key, value = (arg for arg in node.args[:3] if isinstance(arg, Ref))
    batch, heads, length, depth = emit.shape(query)
    num_keys = emit.shape(key)[2]
    keys = _permuted(emit, _matrices(emit, key), (0, 2, 1))
    product = (batch * heads, length, num_keys)
    scores = _product(emit, _matrices(emit, query), keys, product)
    scores = emit.view(scores, (batch, heads, length, num_keys))
    scores = emit.pointwise("aten.mul.Tensor", scores, _scale(node, depth))
    mask = argument(node, 5, "attn_mask")
    softmax = "aten._softmax.default"
    if flag_of(node, 4, "is_causal"):
        scores = _mask_later(emit, scores)
    if isinstance(mask, Ref):
        # A mask may leave a row without a key.
        softmax = "aten._safe_softmax.default"
        scores = _masked(emit, scores, mask)
    last = (Ref(scores.id), LiteralArg(-1))
    args = (*last, LiteralArg(value=False)) if softmax.startswith("aten._softmax") else last
    weights = emit.node(softmax, args, emit.meta(scores))
    weights = emit.view(weights, product)
    mixed = _product(emit, weights, _matrices(emit, value), (batch * heads, length, depth))
    mixed = emit.view(mixed, (batch, heads, length, depth))
    meta = node.metas[0]
    assert meta is not None, "attention gives a tensor"
    emit.give(mixed, node.results[0], meta)


def _scale(node: AtenNode, depth: int) -> float:
    if is_given(node, 6, "scale"):
        return float(number_of(argument(node, 6, "scale")))
    return 1 / math.sqrt(depth)


def _matrices(emit: Emitter, states: Ref) -> Ref:
    """See [B, H, L, D] as [B · H, L, D], of a copy where heads of several batches do not follow each other in memory."""
    meta, (batch, heads, length, depth) = emit.meta(states), emit.shape(states)
    outer, inner = (stride for stride in meta.strides[:2])
    shape = (batch * heads, length, depth)
    if is_row_major(meta):
        return emit.view(states, shape)
    if batch > 1 and heads > 1 and outer != (inner if isinstance(inner, int) else 0) * heads:
        return emit.view(emit.row_major(states), shape)
    step = inner if heads > 1 else outer
    seen = msgspec.structs.replace(meta, shape=shape, strides=(step, *meta.strides[2:]))
    return emit.node("aten.view.default", (states, as_list(shape)), seen)


def _permuted(emit: Emitter, value: Ref, axes: tuple[int, ...]) -> Ref:
    meta = emit.meta(value)
    seen = msgspec.structs.replace(
        meta,
        shape=tuple(meta.shape[axis] for axis in axes),
        strides=tuple(meta.strides[axis] for axis in axes),
    )
    return emit.node("aten.permute.default", (value, as_list(axes)), seen)


def _product(emit: Emitter, left: Ref, right: Ref, shape: tuple[int, int, int]) -> Ref:
    meta = TensorMeta(emit.dtype(left), shape, row_major(shape), emit.meta(left).device)
    return emit.node("aten.bmm.default", (left, right), meta)


def _mask_later(emit: Emitter, scores: Ref) -> Ref:
    """Let each position see no later one."""
    length, num_keys = emit.shape(scores)[2:]
    rows, cols = (_positions(emit, count) for count in (length, num_keys))
    column = TensorMeta(DType.INT64, (length, 1), (1, 1), "cpu")
    rows = emit.node("aten.unsqueeze.default", (rows, LiteralArg(1)), column)
    is_later = emit.pointwise("aten.gt.Tensor", cols, rows, dtype=DType.BOOL)
    return emit.pointwise("aten.masked_fill.Scalar", scores, is_later, -math.inf)


def _positions(emit: Emitter, count: int) -> Ref:
    meta = TensorMeta(DType.INT64, (count,), (1,), "cpu")
    kwargs = (KwArg("dtype", DTypeArg(DType.INT64)),)
    return emit.node("aten.arange.default", (LiteralArg(count),), meta, kwargs)


def _masked(emit: Emitter, scores: Ref, mask: Ref) -> Ref:
    """Add a mask of numbers; one of truth values says which keys a row has."""
    if emit.dtype(mask) is not DType.BOOL:
        return emit.pointwise("aten.add.Tensor", scores, emit.cast(mask, emit.dtype(scores)))
    is_hidden = emit.pointwise("aten.logical_not.default", mask, dtype=DType.BOOL)
    return emit.pointwise("aten.masked_fill.Scalar", scores, is_hidden, -math.inf)
