"""Shape rules of matrix products and attention.

In:  the operands.   Out: contiguous results, but for attention, whose layout follows its kernel's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.record.layout import Shape, broadcast_shapes, contiguous_strides, strides_like
from graphwright.record.promotion import result_dtype
from graphwright.record.shapes.pointwise import broadcast
from graphwright.record.shapes.reduction import fresh
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec


def _check(name: str, left: Extent, right: Extent, first: TensorSpec, second: TensorSpec) -> None:
    if left != right:
        msg = f"{name}: shapes {list(first.shape)} and {list(second.shape)} cannot be multiplied"
        raise ValueError(msg)
    if first.dtype is not second.dtype:
        msg = f"{name}: expected both to have the same dtype, but got {first.dtype} and {second.dtype}"
        raise ValueError(msg)


def _mm(self: TensorSpec, mat2: TensorSpec) -> TensorSpec:
    if self.ndim != 2 or mat2.ndim != 2:
        msg = f"mm expects matrices, got {self.ndim} and {mat2.ndim} dimensions"
        raise ValueError(msg)
    _check("mm", self.shape[1], mat2.shape[0], self, mat2)
    return fresh(self, (self.shape[0], mat2.shape[1]))


def _bmm(self: TensorSpec, mat2: TensorSpec) -> TensorSpec:
    if self.ndim != 3 or mat2.ndim != 3 or self.shape[0] != mat2.shape[0]:
        msg = f"bmm expects two batches of matrices, got {list(self.shape)} and {list(mat2.shape)}"
        raise ValueError(msg)
    _check("bmm", self.shape[2], mat2.shape[1], self, mat2)
    return fresh(self, (self.shape[0], self.shape[1], mat2.shape[2]))


def _check_added(added: TensorSpec, result: TensorSpec) -> TensorSpec:
    if added.dtype is not result.dtype:
        msg = f"expected the added tensor to have dtype {result.dtype}, but got {added.dtype}"
        raise ValueError(msg)
    for own, wanted in zip(reversed(added.shape), reversed(result.shape), strict=False):
        if own != 1 and own != wanted:
            msg = f"a tensor of shape {list(added.shape)} cannot be added to a product of shape {list(result.shape)}"
            raise ValueError(msg)
    return result


def _addmm(self: TensorSpec, mat1: TensorSpec, mat2: TensorSpec, **_options: object) -> TensorSpec:
    return _check_added(self, _mm(mat1, mat2))


def _baddbmm(
    self: TensorSpec, batch1: TensorSpec, batch2: TensorSpec, **_options: object
) -> TensorSpec:
    return _check_added(self, _bmm(batch1, batch2))


def _addbmm(
    self: TensorSpec, batch1: TensorSpec, batch2: TensorSpec, **_options: object
) -> TensorSpec:
    product = _bmm(batch1, batch2)
    return _check_added(self, fresh(product, product.shape[1:]))


def _mv(self: TensorSpec, vec: TensorSpec) -> TensorSpec:
    if self.ndim != 2 or vec.ndim != 1:
        msg = f"mv expects a matrix and a vector, got {self.ndim} and {vec.ndim} dimensions"
        raise ValueError(msg)
    _check("mv", self.shape[1], vec.shape[0], self, vec)
    return fresh(self, (self.shape[0],))


def _addmv(self: TensorSpec, mat: TensorSpec, vec: TensorSpec, **_options: object) -> TensorSpec:
    return _check_added(self, _mv(mat, vec))


def _dot(self: TensorSpec, tensor: TensorSpec) -> TensorSpec:
    _check("dot", self.shape[0], tensor.shape[0], self, tensor)
    return fresh(self, ())


def _addr(self: TensorSpec, vec1: TensorSpec, vec2: TensorSpec, **_options: object) -> TensorSpec:
    column = TensorSpec((*vec1.shape, 1), (*vec1.strides, 0), vec1.dtype, vec1.device)
    return broadcast(result_dtype(self, vec1, vec2), self, column, vec2)


def heads_inside(shape: Shape) -> Shape:
    """Give the strides of a [B, H, L, D] tensor that lies in memory as [B, L, H, D]."""
    batch, heads, length, depth = shape
    inner = contiguous_strides((batch, length, heads, depth))
    return inner[0], inner[2], inner[1], inner[3]


def _flash_attention(
    query: TensorSpec, _key: TensorSpec, value: TensorSpec, *_rest: Any, **_options: Any
) -> tuple[TensorSpec, TensorSpec]:
    batch, heads, length, _ = query.shape
    shape = (batch, heads, length, value.shape[3])
    statistics = torch.float64 if query.dtype is torch.float64 else torch.float32
    strides = contiguous_strides((batch, length, heads))
    return (
        TensorSpec(shape, strides_like(shape, query.strides), query.dtype, query.device),
        TensorSpec(
            (batch, heads, length), (strides[0], strides[2], strides[1]), statistics, query.device
        ),
    )


def _flash_attention_backward(
    _grad_out: TensorSpec,
    query: TensorSpec,
    key: TensorSpec,
    value: TensorSpec,
    *_rest: Any,
    **_options: Any,
) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    return tuple(  # type: ignore[return-value]
        TensorSpec(spec.shape, heads_inside(spec.shape), spec.dtype, spec.device)
        for spec in (query, key, value)
    )


def _cdist(first: TensorSpec, second: TensorSpec, *_rest: Any) -> TensorSpec:
    outer = broadcast_shapes(first.shape[:-2], second.shape[:-2])
    return fresh(first, (*outer, first.shape[-2], second.shape[-2]))


def _cdist_backward(
    _grad: TensorSpec, first: TensorSpec, second: TensorSpec, *_rest: Any
) -> TensorSpec:
    outer = broadcast_shapes(first.shape[:-2], second.shape[:-2])
    if any(extent == 0 for extent in (*outer, *first.shape[-2:], second.shape[-2])):
        # Where there is nothing to add up, ATen gives zeros like the points as they came, not broadcast.
        strides = strides_like(first.shape, first.strides)
        return TensorSpec(first.shape, strides, first.dtype, first.device)
    return fresh(first, (*outer, *first.shape[-2:]))


def _cross(self: TensorSpec, other: TensorSpec, *, dim: int = -1) -> TensorSpec:
    del dim
    return fresh(self, broadcast_shapes(self.shape, other.shape), result_dtype(self, other))


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten._cdist_forward": _cdist,
    "aten._cdist_backward": _cdist_backward,
    "aten._euclidean_dist": _cdist,
    "aten.linalg_cross": _cross,
    "aten.mm": _mm,
    "aten.bmm": _bmm,
    "aten.addmm": _addmm,
    "aten.baddbmm": _baddbmm,
    "aten.addbmm": _addbmm,
    "aten.mv": _mv,
    "aten.addmv": _addmv,
    "aten.dot": _dot,
    "aten.vdot": _dot,
    "aten.addr": _addr,
    "aten._scaled_dot_product_flash_attention_for_cpu": _flash_attention,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": _flash_attention_backward,
}
