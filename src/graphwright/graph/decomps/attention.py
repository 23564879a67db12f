"""Attention with few scores, in terms of products, reductions and pointwise ops.

In: nothing.   Out: `ATTENTION`, overload name → `Decomposition`.
Keeps: 0 for a row of which all is masked, as eager's kernel gives.

While the scores fit the cache, a product, a softmax and a product of our own are quicker than the fused kernel of PyTorch's
library, which works through small blocks (12 heads of 64, float32, one thread of an AMD EPYC 9004): 0.35 of its time for one
position of 64, 0.75 for 64 positions, 0.81 for 128, 0.96 for 256, 1.02 for 512 and 1024, 1.12 for 4096.

Attention that is written out in plain ops comes here only where its scores are too many for this (`written_attention.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import (
    Decomposition,
    give,
    give_reduced,
    maybe_tensor,
    result_meta,
    rows,
    tensor,
)
from graphwright.graph.decomps.vectors import products_of_vectors
from graphwright.ir.aten import AtenNode, DTypeArg, KwArg, LiteralArg, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, flag_of, is_number, number_of
from graphwright.ir.strides import row_major

MOST_SCORES: Final = 1 << 20
"""4 MiB in float32."""
LEAST_KEYS: Final = 16
LEAST_FEATURES: Final = 16
"""Fewer do not fill the vectors of the products."""


def _attention(emit: Emitter, node: AtenNode) -> bool:
    """softmax(query · keyᵀ · scale + mask) · value, and the logarithm of the softmax's sums."""
    query, key, value = (tensor(node, position) for position in range(3))
    mask = maybe_tensor(node, 5, "attn_mask")
    is_causal = flag_of(node, 4, "is_causal")
    if not _is_served(emit, node) or (is_causal and mask is not None):
        return False
    scores = _matmul(emit, query, emit.transposed(key))
    scores = emit.pointwise("aten.mul.Tensor", scores, _scale(emit, node, query))
    if mask is not None:
        scores = emit.pointwise("aten.add.Tensor", scores, mask)
    if is_causal:
        is_later = _is_later(emit, scores)
        scores = emit.pointwise("aten.masked_fill.Scalar", scores, is_later, -math.inf)
    axis = len(emit.shape(scores)) - 1
    largest = emit.reduce("aten.amax.default", scores, [axis])
    e = emit.pointwise("aten.exp.default", emit.pointwise("aten.sub.Tensor", scores, largest))
    total = emit.reduce("aten.sum.dim_IntList", e, [axis])
    weights = emit.pointwise("aten.div.Tensor", e, total)
    logarithm = emit.pointwise("aten.log.default", total)
    logarithm = emit.pointwise("aten.add.Tensor", logarithm, largest)
    if mask is not None:
        is_empty = emit.pointwise("aten.eq.Scalar", largest, -math.inf, dtype=DType.BOOL)
        weights = emit.pointwise("aten.masked_fill.Scalar", weights, is_empty, 0)
        logarithm = emit.pointwise("aten.masked_fill.Scalar", logarithm, is_empty, 0)
    give(emit, node, _matmul(emit, weights, value, result_meta(node)))
    give_reduced(emit, node, logarithm, [axis], 1)
    return True


def _is_served(emit: Emitter, node: AtenNode) -> bool:
    query, key, value = (emit.shape(tensor(node, position)) for position in range(3))
    dropout = argument(node, 3, "dropout_p")
    has_dropout = dropout is not None and number_of(dropout) != 0
    if has_dropout or result_meta(node).dtype not in (DType.FLOAT32, DType.FLOAT64):
        return False
    mask = maybe_tensor(node, 5, "attn_mask")
    if mask is not None and emit.dtype(mask) is not result_meta(node).dtype:
        return False
    numel = math.prod(query[:-1]) * key[-2]
    has_width = key[-2] >= LEAST_KEYS and min(key[-1], value[-1]) >= LEAST_FEATURES
    has_width = has_width or query[-2] == 1
    return query[:-2] == key[:-2] == value[:-2] and has_width and numel <= MOST_SCORES


def _scale(emit: Emitter, node: AtenNode, query: Ref) -> float:
    given = argument(node, len(node.args), "scale")
    if given is not None and is_number(given):
        return float(number_of(given))
    return 1 / math.sqrt(emit.shape(query)[-1])


def _matmul(emit: Emitter, left: Ref, right: Ref, like: TensorMeta | None = None) -> Ref:
    """Give left @ right, laid out as `like` (row-major without)."""
    if emit.shape(left)[-2] == 1:
        return products_of_vectors(emit, left, right)
    shape = (*emit.shape(left)[:-1], emit.shape(right)[-1])
    meta = emit.meta(left)
    strides = row_major(shape) if like is None else like.strides
    result = TensorMeta(meta.dtype, shape, strides, meta.device)
    return emit.node("aten.matmul.default", [left, right], result)


def _is_later(emit: Emitter, scores: Ref) -> Ref:
    """Tell where a key comes later than the query."""
    *_, queries, keys = emit.shape(scores)
    device = emit.meta(scores).device
    places = [_count(emit, extent, device) for extent in (queries, keys)]
    column = emit.view(places[0], (queries, 1))
    return emit.pointwise("aten.lt.Tensor", column, places[1], dtype=DType.BOOL)


def _count(emit: Emitter, extent: int, device: str) -> Ref:
    meta = TensorMeta(DType.INT64, (extent,), (1,), device)
    kwargs = (KwArg("dtype", DTypeArg(DType.INT64)),)
    return emit.node("aten.arange.default", [LiteralArg(extent)], meta, kwargs)


ATTENTION: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten._scaled_dot_product_flash_attention_for_cpu.default", _attention)
)
