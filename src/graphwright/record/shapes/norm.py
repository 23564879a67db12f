# ruff: noqa: FBT001, FBT003  (a rule takes the op's own arguments)

"""Shape rules of layer, group and batch norm, forward and backward.

In:  the normalised tensor, weights, statistics.   Out: the result and the statistics that backward needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import (
    channels_last_strides,
    contiguous_strides,
    is_channels_last,
    is_contiguous,
    prefers_channels_last,
)
from graphwright.record.shapes.reduction import fresh
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

Optional = TensorSpec | None


def _layer_norm(
    self: TensorSpec,
    normalized_shape: Sequence[Extent],
    weight: Optional,
    bias: Optional,
    _eps: float,
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    outer = self.ndim - len(normalized_shape)
    if outer < 0 or any(
        own != wanted for own, wanted in zip(self.shape[outer:], normalized_shape, strict=True)
    ):
        msg = f"layer_norm: normalized_shape={list(normalized_shape)} for an input of shape {list(self.shape)}"
        raise ValueError(msg)
    del bias
    statistics = fresh(
        self, (*self.shape[:outer], *(1 for _ in normalized_shape)), _statistics_dtype(self, weight)
    )
    return fresh(self, self.shape), statistics, statistics


def _statistics_dtype(self: TensorSpec, weight: Optional) -> torch.dtype:
    """Give the dtype of mean and deviation: that of the weight where it is wider than a low-precision input."""
    return self.dtype if weight is None else weight.dtype


def _layer_norm_backward(
    grad_out: TensorSpec,
    self: TensorSpec,
    _normalized_shape: Sequence[Extent],
    _mean: TensorSpec,
    _rstd: TensorSpec,
    weight: Optional,
    bias: Optional,
    output_mask: Sequence[bool],
) -> tuple[Optional, ...]:
    del grad_out
    return (
        fresh(self, self.shape) if output_mask[0] else None,
        fresh(weight, weight.shape) if output_mask[1] and weight is not None else None,
        fresh(bias, bias.shape) if output_mask[2] and bias is not None else None,
    )


def _suggested(self: TensorSpec) -> TensorSpec:
    return _formatted(self, is_last=prefers_channels_last(self.shape, self.strides))


def _formatted(self: TensorSpec, *, is_last: bool) -> TensorSpec:
    strides = channels_last_strides(self.shape) if is_last else contiguous_strides(self.shape)
    return TensorSpec(self.shape, strides, self.dtype, self.device)


def _group_norm(
    self: TensorSpec,
    weight: Optional,
    _bias: Optional,
    n: Extent,
    _c: Extent,
    _hxw: Extent,
    group: int,
    _eps: float,
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    statistics = fresh(self, (n, group), _statistics_dtype(self, weight))
    return _suggested(self), statistics, statistics


def _group_norm_backward(
    _grad_out: TensorSpec,
    self: TensorSpec,
    _mean: TensorSpec,
    _rstd: TensorSpec,
    weight: Optional,
    *rest: Any,
) -> tuple[Optional, ...]:
    channels: Extent = rest[1]
    output_mask: Sequence[bool] = rest[-1]
    dtype = self.dtype if weight is None else weight.dtype
    per_channel = fresh(self, (channels,), dtype)
    return (
        _suggested(self) if output_mask[0] else None,
        per_channel if output_mask[1] else None,
        per_channel if output_mask[2] else None,
    )


def _batch_norm(
    self: TensorSpec,
    weight: Optional,
    _bias: Optional,
    running_mean: Optional,
    _running_var: Optional,
    training: bool,
    *_rest: object,
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    dtype = _batch_statistics_dtype(self, weight, running_mean)
    statistics = fresh(self, (self.shape[1],) if training else (0,), dtype)
    return _normalised(self), statistics, statistics


def _normalised(self: TensorSpec) -> TensorSpec:
    """Keep a format that the tensor has; else take the one that its strides suggest."""
    layout = self.shape, self.strides
    is_last = is_channels_last(*layout) or prefers_channels_last(*layout)
    return _formatted(self, is_last=is_last and not is_contiguous(*layout))


def _batch_statistics_dtype(
    self: TensorSpec, weight: Optional, running_mean: Optional
) -> torch.dtype:
    parameter = weight or running_mean
    return self.dtype if parameter is None else parameter.dtype


def _batch_norm_functional(
    self: TensorSpec,
    weight: Optional,
    bias: Optional,
    running_mean: TensorSpec,
    running_var: TensorSpec,
    *rest: Any,
) -> tuple[TensorSpec, ...]:
    normal = _batch_norm(self, weight, bias, running_mean, running_var, rest[0])
    return (*normal, fresh(running_mean, running_mean.shape), fresh(running_var, running_var.shape))


def _batch_norm_no_stats(
    self: TensorSpec,
    weight: Optional,
    bias: Optional,
    training: bool,
    *_rest: object,
) -> tuple[TensorSpec, ...]:
    return _batch_norm(self, weight, bias, None, None, training)


def _batch_norm_with_update(
    self: TensorSpec,
    weight: Optional,
    bias: Optional,
    running_mean: TensorSpec,
    running_var: TensorSpec,
    *_rest: object,
) -> tuple[TensorSpec, ...]:
    made = _batch_norm_functional(self, weight, bias, running_mean, running_var, True)
    return (*made[:3], fresh(self, (0,), torch.uint8), *made[3:])


def _batch_norm_backward(
    _grad_out: TensorSpec, self: TensorSpec, weight: Optional, running_mean: Optional, *rest: Any
) -> tuple[Optional, ...]:
    output_mask: Sequence[bool] = rest[-1]
    dtype = _batch_statistics_dtype(self, weight, running_mean)
    per_channel = fresh(self, (self.shape[1],), dtype)
    return (
        _suggested(self) if output_mask[0] else None,
        per_channel if output_mask[1] else None,
        per_channel if output_mask[2] else None,
    )


def _batch_norm_backward_with_reserve(*args: Any) -> tuple[Optional, ...]:
    return _batch_norm_backward(*args[:-1])


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.native_layer_norm": _layer_norm,
    "aten.native_layer_norm_backward": _layer_norm_backward,
    "aten.native_group_norm": _group_norm,
    "aten.native_group_norm_backward": _group_norm_backward,
    "aten.native_batch_norm": _batch_norm,
    "aten._native_batch_norm_legit": _batch_norm,
    "aten._native_batch_norm_legit_functional": _batch_norm_functional,
    "aten._native_batch_norm_legit.no_stats": _batch_norm_no_stats,
    "aten._batch_norm_with_update_functional": _batch_norm_with_update,
    "aten.native_batch_norm_backward": _batch_norm_backward,
    "aten.batch_norm_backward": _batch_norm_backward_with_reserve,
}
