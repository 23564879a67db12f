"""Losses and other small compositions, in terms of reductions and pointwise ops.

In: nothing.   Out: `LOSSES`, overload name → `Decomposition`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, squeeze, tensor
from graphwright.ir.aten import AtenNode, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integer_of, is_number, number_of


class _Reduction(enum.IntEnum):
    """ATen's `Reduction` argument."""

    NONE = 0
    MEAN = 1
    SUM = 2


def _give_loss(emit: Emitter, node: AtenNode, loss: Ref, position: int) -> None:
    kind = _Reduction(integer_of(node, position, "reduction", _Reduction.MEAN))
    if kind is not _Reduction.NONE and emit.shape(loss):
        axes = range(len(emit.shape(loss)))
        op = "aten.mean.dim" if kind is _Reduction.MEAN else "aten.sum.dim_IntList"
        loss = squeeze(emit, emit.reduce(op, loss, axes), axes)
    give(emit, node, loss)


def _mse_loss(emit: Emitter, node: AtenNode) -> bool:
    """Give (x - target)²."""
    distance = _distance(emit, node)
    if distance is None:
        return False
    _give_loss(emit, node, emit.pointwise("aten.mul.Tensor", distance, distance), 2)
    return True


def _distance(emit: Emitter, node: AtenNode) -> Ref | None:
    """Give x - target, for float32 and float64 of one dtype: eager rounds narrower ones in between."""
    x, target = tensor(node, 0), tensor(node, 1)
    dtype = emit.dtype(x)
    if dtype is not emit.dtype(target) or emit.widened(x) != x or not dtype.is_float:
        return None
    return emit.pointwise("aten.sub.Tensor", x, target)


def _smooth_l1_loss(emit: Emitter, node: AtenNode) -> bool:
    """Where |d| < beta: d²/2/beta, else |d| - beta/2, d = x - target."""
    distance = _distance(emit, node)
    given = argument(node, 3, "beta")
    beta = float(number_of(given)) if is_number(given) else 1.0
    if distance is None or beta == 0:
        return False
    size = emit.pointwise("aten.abs.default", distance)
    is_near = emit.pointwise("aten.lt.Scalar", size, beta, dtype=DType.BOOL)
    half = emit.pointwise("aten.mul.Scalar", emit.pointwise("aten.mul.Tensor", size, size), 0.5)
    near = emit.pointwise("aten.div.Scalar", half, beta)
    far = emit.pointwise("aten.sub.Scalar", size, 0.5 * beta)
    loss = emit.pointwise("aten.where.self", is_near, near, far, dtype=emit.dtype(size))
    _give_loss(emit, node, loss, 2)
    return True


def _huber_loss(emit: Emitter, node: AtenNode) -> bool:
    """Where |d| < delta: d²/2, else delta·(|d| - delta/2), d = x - target."""
    distance = _distance(emit, node)
    if distance is None:
        return False
    given = argument(node, 3, "delta")
    delta = float(number_of(given)) if is_number(given) else 1.0
    size = emit.pointwise("aten.abs.default", distance)
    is_near = emit.pointwise("aten.le.Scalar", size, delta, dtype=DType.BOOL)
    near = emit.pointwise("aten.mul.Scalar", emit.pointwise("aten.mul.Tensor", size, size), 0.5)
    far = emit.pointwise(
        "aten.mul.Scalar", emit.pointwise("aten.sub.Scalar", size, 0.5 * delta), delta
    )
    loss = emit.pointwise("aten.where.self", is_near, near, far, dtype=emit.dtype(size))
    _give_loss(emit, node, loss, 2)
    return True


def _log_sigmoid(emit: Emitter, node: AtenNode) -> bool:
    """min(x, 0) - log1p(exp(-|x|)); the second result, which the backward may read, is exp(-|x|) on the CPU."""
    x = emit.widened(tensor(node, 0))
    size = emit.pointwise("aten.abs.default", x)
    e = emit.pointwise("aten.exp.default", emit.pointwise("aten.neg.default", size))
    low = emit.pointwise("aten.clamp_max.default", x, 0)
    give(
        emit, node, emit.pointwise("aten.sub.Tensor", low, emit.pointwise("aten.log1p.default", e))
    )
    give(emit, node, e, 1)
    return True


def _glu(emit: Emitter, node: AtenNode) -> bool:
    """Give a·sigmoid(b), a and b the halves along an axis."""
    x = tensor(node, 0)
    shape = emit.shape(x)
    axis = integer_of(node, 1, "dim", -1) % len(shape)
    meta = emit.meta(x)
    half = shape[axis] // 2
    first, second = (emit.slice(x, axis, start, half) for start in (0, half))
    assert meta.shape[axis] == 2 * half, "eager has checked that the axis is even"
    wide_first, wide_second = emit.widened(first), emit.widened(second)
    gate = emit.pointwise("aten.sigmoid.default", wide_second)
    give(emit, node, emit.pointwise("aten.mul.Tensor", wide_first, gate))
    return True


def _dropout(emit: Emitter, node: AtenNode) -> bool:
    """Nothing, where it does not train: then it draws no random numbers either."""
    if argument(node, 2, "train") != LiteralArg(value=False):
        return False
    x = tensor(node, 0)
    give(emit, node, x)
    if node.results[1] >= 0:
        emit.give_filled(node.results[1], result_meta(node, 1), value=True)
    return True


LOSSES: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.mse_loss.default", _mse_loss),
    Decomposition("aten.smooth_l1_loss.default", _smooth_l1_loss),
    Decomposition("aten.huber_loss.default", _huber_loss),
    Decomposition("aten.log_sigmoid_forward.default", _log_sigmoid),
    Decomposition("aten.glu.default", _glu),
    Decomposition("aten.native_dropout.default", _dropout),
)
