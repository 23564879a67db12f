"""Shape rules of losses, forward and backward.

In:  predictions, targets, the kind of reduction (0 none, 1 mean, 2 sum).   Out: specs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from graphwright.record.layout import same_extents, strides_like
from graphwright.record.promotion import result_dtype
from graphwright.record.shapes.pointwise import broadcast
from graphwright.record.shapes.reduction import fresh
from graphwright.record.specs import TensorSpec

_NONE: Final = 0
_MEAN: Final = 1


def _pair(
    self: TensorSpec, target: TensorSpec, reduction: int = _MEAN, *_rest: object
) -> TensorSpec:
    elementwise = broadcast(result_dtype(self, target), self, target)
    return elementwise if reduction == _NONE else fresh(elementwise, ())


def _pair_backward(
    grad_output: TensorSpec, self: TensorSpec, target: TensorSpec, *_rest: object
) -> TensorSpec:
    del target
    return fresh(self, self.shape, result_dtype(grad_output, self))


def _check_expands(spec: TensorSpec, wanted: TensorSpec) -> None:
    if not same_extents(broadcast(spec.dtype, spec, wanted).shape, wanted.shape):
        msg = f"a tensor of shape {list(spec.shape)} beside one of {list(wanted.shape)}"
        raise ValueError(msg)


def _cross_entropy(
    self: TensorSpec, target: TensorSpec, weight: TensorSpec | None = None, reduction: int = _MEAN
) -> TensorSpec:
    _check_expands(target, self)
    if weight is not None:
        _check_expands(weight, self)
    if reduction != _NONE:
        return fresh(self, ())
    return TensorSpec(self.shape, strides_like(self.shape, self.strides), self.dtype, self.device)


def _cross_entropy_backward(
    _grad_output: TensorSpec, self: TensorSpec, *_rest: object
) -> TensorSpec:
    strides = strides_like(self.shape, self.strides)
    return TensorSpec(self.shape, strides, self.dtype, self.device)


def _with_logits(
    self: TensorSpec,
    target: TensorSpec,
    weight: TensorSpec | None = None,
    pos_weight: TensorSpec | None = None,
    reduction: int = _MEAN,
) -> TensorSpec:
    operands = [spec for spec in (target, self, weight, pos_weight) if spec is not None]
    # eager begins with `1 - target` and goes on in place
    if not (target.dtype.is_floating_point or target.dtype.is_complex):
        msg = f"targets of {target.dtype}"
        raise ValueError(msg)
    for spec in operands:
        _check_expands(spec, target)
    elementwise = broadcast(target.dtype, target)
    return elementwise if reduction == _NONE else fresh(elementwise, ())


def _likelihood(
    self: TensorSpec,
    target: TensorSpec,
    weight: TensorSpec | None,
    reduction: int,
    _ignore_index: int,
) -> tuple[TensorSpec, TensorSpec]:
    classes = self.shape[1] if self.ndim > 1 else self.shape[0]
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        msg = f"a weight of shape {list(weight.shape)} for {classes} classes"
        raise ValueError(msg)
    places = (self.shape[0], *self.shape[2:]) if self.ndim > 1 else ()
    if places and not same_extents(target.shape, places):
        msg = f"targets of shape {list(target.shape)} for {list(self.shape)}"
        raise ValueError(msg)
    scalar = fresh(self, ())
    if reduction != _NONE or self.ndim == 1:
        return scalar, scalar
    return fresh(self, target.shape), scalar


def _likelihood_backward(_grad_output: TensorSpec, self: TensorSpec, *_rest: object) -> TensorSpec:
    return fresh(self, self.shape)


def _margin_of_labels(
    self: TensorSpec, target: TensorSpec, reduction: int = _MEAN
) -> tuple[TensorSpec, TensorSpec]:
    is_target = fresh(target, target.shape, self.dtype)
    if reduction != _NONE or self.ndim <= 1:
        return fresh(self, ()), is_target
    return fresh(self, self.shape[:1]), is_target


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.mse_loss": _pair,
    "aten.smooth_l1_loss": _pair,
    "aten.huber_loss": _pair,
    "aten.soft_margin_loss": _pair,
    "aten.mse_loss_backward": _pair_backward,
    "aten.smooth_l1_loss_backward": _pair_backward,
    "aten.huber_loss_backward": _pair_backward,
    "aten.soft_margin_loss_backward": _cross_entropy_backward,
    "aten.binary_cross_entropy": _cross_entropy,
    "aten.binary_cross_entropy_backward": _cross_entropy_backward,
    "aten.binary_cross_entropy_with_logits": _with_logits,
    "aten.nll_loss_forward": _likelihood,
    "aten.nll_loss2d_forward": _likelihood,
    "aten.nll_loss_backward": _likelihood_backward,
    "aten.multi_margin_loss_backward": _likelihood_backward,
    "aten.multilabel_margin_loss_forward": _margin_of_labels,
    "aten.multilabel_margin_loss_backward": _likelihood_backward,
    "aten.nll_loss2d_backward": _cross_entropy_backward,
    "aten._ctc_loss_backward": _likelihood_backward,
}
