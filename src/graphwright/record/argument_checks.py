"""What eager refuses in arguments that a shape rule takes.

In:  the arguments of an op, as shape rules take them.   Out: nothing, or eager's error.
Read by the recorder before the shape rule. The program is then run eagerly, so that the caller gets the error from eager itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.dtype_names import CPP_NAMES
from graphwright.record.layout import broadcast_shapes
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

Check = Callable[..., None]


def _refuse(text: str) -> None:
    raise RuntimeError(text)


def _neg(self: TensorSpec) -> None:
    if self.dtype is torch.bool:
        _refuse("Negation, the `-` operator, on a bool tensor is not supported.")


def _softshrink(_self: TensorSpec, lambd: float = 0.5) -> None:
    if not lambd >= 0:
        _refuse(f"lambda must not be negative, but found {lambd}")


def _gelu(_self: TensorSpec, *, approximate: str = "none") -> None:
    if approximate not in ("none", "tanh"):
        _refuse("approximate argument must be either none or tanh.")


def _huber_loss(
    _self: TensorSpec, _target: TensorSpec, _reduction: int = 1, delta: float = 1.0
) -> None:
    if delta <= 0:
        _refuse("huber_loss does not support non-positive values for delta.")


def _soft_margin_loss(self: TensorSpec, target: TensorSpec, _reduction: int = 1) -> None:
    if broadcast_shapes(self.shape, target.shape) != self.shape:
        _refuse("output with shape doesn't match the broadcast shape")


def _layer_norm(
    self: TensorSpec,
    normalized_shape: Sequence[Extent],
    weight: TensorSpec | None,
    bias: TensorSpec | None,
    *_rest: object,
) -> None:
    if not normalized_shape:
        _refuse("Expected normalized_shape to be at least 1-dimensional")
    for name, factor in (("weight", weight), ("bias", bias)):
        if factor is not None and factor.shape != tuple(normalized_shape):
            _refuse(f"Expected {name} to be of same shape as normalized_shape")
    _check_statistics_dtype(self, weight, bias)


def _check_statistics_dtype(self: TensorSpec, *parameters: TensorSpec | None) -> None:
    """Check the dtypes of a norm's parameters: the input's, or float32 beside a narrower input."""
    dtypes = {parameter.dtype for parameter in parameters if parameter is not None}
    allowed = {self.dtype} if self.dtype.itemsize > 2 else {self.dtype, torch.float32}
    if not dtypes <= allowed or len(dtypes) > 1:
        _refuse("mixed dtype (CPU): expect parameter to have scalar type of Float")


def _group_norm(
    self: TensorSpec,
    weight: TensorSpec | None,
    bias: TensorSpec | None,
    *rest: Any,
) -> None:
    n, channels, inner, groups = rest[:4]
    _check_statistics_dtype(self, weight, bias)
    for parameter in (weight, bias):
        if parameter is not None and parameter.shape != (channels,):
            _refuse("Expected weight to be a vector of size equal to the number of channels")
    if not all(isinstance(extent, int) for extent in (*self.shape, n, channels, inner)):
        return
    if groups <= 0 or channels % groups != 0:
        _refuse("Expected number of channels in input to be divisible by num_groups")
    if self.numel != n * channels * inner:
        _refuse("Expected X.numel() == N * C * HxW to be true, but got false.")


def _batch_norm(
    self: TensorSpec,
    weight: TensorSpec | None,
    bias: TensorSpec | None,
    mean: TensorSpec | None,
    variance: TensorSpec | None,
    *_rest: object,
) -> None:
    _check_statistics_dtype(self, weight, bias, mean, variance)
    if any(parameter is not None and len(parameter.shape) != 1 for parameter in (mean, variance)):
        _refuse("TensorAccessor expected 1 dims")


def _pool(rank: int) -> Check:
    def check(self: TensorSpec, *_rest: object, **_options: object) -> None:
        if len(self.shape) not in (rank + 1, rank + 2):
            _refuse(f"non-empty {rank + 1}D or {rank + 2}D (batch mode) tensor expected for input")

    return check


def _adaptive_pool(self: TensorSpec, output_size: Sequence[Extent]) -> None:
    if len(self.shape) not in (len(output_size) + 1, len(output_size) + 2):
        _refuse(f"Expected {len(output_size) + 1}D or {len(output_size) + 2}D tensor")


def _mv(self: TensorSpec, vec: TensorSpec) -> None:
    if self.dtype is not vec.dtype:
        _refuse("addmv input tensors must have the same dtype")


def _addmv(self: TensorSpec, mat: TensorSpec, vec: TensorSpec, **_options: object) -> None:
    _mv(mat, vec)
    _mv(self, vec)


def _masked_fill(_self: TensorSpec, _mask: TensorSpec, value: TensorSpec) -> None:
    if value.ndim:
        _refuse("masked_fill only supports a 0-dimensional value tensor")


def _eye(*sizes: Any, **_options: object) -> None:
    if any(isinstance(size, int) and size < 0 for size in sizes):
        _refuse("n and m must be greater or equal to 0")


def _arange(start: Any, end: Any = None, step: Any = 1, **_options: object) -> None:
    if end is None:
        start, end = 0, start
    if not all(isinstance(number, int | float) for number in (start, end, step)):
        return
    if step == 0 or (end - start) * step < 0:
        _refuse("upper bound and lower bound inconsistent with step sign")


def _check_held(number: object, dtype: torch.dtype | None) -> None:
    """Check that elements of a dtype can be a number; those of floats can be infinities and NaN."""
    dtype = dtype or torch.get_default_dtype()
    if not isinstance(number, int | float) or dtype is torch.bool or dtype.is_complex:
        return
    if dtype.is_floating_point:
        is_held = abs(number) <= torch.finfo(dtype).max or not math.isfinite(number)
    else:
        bounds = torch.iinfo(dtype)
        # what is negative is taken by unsigned ones, too
        is_held = min(bounds.min, -bounds.max) <= number <= bounds.max
    if not is_held:
        name = CPP_NAMES.get(dtype, str(dtype))
        _refuse(f"value cannot be converted to type {name} without overflow")


def _fill(self: TensorSpec, *rest: object) -> None:
    _check_held(rest[-1], self.dtype)


def _full(_size: object, number: object, *, dtype: Any = None, **_options: object) -> None:
    _check_held(number, dtype)


def _full_like(self: TensorSpec, *rest: object, dtype: Any = None, **_options: object) -> None:
    _check_held(rest[-1], dtype or self.dtype)


def _scalar_tensor(number: object, *, dtype: Any = None, **_options: object) -> None:
    _check_held(number, dtype)


def _clamp(self: TensorSpec, *limits: object, **named: object) -> None:
    _clamp_by_tensors(self, *limits, **named)
    if not self.dtype.is_floating_point:
        return  # the limits' dtype may be the result's
    for limit in (*limits, *named.values()):
        _check_held(limit, self.dtype)


def _clamp_by_tensors(_self: TensorSpec, *limits: object, **named: object) -> None:
    if all(limit is None for limit in (*limits, *named.values())):
        _refuse("torch.clamp: At least one of 'min' or 'max' must not be None")


CHECKS: Final[dict[str, Check]] = {
    "aten.neg.default": _neg,
    "aten.softshrink.default": _softshrink,
    "aten.gelu.default": _gelu,
    "aten.huber_loss.default": _huber_loss,
    "aten.soft_margin_loss.default": _soft_margin_loss,
    "aten.native_layer_norm.default": _layer_norm,
    "aten.native_group_norm.default": _group_norm,
    "aten.native_batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_functional.default": _batch_norm,
    **{f"aten.avg_pool{rank}d.default": _pool(rank) for rank in (2, 3)},
    **{f"aten.max_pool{rank}d_with_indices.default": _pool(rank) for rank in (2, 3)},
    "aten._adaptive_avg_pool2d.default": _adaptive_pool,
    "aten._adaptive_avg_pool3d.default": _adaptive_pool,
    "aten.adaptive_max_pool2d.default": _adaptive_pool,
    "aten.mv.default": _mv,
    "aten.addmv.default": _addmv,
    "aten.masked_fill.Tensor": _masked_fill,
    "aten.masked_fill.Scalar": _fill,
    "aten.fill.Scalar": _fill,
    "aten.full.default": _full,
    "aten.full_like.default": _full_like,
    "aten.new_full.default": _full_like,
    "aten.scalar_tensor.default": _scalar_tensor,
    "aten.clamp.default": _clamp,
    "aten.clamp.Tensor": _clamp_by_tensors,
    "aten.constant_pad_nd.default": _fill,
    "aten.eye.default": _eye,
    "aten.eye.m": _eye,
    "aten.arange.default": _arange,
    "aten.arange.start": _arange,
    "aten.arange.start_step": _arange,
}
"""By overload."""
