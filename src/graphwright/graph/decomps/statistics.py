"""Variances and vector norms, in terms of reductions and pointwise ops.

In: nothing.   Out: `STATISTICS`, overload name → `Decomposition`; `variance`, which the norm layers use too.
Keeps: two passes (the mean, then the squared distances from it), which in float32 is nearly as accurate as eager's single one in
float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import (
    Decomposition,
    axes_of,
    give_reduced,
    result_meta,
    rows,
    tensor,
)
from graphwright.ir.aten import AtenNode, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, is_given, is_number, number_of


class Moments(msgspec.Struct, frozen=True):
    """The mean over some axes, the distances from it, and the sum of their squares; axes keep extent 1."""

    mean: Ref
    distance: Ref
    squares: Ref
    count: int


def moments(emit: Emitter, x: Ref, axes: Sequence[int]) -> Moments:
    """Give the moments of `x`, which is in the dtype of the computation."""
    count = math.prod(emit.shape(x)[axis] for axis in axes)
    mean = emit.reduce("aten.mean.dim", x, axes)
    distance = emit.pointwise("aten.sub.Tensor", x, mean)
    square = emit.pointwise("aten.mul.Tensor", distance, distance)
    return Moments(mean, distance, emit.reduce("aten.sum.dim_IntList", square, axes), count)


def _correction(node: AtenNode) -> float:
    given = argument(node, len(node.args), "correction")
    return float(number_of(given)) if is_number(given) else 1.0


def _spread(emit: Emitter, node: AtenNode, *, is_root: bool, has_mean: bool) -> bool:
    x = emit.widened(tensor(node, 0))
    if not emit.dtype(x).is_float:
        return False
    if has_mean:
        # In float64, as eager's: a mean may be far smaller than what it is the mean of.
        x = emit.cast(x, DType.FLOAT64)
    axes = axes_of(node, 1, len(emit.shape(x)))
    parts = moments(emit, x, axes)
    freedom = max(
        0.0, parts.count - _correction(node)
    )  # 0 where the difference is NaN, as in eager
    result = emit.pointwise("aten.div.Tensor", parts.squares, freedom)
    if is_root:
        result = emit.pointwise("aten.sqrt.default", result)
    give_reduced(emit, node, result, axes)
    if has_mean:
        give_reduced(emit, node, parts.mean, axes, 1)
    return True


def _var(emit: Emitter, node: AtenNode) -> bool:
    """Σ (x - mean)² / (n - correction)."""
    return _spread(emit, node, is_root=False, has_mean=False)


def _std(emit: Emitter, node: AtenNode) -> bool:
    """√var."""
    return _spread(emit, node, is_root=True, has_mean=False)


def _var_mean(emit: Emitter, node: AtenNode) -> bool:
    """(var, mean)."""
    return _spread(emit, node, is_root=False, has_mean=True)


def _std_mean(emit: Emitter, node: AtenNode) -> bool:
    """(std, mean)."""
    return _spread(emit, node, is_root=True, has_mean=True)


def _vector_norm(emit: Emitter, node: AtenNode) -> bool:
    """(Σ |x|^p)^(1/p), with the limits for p = 0, inf, -inf."""
    order = float(number_of(node.args[1])) if len(node.args) > 1 else 2.0
    return _norm(emit, node, order, axes_at=2)


def _old_norm(emit: Emitter, node: AtenNode) -> bool:
    """As the vector norm; p may be None."""
    order = float(number_of(node.args[1])) if is_given(node, 1, "p") else 2.0
    return _norm(emit, node, order, axes_at=2)


def _norm(emit: Emitter, node: AtenNode, order: float, *, axes_at: int) -> bool:
    source = tensor(node, 0)
    if not emit.dtype(source).is_float or result_meta(node).dtype is not emit.dtype(source):
        return False
    x = emit.widened(source)
    axes = axes_of(node, axes_at, len(emit.shape(x)))
    if 0 in emit.shape(x):
        return False
    is_limit = math.isinf(order)
    if math.isinf(emit.dtype(x).held(order)) != is_limit:
        return False  # eager takes it for a power all the same, with 1 / inf as the root's
    size = emit.pointwise("aten.abs.default", x)
    if is_limit:
        name = "aten.amax.default" if order > 0 else "aten.amin.default"
        give_reduced(emit, node, emit.reduce(name, size, axes), axes)
        return True
    give_reduced(emit, node, _sum_norm(emit, x, size, axes, order), axes)
    return True


def _sum_norm(emit: Emitter, x: Ref, size: Ref, axes: Sequence[int], order: float) -> Ref:
    if order == 0:
        ones = emit.cast(emit.pointwise("aten.ne.Scalar", x, 0, dtype=DType.BOOL), emit.dtype(x))
        return emit.reduce("aten.sum.dim_IntList", ones, axes)
    if order == 1:
        return emit.reduce("aten.sum.dim_IntList", size, axes)
    if order == 2:
        square = emit.pointwise("aten.mul.Tensor", x, x)
        total = emit.reduce("aten.sum.dim_IntList", square, axes)
        return emit.pointwise("aten.sqrt.default", total)
    powers = emit.pointwise("aten.pow.Tensor_Scalar", size, order)
    total = emit.reduce("aten.sum.dim_IntList", powers, axes)
    return emit.pointwise("aten.pow.Tensor_Scalar", total, 1.0 / order)


def _count_nonzero(emit: Emitter, node: AtenNode) -> bool:
    """Σ (x ≠ 0)."""
    x = tensor(node, 0)
    axes = axes_of(node, 1, len(emit.shape(x)))
    is_set = emit.pointwise("aten.ne.Scalar", x, 0, dtype=DType.BOOL)
    counted = emit.reduce("aten.sum.dim_IntList", is_set, axes, dtype=DType.INT64)
    give_reduced(emit, node, counted, axes)
    return True


def _nansum(emit: Emitter, node: AtenNode) -> bool:
    """Σ x, NaN as 0."""
    x = tensor(node, 0)
    axes = axes_of(node, 1, len(emit.shape(x)))
    if emit.dtype(x).is_float:
        is_nan = emit.pointwise("aten.isnan.default", x, dtype=DType.BOOL)
        x = emit.pointwise("aten.masked_fill.Scalar", x, is_nan, 0)
    dtype = result_meta(node).dtype
    give_reduced(emit, node, emit.reduce("aten.sum.dim_IntList", x, axes, dtype=dtype), axes)
    return True


STATISTICS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.var.correction", _var),
    Decomposition("aten.std.correction", _std),
    Decomposition("aten.var_mean.correction", _var_mean),
    Decomposition("aten.std_mean.correction", _std_mean),
    Decomposition("aten.linalg_vector_norm.default", _vector_norm),
    Decomposition("aten.norm.ScalarOpt_dim", _old_norm),
    Decomposition("aten.norm.Scalar", _old_norm),
    Decomposition("aten.count_nonzero.default", _count_nonzero),
    Decomposition("aten.count_nonzero.dim_IntList", _count_nonzero),
    Decomposition("aten.nansum.default", _nansum),
)
