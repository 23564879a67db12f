"""Shape rules of indexing, gathering, scattering, joining and rearranging.

In:  tensors and index tensors (whose values are unknown).   Out: the result's spec.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import (
    Shape,
    broadcast_shapes,
    channels_last_strides,
    contiguous_strides,
    format_strides,
    is_known_empty,
    pointwise_strides,
    prefers_channels_last,
    strides_like,
    wrap_dim,
    wrap_dims,
)
from graphwright.record.promotion import result_dtype
from graphwright.record.shapes.factory import same_memory
from graphwright.record.shapes.reduction import fresh
from graphwright.record.shapes.view import RULES as VIEWS
from graphwright.record.shapes.view import narrow
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec


def _embedding(weight: TensorSpec, indices: TensorSpec, *_rest: object) -> TensorSpec:
    if weight.ndim != 2:
        msg = f"embedding: 'weight' must be 2-D, got {weight.ndim} dimensions"
        raise ValueError(msg)
    return fresh(weight, (*indices.shape, weight.shape[1]))


def _embedding_backward(
    grad_output: TensorSpec, _indices: TensorSpec, num_weights: Extent, *_rest: object
) -> TensorSpec:
    return fresh(grad_output, (num_weights, grad_output.shape[-1]))


def _gather(self: TensorSpec, dim: int, index: TensorSpec, **_options: object) -> TensorSpec:
    _check_elementwise_index(self, dim, index)
    return fresh(self, index.shape)


def _check_elementwise_index(self: TensorSpec, dim: int, index: TensorSpec) -> None:
    """Check the index of a gather or scatter: one for each element."""
    wrap_dim(dim, self.ndim)
    if is_known_empty(index.shape):
        return  # of any dtype
    if index.dtype not in _INDEX_DTYPES or max(index.ndim, 1) != max(self.ndim, 1):
        msg = f"an index of {index.dtype} with {index.ndim} dimensions for {self.ndim}"
        raise ValueError(msg)


_INDEX_DTYPES: Final = (torch.int64, torch.int32)


def _write(check: Callable[[TensorSpec, int, TensorSpec], None]) -> Callable[..., TensorSpec]:
    """Make the rule of a write at an index that passes a check."""

    def rule(
        self: TensorSpec, dim: int, index: TensorSpec, *rest: object, **_options: object
    ) -> TensorSpec:
        check(self, dim, index)
        _check_written(self, rest)
        return fresh(self, self.shape)

    return rule


def _index_fill(self: TensorSpec, dim: int, index: TensorSpec, _value: object) -> TensorSpec:
    _check_index(self, dim, index)
    return _kept(self)


def _check_index(self: TensorSpec, dim: int, index: TensorSpec) -> None:
    """Check an index of rows."""
    wrap_dim(dim, self.ndim)
    if index.dtype not in _INDEX_DTYPES or index.ndim > 1:
        msg = f"an index of {index.dtype} with {index.ndim} dimensions"
        raise ValueError(msg)


def _check_written(self: TensorSpec, rest: Sequence[object]) -> None:
    written = rest[0] if rest else None
    if isinstance(written, TensorSpec) and written.dtype is not self.dtype:
        msg = f"{written.dtype} written to {self.dtype}"
        raise ValueError(msg)


_scatter: Final = _write(_check_elementwise_index)
_index_write: Final = _write(_check_index)


def _index_select(self: TensorSpec, dim: int, index: TensorSpec) -> TensorSpec:
    _check_index(self, dim, index)
    if not self.ndim:
        return fresh(self, ())
    place = wrap_dim(dim, self.ndim)
    return fresh(self, (*self.shape[:place], index.numel, *self.shape[place + 1 :]))


def _kept(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    strides = format_strides(self.shape, torch.preserve_format, self.strides)
    return TensorSpec(self.shape, strides, self.dtype, self.device)


def _written_at(view: Callable[..., TensorSpec]) -> Callable[..., TensorSpec]:
    """Give the rule of an op that writes what has the shape of a view of the tensor."""

    def rule(self: TensorSpec, source: TensorSpec, *args: Any, **kwargs: Any) -> TensorSpec:
        part = view(self, *args, **kwargs)
        if part.ndim != source.ndim or any(map(operator.ne, part.shape, source.shape)):
            sizes = f"src size = {list(source.shape)}, slice size = {list(part.shape)}"
            message = f"expected src to have a size equal to the slice of self. {sizes}"
            raise RuntimeError(message)
        return same_memory(self)

    return rule


def _roll(self: TensorSpec, shifts: Sequence[Extent], dims: Sequence[int] = ()) -> TensorSpec:
    """Follow eager, which joins two parts of the tensor along one dimension after the other."""
    if self.numel == 0:
        return _kept(self)
    if self.ndim not in (4, 5) or not dims:
        return fresh(self, self.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        place = wrap_dim(dim, self.ndim)
        second = shift % self.shape[place]
        parts = [_narrowed(self, place, self.shape[place] - second), _narrowed(self, place, second)]
        self = _cat(parts[::-1], place)
    return self


def _narrowed(self: TensorSpec, place: int, extent: Extent) -> TensorSpec:
    shape = (*self.shape[:place], extent, *self.shape[place + 1 :])
    return TensorSpec(shape, self.strides, self.dtype, self.device)


def _contiguous(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return fresh(self, self.shape)


def index_parts(
    self: TensorSpec, indices: Sequence[TensorSpec | None]
) -> tuple[list[TensorSpec | None], bool]:
    """Give one entry a dimension (a mask counts for as many as it has), and whether the indexed ones are adjacent."""
    parts: list[TensorSpec | None] = list(indices)
    parts.extend([None] * (self.ndim - len(parts)))
    places = [place for place, part in enumerate(parts) if part is not None]
    return parts, not places or places[-1] - places[0] == len(places) - 1


def _index(self: TensorSpec, indices: Sequence[TensorSpec | None]) -> TensorSpec:
    for part in indices:
        if part is not None and part.dtype in (torch.bool, torch.uint8):
            msg = "the size of the result depends on the values of a mask"
            raise LookupError(msg)
    parts, is_adjacent = index_parts(self, indices)
    if len(parts) > self.ndim:
        msg = f"too many indices for tensor of dimension {self.ndim}"
        raise IndexError(msg)
    given = [part for part in parts if part is not None]
    indexed = broadcast_shapes(*(part.shape for part in given)) if given else ()
    places = [place for place, part in enumerate(parts) if part is not None]
    first = places[0] if places and is_adjacent else 0
    order = [place for place in range(self.ndim) if place not in places]
    before = [place for place in order if is_adjacent and place < first]
    after = [place for place in order if place not in before]
    shape = (
        *(self.shape[place] for place in before),
        *indexed,
        *(self.shape[place] for place in after),
    )
    strides = _index_strides(self, given, before, after, indexed, shape)
    return TensorSpec(shape, strides, self.dtype, self.device)


def _index_strides(
    self: TensorSpec,
    given: Sequence[TensorSpec],
    before: Sequence[int],
    after: Sequence[int],
    indexed: Shape,
    shape: Shape,
) -> Shape:
    """Follow eager's iterator: the sliced dimensions of the source (0 where indexed), then each index tensor."""
    own = (
        *(self.strides[place] for place in before),
        *(0 for _ in indexed),
        *(self.strides[place] for place in after),
    )
    operand_strides = [own]
    operand_shapes = [shape]
    for part in given:
        outer, spread, inner = _among_ones(part, indexed)
        operand_shapes.append((*(1 for _ in before), *indexed, *(1 for _ in after)))
        operand_strides.append((*(outer for _ in before), *spread, *(inner for _ in after)))
    return pointwise_strides(shape, operand_strides, operand_shapes)


def _among_ones(index: TensorSpec, indexed: Shape) -> tuple[Extent, Shape, Extent]:
    """Give the strides of an index tensor that is expanded, and viewed with dimensions of extent 1 around: before, own, after."""
    missing = len(indexed) - index.ndim
    own = zip(index.shape, index.strides, indexed[missing:], strict=True)
    spread: Shape = (
        *(0 for _ in range(missing)),
        *(0 if extent == 1 and wanted != 1 else stride for extent, stride, wanted in own),
    )
    if not spread:
        return 1, spread, 1
    chunk, count = spread[-1], indexed[-1]
    for dim in range(len(spread) - 2, -1, -1):
        if indexed[dim] != 1 and spread[dim] != count * chunk:
            chunk, count = spread[dim], 1
        count = count * indexed[dim]
    return count * chunk, spread, spread[-1]


def _cat(tensors: Sequence[TensorSpec], dim: int = 0) -> TensorSpec:
    kept = [tensor for tensor in tensors if not (tensor.ndim == 1 and tensor.shape[0] == 0)]
    first = kept[0] if kept else tensors[0]
    place = wrap_dim(dim if kept else 0, first.ndim)  # along any dimension, nothing is nothing
    total: Extent = 0
    for tensor in kept or [first]:
        if tensor.ndim != first.ndim:
            msg = f"cat: tensors of {first.ndim} and {tensor.ndim} dimensions"
            raise ValueError(msg)
        for axis in range(first.ndim):
            if axis != place and tensor.shape[axis] != first.shape[axis]:
                msg = f"cat: sizes {list(first.shape)} and {list(tensor.shape)} differ outside dimension {place}"
                raise ValueError(msg)
        total = total + tensor.shape[place]
    shape = (*first.shape[:place], total, *first.shape[place + 1 :])
    strides = (
        channels_last_strides(shape)
        if _cat_is_channels_last(tensors)
        else contiguous_strides(shape)
    )
    return TensorSpec(shape, strides, result_dtype(*tensors), first.device)


def _cat_is_channels_last(tensors: Sequence[TensorSpec]) -> bool:
    return all(prefers_channels_last(tensor.shape, tensor.strides) for tensor in tensors)


def _stack(tensors: Sequence[TensorSpec], dim: int = 0) -> TensorSpec:
    """Follow eager, which joins the tensors along a dimension and splits it; a last one is added to each first."""
    first = tensors[0]
    if any(tensor.shape != first.shape for tensor in tensors[1:]):
        msg = f"stack: shapes {[list(tensor.shape) for tensor in tensors]}"
        raise ValueError(msg)
    place = wrap_dim(dim, first.ndim + 1)
    shape = (*first.shape[:place], len(tensors), *first.shape[place:])
    if place == first.ndim:
        return _cat([_with_last_of_one(tensor) for tensor in tensors], place)
    joined = _cat(tensors, place)
    step = joined.strides[place]
    strides = (*joined.strides[:place], step * first.shape[place], *joined.strides[place:])
    return TensorSpec(shape, strides, joined.dtype, joined.device)


def _with_last_of_one(tensor: TensorSpec) -> TensorSpec:
    return TensorSpec((*tensor.shape, 1), (*tensor.strides, 1), tensor.dtype, tensor.device)


def _repeat(self: TensorSpec, repeats: Sequence[Extent]) -> TensorSpec:
    padded = (1,) * (len(repeats) - self.ndim) + self.shape
    return fresh(self, tuple(extent * count for extent, count in zip(padded, repeats, strict=True)))


def _flip(self: TensorSpec, dims: Sequence[int]) -> TensorSpec:
    wrap_dims(dims, self.ndim)
    return _kept(self)


def _masked_scatter(self: TensorSpec, mask: TensorSpec, _source: TensorSpec) -> TensorSpec:
    return fresh(self, broadcast_shapes(self.shape, mask.shape))


def _constant_pad(self: TensorSpec, pad: Sequence[Extent], _value: object = 0) -> TensorSpec:
    shape = list(self.shape)
    for place in range(len(pad) // 2):
        axis = self.ndim - 1 - place
        shape[axis] = shape[axis] + pad[2 * place] + pad[2 * place + 1]
    padded = tuple(shape)
    if all(isinstance(amount, int) and amount <= 0 for amount in pad):
        return TensorSpec(padded, strides_like(padded, self.strides), self.dtype, self.device)
    if prefers_channels_last(self.shape, self.strides):
        return TensorSpec(padded, channels_last_strides(padded), self.dtype, self.device)
    return fresh(self, padded)


def _slice_backward(grad: TensorSpec, sizes: Sequence[Extent], *_rest: object) -> TensorSpec:
    return fresh(grad, tuple(sizes))


def _bucketize(
    self: TensorSpec, _boundaries: Any, *, out_int32: bool = False, **_options: object
) -> TensorSpec:
    return fresh(self, self.shape, torch.int32 if out_int32 else torch.int64)


def _searchsorted(
    _sequence: TensorSpec, self: Any, *, out_int32: bool = False, **_options: object
) -> TensorSpec:
    dtype = torch.int32 if out_int32 else torch.int64
    if isinstance(self, TensorSpec):
        return fresh(self, self.shape, dtype)
    return fresh(_sequence, (), dtype)


def _isin(self: TensorSpec, _wanted: Any, **_options: object) -> TensorSpec:
    return fresh(self, self.shape, torch.bool)


def _take(self: TensorSpec, index: TensorSpec) -> TensorSpec:
    return fresh(self, index.shape)


def _diag_embed(self: TensorSpec, offset: int = 0, dim1: int = -2, dim2: int = -1) -> TensorSpec:
    ndim = self.ndim + 1
    first, second = sorted((wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)))
    side = self.shape[-1] + abs(offset)
    shape = list(self.shape[:-1])
    shape.insert(first, side)
    shape.insert(second, side)
    return fresh(self, tuple(shape))


def _unfold_backward(grad: TensorSpec, input_sizes: Sequence[Extent], *_rest: object) -> TensorSpec:
    return fresh(grad, tuple(input_sizes))


def _copied_view(view: Callable[..., Any]) -> Callable[..., Any]:
    """Give the rule of a view op's copying twin: the same shapes, contiguous."""

    def rule(*args: Any, **kwargs: Any) -> Any:
        views = view(*args, **kwargs)
        if isinstance(views, TensorSpec):
            return fresh(views, views.shape, views.dtype)
        return tuple(fresh(item, item.shape) for item in views)

    return rule


_COPIES: Final = {
    f"aten.{view}_copy{overload}": _copied_view(VIEWS[f"aten.{view}{rule}"])
    for view, overload, rule in (
        ("view", ".dtype", ".dtype"),
        ("permute", "", ""),
        ("transpose", "", ".int"),
        ("t", "", ""),
        ("expand", "", ""),
        ("unsqueeze", "", ""),
        ("squeeze", "", ""),
        ("select", "", ".int"),
        ("slice", "", ".Tensor"),
        ("split", ".Tensor", ".Tensor"),
        ("split_with_sizes", "", ""),
        ("unbind", "", ".int"),
        ("diagonal", "", ""),
        ("as_strided", "", ""),
        ("unfold", "", ""),
        ("alias", "", ""),
        ("detach", "", ""),
    )
}


RULES: Final[dict[str, Callable[..., Any]]] = {
    **_COPIES,
    "aten.isin.Tensor_Tensor": _isin,
    "aten.isin.Tensor_Scalar": _isin,
    "aten.take": _take,
    "aten.put": _kept,
    "aten.diag_embed": _diag_embed,
    "aten.unfold_backward": _unfold_backward,
    "aten.narrow_copy": _copied_view(narrow),
    "aten.index_reduce": _index_write,
    "aten.renorm": _contiguous,
    "aten.embedding": _embedding,
    "aten.embedding_dense_backward": _embedding_backward,
    "aten.gather": _gather,
    "aten.index_select": _index_select,
    "aten.index.Tensor": _index,
    "aten._unsafe_index.Tensor": _index,
    "aten.index_put": _kept,
    "aten._unsafe_index_put": _kept,
    "aten.index_add": _index_write,
    "aten.index_copy": _index_write,
    "aten.index_fill": _index_fill,
    "aten.scatter": _scatter,
    "aten.scatter_add": _scatter,
    "aten.scatter_reduce": _scatter,
    "aten.masked_scatter": _masked_scatter,
    "aten.select_scatter": _written_at(VIEWS["aten.select.int"]),
    "aten.slice_scatter": _written_at(VIEWS["aten.slice.Tensor"]),
    "aten.diagonal_scatter": _written_at(VIEWS["aten.diagonal"]),
    "aten.as_strided_scatter": _written_at(VIEWS["aten.as_strided"]),
    "aten.select_backward": _slice_backward,
    "aten.slice_backward": _slice_backward,
    "aten.diagonal_backward": _slice_backward,
    "aten.cat": _cat,
    "aten.stack": _stack,
    "aten.repeat": _repeat,
    "aten.flip": _flip,
    "aten.roll": _roll,
    "aten.tril": _contiguous,
    "aten.triu": _contiguous,
    "aten.constant_pad_nd": _constant_pad,
    "aten.bucketize.Tensor": _bucketize,
    "aten.searchsorted": _searchsorted,
}
