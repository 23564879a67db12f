"""Shape rules of reductions, scans, softmax and norms.

In:  the reduced tensor, dimensions, keepdim.   Out: the result's spec; reductions give contiguous tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import Shape, contiguous_strides, format_strides, wrap_dim, wrap_dims
from graphwright.record.promotion import as_float, real_dtype, sum_dtype
from graphwright.record.specs import TensorSpec

Dims = int | Sequence[int] | None
Rule = Callable[..., Any]


def reduced_shape(shape: Shape, dims: Sequence[int], *, keepdim: bool) -> Shape:
    """Give the shape without (or with ones in place of) the reduced dimensions."""
    if keepdim:
        return tuple([1 if dim in dims else extent for dim, extent in enumerate(shape)])
    return tuple([extent for dim, extent in enumerate(shape) if dim not in dims])


def fresh(like: TensorSpec, shape: Shape, dtype: torch.dtype | None = None) -> TensorSpec:
    """Give a new contiguous tensor on the same device."""
    return TensorSpec(shape, contiguous_strides(shape), dtype or like.dtype, like.device)


def _reduce(self: TensorSpec, dim: Dims, keepdim: bool, dtype: torch.dtype) -> TensorSpec:  # noqa: FBT001
    return fresh(self, reduced_shape(self.shape, wrap_dims(dim, self.ndim), keepdim=keepdim), dtype)


def _sum(
    self: TensorSpec, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None  # noqa: FBT001, FBT002
) -> TensorSpec:
    return _reduce(self, dim, keepdim, dtype or sum_dtype(self.dtype))


def _mean(
    self: TensorSpec, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None  # noqa: FBT001, FBT002
) -> TensorSpec:
    result = dtype or self.dtype
    if not (result.is_floating_point or result.is_complex):
        msg = f"mean(): could not infer output dtype. Input dtype must be floating point or complex, got {result}"
        raise ValueError(msg)
    return _reduce(self, dim, keepdim, result)


def _extreme(self: TensorSpec, dim: Dims = None, keepdim: bool = False) -> TensorSpec:  # noqa: FBT001, FBT002
    return _reduce(self, dim, keepdim, self.dtype)


def _aminmax(self: TensorSpec, *, dim: int | None = None, keepdim: bool = False) -> tuple[TensorSpec, TensorSpec]:
    result = _reduce(self, dim, keepdim, self.dtype)
    return result, result


def _truth(self: TensorSpec, dim: Dims = None, keepdim: bool = False) -> TensorSpec:  # noqa: FBT001, FBT002
    return _reduce(self, dim, keepdim, torch.uint8 if self.dtype is torch.uint8 else torch.bool)


def _arg(self: TensorSpec, dim: int | None = None, keepdim: bool = False) -> TensorSpec:  # noqa: FBT001, FBT002
    if dim is None and keepdim:
        return fresh(self, (1,) * self.ndim, torch.int64)
    return _reduce(self, dim, keepdim and dim is not None, torch.int64)


def _with_index(self: TensorSpec, dim: int = -1, keepdim: bool = False) -> tuple[TensorSpec, TensorSpec]:  # noqa: FBT001, FBT002
    return _reduce(self, dim, keepdim, self.dtype), _reduce(self, dim, keepdim, torch.int64)


def _kthvalue(self: TensorSpec, _k: int, dim: int = -1, keepdim: bool = False) -> tuple[TensorSpec, TensorSpec]:  # noqa: FBT001, FBT002
    return _with_index(self, dim, keepdim)


def _var(self: TensorSpec, *args: Any, correction: object = None, keepdim: bool = False) -> TensorSpec:
    """Serve `var.correction(self, dim)`, `var(self, unbiased)` and `var.dim(self, dim, unbiased, keepdim)`."""
    dim: Dims = None
    if args and not isinstance(args[0], bool):
        dim = args[0]
    if len(args) > 2:
        keepdim = args[2]
    return _reduce(self, dim, keepdim, real_dtype(self.dtype))


def _var_mean(self: TensorSpec, *args: Any, correction: object = None, keepdim: bool = False) -> tuple[Any, Any]:
    variance = _var(self, *args, correction=correction, keepdim=keepdim)
    mean = TensorSpec(variance.shape, variance.strides, self.dtype, self.device)
    return variance, mean


def _vector_norm(
    self: TensorSpec,
    _order: object = 2,
    dim: Dims = None,
    keepdim: bool = False,  # noqa: FBT001, FBT002
    *,
    dtype: torch.dtype | None = None,
) -> TensorSpec:
    return _reduce(self, dim, keepdim, real_dtype(dtype or self.dtype))


def _norm(self: TensorSpec, _order: object = 2, *args: Any, dtype: torch.dtype | None = None) -> TensorSpec:
    """Serve `norm.Scalar(self, p)`, `norm.ScalarOpt_dim(self, p, dim, keepdim)` and the dtype variants."""
    dim: Dims = args[0] if args else None
    keepdim = len(args) > 1 and args[1]
    if len(args) > 2:
        dtype = args[2]
    return _reduce(self, dim, keepdim, real_dtype(dtype or self.dtype))


def _logsumexp(self: TensorSpec, dim: Dims, keepdim: bool = False) -> TensorSpec:  # noqa: FBT001, FBT002
    return _reduce(self, dim, keepdim, as_float(self.dtype))


def _scan(self: TensorSpec, dim: int, *, dtype: torch.dtype | None = None) -> TensorSpec:
    wrap_dim(dim, self.ndim)
    return fresh(self, self.shape, dtype or sum_dtype(self.dtype))


def _logcumsumexp(self: TensorSpec, dim: int) -> TensorSpec:
    wrap_dim(dim, self.ndim)
    return fresh(self, self.shape)


def _scan_with_index(self: TensorSpec, dim: int) -> tuple[TensorSpec, TensorSpec]:
    wrap_dim(dim, self.ndim)
    return fresh(self, self.shape), fresh(self, self.shape, torch.int64)


def _softmax(self: TensorSpec, dim: int, half_to_float: bool) -> TensorSpec:  # noqa: FBT001
    wrap_dim(dim, self.ndim)
    dtype = torch.float32 if half_to_float else self.dtype
    return fresh(self, self.shape, dtype)


def _softmax_backward(grad_output: TensorSpec, _output: TensorSpec, _dim: int, dtype: torch.dtype) -> TensorSpec:
    return fresh(grad_output, grad_output.shape, dtype)


def _count_nonzero(self: TensorSpec, dim: Dims = None) -> TensorSpec:
    return _reduce(self, dim, keepdim=False, dtype=torch.int64)


def _sort(self: TensorSpec, *_args: Any, **_options: Any) -> tuple[TensorSpec, TensorSpec]:
    strides = format_strides(self.shape, torch.preserve_format, self.strides)
    return (
        TensorSpec(self.shape, strides, self.dtype, self.device),
        TensorSpec(self.shape, strides, torch.int64, self.device),
    )


def _topk(self: TensorSpec, k: int, dim: int = -1, *_flags: bool) -> tuple[TensorSpec, TensorSpec]:
    place = wrap_dim(dim, self.ndim)
    shape = (*self.shape[:place], k, *self.shape[place + 1 :]) if self.ndim else ()
    return fresh(self, shape), fresh(self, shape, torch.int64)


def _layer_norm(
    self: TensorSpec, normalized_shape: Sequence[int], _weight: object, _bias: object, _eps: float
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    outer = self.ndim - len(normalized_shape)
    shape = (*self.shape[:outer], *(1 for _ in normalized_shape))
    statistics = fresh(self, shape, _statistics_dtype(self, _weight))
    return fresh(self, self.shape), statistics, statistics


def _statistics_dtype(self: TensorSpec, weight: object) -> torch.dtype:
    """Give the dtype of mean and rstd: that of the weight where input and weight are of different precision."""
    is_mixed = isinstance(weight, TensorSpec) and weight.dtype is not self.dtype
    return weight.dtype if is_mixed and isinstance(weight, TensorSpec) else self.dtype


def _layer_norm_backward(
    grad_out: TensorSpec,
    self: TensorSpec,
    _normalized_shape: Sequence[int],
    _mean: TensorSpec,
    _rstd: TensorSpec,
    weight: TensorSpec | None,
    bias: TensorSpec | None,
    output_mask: Sequence[bool],
) -> tuple[TensorSpec | None, ...]:
    return (
        fresh(self, self.shape) if output_mask[0] else None,
        fresh(weight, weight.shape) if output_mask[1] and weight is not None else None,
        fresh(bias or weight or self, (bias or weight or self).shape) if output_mask[2] and bias is not None else None,
    )


def _group_norm(
    self: TensorSpec, _weight: object, _bias: object, n: int, _c: int, _hxw: int, group: int, _eps: float
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    statistics = fresh(self, (n, group), _statistics_dtype(self, _weight))
    strides = format_strides(self.shape, torch.preserve_format, self.strides)
    return TensorSpec(self.shape, strides, self.dtype, self.device), statistics, statistics



def _rows(names: str, rule: Rule) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


RULES: Final = {
    **_rows("sum nansum prod.dim_int prod.default", _sum),
    **_rows("mean nanmean", _mean),
    **_rows("amax amin max.default min.default median.default nanmedian.default", _extreme),
    **_rows("any all", _truth),
    **_rows("argmax argmin", _arg),
    **_rows("max.dim min.dim median.dim nanmedian.dim mode", _with_index),
    **_rows("var std", _var),
    **_rows("var_mean std_mean", _var_mean),
    **_rows("cumsum cumprod", _scan),
    **_rows("cummax cummin", _scan_with_index),
    **_rows("_softmax _log_softmax", _softmax),
    **_rows("_softmax_backward_data _log_softmax_backward_data", _softmax_backward),
    "aten.aminmax": _aminmax,
    "aten.kthvalue": _kthvalue,
    "aten.linalg_vector_norm": _vector_norm,
    "aten.norm": _norm,
    "aten.logsumexp": _logsumexp,
    "aten.logcumsumexp": _logcumsumexp,
    "aten.count_nonzero": _count_nonzero,
    "aten.sort": _sort,
    "aten.topk": _topk,
    "aten.native_layer_norm": _layer_norm,
    "aten.native_layer_norm_backward": _layer_norm_backward,
    "aten.native_group_norm": _group_norm,
}
