"""The arithmetic of shapes and strides that many ops share.

In:  shapes and strides (ints or symbolic sizes).   Out: the shape or strides of a result, or what a layout is.
Keeps: the layouts are the ones that eager allocates, as observed; a comparison of symbolic sizes may take a guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from graphwright.record.sizes import Extent

Shape = tuple[Extent, ...]


def same_extents(left: Shape, right: Shape) -> bool:
    """True if both are equal; of unlike lengths nothing is compared, since a comparison may take a guard."""
    return left is right or (len(left) == len(right) and left == right)


def is_known_empty(shape: Shape) -> bool:
    """True if an extent is zero; symbolic ones are not looked at."""
    return any(isinstance(extent, int) and extent == 0 for extent in shape)


def numel_of(shape: Shape) -> Extent:
    """Give the product of the extents."""
    numel: Extent = 1
    for extent in shape:
        numel = numel * extent
    return numel


def at_least_one(extent: Extent) -> Extent:
    """Give `max(extent, 1)`; a symbolic extent is decided by a guard."""
    return extent if extent >= 1 else 1


def contiguous_strides(shape: Sequence[Extent]) -> Shape:
    """Give row-major strides, empty extents counting as one."""
    strides: list[Extent] = []
    step: Extent = 1
    for extent in reversed(shape):
        strides.append(step)
        if extent != 1:
            step = step * at_least_one(extent)
    strides.reverse()
    return tuple(strides)


def is_contiguous(shape: Shape, strides: Shape) -> bool:
    """True if row-major without gaps; extents of one may have any stride, and an empty tensor is contiguous."""
    expected: Extent = 1
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent == 1:
            continue
        if stride != expected:
            return 0 in shape
        expected = expected * extent
    return True


def channels_last_strides(shape: Shape) -> Shape:
    """Give the strides of the channels-last format for 4 or 5 dimensions."""
    order = (1, *range(len(shape) - 1, 1, -1), 0)
    strides: list[Extent] = [0] * len(shape)
    step: Extent = 1
    for dim in order:
        strides[dim] = step
        step = step * at_least_one(shape[dim])
    return tuple(strides)


def is_channels_last(shape: Shape, strides: Shape) -> bool:
    """True if a 4- or 5-dimensional tensor has exactly the channels-last layout."""
    if len(shape) not in (4, 5):
        return False
    expected: Extent = 1
    for dim in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[dim] == 1:
            continue
        if strides[dim] != expected:
            return False
        expected = expected * shape[dim]
    return True


def prefers_channels_last(shape: Shape, strides: Shape) -> bool:
    """True if the strides order the dimensions as channels-last does (`Tensor.suggest_memory_format`)."""
    if len(shape) not in (4, 5) or strides[1] == 0:
        return False
    least: Extent = 0
    for dim in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[dim] == 0 or strides[dim] < least:
            return False
        if dim == 0 and least == strides[1]:
            return False
        least = strides[dim]
        if shape[dim] > 1:
            least = least * shape[dim]
    return True


def is_dense(shape: Shape, strides: Shape) -> bool:
    """True if the elements fill one block of memory, each place once, in some order of the dimensions."""
    if is_contiguous(shape, strides):
        return True
    if len(shape) == 1:
        return bool(shape[0] < 2 or strides[0] == 1)
    wide = [(stride, extent) for extent, stride in zip(shape, strides, strict=True) if extent != 1]
    wide = sort_by_stride(wide)
    expected: Extent = 1
    for stride, extent in wide:
        if stride != expected:
            return False
        expected = expected * extent
    return True


def sort_by_stride(pairs: list[tuple[Extent, Extent]]) -> list[tuple[Extent, Extent]]:
    """Order (stride, extent) pairs by stride, smallest first."""
    ordered: list[tuple[Extent, Extent]] = []
    for pair in pairs:
        place = len(ordered)
        while place > 0 and pair[0] < ordered[place - 1][0]:
            place -= 1
        ordered.insert(place, pair)
    return ordered


def strides_like(shape: Shape, strides: Shape) -> Shape:
    """Give the strides of a new tensor that keeps a tensor's layout (`empty_like`, preserve format)."""
    if is_dense(shape, strides):
        return strides
    return _strides_in_order(shape, _loop_order(shape, (strides,)))


def format_strides(shape: Shape, memory_format: torch.memory_format | None, like: Shape) -> Shape:
    """Give the strides of a new tensor of a memory format; `like` are the strides that preserve format refers to."""
    if memory_format is None or memory_format is torch.preserve_format:
        return strides_like(shape, like)
    if memory_format is torch.contiguous_format:
        return contiguous_strides(shape)
    check_rank(shape, memory_format)
    return channels_last_strides(shape)


def check_rank(shape: Shape, memory_format: torch.memory_format) -> None:
    """Refuse a memory format that has its channels last for a tensor of another rank, in eager's words.

    Raises:
        RuntimeError: it is for tensors of 4 or 5 dimensions.
    """
    rank, name = _RANKS[memory_format]
    if len(shape) != rank:
        message = f"required rank {rank} tensor to use {name} format"
        raise RuntimeError(message)


_RANKS: Final = {
    torch.channels_last: (4, "channels_last"),
    torch.channels_last_3d: (5, "channels_last_3d"),
}


def pointwise_strides(shape: Shape, strides: Sequence[Shape], shapes: Sequence[Shape]) -> Shape:
    """Give the strides of a pointwise result of `shape`.

    Args:
        shape: the broadcast shape.
        strides: the operands' own strides, numbers left out.
        shapes: the operands' own shapes.
    """
    if all(same_extents(operand, shape) for operand in shapes):
        uniform = _uniform_strides(shape, strides)
        if uniform is not None:
            return uniform
    ndim = len(shape)
    broadcast = [
        _broadcast_strides(shape, operand_shape, operand_strides)
        for operand_shape, operand_strides in zip(shapes, strides, strict=True)
    ]
    order = _loop_order(shape, broadcast)
    if all(dim == ndim - 1 - place for place, dim in enumerate(order)):
        return contiguous_strides(shape)
    return _strides_in_order(shape, order)


def _strides_in_order(shape: Shape, order: Sequence[int]) -> Shape:
    """Give the strides of a tensor without gaps whose dimensions lie in this order, fastest first."""
    result: list[Extent] = [0] * len(shape)
    step: Extent = 1
    for dim in order:
        result[dim] = step
        step = step * shape[dim]
    return tuple(result)


def _uniform_strides(shape: Shape, strides: Sequence[Shape]) -> Shape | None:
    if all(is_contiguous(shape, own) for own in strides):
        return contiguous_strides(shape)
    if len(shape) == 4 and all(is_channels_last(shape, own) for own in strides):
        return channels_last_strides(shape)
    first = strides[0]
    if all(same_extents(own, first) for own in strides) and is_dense(shape, first):
        return first
    return None


def _broadcast_strides(shape: Shape, own_shape: Shape, own_strides: Shape) -> Shape:
    missing = len(shape) - len(own_shape)
    kept = (
        0 if (own == 1 and extent != 1) else stride
        for own, stride, extent in zip(own_shape, own_strides, shape[missing:], strict=True)
    )
    return (0,) * missing + tuple(kept)


def _loop_order(shape: Shape, strides: Sequence[Shape]) -> list[int]:
    """Order the dimensions from fastest to slowest, the earliest operand with an opinion deciding each comparison."""
    order = list(range(len(shape) - 1, -1, -1))
    for start in range(1, len(order)):
        upper = start
        for lower in range(start - 1, -1, -1):
            verdict = _compare_dims(order[lower], order[upper], shape, strides)
            if verdict > 0:
                order[lower], order[upper] = order[upper], order[lower]
                upper = lower
            elif verdict < 0:
                break
    return order


def _compare_dims(first: int, second: int, shape: Shape, strides: Sequence[Shape]) -> int:
    for own in strides:
        if own[first] == 0 or own[second] == 0:
            continue
        if own[first] < own[second]:
            return -1
        if own[first] > own[second]:
            return 1
        if shape[first] > shape[second]:
            return 1
    return 0


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Give the shape that several operands broadcast to.

    Raises:
        ValueError: two extents differ and neither is one.
    """
    first = shapes[0]
    if all(same_extents(shape, first) for shape in shapes[1:]):
        return first
    ndim = max(len(shape) for shape in shapes)
    result: list[Extent] = [1] * ndim
    for shape in shapes:
        for place, extent in enumerate(shape, ndim - len(shape)):
            known = result[place]
            if extent is known or extent == 1:
                continue
            if known == 1:
                result[place] = extent
            elif known != extent:
                msg = f"shapes {', '.join(map(str, shapes))} do not broadcast"
                raise ValueError(msg)
            elif isinstance(extent, int) and not isinstance(known, int):
                result[place] = extent
    return tuple(result)


class OutOfRangeError(IndexError):
    """A dimension or place that is out of range, as eager says it; PyTorch's kernels for `meta` tensors let some by."""


def wrap_dim(dim: int, ndim: int) -> int:
    """Give the non-negative dimension.

    Raises:
        OutOfRangeError: it is out of range.
    """
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        msg = f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})"
        raise OutOfRangeError(msg)
    return dim % bound


MAX_REDUCED_NDIM: Final = 64
"""Eager keeps a list of dimensions as the bits of an integer."""


def wrap_dims(dims: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Give non-negative dimensions; None or an empty list stands for all of them.

    Raises:
        OutOfRangeError: one is out of range.
        RuntimeError: one is named twice, or the tensor has more than eager takes.
    """
    if ndim > MAX_REDUCED_NDIM:
        msg = f"only tensors with up to {MAX_REDUCED_NDIM} dims are supported"
        raise RuntimeError(msg)
    if isinstance(dims, int):
        return (wrap_dim(dims, ndim),)
    if not dims:
        return tuple(range(ndim))
    wrapped = tuple(wrap_dim(dim, ndim) for dim in dims)
    if len(set(wrapped)) != len(wrapped):
        twice = next(dim for dim in wrapped if wrapped.count(dim) > 1)
        msg = f"dim {twice} appears multiple times in the list of dims"
        raise RuntimeError(msg)
    return wrapped
