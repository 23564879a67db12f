"""Variances, vector norms and distances, in terms of reductions and pointwise ops.

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

_AS_FITS: Final = 0
_BY_PRODUCT: Final = 1
"""Values of `compute_mode`."""
_MOST_ROWS: Final = 25
"""Of more rows eager computes Euclidean distances by a product, where that fits."""


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
    if 0 in emit.shape(source) or _is_beyond(order, emit.dtype(source)):
        return False
    axes = axes_of(node, axes_at, len(emit.shape(source)))
    give_reduced(emit, node, _norm_of(emit, source, axes, order), axes)
    return True


def _dist(emit: Emitter, node: AtenNode) -> bool:
    """Give the norm of x - y."""
    x, y = tensor(node, 0), tensor(node, 1)
    order = float(number_of(node.args[2])) if len(node.args) > 2 else 2.0
    if not emit.dtype(x).is_float or emit.dtype(x) is not emit.dtype(y):
        return False
    if _is_beyond(order, emit.dtype(x)):
        return False
    distance = emit.pointwise("aten.sub.Tensor", x, y)
    axes = range(len(emit.shape(distance)))
    give_reduced(emit, node, _norm_of(emit, distance, axes, order), axes)
    return True


def _distances(emit: Emitter, node: AtenNode) -> bool:
    """Give the norms of the differences of each row of x and each of y: _cdist_forward(x, y, p, compute_mode).

    Where eager takes a product of matrices, that stays. A largest difference passes over NaN; a count of differences (p = 0), in which
    NaN counts as NaN, stays as it is.
    """
    x, y = tensor(node, 0), tensor(node, 1)
    order, mode = float(number_of(node.args[2])), _AS_FITS
    if is_given(node, 3, "compute_mode"):
        mode = int(number_of(node.args[3]))
    rows = max(emit.shape(value)[-2] for value in (x, y))
    by_product = mode == _BY_PRODUCT or (mode == _AS_FITS and rows > _MOST_ROWS)
    if not order > 0 or (order == 2 and by_product) or _is_beyond(order, emit.dtype(x)):
        return False
    rank = max(len(emit.shape(value)) for value in (x, y))
    x, y = emit.with_axis(x, len(emit.shape(x)) - 1), emit.with_axis(y, len(emit.shape(y)) - 2)
    distance = emit.pointwise("aten.sub.Tensor", x, y)
    if math.isinf(order):
        is_nan = emit.pointwise("aten.isnan.default", distance, dtype=DType.BOOL)
        distance = emit.pointwise("aten.masked_fill.Scalar", distance, is_nan, 0)
    give_reduced(emit, node, _norm_of(emit, distance, [rank], order), [rank])
    return True


def _is_beyond(order: float, dtype: DType) -> bool:
    """Tell whether the computation's dtype does not hold an order: eager takes powers and roots with what it holds instead."""
    wide = DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32
    held = wide.held(order)
    return (math.isinf(held), held == 0) != (math.isinf(order), order == 0)


def _norm_of(emit: Emitter, x: Ref, axes: Sequence[int], order: float) -> Ref:
    x = emit.widened(x)
    size = emit.pointwise("aten.abs.default", x)
    if math.isinf(order):
        name = "aten.amax.default" if order > 0 else "aten.amin.default"
        return emit.reduce(name, size, axes)
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
    Decomposition("aten.dist.default", _dist),
    Decomposition("aten._cdist_forward.default", _distances),
    Decomposition("aten.count_nonzero.default", _count_nonzero),
    Decomposition("aten.count_nonzero.dim_IntList", _count_nonzero),
    Decomposition("aten.nansum.default", _nansum),
)
