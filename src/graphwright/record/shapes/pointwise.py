"""Shape rules of pointwise ops: one row an op, by how the result's dtype comes about.

In:  operand specs and numbers.   Out: the broadcast shape, with the strides that eager's iterator chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.record.layout import (
    broadcast_shapes,
    contiguous_strides,
    format_strides,
    pointwise_strides,
    wrap_dim,
)
from graphwright.record.promotion import (
    Operand,
    as_float,
    float_dtype,
    result_device,
    result_dtype,
)
from graphwright.record.specs import TensorSpec

Rule = Callable[..., TensorSpec]


def broadcast(dtype: torch.dtype, *operands: Operand) -> TensorSpec:
    """Give the result of a pointwise op on these operands."""
    tensors = [operand for operand in operands if isinstance(operand, TensorSpec)]
    if len(tensors) == 1 and len(operands) == 1:
        (only,) = tensors
        return TensorSpec(
            only.shape,
            pointwise_strides(only.shape, (only.strides,), (only.shape,)),
            dtype,
            only.device,
        )
    shapes = [tensor.shape for tensor in tensors]
    strides = [tensor.strides for tensor in tensors]
    if len(tensors) < len(operands):
        shapes.append(())
        strides.append(())
    shape = broadcast_shapes(*shapes)
    return TensorSpec(
        shape, pointwise_strides(shape, strides, shapes), dtype, result_device(*tensors)
    )


def _same(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return broadcast(self.dtype, self)


def _float(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return broadcast(as_float(self.dtype), self)


def _bool(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return broadcast(torch.bool, self)


def _abs(self: TensorSpec) -> TensorSpec:
    if self.dtype.is_complex:
        return TensorSpec(self.shape, _kept(self), self.dtype.to_real(), self.device)
    return broadcast(self.dtype, self)


def _angle(self: TensorSpec) -> TensorSpec:
    if self.dtype.is_complex:
        return TensorSpec(
            self.shape, contiguous_strides(self.shape), self.dtype.to_real(), self.device
        )
    return broadcast(as_float(self.dtype), self)


def _binary(self: Operand, other: Operand, *_rest: object, **_options: object) -> TensorSpec:
    return broadcast(result_dtype(self, other), self, other)


def _binary_float(self: Operand, other: Operand, *_rest: object, **_options: object) -> TensorSpec:
    return broadcast(float_dtype(self, other), self, other)


def _compare(self: Operand, other: Operand) -> TensorSpec:
    return broadcast(torch.bool, self, other)


def _divide(self: Operand, other: Operand, *, rounding_mode: str | None = None) -> TensorSpec:
    dtype = float_dtype(self, other) if rounding_mode is None else result_dtype(self, other)
    return broadcast(dtype, self, other)


def _ternary(
    self: Operand, first: Operand, second: Operand, *_rest: object, **_options: object
) -> TensorSpec:
    return broadcast(result_dtype(self, first, second), self, first, second)


def _where(condition: TensorSpec, self: Operand, other: Operand) -> TensorSpec:
    return broadcast(result_dtype(self, other), condition, self, other)


def _clamp(self: TensorSpec, min: Operand | None = None, max: Operand | None = None) -> TensorSpec:
    operands = [operand for operand in (self, min, max) if operand is not None]
    dtype = result_dtype(*operands)
    tensors = [operand for operand in operands if isinstance(operand, TensorSpec)]
    return broadcast(dtype, *tensors)


def _clamp_bound(self: TensorSpec, bound: Operand) -> TensorSpec:
    return _clamp(self, bound)


def _threshold_backward(
    grad_output: TensorSpec, self: TensorSpec, _threshold: object
) -> TensorSpec:
    return broadcast(result_dtype(grad_output, self), grad_output, self)


def _grad_and_input(
    grad_output: TensorSpec, self: TensorSpec, *_rest: object, **_options: object
) -> TensorSpec:
    return broadcast(result_dtype(grad_output, self), grad_output, self)


def _elu_backward(grad_output: TensorSpec, *rest: Any) -> TensorSpec:
    return broadcast(result_dtype(grad_output, rest[-1]), grad_output, rest[-1])


def _masked_fill(self: TensorSpec, mask: TensorSpec, _value: object) -> TensorSpec:
    shape = broadcast_shapes(self.shape, mask.shape)
    return TensorSpec(shape, contiguous_strides(shape), self.dtype, self.device)


def _kept(self: TensorSpec) -> tuple[Any, ...]:
    return format_strides(self.shape, torch.preserve_format, self.strides)


def _fill(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return TensorSpec(self.shape, _kept(self), self.dtype, self.device)


def _polygamma(_order: int, self: TensorSpec) -> TensorSpec:
    return broadcast(as_float(self.dtype), self)


def _glu(self: TensorSpec, dim: int = -1) -> TensorSpec:
    place = wrap_dim(dim, self.ndim)
    shape = (*self.shape[:place], self.shape[place] // 2, *self.shape[place + 1 :])
    return TensorSpec(
        shape, pointwise_strides(shape, (self.strides,), (shape,)), self.dtype, self.device
    )


def _glu_backward(_grad_output: TensorSpec, self: TensorSpec, _dim: int) -> TensorSpec:
    return TensorSpec(self.shape, contiguous_strides(self.shape), self.dtype, self.device)


def _log_sigmoid(self: TensorSpec) -> tuple[TensorSpec, TensorSpec]:
    fresh = TensorSpec(self.shape, contiguous_strides(self.shape), self.dtype, self.device)
    return fresh, fresh


def _prelu_backward(
    grad_output: TensorSpec, self: TensorSpec, weight: TensorSpec
) -> tuple[TensorSpec, TensorSpec]:
    kept = _fill(self)
    shape = broadcast_shapes(self.shape, weight.shape)
    return kept, TensorSpec(shape, kept.strides, grad_output.dtype, grad_output.device)


def _rrelu(
    self: TensorSpec, noise: TensorSpec, *_rest: object, **_options: object
) -> tuple[TensorSpec, TensorSpec]:
    return _fill(self), _fill(noise)


def _rrelu_backward(
    grad_output: TensorSpec, _self: TensorSpec, noise: TensorSpec, *_rest: object
) -> TensorSpec:
    return broadcast(result_dtype(grad_output, noise), grad_output, noise)


def _like_gradient(grad_output: TensorSpec, *_rest: object) -> TensorSpec:
    return _fill(grad_output)


def _dropout_backward(grad_output: TensorSpec, mask: TensorSpec, scale: float) -> TensorSpec:
    return broadcast(result_dtype(grad_output, scale), grad_output, mask)


def _complex(real: TensorSpec, imag: TensorSpec) -> TensorSpec:
    return broadcast(real.dtype.to_complex(), real, imag)


def _pow(self: Operand, exponent: Operand) -> TensorSpec:
    return broadcast(result_dtype(self, exponent), self, exponent)


def _pow_scalar(self: TensorSpec, exponent: Operand) -> TensorSpec:
    return broadcast(result_dtype(self, exponent), self)


def _scalar_pow(self: Operand, exponent: TensorSpec) -> TensorSpec:
    strides = contiguous_strides(exponent.shape)
    return TensorSpec(exponent.shape, strides, result_dtype(self, exponent), exponent.device)


def _rsub(self: TensorSpec, other: Operand, _alpha: object = 1, **_options: object) -> TensorSpec:
    return broadcast(result_dtype(self, other), other, self)


def _isnan(self: TensorSpec) -> TensorSpec:
    return broadcast(torch.bool, self, self)


_SAME: Final = [
    "neg",
    "floor",
    "ceil",
    "round",
    "trunc",
    "frac",
    "sign",
    "sgn",
    "relu",
    "hardswish",
    "hardsigmoid",
    "gelu",
    "silu",
    "mish",
    "elu",
    "celu",
    "leaky_relu",
    "softplus",
    "threshold",
    "hardshrink",
    "softshrink",
    "bitwise_not",
    "_conj_physical",
]
_BESSEL: Final = {"": ("j0", "j1", "y0", "y1"), "modified_": ("i0", "i1", "k0", "k1")}
_POLYNOMIALS: Final = (
    *(f"{which}chebyshev_polynomial_{kind}" for which in ("", "shifted_") for kind in "tuvw"),
    *("hermite_polynomial_h", "hermite_polynomial_he"),
    *("laguerre_polynomial_l", "legendre_polynomial_p"),
)
_FLOAT: Final = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "erf",
    "erfc",
    "erfinv",
    "sigmoid",
    "logit",
    "lgamma",
    "digamma",
    "sinc",
    "i0",
    "special_i0e",
    "special_i1",
    "special_i1e",
    "special_erfcx",
    "special_entr",
    "special_ndtri",
    "special_log_ndtr",
    *(f"special_{kind}bessel_{which}" for kind in ("", "modified_") for which in _BESSEL[kind]),
    *(f"special_scaled_modified_bessel_{which}" for which in ("k0", "k1")),
    "special_spherical_bessel_j0",
    "special_airy_ai",
    "deg2rad",
    "rad2deg",
]
_BOOL: Final = ["isinf", "isposinf", "isneginf", "logical_not", "signbit"]
_BINARY: Final = [
    "add",
    "sub",
    "mul",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "remainder",
    "fmod",
    "floor_divide",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "__lshift__",
    "__rshift__",
    "gcd",
    "lcm",
    "hypot",
    "nextafter",
    "heaviside",
]
_BINARY_FLOAT: Final = [
    "atan2",
    "copysign",
    "xlogy",
    "special_xlog1py",
    "logaddexp",
    "logaddexp2",
    "igamma",
    "igammac",
    "special_zeta",
    *(f"special_{name}" for name in _POLYNOMIALS),
]
_COMPARE: Final = ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"]
_BACKWARD: Final = [
    "gelu_backward",
    "silu_backward",
    "mish_backward",
    "sigmoid_backward",
    "tanh_backward",
    "hardtanh_backward",
    "hardswish_backward",
    "hardsigmoid_backward",
    "leaky_relu_backward",
    "softplus_backward",
    "hardshrink_backward",
    "softshrink_backward",
    "logit_backward",
]


def _rows(names: list[str], rule: Rule) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names}


RULES: Final[dict[str, Callable[..., Any]]] = {
    **_rows(_SAME, _same),
    **_rows(_FLOAT, _float),
    **_rows(_BOOL, _bool),
    **_rows(_BINARY, _binary),
    **_rows(_BINARY_FLOAT, _binary_float),
    **_rows(_COMPARE, _compare),
    **_rows(_BACKWARD, _grad_and_input),
    "aten.abs": _abs,
    "aten.angle": _angle,
    "aten.div": _divide,
    "aten.rsub": _rsub,
    "aten.isnan": _isnan,
    "aten.pow": _pow,
    "aten.pow.Tensor_Scalar": _pow_scalar,
    "aten.pow.Scalar": _scalar_pow,
    "aten.hardtanh": _fill,
    "aten.nan_to_num": _fill,
    "aten._prelu_kernel": _fill,
    "aten.lerp": _ternary,
    "aten.addcmul": _ternary,
    "aten.addcdiv": _ternary,
    "aten.where.self": _where,
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp_bound,
    "aten.clamp_max": _clamp_bound,
    "aten.threshold_backward": _threshold_backward,
    "aten.elu_backward": _elu_backward,
    "aten.masked_fill": _masked_fill,
    "aten.fill": _fill,
    "aten.zero": _fill,
    "aten.polygamma": _polygamma,
    "aten.complex": _complex,
    "aten.polar": _complex,
    "aten.log_sigmoid_forward": _log_sigmoid,
    "aten.log_sigmoid_backward": _like_gradient,
    "aten._prelu_kernel_backward": _prelu_backward,
    "aten.rrelu_with_noise_functional": _rrelu,
    "aten.rrelu_with_noise_backward": _rrelu_backward,
    "aten.glu": _glu,
    "aten.glu_backward": _glu_backward,
    "aten.native_dropout_backward": _dropout_backward,
}
