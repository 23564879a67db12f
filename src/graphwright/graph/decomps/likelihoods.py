"""Negative log likelihoods of classes, and their gradients, in terms of lookups and pointwise ops.

In: nothing.   Out: `LIKELIHOODS`, overload name → `Decomposition`.
Keeps: a target that is no class raises what the op itself raises, and no memory is read at it. Of an item that is ignored nothing
counts, not even a NaN. What eager adds up in a narrow dtype, and what it refuses, stays as it is.

Items are what has a target: [N], [N, H, W], or the only one, [], of an input without a batch. The gradient is not scattered into
zeros: each class is asked whether it is the target, so that what reads the gradient fuses with it, and it needs no memory. The
targets are checked here: the lowering (`lower/checks.py`) would take one that is ignored for a wrong one.

    %3 = nll_loss_backward(%g, %x, %t, …)    →    %4 = eq(arange(C), %t[:, None]);  %5 = where(%4, -%g / %total, 0)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from graphwright.graph.decomps.emitter import Emitter, static_layout
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
from graphwright.ir.aten import (
    Arg,
    AtenNode,
    DTypeArg,
    KwArg,
    ListArg,
    LiteralArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import integer_of
from graphwright.ir.strides import is_row_major, row_major

_DTYPES: Final = frozenset({DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64})
_MOST_CLASSES: Final = 2**31 - 1
"""Classes are compared as int32, of which a vector holds twice as many as of int64."""
_NO_CLASS: Final = -1


class _Likelihood(msgspec.Struct, frozen=True):
    """A loss of classes, or its gradient."""

    x: Ref
    """Log-probabilities: [C], [N, C] or [N, C, H, W]."""
    target: Ref
    """A class for each item, int64; it has the axes of `x` but for that of the classes."""
    weight: Ref | None
    """[C], of the dtype of `x`."""
    axis: int
    """Of the classes in `x`."""
    num_classes: int
    reduction: Reduction
    ignored: int
    """The target of items that do not count; any number, a class or none."""

    @property
    def is_of_each(self) -> bool:
        """Each item has a loss of its own. Without a batch eager reduces, whatever it was asked for."""
        return self.reduction is Reduction.NONE and self.axis == 1


class _Places(msgspec.Struct, frozen=True):
    """Which element each item takes. Both have the axes of `x`, that of the classes with extent 1."""

    is_counted: Ref
    """The item has a loss: it is not ignored."""
    safe: Ref
    """Its target, or a class beside it where that is none."""


def _likelihood(emit: Emitter, node: AtenNode, position: int) -> _Likelihood | None:
    """Read op(…, x, target, weight, reduction, ignore_index, …), x at `position`; None for what eager refuses, or takes as bytes."""
    x, target = tensor(node, position), tensor(node, position + 1)
    weight = maybe_tensor(node, position + 2)
    shape = emit.shape(x)
    ranks = (4,) if "2d" in node.op else (1, 2)
    if len(shape) not in ranks or emit.dtype(x) not in _DTYPES:
        return None
    axis = min(len(shape) - 1, 1)
    kind = integer_of(node, position + 3, "reduction", Reduction.MEAN)
    is_served = (
        kind in range(len(Reduction))
        and emit.dtype(target) is DType.INT64
        and emit.shape(target) == (*shape[:axis], *shape[axis + 1 :])
        and (weight is None or _is_of(emit, weight, x, (shape[axis],)))
        and shape[axis] <= _MOST_CLASSES
    )
    if not is_served:
        return None
    ignored = integer_of(node, position + 4, "ignore_index", -100)
    return _Likelihood(x, target, weight, axis, shape[axis], Reduction(kind), ignored)


def _is_of(emit: Emitter, value: Ref, like: Ref, shape: tuple[int, ...]) -> bool:
    return emit.dtype(value) is emit.dtype(like) and emit.shape(value) == shape


def _places(emit: Emitter, node: AtenNode, own: _Likelihood, *, is_checked: bool) -> _Places:
    """Give the places of the targets. One that is no class raises, or, where eager does not check it, does not count."""
    target = _beside_classes(emit, own.target, own.axis)
    is_counted = emit.pointwise("aten.ne.Scalar", target, own.ignored, dtype=DType.BOOL)
    safe = emit.pointwise("aten.clamp.default", target, 0, own.num_classes - 1)
    if is_checked:
        differs = emit.pointwise("aten.ne.Tensor", safe, target, dtype=DType.BOOL)
        is_wrong = emit.pointwise("aten.bitwise_and.Tensor", is_counted, differs)
        emit.check_values(node, [own.target], is_wrong)
    else:
        is_class = emit.pointwise("aten.eq.Tensor", safe, target, dtype=DType.BOOL)
        is_counted = emit.pointwise("aten.bitwise_and.Tensor", is_counted, is_class)
    return _Places(is_counted, safe)


def _beside_classes(emit: Emitter, value: Ref, axis: int) -> Ref:
    """See one element an item with an axis for the classes."""
    meta = emit.meta(value)
    shape, strides = static_layout(meta)
    stride = shape[axis] * strides[axis] if axis < len(shape) else 1
    seen = msgspec.structs.replace(
        meta,
        shape=(*shape[:axis], 1, *shape[axis:]),
        strides=(*strides[:axis], stride, *strides[axis:]),
    )
    return emit.node("aten.unsqueeze.default", [value, LiteralArg(axis)], seen)


def _weights(emit: Emitter, own: _Likelihood, places: _Places) -> Ref | None:
    """Give the weight of each item; None where all weigh 1."""
    if own.weight is None:
        return None
    meta = _laid_out_as(emit, places.safe, emit.dtype(own.weight))
    return emit.node("aten.index.Tensor", [own.weight, ListArg((places.safe,))], meta)


def _laid_out_as(emit: Emitter, places: Ref, dtype: DType) -> TensorMeta:
    shape = emit.shape(places)
    return TensorMeta(dtype, shape, row_major(shape), emit.meta(places).device)


def _where(emit: Emitter, condition: Ref, value: Ref, otherwise: int) -> Ref:
    dtype = emit.dtype(value)
    return emit.pointwise("aten.where.ScalarOther", condition, value, otherwise, dtype=dtype)


def _forward(emit: Emitter, node: AtenNode) -> bool:
    """Give -x[target]·w of each item, their sum, or their mean; and the sum of the weights, which is 0 for a loss of each."""
    own = _likelihood(emit, node, 0)
    if own is None or not (own.is_of_each or emit.widened(own.x) == own.x):
        return False
    places = _places(emit, node, own, is_checked=True)
    weights = _weights(emit, own, places)
    picked = _laid_out_as(emit, places.safe, emit.dtype(own.x))
    args: list[Arg] = [own.x, LiteralArg(own.axis), places.safe]
    losses = emit.pointwise("aten.neg.default", emit.node("aten.gather.default", args, picked))
    if weights is not None:
        losses = emit.pointwise("aten.mul.Tensor", losses, weights)
    losses = _where(emit, places.is_counted, losses, 0)
    if own.is_of_each:
        give(emit, node, squeeze(emit, losses, (own.axis,)))
        if node.results[1] >= 0:
            emit.give_filled(node.results[1], result_meta(node, 1), value=False)
        return True
    loss, total = _total(emit, losses), _total_weight(emit, own, places, weights)
    if own.reduction is Reduction.MEAN:
        loss = emit.pointwise("aten.div.Tensor", loss, total)
    give(emit, node, loss)
    give(emit, node, total, 1)
    return True


def _total(emit: Emitter, values: Ref, dtype: DType | None = None) -> Ref:
    axes = range(len(emit.shape(values)))
    total = emit.reduce("aten.sum.dim_IntList", values, axes, dtype=dtype)
    return squeeze(emit, total, axes)


def _total_weight(emit: Emitter, own: _Likelihood, places: _Places, weights: Ref | None) -> Ref:
    if weights is not None:
        return _total(emit, _where(emit, places.is_counted, weights, 0))
    return emit.cast(_total(emit, places.is_counted, DType.INT64), emit.dtype(own.x))


def _backward(emit: Emitter, node: AtenNode) -> bool:
    """Give -w·g of each item, or -w·(g / total) where the loss was a mean, at its target; 0 at other classes.

    For losses of each item eager does not check the targets, and writes to memory wherever they point.
    """
    own = _likelihood(emit, node, 1)
    gradient, total = tensor(node, 0), tensor(node, 6)
    if own is None or not _is_gradient_of(emit, own, gradient, total):
        return False
    places = _places(emit, node, own, is_checked=not own.is_of_each)
    if own.is_of_each:
        gradient = _beside_classes(emit, gradient, own.axis)
    elif own.reduction is Reduction.MEAN:
        gradient = emit.pointwise("aten.div.Tensor", gradient, total)
    slope = emit.pointwise("aten.neg.default", gradient)
    weights = _weights(emit, own, places)
    if weights is not None:
        slope = emit.pointwise("aten.mul.Tensor", weights, slope)
    give(emit, node, _where(emit, _is_target(emit, own, places), slope, 0))
    return True


def _is_gradient_of(emit: Emitter, own: _Likelihood, gradient: Ref, total: Ref) -> bool:
    """Tell whether eager takes these; it gives no gradient of images whose channels come last."""
    dtype, shape = emit.dtype(own.x), emit.shape(gradient)
    is_number = len(shape) <= 1 and math.prod(shape) == 1
    has_items = shape == emit.shape(own.target) if own.is_of_each else is_number
    is_image = len(emit.shape(own.x)) == 4
    return (
        has_items
        and (not is_image or is_row_major(*static_layout(emit.meta(own.x))))
        and emit.shape(total) in ((), (1,))
        and emit.dtype(gradient) is dtype
        and emit.dtype(total) is dtype
    )


def _is_target(emit: Emitter, own: _Likelihood, places: _Places) -> Ref:
    """Tell of each class of each item whether it is the target, and counts."""
    chosen = emit.cast(_where(emit, places.is_counted, places.safe, _NO_CLASS), DType.INT32)
    extents = (own.num_classes, *(1 for _ in emit.shape(own.x)[own.axis + 1 :]))
    meta = TensorMeta(DType.INT32, (own.num_classes,), (1,), emit.meta(own.x).device)
    kwargs = (KwArg("dtype", DTypeArg(DType.INT32)),)
    classes = emit.node("aten.arange.default", [LiteralArg(own.num_classes)], meta, kwargs)
    return emit.pointwise("aten.eq.Tensor", emit.view(classes, extents), chosen, dtype=DType.BOOL)


LIKELIHOODS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.nll_loss_forward.default", _forward),
    Decomposition("aten.nll_loss2d_forward.default", _forward),
    Decomposition("aten.nll_loss_backward.default", _backward),
    Decomposition("aten.nll_loss2d_backward.default", _backward),
)
