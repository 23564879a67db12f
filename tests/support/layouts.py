"""Tensors of one shape in many layouts."""

from __future__ import annotations

from collections.abc import Callable

import torch


def make_layouts(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> list[Callable[[], torch.Tensor]]:
    """Give what makes tensors of batch, channels and inner dimensions; the first four repeat no element and have no odd ends."""
    batch, channels, *inner = shape
    last = (0, len(shape) - 1, *range(1, len(shape) - 1))
    outer = (len(shape) - 2, len(shape) - 1, *range(len(shape) - 2))

    def draw(*extents: int) -> torch.Tensor:
        return torch.randn(extents, dtype=dtype)

    made = [
        lambda: draw(*shape),
        lambda: draw(batch, *inner, channels).permute(last),
        lambda: draw(batch, channels * 2, *inner)[:, ::2],
        lambda: draw(*inner, batch, channels).permute(outer),
        lambda: draw(batch, 1, *inner).expand(shape),
        lambda: draw(batch, inner[0] + 1, *inner[1:], channels).permute(last)[:, :, 1:],
        lambda: draw(batch, *inner, channels * 2).permute(last)[:, ::2],
        lambda: draw(batch, channels, *inner[:-1], inner[-1] + 1)[..., 1:],
        lambda: draw(channels, batch, *inner).transpose(0, 1),
    ]
    if len(inner) > 1:
        memory_format = torch.channels_last if len(inner) == 2 else torch.channels_last_3d
        made.append(lambda: draw(*shape).to(memory_format=memory_format))
    return made


def strides_that_matter(tensor: torch.Tensor) -> list[int]:
    """Give the strides of dimensions along which there is more than one element; none of a tensor without any."""
    if not tensor.numel():
        return []
    pairs = zip(tensor.stride(), tensor.shape, strict=True)
    return [stride for stride, extent in pairs if extent > 1]
