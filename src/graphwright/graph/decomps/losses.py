"""Losses and other small compositions, in terms of reductions and pointwise ops.

In: nothing.   Out: `LOSSES`, overload name → `Decomposition`.
Keeps: narrow floats are rounded where eager's kernels round them: most do after each operation, some once, which differs by dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import (
    Decomposition,
    Reduction,
    give,
    maybe_tensor,
    result_meta,
    rows,
    squeeze,
    tensor,
)
from graphwright.ir.aten import Arg, AtenNode, ListArg, LiteralArg, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integer_of, is_number, number_of
from graphwright.ir.strides import row_major

_LEAST_LOGARITHM: Final = -100
"""What eager takes for smaller logarithms in a cross entropy."""


def _give_loss(emit: Emitter, node: AtenNode, loss: Ref, position: int) -> None:
    kind = Reduction(integer_of(node, position, "reduction", Reduction.MEAN))
    if kind is not Reduction.NONE and emit.shape(loss):
        axes = range(len(emit.shape(loss)))
        op = "aten.mean.dim" if kind is Reduction.MEAN else "aten.sum.dim_IntList"
        loss = squeeze(emit, emit.reduce(op, loss, axes), axes)
    give(emit, node, loss)


def _mse_loss(emit: Emitter, node: AtenNode) -> bool:
    """Give (x - target)²."""
    distance = _distance(emit, node)
    if distance is None:
        return False
    _give_loss(emit, node, emit.pointwise("aten.mul.Tensor", distance, distance), 2)
    return True


def _distance(emit: Emitter, node: AtenNode, rounds_once: DType | None = None) -> Ref | None:
    """Give x - target, of floats of one dtype; in float32 for the narrow one that eager `rounds_once`, at the end."""
    x, target = tensor(node, 0), tensor(node, 1)
    dtype = emit.dtype(x)
    if dtype is not emit.dtype(target) or not dtype.is_float:
        return None
    if dtype is rounds_once:
        x, target = emit.widened(x), emit.widened(target)
    return emit.pointwise("aten.sub.Tensor", x, target)


def _limit(emit: Emitter, node: AtenNode, name: str, distance: Ref) -> float:
    """Give beta or delta in the dtype of the distance."""
    given = argument(node, 3, name)
    limit = float(number_of(given)) if is_number(given) else 1.0
    return emit.dtype(distance).held(limit)


def _smooth_l1_loss(emit: Emitter, node: AtenNode) -> bool:
    """Where |d| < beta: d²/2/beta, else |d| - beta/2, d = x - target."""
    distance = _distance(emit, node, rounds_once=DType.BFLOAT16)
    if distance is None:
        return False
    beta = _limit(emit, node, "beta", distance)
    if not beta > 0:
        return False  # 0 is another loss, and what is less is refused
    size = emit.pointwise("aten.abs.default", distance)
    is_near = emit.pointwise("aten.lt.Scalar", size, beta, dtype=DType.BOOL)
    near = emit.pointwise("aten.div.Scalar", _half_square(emit, size), beta)
    far = emit.pointwise("aten.sub.Scalar", size, 0.5 * beta)
    _give_either(emit, node, is_near, near, far)
    return True


def _huber_loss(emit: Emitter, node: AtenNode) -> bool:
    """Where |d| < delta: d²/2, else delta·(|d| - delta/2), d = x - target."""
    distance = _distance(emit, node, rounds_once=DType.FLOAT16)
    if distance is None:
        return False
    delta = _limit(emit, node, "delta", distance)
    if not delta > 0:
        return False  # refused
    size = emit.pointwise("aten.abs.default", distance)
    is_near = emit.pointwise("aten.le.Scalar", size, delta, dtype=DType.BOOL)
    far = emit.pointwise(
        "aten.mul.Scalar", emit.pointwise("aten.sub.Scalar", size, 0.5 * delta), delta
    )
    _give_either(emit, node, is_near, _half_square(emit, size), far)
    return True


def _half_square(emit: Emitter, size: Ref) -> Ref:
    """Give (size / 2)·size, rounded in this order."""
    half = emit.pointwise("aten.mul.Scalar", size, 0.5)
    return emit.pointwise("aten.mul.Tensor", half, size)


def _give_either(emit: Emitter, node: AtenNode, is_near: Ref, near: Ref, far: Ref) -> None:
    loss = emit.pointwise("aten.where.self", is_near, near, far, dtype=emit.dtype(near))
    _give_loss(emit, node, emit.cast(loss, result_meta(node).dtype), 2)


def _cross_entropy(emit: Emitter, node: AtenNode) -> bool:
    """binary_cross_entropy(x, target, weight, reduction): (t - 1)·max(log(1 - x), -100) - t·max(log(x), -100).

    An x or a target outside of 0..1 raises what the op raises.
    """
    x, target, weight = tensor(node, 0), tensor(node, 1), maybe_tensor(node, 2, "weight")
    dtype = emit.dtype(x)
    others = [target] if weight is None else [target, weight]
    is_served = dtype.is_float and all(emit.dtype(other) is dtype for other in others)
    if not is_served or any(emit.shape(other) != emit.shape(x) for other in others):
        return False
    if 0 not in emit.shape(x):
        _refuse_outside(emit, node, x, target)
    to_one = emit.pointwise("aten.log1p.default", emit.pointwise("aten.neg.default", x))
    to_one = emit.pointwise("aten.clamp_min.default", to_one, _LEAST_LOGARITHM)
    to_zero = emit.pointwise("aten.log.default", x)
    to_zero = emit.pointwise("aten.clamp_min.default", to_zero, _LEAST_LOGARITHM)
    rest = emit.pointwise("aten.sub.Scalar", target, 1)
    first = emit.pointwise("aten.mul.Tensor", rest, to_one)
    second = emit.pointwise("aten.mul.Tensor", target, to_zero)
    loss = emit.pointwise("aten.sub.Tensor", first, second)
    if weight is not None:
        loss = emit.pointwise("aten.mul.Tensor", loss, weight)
    _give_loss(emit, node, loss, 3)
    return True


def _refuse_outside(emit: Emitter, node: AtenNode, *values: Ref) -> None:
    """Let `node` raise where a value is not in 0..1, as NaN is not."""
    inside = [
        emit.pointwise(op, value, limit, dtype=DType.BOOL)
        for value in values
        for op, limit in (("aten.ge.Scalar", 0), ("aten.le.Scalar", 1))
    ]
    are_inside = inside[0]
    for other in inside[1:]:
        are_inside = emit.pointwise("aten.bitwise_and.Tensor", are_inside, other)
    emit.check_values(node, values, emit.pointwise("aten.logical_not.default", are_inside))


def _log_sigmoid(emit: Emitter, node: AtenNode) -> bool:
    """min(x, 0) - log1p(exp(-|x|)); the second result, which the backward may read, is exp(-|x|) on the CPU."""
    logarithm, e = _logarithm_of_sigmoid(emit, tensor(node, 0))
    give(emit, node, logarithm)
    give(emit, node, e, 1)
    return True


def _logarithm_of_sigmoid(emit: Emitter, x: Ref) -> tuple[Ref, Ref]:
    """Give min(x, 0) - log1p(e), and e = exp(-|x|); the first in the dtype of `x`, the second perhaps wider."""
    dtype, x = emit.dtype(x), emit.widened(x)
    size = emit.pointwise("aten.abs.default", x)
    e = emit.pointwise("aten.exp.default", emit.pointwise("aten.neg.default", size))
    low = emit.pointwise("aten.clamp_max.default", x, 0)
    more = emit.pointwise("aten.log1p.default", e)
    return emit.cast(emit.pointwise("aten.sub.Tensor", low, more), dtype), e


def _cross_entropy_with_logits(emit: Emitter, node: AtenNode) -> bool:
    """binary_cross_entropy_with_logits(x, target, weight, pos_weight, reduction).

    (1 - t)·x - c·log sigmoid(x), c = 1 + (pos_weight - 1)·t; log sigmoid(x) = min(x, 0) - log1p(exp(-|x|)).
    """
    x, target = tensor(node, 0), tensor(node, 1)
    weight, positive = maybe_tensor(node, 2, "weight"), maybe_tensor(node, 3, "pos_weight")
    others = [other for other in (target, weight, positive) if other is not None]
    dtype = emit.dtype(x)
    if any(emit.dtype(other) is not dtype for other in others):
        return False
    logarithm = _logarithm_of_sigmoid(emit, x)[0]
    if positive is not None:
        more = emit.pointwise("aten.sub.Scalar", positive, 1)
        factor = emit.pointwise("aten.mul.Tensor", target, more)
        factor = emit.pointwise("aten.add.Scalar", factor, 1)
        logarithm = emit.pointwise("aten.mul.Tensor", logarithm, factor)
    rest = emit.pointwise("aten.rsub.Scalar", target, 1)
    loss = emit.pointwise("aten.sub.Tensor", emit.pointwise("aten.mul.Tensor", rest, x), logarithm)
    if weight is not None:
        loss = emit.pointwise("aten.mul.Tensor", loss, weight)
    _give_loss(emit, node, loss, 4)
    return True


def _soft_margin_loss(emit: Emitter, node: AtenNode) -> bool:
    """log1p(exp(-target·x))."""
    x, target = tensor(node, 0), tensor(node, 1)
    dtype = emit.dtype(x)
    if emit.dtype(target) is not dtype or not dtype.is_float:
        return False
    product = emit.pointwise("aten.mul.Tensor", emit.pointwise("aten.neg.default", x), target)
    e = emit.pointwise("aten.exp.default", product)
    _give_loss(emit, node, emit.pointwise("aten.log1p.default", e), 2)
    return True


def _glu_backward(emit: Emitter, node: AtenNode) -> bool:
    """The gradients of the halves: g·s and (1 - s)·s·g·a, s = sigmoid(b)."""
    gradient, x = emit.widened(tensor(node, 0)), tensor(node, 1)
    shape = emit.shape(x)
    axis = integer_of(node, 2, "dim", -1) % len(shape)
    half = shape[axis] // 2
    if not half or 0 in shape:
        return False
    a, b = (emit.widened(emit.slice(x, axis, start, half)) for start in (0, half))
    gate = emit.pointwise("aten.sigmoid.default", b)
    first = emit.pointwise("aten.mul.Tensor", gate, gradient)
    slope = emit.pointwise("aten.mul.Tensor", emit.pointwise("aten.rsub.Scalar", gate, 1), first)
    second = emit.pointwise("aten.mul.Tensor", slope, a)
    joined = TensorMeta(emit.dtype(first), shape, row_major(shape), emit.meta(x).device)
    args: list[Arg] = [ListArg((first, second)), LiteralArg(axis)]
    give(emit, node, emit.node("aten.cat.default", args, joined))
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
    Decomposition("aten.binary_cross_entropy.default", _cross_entropy),
    Decomposition("aten.binary_cross_entropy_with_logits.default", _cross_entropy_with_logits),
    Decomposition("aten.soft_margin_loss.default", _soft_margin_loss),
    Decomposition("aten.glu.default", _glu),
    Decomposition("aten.glu_backward.default", _glu_backward),
    Decomposition("aten.native_dropout.default", _dropout),
)
