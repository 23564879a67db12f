"""Shape rules of Fourier transforms and matrix factorisations.

In:  the transformed tensor, dimensions; or matrices.   Out: results in the memory order that the libraries leave.
Keeps: MKL's transforms put the transformed dimensions innermost; LAPACK's factors are column-major.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import Shape, contiguous_strides
from graphwright.record.shapes.reduction import fresh
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec


def _by_stride(self: TensorSpec, dims: Sequence[int]) -> list[int]:
    """Order dimensions from the largest stride to the smallest, the earlier first among equals."""
    order: list[int] = []
    for dim in dims:
        place = len(order)
        while place > 0 and self.strides[dim] > self.strides[order[place - 1]]:
            place -= 1
        order.insert(place, dim)
    return order


def _transformed(
    self: TensorSpec, dims: Sequence[int], shape: Shape, dtype: torch.dtype
) -> TensorSpec:
    """Give the result of one pass over `dims`, in the order the library takes them."""
    if not torch.backends.mkl.is_available():
        return fresh(self, shape, dtype)
    outer = _by_stride(self, [dim for dim in range(self.ndim) if dim not in dims])
    strides: list[Extent] = [0] * self.ndim
    step: Extent = 1
    for dim in reversed([*outer, *dims]):
        strides[dim] = step
        step = step * shape[dim]
    return TensorSpec(shape, tuple(strides), dtype, self.device)


def _complex_to_complex(
    self: TensorSpec,
    dim: Sequence[int],
    _normalization: int,
    _forward: bool,  # noqa: FBT001
) -> TensorSpec:
    if not dim:
        return fresh(self, self.shape)
    dims = [place % self.ndim for place in dim]
    return _transformed(self, _by_stride(self, dims), self.shape, self.dtype)


def _real_to_complex(
    self: TensorSpec,
    dim: Sequence[int],
    _normalization: int,
    onesided: bool,  # noqa: FBT001
) -> TensorSpec:
    dims = [place % self.ndim for place in dim]
    shape = list(self.shape)
    if onesided:
        shape[dims[-1]] = shape[dims[-1]] // 2 + 1
    order = [*_by_stride(self, dims[:-1]), dims[-1]]
    return _transformed(self, order, tuple(shape), self.dtype.to_complex())


def _complex_to_real(
    self: TensorSpec, dim: Sequence[int], normalization: int, last_dim_size: Extent
) -> TensorSpec:
    dims = [place % self.ndim for place in dim]
    if len(dims) > 1:
        self = _complex_to_complex(self, dims[:-1], normalization, _forward=False)
    shape = list(self.shape)
    shape[dims[-1]] = last_dim_size
    return _transformed(self, [dims[-1]], tuple(shape), self.dtype.to_real())


def _column_major(self: TensorSpec, shape: Shape, dtype: torch.dtype | None = None) -> TensorSpec:
    swapped = contiguous_strides((*shape[:-2], shape[-1], shape[-2]))
    strides = (*swapped[:-2], swapped[-1], swapped[-2])
    return TensorSpec(shape, strides, dtype or self.dtype, self.device)


def _least(first: Extent, second: Extent) -> Extent:
    return first if first <= second else second


def _singular_values(
    self: TensorSpec,
    full_matrices: bool = False,  # noqa: FBT001, FBT002
    compute_uv: bool = True,  # noqa: FBT001, FBT002
    **_options: object,
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    *outer, rows, columns = self.shape
    rank = _least(rows, columns)
    values = fresh(self, (*outer, rank), self.dtype.to_real() if self.dtype.is_complex else None)
    if not compute_uv:
        return fresh(self, (0,)), values, fresh(self, (0,))
    left = _column_major(self, (*outer, rows, rows if full_matrices else rank))
    right = _column_major(self, (*outer, columns if full_matrices else rank, columns))
    return left, values, right


def _eigen(self: TensorSpec) -> tuple[TensorSpec, TensorSpec]:
    dtype = self.dtype if self.dtype.is_complex else self.dtype.to_complex()
    return fresh(self, self.shape[:-1], dtype), _column_major(self, self.shape, dtype)


def _triangularise(self: TensorSpec) -> tuple[TensorSpec, TensorSpec]:
    *outer, rows, columns = self.shape
    return _column_major(self, self.shape), fresh(self, (*outer, _least(rows, columns)))


def _histogram_by_count(
    self: TensorSpec, bins: int = 100, **_options: object
) -> tuple[TensorSpec, TensorSpec]:
    return fresh(self, (bins,)), fresh(self, (bins + 1,))


def _histogram_by_edges(
    self: TensorSpec, bins: TensorSpec, **_options: object
) -> tuple[TensorSpec, TensorSpec]:
    return fresh(self, (bins.shape[0] - 1,)), fresh(self, bins.shape)


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten._fft_c2c": _complex_to_complex,
    "aten._fft_r2c": _real_to_complex,
    "aten._fft_c2r": _complex_to_real,
    "aten._linalg_svd": _singular_values,
    "aten.linalg_eig": _eigen,
    "aten.geqrf": _triangularise,
    "aten.histogram.bin_ct": _histogram_by_count,
    "aten.histogram.bins_tensor": _histogram_by_edges,
}
