"""Softmax and its relatives, in terms of reductions and pointwise ops.

In: nothing.   Out: `SOFTMAX`, overload name → `Decomposition`.
Keeps: computed in float32 for narrower floats, and rounded once at the end, as eager's kernels do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import (
    Decomposition,
    axes_of,
    give,
    give_reduced,
    result_meta,
    rows,
    tensor,
)
from graphwright.ir.aten import AtenNode, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import is_given


def _softmax(emit: Emitter, node: AtenNode) -> bool:
    """softmax(x) = e / Σ e, e = exp(x - max x)."""
    x = emit.widened(tensor(node, 0))
    axes = axes_of(node, 1, len(emit.shape(x)))
    give(emit, node, _normalized_exponentials(emit, x, axes))
    return True


def _safe_softmax(emit: Emitter, node: AtenNode) -> bool:
    """softmax(x), but 0 in rows of -inf alone."""
    if is_given(node, 2, "dtype"):
        return False
    x = emit.widened(tensor(node, 0))
    axes = axes_of(node, 1, len(emit.shape(x)))
    is_masked = emit.pointwise("aten.eq.Scalar", x, -math.inf, dtype=DType.BOOL)
    is_empty = emit.reduce("aten.all.dims", is_masked, axes)
    quotient = _normalized_exponentials(emit, x, axes)
    give(emit, node, emit.pointwise("aten.masked_fill.Scalar", quotient, is_empty, 0))
    return True


def _normalized_exponentials(emit: Emitter, x: Ref, axes: tuple[int, ...]) -> Ref:
    """Give e / Σ e, e = exp(x - max x), by one division a row: Σ e is at least 1, or NaN, and the error stays below eager's."""
    largest = emit.reduce("aten.amax.default", x, axes)
    e = emit.pointwise("aten.exp.default", emit.pointwise("aten.sub.Tensor", x, largest))
    total = emit.reduce("aten.sum.dim_IntList", e, axes)
    return emit.pointwise("aten.mul.Tensor", e, emit.pointwise("aten.reciprocal.default", total))


def _log_softmax(emit: Emitter, node: AtenNode) -> bool:
    """log_softmax(x) = d - log Σ exp d, d = x - max x.

    Along the last axis eager keeps the sum and its logarithm in the dtype of x, so that they are rounded there.
    """
    given = tensor(node, 0)
    x = emit.widened(given)
    num_axes = len(emit.shape(x))
    axes = axes_of(node, 1, num_axes)
    kept = emit.dtype(given if num_axes - 1 in axes else x)
    d = emit.pointwise("aten.sub.Tensor", x, emit.reduce("aten.amax.default", x, axes))
    total = emit.reduce("aten.sum.dim_IntList", emit.pointwise("aten.exp.default", d), axes)
    total = emit.widened(emit.cast(total, kept))
    logarithm = emit.widened(emit.cast(emit.pointwise("aten.log.default", total), kept))
    give(emit, node, emit.pointwise("aten.sub.Tensor", d, logarithm))
    return True


def _softmax_backward(emit: Emitter, node: AtenNode) -> bool:
    """(g - Σ g·y)·y, y the softmax and g its gradient."""
    gradient, output = emit.widened(tensor(node, 0)), emit.widened(tensor(node, 1))
    axes = axes_of(node, 2, len(emit.shape(output)))
    product = emit.pointwise("aten.mul.Tensor", gradient, output)
    total = emit.reduce("aten.sum.dim_IntList", product, axes)
    shifted = emit.pointwise("aten.sub.Tensor", gradient, total)
    give(emit, node, emit.pointwise("aten.mul.Tensor", shifted, output))
    return True


def _log_softmax_backward(emit: Emitter, node: AtenNode) -> bool:
    """Give g - exp(y)·Σ g, y the log-softmax and g its gradient."""
    gradient, output = emit.widened(tensor(node, 0)), emit.widened(tensor(node, 1))
    axes = axes_of(node, 2, len(emit.shape(output)))
    total = emit.reduce("aten.sum.dim_IntList", gradient, axes)
    part = emit.pointwise("aten.mul.Tensor", emit.pointwise("aten.exp.default", output), total)
    give(emit, node, emit.pointwise("aten.sub.Tensor", gradient, part))
    return True


def _logsumexp(emit: Emitter, node: AtenNode) -> bool:
    """Give m + log Σ exp(x - m), m the largest x where that is finite, else 0; of integers as of the floats that they are cast to."""
    x = emit.widened(tensor(node, 0))
    if 0 in emit.shape(x):
        return False
    if not emit.dtype(x).is_float:
        x = emit.cast(x, result_meta(node).dtype)
    axes = axes_of(node, 1, len(emit.shape(x)))
    largest = emit.reduce("aten.amax.default", x, axes)
    size = emit.pointwise("aten.abs.default", largest)
    is_infinite = emit.pointwise("aten.eq.Scalar", size, math.inf, dtype=DType.BOOL)
    shift = emit.pointwise("aten.masked_fill.Scalar", largest, is_infinite, 0)
    e = emit.pointwise("aten.exp.default", emit.pointwise("aten.sub.Tensor", x, shift))
    total = emit.reduce("aten.sum.dim_IntList", e, axes)
    result = emit.pointwise("aten.add.Tensor", emit.pointwise("aten.log.default", total), shift)
    give_reduced(emit, node, result, axes)
    return True


SOFTMAX: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten._softmax.default", _softmax),
    Decomposition("aten._safe_softmax.default", _safe_softmax),
    Decomposition("aten._log_softmax.default", _log_softmax),
    Decomposition("aten._softmax_backward_data.default", _softmax_backward),
    Decomposition("aten._log_softmax_backward_data.default", _log_softmax_backward),
    Decomposition("aten.logsumexp.default", _logsumexp),
)
