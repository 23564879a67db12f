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
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

Check = Callable[..., None]


def _refuse(text: str) -> None:
    raise RuntimeError(text)


def _neg(self: TensorSpec) -> None:
    if self.dtype is torch.bool:
        _refuse("Negation, the `-` operator, on a bool tensor is not supported.")


def _softshrink(_self: TensorSpec, lambd: float = 0.5) -> None:
    if lambd < 0:
        _refuse(f"lambda must not be negative, but found {lambd}")


def _gelu(_self: TensorSpec, *, approximate: str = "none") -> None:
    if approximate not in ("none", "tanh"):
        _refuse("approximate argument must be either none or tanh.")


def _huber_loss(
    _self: TensorSpec, _target: TensorSpec, _reduction: int = 1, delta: float = 1.0
) -> None:
    if delta <= 0:
        _refuse("huber_loss does not support non-positive values for delta.")


def _layer_norm(
    _self: TensorSpec,
    normalized_shape: Sequence[Extent],
    weight: TensorSpec | None,
    bias: TensorSpec | None,
    *_rest: object,
) -> None:
    if not normalized_shape:
        _refuse("Expected normalized_shape to be at least 1-dimensional")
    for name, factor in (("weight", weight), ("bias", bias)):
        if factor is not None and len(factor.shape) != len(normalized_shape):
            _refuse(f"Expected {name} to be of same shape as normalized_shape")


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
    """Check that elements of a dtype can be a number; infinities and NaN can."""
    dtype = dtype or torch.get_default_dtype()
    if not isinstance(number, int | float) or not dtype.is_floating_point:
        return
    if torch.finfo(dtype).max < abs(number) < math.inf:
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
    "aten.native_layer_norm.default": _layer_norm,
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
