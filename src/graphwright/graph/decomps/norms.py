"""Normalising layers, in terms of reductions and pointwise ops.

In: nothing.   Out: `NORMS`, overload name → `Decomposition`.
Keeps: statistics in float32 for narrower floats, the result rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from graphwright.graph.decomps.emitter import Emitter, static_layout
from graphwright.graph.decomps.rules import (
    Decomposition,
    give,
    maybe_tensor,
    result_meta,
    rows,
    squeeze,
    tensor,
)
from graphwright.graph.decomps.statistics import moments
from graphwright.ir.aten import AtenNode, LiteralArg, Ref
from graphwright.ir.node_arguments import argument, integers_of, number_of
from graphwright.ir.strides import is_dense, is_row_major

_CHANNEL: Final = 1


def _scaled(emit: Emitter, x: Ref, weight: Ref | None, bias: Ref | None) -> Ref:
    if weight is not None:
        x = emit.pointwise("aten.mul.Tensor", x, emit.cast(weight, emit.dtype(x)))
    if bias is not None:
        x = emit.pointwise("aten.add.Tensor", x, emit.cast(bias, emit.dtype(x)))
    return x


def _inverse_root(emit: Emitter, squares: Ref, count: int, eps: float) -> Ref:
    """1 / √(squares / count + eps)."""
    variance = emit.pointwise("aten.div.Tensor", squares, float(count))
    return emit.pointwise("aten.rsqrt.default", emit.pointwise("aten.add.Tensor", variance, eps))


def _layer_norm(emit: Emitter, node: AtenNode) -> bool:
    """(x - mean) / √(var + eps) · weight + bias, over the last axes; also the mean and 1 / √(var + eps)."""
    x = emit.widened(tensor(node, 0))
    shape = emit.shape(x)
    normalized = integers_of(node.args[1]) or ()
    if 0 in shape:
        return False
    axes = range(len(shape) - len(normalized), len(shape))
    parts = moments(emit, x, axes)
    inverse = _inverse_root(emit, parts.squares, parts.count, float(number_of(node.args[4])))
    y = emit.pointwise("aten.mul.Tensor", parts.distance, inverse)
    y = _scaled(emit, y, maybe_tensor(node, 2), maybe_tensor(node, 3))
    give(emit, node, y)
    give(emit, node, parts.mean, 1)
    give(emit, node, inverse, 2)
    return True


def _layer_norm_backward(emit: Emitter, node: AtenNode) -> bool:
    """The gradients of input, weight and bias.

    With h = (x - mean)·r, r = 1/√(var + eps) and d = g·weight over rows of n elements:
    dx = r·(d - Σd/n - h·Σ(d·h)/n);  dweight = Σ_rows g·h;  dbias = Σ_rows g.
    """
    gradient, x = emit.widened(tensor(node, 0)), emit.widened(tensor(node, 1))
    shape = emit.shape(x)
    normalized = integers_of(node.args[2]) or ()
    if 0 in shape:
        return False
    rank = len(shape) - len(normalized)
    inner, outer = range(rank, len(shape)), range(rank)
    mean, inverse = emit.widened(tensor(node, 3)), emit.widened(tensor(node, 4))
    distance = emit.pointwise("aten.sub.Tensor", x, mean)
    h = emit.pointwise("aten.mul.Tensor", distance, inverse)
    if node.results[0] >= 0:
        d = _scaled(emit, gradient, maybe_tensor(node, 5), None)
        count = float(math.prod(normalized))
        dx = _centred(emit, d, h, inner, count)
        give(emit, node, emit.pointwise("aten.mul.Tensor", dx, inverse))
    if node.results[1] >= 0:
        product = emit.pointwise("aten.mul.Tensor", gradient, h)
        _give_summed(emit, node, product, outer, 1)
    if node.results[2] >= 0:
        _give_summed(emit, node, gradient, outer, 2)
    return True


def _centred(emit: Emitter, d: Ref, h: Ref, axes: Sequence[int], count: float) -> Ref:
    """Give d - Σd/n - h·Σ(d·h)/n."""
    product = emit.pointwise("aten.mul.Tensor", d, h)
    mean_d = emit.pointwise("aten.div.Tensor", emit.reduce(_SUM, d, axes), count)
    mean_dh = emit.pointwise("aten.div.Tensor", emit.reduce(_SUM, product, axes), count)
    shifted = emit.pointwise("aten.sub.Tensor", d, mean_d)
    return emit.pointwise("aten.sub.Tensor", shifted, emit.pointwise("aten.mul.Tensor", h, mean_dh))


_SUM: Final = "aten.sum.dim_IntList"


def _give_summed(
    emit: Emitter, node: AtenNode, value: Ref, axes: Sequence[int], place: int
) -> None:
    if axes:
        value = squeeze(emit, emit.reduce(_SUM, value, axes), axes)
    give(emit, node, value, place)


def _group_norm(emit: Emitter, node: AtenNode) -> bool:
    """Layer norm of each group of channels; native_group_norm(x, weight, bias, N, C, HxW, group, eps)."""
    layout = static_layout(emit.meta(tensor(node, 0)))
    if 0 in emit.shape(tensor(node, 0)):
        return False
    if is_dense(*layout) and not is_row_major(*layout):
        return _group_norm_of_pixels(emit, node)
    x = emit.widened(emit.row_major(tensor(node, 0)))
    shape = emit.shape(x)
    count, channels, area, groups = (int(number_of(arg)) for arg in node.args[3:7])
    grouped = emit.view(x, (count, groups, channels // groups * area))
    parts = moments(emit, grouped, (2,))
    inverse = _inverse_root(emit, parts.squares, parts.count, float(number_of(node.args[7])))
    y = emit.pointwise("aten.mul.Tensor", parts.distance, inverse)
    y = emit.view(y, (count, channels, area))
    weight, bias = maybe_tensor(node, 1), maybe_tensor(node, 2)
    y = _scaled(emit, y, _column(emit, weight, channels), _column(emit, bias, channels))
    give(emit, node, emit.view(y, shape))
    give(emit, node, squeeze(emit, parts.mean, (2,)), 1)
    give(emit, node, squeeze(emit, inverse, (2,)), 2)
    return True


def _group_norm_of_pixels(emit: Emitter, node: AtenNode) -> bool:
    """Group norm where the channels of a pixel lie together: sums are taken a channel, along memory, then a group."""
    x = emit.widened(tensor(node, 0))
    count, channels, area, groups = (int(number_of(arg)) for arg in node.args[3:7])
    members = channels // groups
    split = emit.split(x, _CHANNEL, (groups, members))
    inner = range(3, len(emit.shape(split)))
    numel = float(members * area)

    def mean_of(value: Ref) -> Ref:
        total = emit.reduce(_SUM, emit.reduce(_SUM, value, inner), (2,))
        return emit.pointwise("aten.div.Tensor", total, numel)

    mean = mean_of(split)
    distance = emit.pointwise("aten.sub.Tensor", split, mean)
    variance = mean_of(emit.pointwise("aten.mul.Tensor", distance, distance))
    shifted = emit.pointwise("aten.add.Tensor", variance, float(number_of(node.args[7])))
    inverse = emit.pointwise("aten.rsqrt.default", shifted)
    tail = (1,) * len(inner)
    weight, bias = (
        None if value is None else emit.view(emit.row_major(value), (groups, members, *tail))
        for value in (maybe_tensor(node, 1), maybe_tensor(node, 2))
    )
    if weight is None:
        y = _scaled(emit, emit.pointwise("aten.mul.Tensor", distance, inverse), None, bias)
        give(emit, node, emit.joined(y, _CHANNEL))
    else:
        # What is known a channel is computed a channel: then all channels of a pixel are lanes of one loop.
        scale = emit.pointwise("aten.mul.Tensor", inverse, emit.cast(weight, emit.dtype(x)))
        offset = emit.pointwise("aten.neg.default", emit.pointwise("aten.mul.Tensor", mean, scale))
        offset = _scaled(emit, offset, None, bias)
        y = emit.pointwise("aten.mul.Tensor", x, emit.joined(scale, _CHANNEL))
        give(emit, node, emit.pointwise("aten.add.Tensor", y, emit.joined(offset, _CHANNEL)))
    for place, value in ((1, mean), (2, inverse)):
        give(emit, node, emit.view(emit.row_major(value), (count, groups)), place)
    return True


def _column(emit: Emitter, value: Ref | None, extent: int, rank: int = 2) -> Ref | None:
    """See a vector as a column beside `rank - 1` further axes."""
    if value is None:
        return None
    return emit.view(emit.row_major(value), (extent, *[1] * (rank - 1)))


def _batch_norm(emit: Emitter, node: AtenNode) -> bool:
    """(x - mean) / √(var + eps) · weight + bias a channel, with given statistics or the batch's own.

    native_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps); running statistics that it
    would write to while training leave the node as it is.
    """
    momentum, eps = (float(number_of(node.args[place])) for place in (6, 7))
    if argument(node, 5, "training") == LiteralArg(value=False):
        return _normalize_by_running(emit, node, eps=eps)
    if maybe_tensor(node, 3) is not None or maybe_tensor(node, 4) is not None:
        return False
    return _batch_norm_by_own(emit, node, momentum=momentum, eps=eps)


def _batch_norm_without_statistics(emit: Emitter, node: AtenNode) -> bool:
    """_native_batch_norm_legit.no_stats(x, weight, bias, training, momentum, eps)."""
    if argument(node, 3, "training") != LiteralArg(value=True):
        return False
    momentum, eps = (float(number_of(node.args[place])) for place in (4, 5))
    return _batch_norm_by_own(emit, node, momentum=momentum, eps=eps)


def _batch_norm_no_training(emit: Emitter, node: AtenNode) -> bool:
    """As `native_batch_norm` without training."""
    return _normalize_by_running(emit, node, eps=float(number_of(node.args[6])))


def _batch_norm_by_own(emit: Emitter, node: AtenNode, *, momentum: float, eps: float) -> bool:
    """Normalise by the batch's own statistics; the running ones, if given, move towards them by `momentum`.

    Results: y, mean, 1 / √(var + eps), and of the functional form the new running mean and variance.
    """
    x = emit.widened(tensor(node, 0))
    shape = emit.shape(x)
    axes = [axis for axis in range(len(shape)) if axis != _CHANNEL]
    if 0 in shape:
        return False
    parts = moments(emit, x, axes)
    inverse = _inverse_root(emit, parts.squares, parts.count, eps)
    y = emit.pointwise("aten.mul.Tensor", parts.distance, inverse)
    rank = len(shape) - 1
    weight, bias = (
        _column(emit, maybe_tensor(node, place), shape[_CHANNEL], rank) for place in (1, 2)
    )
    give(emit, node, _scaled(emit, y, weight, bias))
    mean = squeeze(emit, parts.mean, axes)
    give(emit, node, mean, 1)
    give(emit, node, squeeze(emit, inverse, axes), 2)
    if len(node.results) > 3:
        spread = emit.pointwise("aten.div.Tensor", parts.squares, max(parts.count - 1, 0))
        for place, own in ((3, mean), (4, squeeze(emit, spread, axes))):
            running = tensor(node, place)
            kept = emit.pointwise("aten.mul.Scalar", emit.widened(running), 1 - momentum)
            added = emit.pointwise("aten.mul.Scalar", own, momentum)
            give(emit, node, emit.pointwise("aten.add.Tensor", kept, added), place)
    return True


def _batch_norm_functional(emit: Emitter, node: AtenNode) -> bool:
    """_native_batch_norm_legit_functional(x, weight, bias, running_mean, running_var, training, momentum, eps)."""
    if argument(node, 5, "training") != LiteralArg(value=True):
        return False
    momentum, eps = (float(number_of(node.args[place])) for place in (6, 7))
    return _batch_norm_by_own(emit, node, momentum=momentum, eps=eps)


def _batch_norm_backward(emit: Emitter, node: AtenNode) -> bool:
    """The gradients of input, weight and bias, over the elements of a channel.

    native_batch_norm_backward(g, x, weight, running_mean, running_var, mean, r, train, eps, mask): with h = (x - mean)·r,
    dx = weight·r·(g - Σg/n - h·Σ(g·h)/n) where the statistics are the batch's own, else weight·r·g;
    dweight = Σ g·h;  dbias = Σ g.
    """
    gradient, x = emit.widened(tensor(node, 0)), emit.widened(tensor(node, 1))
    shape = emit.shape(x)
    is_own = argument(node, 7, "train") == LiteralArg(value=True)
    statistics = [maybe_tensor(node, place) for place in ((5, 6) if is_own else (3, 4))]
    if 0 in shape or None in statistics:
        return False
    axes = [axis for axis in range(len(shape)) if axis != _CHANNEL]
    channels, rank, wide = shape[_CHANNEL], len(shape) - 1, emit.dtype(x)
    mean, spread = (_column(emit, value, channels, rank) for value in statistics)
    assert mean is not None, "checked above"
    assert spread is not None, "checked above"
    inverse = emit.cast(spread, wide)
    if not is_own:
        shifted = emit.pointwise("aten.add.Scalar", inverse, float(number_of(node.args[8])))
        inverse = emit.pointwise("aten.rsqrt.default", shifted)
    distance = emit.pointwise("aten.sub.Tensor", x, emit.cast(mean, wide))
    h = emit.pointwise("aten.mul.Tensor", distance, inverse)
    if node.results[0] >= 0:
        count = float(math.prod(shape[axis] for axis in axes))
        dx = _centred(emit, gradient, h, axes, count) if is_own else gradient
        dx = emit.pointwise("aten.mul.Tensor", dx, inverse)
        weight = _column(emit, maybe_tensor(node, 2), channels, rank)
        give(emit, node, _scaled(emit, dx, weight, None))
    if node.results[1] >= 0:
        _give_summed(emit, node, emit.pointwise("aten.mul.Tensor", gradient, h), axes, 1)
    if node.results[2] >= 0:
        _give_summed(emit, node, gradient, axes, 2)
    return True


def _normalize_by_running(emit: Emitter, node: AtenNode, *, eps: float) -> bool:
    """Give x·alpha + shift, alpha = weight / √(var + eps), shift = bias - mean·alpha: what is known a channel is computed a channel."""
    mean, variance = maybe_tensor(node, 3), maybe_tensor(node, 4)
    x = emit.widened(tensor(node, 0))
    if mean is None or variance is None:
        return False
    shape = emit.shape(x)
    channels, rank = shape[_CHANNEL], len(shape) - 1
    wide = emit.dtype(x)
    shifted = emit.pointwise("aten.add.Tensor", emit.cast(variance, wide), eps)
    alpha = emit.pointwise("aten.rsqrt.default", shifted)
    weight, bias = maybe_tensor(node, 1), maybe_tensor(node, 2)
    if weight is not None:
        alpha = emit.pointwise("aten.mul.Tensor", alpha, emit.cast(weight, wide))
    offset = emit.pointwise("aten.mul.Tensor", emit.cast(mean, wide), alpha)
    if bias is not None:
        offset = emit.pointwise("aten.sub.Tensor", emit.cast(bias, wide), offset)
    else:
        offset = emit.pointwise("aten.neg.default", offset)
    alpha_column, offset_column = (
        emit.view(value, (channels, *[1] * (rank - 1))) for value in (alpha, offset)
    )
    scaled = emit.pointwise("aten.mul.Tensor", x, alpha_column)
    give(emit, node, emit.pointwise("aten.add.Tensor", scaled, offset_column))
    for place in (1, 2):
        if node.results[place] >= 0:
            emit.give_filled(node.results[place], result_meta(node, place), value=False)
    return True


NORMS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.native_layer_norm.default", _layer_norm),
    Decomposition("aten.native_layer_norm_backward.default", _layer_norm_backward),
    Decomposition("aten.native_group_norm.default", _group_norm),
    Decomposition("aten.native_batch_norm.default", _batch_norm),
    Decomposition("aten._native_batch_norm_legit_functional.default", _batch_norm_functional),
    Decomposition("aten._native_batch_norm_legit.no_stats", _batch_norm_without_statistics),
    Decomposition("aten.native_batch_norm_backward.default", _batch_norm_backward),
    Decomposition("aten._native_batch_norm_legit_no_training.default", _batch_norm_no_training),
)
