"""Shape rules of views: results that share the memory of their first argument.

In:  the spec of the viewed tensor, and the view's arguments.   Out: the spec of the view (several for `split`).
Keeps: strides and offset are eager's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import (
    OutOfRangeError,
    Shape,
    contiguous_strides,
    numel_of,
    same_extents,
    wrap_dim,
    wrap_dims,
)
from graphwright.record.sizes import Extent, SymbolicSize
from graphwright.record.specs import TensorSpec

UNBOUNDED: Final = 2**63 - 1
"""What torch passes for an open end of a slice."""


def infer_shape(shape: Sequence[Extent], numel: Extent) -> Shape:
    """Fill in the one extent that is -1.

    Raises:
        ValueError: the shape does not hold `numel` elements.
    """
    unknown = [
        place for place, extent in enumerate(shape) if isinstance(extent, int) and extent == -1
    ]
    known = numel_of(tuple(extent for place, extent in enumerate(shape) if place not in unknown))
    if not unknown:
        if known != numel:
            msg = f"shape {list(shape)} is invalid for input of size {numel}"
            raise ValueError(msg)
        return tuple(shape)
    if len(unknown) > 1 or known == 0 or numel % known != 0:
        msg = f"shape {list(shape)} is invalid for input of size {numel}"
        raise ValueError(msg)
    filled = list(shape)
    filled[unknown[0]] = numel // known
    return tuple(filled)


def view_strides(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """Give the strides of a tensor seen with another shape of as many elements, or None if it must be copied."""
    if any(extent == 0 for extent in shape):
        return strides if same_extents(shape, wanted) else contiguous_strides(wanted)
    result: list[Extent] = [1] * len(wanted)
    place = len(wanted) - 1
    for extent, step in _runs(shape, strides):
        filled: Extent = 1
        while place >= 0 and (wanted[place] == 1 or filled != extent):
            result[place] = filled * step
            filled = filled * wanted[place]
            place -= 1
            if filled > extent:
                return None
        if filled != extent:
            return None
    return tuple(result) if place < 0 else None


def _runs(shape: Shape, strides: Shape) -> list[tuple[Extent, Extent]]:
    """Join neighbouring dimensions that walk memory as one; give (extent, stride) of each run, the last first."""
    if not shape:
        return [(1, 1)]
    runs: list[tuple[Extent, Extent]] = []
    extent: Extent = 1
    step = strides[-1]
    for dim in range(len(shape) - 1, -1, -1):
        extent = extent * shape[dim]
        if dim and (shape[dim - 1] == 1 or strides[dim - 1] == extent * step):
            continue
        runs.append((extent, step))
        extent, step = 1, strides[dim - 1]
    return runs


def _viewed(
    source: TensorSpec, shape: Shape, strides: Shape, offset: Extent | None = None
) -> TensorSpec:
    return TensorSpec(
        shape, strides, source.dtype, source.device, source.offset if offset is None else offset
    )


def _view(self: TensorSpec, size: Sequence[Extent]) -> TensorSpec:
    shape = infer_shape(size, self.numel)
    strides = view_strides(self.shape, self.strides, shape)
    if strides is None:
        msg = "view size is not compatible with input tensor's size and stride; use .reshape(...) instead."
        raise ValueError(msg)
    return _viewed(self, shape, strides)


def _reshape_alias(
    self: TensorSpec, size: Sequence[Extent], stride: Sequence[Extent]
) -> TensorSpec:
    return _viewed(self, tuple(size), tuple(stride))


def _view_dtype(self: TensorSpec, dtype: torch.dtype) -> TensorSpec:
    old, new = self.dtype.itemsize, dtype.itemsize
    if old == new:
        return TensorSpec(self.shape, self.strides, dtype, self.device, self.offset)
    if old > new:
        ratio = old // new
        shape = (*self.shape[:-1], self.shape[-1] * ratio)
        strides = (*(stride * ratio for stride in self.strides[:-1]), 1)
        return TensorSpec(shape, strides, dtype, self.device, self.offset * ratio)
    ratio = new // old
    if self.shape[-1] % ratio != 0 or self.strides[-1] != 1:
        msg = f"cannot view {self.dtype} as {dtype}: the last dimension does not divide"
        raise ValueError(msg)
    shape = (*self.shape[:-1], self.shape[-1] // ratio)
    strides = (*(stride // ratio for stride in self.strides[:-1]), 1)
    return TensorSpec(shape, strides, dtype, self.device, self.offset // ratio)


def _permute(self: TensorSpec, dims: Sequence[int]) -> TensorSpec:
    order = [wrap_dim(dim, self.ndim) for dim in dims]
    if sorted(order) != list(range(self.ndim)):
        msg = f"permute(dims): {list(dims)} is no order of {self.ndim} dimensions"
        raise ValueError(msg)
    return _viewed(
        self, tuple([self.shape[dim] for dim in order]), tuple([self.strides[dim] for dim in order])
    )


def _transpose(self: TensorSpec, dim0: int, dim1: int) -> TensorSpec:
    first, second = wrap_dim(dim0, self.ndim), wrap_dim(dim1, self.ndim)
    shape, strides = list(self.shape), list(self.strides)
    if shape:
        shape[first], shape[second] = shape[second], shape[first]
        strides[first], strides[second] = strides[second], strides[first]
    return _viewed(self, tuple(shape), tuple(strides))


def _t(self: TensorSpec) -> TensorSpec:
    if self.ndim > 2:
        msg = f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D"
        raise ValueError(msg)
    return _viewed(self, self.shape[::-1], self.strides[::-1])


def _expand(self: TensorSpec, size: Sequence[Extent], *, implicit: bool = False) -> TensorSpec:
    missing = len(size) - self.ndim
    if missing < 0:
        msg = f"expand: {len(size)} sizes for a tensor of {self.ndim} dimensions"
        raise ValueError(msg)
    if not self.ndim:
        return _viewed(self, tuple(size), (0,) * len(size))
    shape: list[Extent] = []
    strides: list[Extent] = []
    for place in range(len(size) - 1, -1, -1):
        wanted = size[place]
        if place < missing:
            shape.append(wanted)
            following = shape[-2] * strides[-1]
            strides.append(0 if wanted != 1 else following)
            continue
        own, stride = self.shape[place - missing], self.strides[place - missing]
        if isinstance(wanted, int) and wanted == -1:
            wanted = own
        if own == wanted:
            shape.append(own)
            strides.append(stride)
        elif own == 1:
            shape.append(wanted)
            strides.append(0)
        else:
            msg = (
                f"expand: size {wanted} at dimension {place} does not match the existing size {own}"
            )
            raise ValueError(msg)
    return _viewed(self, tuple(reversed(shape)), tuple(reversed(strides)))


def _unsqueeze(self: TensorSpec, dim: int) -> TensorSpec:
    place = wrap_dim(dim, self.ndim + 1)
    stride: Extent = self.shape[place] * self.strides[place] if place < self.ndim else 1
    shape = (*self.shape[:place], 1, *self.shape[place:])
    return _viewed(self, shape, (*self.strides[:place], stride, *self.strides[place:]))


def _squeeze(self: TensorSpec, dim: int | Sequence[int] | None = None) -> TensorSpec:
    if dim is None:
        dims: tuple[int, ...] = tuple(range(self.ndim))
    else:
        is_empty = not isinstance(dim, int) and not dim
        dims = () if is_empty else wrap_dims(dim, self.ndim)
    kept = [place for place in range(self.ndim) if place not in dims or self.shape[place] != 1]
    return _viewed(
        self,
        tuple(self.shape[place] for place in kept),
        tuple(self.strides[place] for place in kept),
    )


def _select(self: TensorSpec, dim: int, index: int | SymbolicSize) -> TensorSpec:
    if not self.ndim:
        msg = "select() cannot be applied to a 0-dim tensor."
        raise IndexError(msg)
    place = wrap_dim(dim, self.ndim)
    extent = self.shape[place]
    if index < -extent or index >= extent:
        msg = f"select(): index {index} out of range for tensor of size {list(self.shape)} at dimension {place}"
        raise OutOfRangeError(msg)
    start = index + extent if index < 0 else index
    return _viewed(
        self,
        (*self.shape[:place], *self.shape[place + 1 :]),
        (*self.strides[:place], *self.strides[place + 1 :]),
        self.offset + start * self.strides[place],
    )


def _slice(
    self: TensorSpec,
    dim: int = 0,
    start: Extent | None = None,
    end: Extent | None = None,
    step: int = 1,
) -> TensorSpec:
    place = wrap_dim(dim, self.ndim)
    extent = self.shape[place]
    first = _clamped(0 if start is None else start, extent)
    last = (
        extent
        if end is None or (isinstance(end, int) and end >= UNBOUNDED)
        else _clamped(end, extent)
    )
    if last is not extent and last < first:
        last = first
    length = last - first
    if step != 1:
        length = (length + (step - 1)) // step
    return _viewed(
        self,
        (*self.shape[:place], length, *self.shape[place + 1 :]),
        (*self.strides[:place], self.strides[place] * step, *self.strides[place + 1 :]),
        self.offset + first * self.strides[place],
    )


def _clamped(index: Extent, extent: Extent) -> Extent:
    if isinstance(index, int) and index == 0:
        return 0
    if index < 0:
        index = index + extent
        return index if index >= 0 else 0
    return extent if index > extent else index


def narrow(self: TensorSpec, dim: int, start: Extent, length: Extent) -> TensorSpec:
    """Give `length` elements from `start` on, which may be counted from the end."""
    if isinstance(start, int) and start < 0:
        start = start + self.shape[wrap_dim(dim, self.ndim)]
    return _slice(self, dim, start, start + length)


def _split(self: TensorSpec, split_size: Extent, dim: int = 0) -> tuple[TensorSpec, ...]:
    place = wrap_dim(dim, self.ndim)
    extent = self.shape[place]
    if isinstance(split_size, int) and (split_size < 0 or (split_size == 0 and extent != 0)):
        msg = f"split by {split_size}"
        raise ValueError(msg)
    if split_size == 0:
        return (self,)
    count = (extent + split_size - 1) // split_size
    number = count if isinstance(count, int) else count.specialise()
    number = max(number, 1)
    sizes = [split_size] * (number - 1)
    return _split_with_sizes(self, [*sizes, extent - split_size * (number - 1)], dim)


def _split_with_sizes(
    self: TensorSpec, split_sizes: Sequence[Extent], dim: int = 0
) -> tuple[TensorSpec, ...]:
    place = wrap_dim(dim, self.ndim)
    total: Extent = 0
    views = []
    for length in split_sizes:
        views.append(
            _viewed(
                self,
                (*self.shape[:place], length, *self.shape[place + 1 :]),
                self.strides,
                self.offset + total * self.strides[place],
            )
        )
        total = total + length
    if total != self.shape[place]:
        msg = f"split_with_sizes expects split_sizes to sum exactly to {self.shape[place]}, but got {list(split_sizes)}"
        raise ValueError(msg)
    return tuple(views)


def _unbind(self: TensorSpec, dim: int = 0) -> tuple[TensorSpec, ...]:
    extent = self.shape[wrap_dim(dim, self.ndim)]
    count = extent if isinstance(extent, int) else extent.specialise()
    return tuple(_select(self, dim, index) for index in range(count))


def _diagonal(self: TensorSpec, offset: int = 0, dim1: int = 0, dim2: int = 1) -> TensorSpec:
    first, second = wrap_dim(dim1, self.ndim), wrap_dim(dim2, self.ndim)
    if first == second:
        msg = f"diagonal dimensions cannot be identical {dim1}, {dim2}"
        raise ValueError(msg)
    rows, columns = self.shape[first], self.shape[second]
    below, right = max(-offset, 0), max(offset, 0)
    height, width = rows - below, columns - right
    length = _clamped_length(height if height <= width else width)
    start = self.offset
    if length != 0:
        start = start + below * self.strides[first] + right * self.strides[second]
    kept = [dim for dim in range(self.ndim) if dim not in (first, second)]
    return _viewed(
        self,
        (*(self.shape[dim] for dim in kept), length),
        (*(self.strides[dim] for dim in kept), self.strides[first] + self.strides[second]),
        start,
    )


def _clamped_length(length: Extent) -> Extent:
    return length if length >= 0 else 0


def _as_strided(
    self: TensorSpec,
    size: Sequence[Extent],
    stride: Sequence[Extent],
    storage_offset: Extent | None = None,
) -> TensorSpec:
    return _viewed(self, tuple(size), tuple(stride), storage_offset)


def _unfold(self: TensorSpec, dimension: int, size: int, step: int) -> TensorSpec:
    place = wrap_dim(dimension, self.ndim)
    extent, stride = (self.shape[place], self.strides[place]) if self.ndim else (1, 1)
    if extent < size or step <= 0:
        msg = f"maximum size for tensor at dimension {dimension} is {extent} but size is {size}"
        raise ValueError(msg)
    if not self.ndim:
        return _viewed(self, (size,), (1,))
    count = (extent - size) // step + 1
    return _viewed(
        self,
        (*self.shape[:place], count, *self.shape[place + 1 :], size),
        (*self.strides[:place], stride * step, *self.strides[place + 1 :], stride),
    )


def _view_as_real(self: TensorSpec) -> TensorSpec:
    return TensorSpec(
        (*self.shape, 2),
        (*(stride * 2 for stride in self.strides), 1),
        self.dtype.to_real(),
        self.device,
        self.offset * 2,
    )


def _view_as_complex(self: TensorSpec) -> TensorSpec:
    is_pair = self.ndim and self.shape[-1] == 2 and self.strides[-1] == 1
    if not is_pair or not self.dtype.is_floating_point:
        msg = "Tensor must be of floats, with a last dimension of size 2 and stride 1"
        raise ValueError(msg)
    return TensorSpec(
        self.shape[:-1],
        tuple(stride // 2 for stride in self.strides[:-1]),
        self.dtype.to_complex(),
        self.device,
        self.offset // 2,
    )


def _same(self: TensorSpec) -> TensorSpec:
    return self


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.view.default": _view,
    "aten.view.dtype": _view_dtype,
    "aten._unsafe_view": _view,
    "aten._reshape_alias": _reshape_alias,
    "aten.permute": _permute,
    "aten.transpose.int": _transpose,
    "aten.t": _t,
    "aten.expand": _expand,
    "aten.unsqueeze": _unsqueeze,
    "aten.squeeze": _squeeze,
    "aten.select.int": _select,
    "aten.slice.Tensor": _slice,
    "aten.split.Tensor": _split,
    "aten.split_with_sizes": _split_with_sizes,
    "aten.unbind.int": _unbind,
    "aten.diagonal": _diagonal,
    "aten.as_strided": _as_strided,
    "aten.unfold": _unfold,
    "aten.view_as_real": _view_as_real,
    "aten.view_as_complex": _view_as_complex,
    "aten._conj": _same,
    "aten._neg_view": _same,
    "aten.detach": _same,
    "aten.alias": _same,
    "aten.lift_fresh": _same,
}
