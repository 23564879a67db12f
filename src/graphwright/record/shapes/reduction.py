# ruff: noqa: FBT001, FBT002  (a rule takes the op's own arguments)

"""Shape rules of reductions, scans and softmax.

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


def _reduce(self: TensorSpec, dim: Dims, keepdim: bool, dtype: torch.dtype) -> TensorSpec:
    return fresh(self, reduced_shape(self.shape, wrap_dims(dim, self.ndim), keepdim=keepdim), dtype)


def _sum(
    self: TensorSpec,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> TensorSpec:
    return _reduce(self, dim, keepdim, dtype or sum_dtype(self.dtype))


def _mean(
    self: TensorSpec,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> TensorSpec:
    result = dtype or self.dtype
    if not (result.is_floating_point or result.is_complex):
        msg = f"mean(): could not infer output dtype. Input dtype must be floating point or complex, got {result}"
        raise ValueError(msg)
    return _reduce(self, dim, keepdim, result)


def _extreme(self: TensorSpec, dim: Dims = None, keepdim: bool = False) -> TensorSpec:
    return _reduce(self, dim, keepdim, self.dtype)


def _aminmax(
    self: TensorSpec, *, dim: int | None = None, keepdim: bool = False
) -> tuple[TensorSpec, TensorSpec]:
    result = _reduce(self, dim, keepdim, self.dtype)
    return result, result


def _truth(self: TensorSpec, dim: Dims = None, keepdim: bool = False) -> TensorSpec:
    return _reduce(self, dim, keepdim, torch.uint8 if self.dtype is torch.uint8 else torch.bool)


def _arg(self: TensorSpec, dim: int | None = None, keepdim: bool = False) -> TensorSpec:
    if dim is None and keepdim:
        return fresh(self, (1,) * self.ndim, torch.int64)
    return _reduce(self, dim, keepdim and dim is not None, torch.int64)


def _with_index(
    self: TensorSpec, dim: int = -1, keepdim: bool = False
) -> tuple[TensorSpec, TensorSpec]:
    return _reduce(self, dim, keepdim, self.dtype), _reduce(self, dim, keepdim, torch.int64)


def _kthvalue(
    self: TensorSpec, _k: int, dim: int = -1, keepdim: bool = False
) -> tuple[TensorSpec, TensorSpec]:
    return _with_index(self, dim, keepdim)


def _var(
    self: TensorSpec, *args: Any, correction: object = None, keepdim: bool = False
) -> TensorSpec:
    """Serve `var.correction(self, dim)`, `var(self, unbiased)` and `var.dim(self, dim, unbiased, keepdim)`."""
    dim: Dims = None
    if args and not isinstance(args[0], bool):
        dim = args[0]
    if len(args) > 2:
        keepdim = args[2]
    return _reduce(self, dim, keepdim, real_dtype(self.dtype))


def _var_mean(
    self: TensorSpec, *args: Any, correction: object = None, keepdim: bool = False
) -> tuple[Any, Any]:
    variance = _var(self, *args, correction=correction, keepdim=keepdim)
    mean = TensorSpec(variance.shape, variance.strides, self.dtype, self.device)
    return variance, mean


def _vector_norm(
    self: TensorSpec,
    _order: object = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> TensorSpec:
    return _reduce(self, dim, keepdim, real_dtype(dtype or self.dtype))


def _norm(
    self: TensorSpec, _order: object = 2, *args: Any, dtype: torch.dtype | None = None
) -> TensorSpec:
    """Serve `norm.Scalar(self, p)`, `norm.ScalarOpt_dim(self, p, dim, keepdim)` and the dtype variants."""
    dim: Dims = args[0] if args else None
    keepdim = len(args) > 1 and args[1]
    if len(args) > 2:
        dtype = args[2]
    return _reduce(self, dim, keepdim, real_dtype(dtype or self.dtype))


def _logsumexp(self: TensorSpec, dim: Dims, keepdim: bool = False) -> TensorSpec:
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


def _softmax(self: TensorSpec, dim: int, half_to_float: bool) -> TensorSpec:
    wrap_dim(dim, self.ndim)
    dtype = torch.float32 if half_to_float else self.dtype
    return fresh(self, self.shape, dtype)


def _safe_softmax(self: TensorSpec, dim: int, dtype: torch.dtype | None = None) -> TensorSpec:
    wrap_dim(dim, self.ndim)
    return fresh(self, self.shape, dtype)


def _trace(self: TensorSpec) -> TensorSpec:
    return fresh(self, (), sum_dtype(self.dtype))


def _softmax_backward(
    grad_output: TensorSpec, _output: TensorSpec, _dim: int, dtype: torch.dtype
) -> TensorSpec:
    return fresh(grad_output, grad_output.shape, dtype)


def _nonzero_static(self: TensorSpec, *, size: Any, fill_value: int = -1) -> TensorSpec:
    del fill_value
    return fresh(self, (size, self.ndim), torch.int64)


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
    extent = self.shape[place] if self.ndim else 1
    if k < 0 or k > extent:
        msg = "selected index k out of range"
        raise RuntimeError(msg)
    shape = (*self.shape[:place], k, *self.shape[place + 1 :]) if self.ndim else ()
    return fresh(self, shape), fresh(self, shape, torch.int64)


def _rows(names: str, rule: Rule) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


RULES: Final[dict[str, Callable[..., Any]]] = {
    **_rows("sum nansum prod.dim_int prod.default", _sum),
    **_rows("mean", _mean),
    **_rows("amax amin max.default min.default median.default nanmedian.default", _extreme),
    **_rows("any all", _truth),
    **_rows("argmax argmin", _arg),
    **_rows("max.dim min.dim median.dim nanmedian.dim mode", _with_index),
    **_rows("var std", _var),
    **_rows("var_mean std_mean", _var_mean),
    **_rows("cumsum cumprod", _scan),
    **_rows("cummax cummin", _scan_with_index),
    **_rows("_softmax _log_softmax", _softmax),
    "aten._safe_softmax": _safe_softmax,
    "aten.trace": _trace,
    **_rows("_softmax_backward_data _log_softmax_backward_data", _softmax_backward),
    "aten.aminmax": _aminmax,
    "aten.kthvalue": _kthvalue,
    "aten.linalg_vector_norm": _vector_norm,
    "aten.norm": _norm,
    "aten.logsumexp": _logsumexp,
    "aten.logcumsumexp": _logcumsumexp,
    "aten.count_nonzero": _count_nonzero,
    "aten.nonzero_static": _nonzero_static,
    "aten.sort": _sort,
    "aten.topk": _topk,
}
