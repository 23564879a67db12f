"""A U-Net, the net that diffusion models denoise images with; random weights, float32, in evaluation mode.

In: sizes.   Out: a `torch.nn.Module`.

    image ─ stem ─ units ──────────────── skips ──────────────── cat, units ─ head
                     └ down ─ units ───── skips ───── cat, units ─ up ┘
                                └ down ─ unit, attention, unit ─ up ┘
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

_NUM_GROUPS: Final = 8


@final
class _Unit(nn.Module):
    """Two convolutions with group norms, told the time in between, and a shortcut around them."""

    def __init__(self, num_in: int, num_out: int, num_time_features: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_NUM_GROUPS, num_in)
        self.conv1 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.time = nn.Linear(num_time_features, num_out)
        self.norm2 = nn.GroupNorm(_NUM_GROUPS, num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1)
        self.shortcut: nn.Module = (
            nn.Identity() if num_in == num_out else nn.Conv2d(num_in, num_out, 1)
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y: Tensor = self.conv1(functional.silu(self.norm1(x)))
        y = y + self.time(functional.silu(time))[:, :, None, None]
        z: Tensor = self.conv2(functional.silu(self.norm2(y))) + self.shortcut(x)
        return z


@final
class _Attention(nn.Module):
    """Each place of the image attends to all places."""

    def __init__(self, num_features: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads: Final = num_heads
        self.norm = nn.GroupNorm(_NUM_GROUPS, num_features)
        self.to_all = nn.Linear(num_features, 3 * num_features)
        self.output = nn.Linear(num_features, num_features)

    def forward(self, x: Tensor) -> Tensor:
        batch, features, height, width = x.shape
        places = self.norm(x).flatten(2).transpose(1, 2)
        split = self.to_all(places).view(batch, height * width, 3, self.num_heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = self.output(
            attended.transpose(1, 2).reshape(batch, height * width, features)
        )
        return x + mixed.transpose(1, 2).view(batch, features, height, width)


@final
class _Up(nn.Module):
    """Twice as high and wide, then smoothed."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_features, num_features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y


@final
class _FallingScale(nn.Module):
    """Two units on the way down; what each gives goes across, what the last gives goes on."""

    def __init__(self, resize: nn.Module, num_in: int, num_out: int, num_time: int) -> None:
        super().__init__()
        self.resize = resize
        self.unit1 = _Unit(num_in, num_out, num_time)
        self.unit2 = _Unit(num_out, num_out, num_time)

    def forward(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        first: Tensor = self.unit1(self.resize(x), time)
        return first, self.unit2(first, time)


@final
class _RisingScale(nn.Module):
    """Two units on the way up, each with what came across from the same scale."""

    def __init__(self, resize: nn.Module, num_in: int, num_out: int, num_time: int) -> None:
        super().__init__()
        self.resize = resize
        self.unit1 = _Unit(2 * num_in, num_in, num_time)
        self.unit2 = _Unit(2 * num_in, num_out, num_time)

    def forward(self, x: Tensor, skips: tuple[Tensor, Tensor], time: Tensor) -> Tensor:
        first, second = skips
        x = self.unit1(torch.cat([self.resize(x), second], dim=1), time)
        y: Tensor = self.unit2(torch.cat([x, first], dim=1), time)
        return y


@final
class UNet(nn.Module):
    """Two units at each of several scales, down and up again, with skips across.

    Args:
        widths: features at each scale, the finest first; multiples of 8.
        num_heads: heads of the attention at the coarsest scale.
    """

    def __init__(self, widths: Sequence[int], num_heads: int) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.num_sinusoids: Final = first
        num_time = 4 * first
        self.time = nn.Sequential(
            nn.Linear(first, num_time), nn.SiLU(), nn.Linear(num_time, num_time)
        )
        self.stem = nn.Conv2d(3, first, 3, padding=1)
        into = (first, *widths[:-1])
        downs = (nn.Conv2d(width, width, 3, stride=2, padding=1) for width in widths[:-1])
        self.falling = nn.ModuleList(
            _FallingScale(down, num_in, width, num_time)
            for down, num_in, width in zip((nn.Identity(), *downs), into, widths, strict=True)
        )
        self.middle1 = _Unit(last, last, num_time)
        self.attention = _Attention(last, num_heads)
        self.middle2 = _Unit(last, last, num_time)
        ups = (_Up(width) for width in widths[:-1])
        self.rising = nn.ModuleList(
            _RisingScale(up, width, num_in, num_time)
            for up, num_in, width in zip((*ups, nn.Identity()), into, widths, strict=True)
        )
        self.norm = nn.GroupNorm(_NUM_GROUPS, first)
        self.head = nn.Conv2d(first, 3, 3, padding=1)

    def forward(self, image: Tensor, step: Tensor) -> Tensor:
        """Guess the noise in an image.

        Args:
            image: `[batch, 3, height, width]` f32; both a multiple of 2 to the number of scales less one.
            step: `[batch]` f32, how far the image has been denoised.
        """
        time = self.time(_sinusoids(step, self.num_sinusoids))
        x = self.stem(image)
        skips = []
        for scale in self.falling:
            skips.append(scale(x, time))
            x = skips[-1][1]
        x = self.middle2(self.attention(self.middle1(x, time)), time)
        for scale, across in zip(reversed(self.rising), reversed(skips), strict=True):
            x = scale(x, across, time)
        noise: Tensor = self.head(functional.silu(self.norm(x)))
        return noise


def _sinusoids(step: Tensor, num_features: int) -> Tensor:
    """Write a number as sines and cosines of different frequencies, `[batch] → [batch, num_features]`."""
    half = num_features // 2
    exponents = torch.arange(half, dtype=torch.float32) / half
    angles = step[:, None] * torch.exp(exponents * -math.log(10_000.0))
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
