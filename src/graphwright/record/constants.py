"""Real tensors as specs and constants.

In:  a real tensor.   Out: its spec, or its elements as bytes.
"""

from __future__ import annotations

from typing import Final

import torch

from graphwright.base.errors import Unsupported
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.record.layout import contiguous_strides
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

MAX_CONSTANT_BYTES: Final = 1 << 20
"""A larger tensor never becomes a constant of the graph."""


def spec_of_real(tensor: torch.Tensor, shape: tuple[Extent, ...]) -> TensorSpec:
    """Give the spec of a real tensor, some of whose extents are symbolic in `shape`; the offset counts as 0.

    Raises:
        Unsupported: graphs cannot hold such a tensor.
    """
    if tensor.layout is not torch.strided or tensor.dtype not in FROM_TORCH or tensor.is_quantized:
        raise Unsupported(
            f"a tensor of layout {tensor.layout} and dtype {tensor.dtype}",
            why="graphs hold dense strided tensors of ordinary element types",
            remedy="convert it before it is passed in, or run this function eagerly",
        )
    if tensor.is_conj() or tensor.is_neg():
        raise Unsupported(
            "a tensor with a pending conjugation or negation",
            why="its memory does not hold its values",
            remedy="call .resolve_conj() or .resolve_neg() on it first",
        )
    strides = _symbolic_strides(tuple(tensor.stride()), tuple(tensor.shape), shape)
    return TensorSpec(shape, strides, tensor.dtype, tensor.device)


def _symbolic_strides(
    strides: tuple[int, ...], extents: tuple[int, ...], shape: tuple[Extent, ...]
) -> tuple[Extent, ...]:
    """Express each stride as a product of symbolic extents where it is one, going from the smallest stride up."""
    if all(isinstance(extent, int) for extent in shape):
        return strides
    result: list[Extent] = list(strides)
    order = sorted(range(len(strides)), key=lambda dim: (strides[dim], -dim))
    reached: dict[int, Extent] = {1: 1}
    for dim in order:
        stride = strides[dim]
        if stride in reached:
            result[dim] = reached[stride]
        following = stride * extents[dim]
        if extents[dim] != 1:
            reached[following] = result[dim] * shape[dim]
    return tuple(result)


def constant_bytes(tensor: torch.Tensor) -> tuple[TensorSpec, bytes]:
    """Give a real tensor's spec as a contiguous CPU tensor, and its elements."""
    shape = tuple(tensor.shape)
    spec_of_real(tensor, shape)
    plain = tensor.detach().cpu().contiguous()
    data = b"" if plain.numel() == 0 else bytes(plain.reshape(-1).view(torch.uint8).numpy())
    return TensorSpec(shape, contiguous_strides(shape), tensor.dtype, torch.device("cpu")), data
