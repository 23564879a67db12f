"""Random networks of the layers that vision models are made of, from a seed; layers may be used more than once."""

from __future__ import annotations

import random

import torch
from torch import nn
from torch.nn import functional as F

CHANNELS = (3, 4, 6, 8)
SIDE = 12
LEAST_SIDE = 3


class RandomNetwork(nn.Module):
    """A network whose layers and connections are drawn; gives a loss of one number.

    Args:
        seed: draws everything, the weights too.
        length: the number of steps.
    """

    def __init__(self, seed: int, length: int = 8) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self._draw = random.Random(seed)
        self.layers = nn.ModuleList()
        self.steps = []
        channels, sides = [self._draw.choice(CHANNELS)], [SIDE]
        self.input_shape = (self._draw.choice((1, 2)), channels[0], SIDE, SIDE)
        for _ in range(length):
            step, channel, side = self._make_step(channels, sides)
            self.steps.append(step)
            channels.append(channel)
            sides.append(side)
        self.heads = [*self._draw.sample(range(1, length + 1), k=min(2, length)), length]

    def _make_step(self, channels, sides):
        draw = self._draw
        source = draw.randrange(max(0, len(channels) - 3), len(channels))
        channel, side = channels[source], sides[source]
        is_small = side < 2 * LEAST_SIDE
        match draw.randrange(12):
            case 0 | 1 | 2:
                stride = 1 if is_small else draw.choice((1, 2))
                kernel = draw.choice((1, 3))
                layer = self._layer(
                    ("conv", channel, kernel, stride),
                    lambda: nn.Conv2d(
                        channel,
                        draw.choice(CHANNELS),
                        kernel,
                        stride,
                        kernel // 2,
                        bias=draw.random() < 0.5,
                    ),
                )
                made = self.layers[layer].out_channels
                return ("layer", source, layer), made, -(-side // stride)
            case 3:
                layer = self._layer(
                    ("depthwise", channel),
                    lambda: nn.Conv2d(channel, channel, 3, padding=1, groups=channel),
                )
                return ("layer", source, layer), channel, side
            case 4 | 5:
                layer = self._layer(("norm", channel), lambda: nn.BatchNorm2d(channel))
                return ("layer", source, layer), channel, side
            case 6 if not is_small:
                way = draw.choice((F.avg_pool2d, F.max_pool2d))
                return ("call", source, lambda x: way(x, 2)), channel, side // 2
            case 7:
                alike = [
                    other
                    for other in range(len(channels))
                    if (channels[other], sides[other]) == (channel, side)
                ]
                return ("add", source, draw.choice(alike)), channel, side
            case 8:
                alike = [other for other in range(len(channels)) if sides[other] == side]
                other = draw.choice(alike)
                return ("cat", source, other), channel + channels[other], side
            case 9:
                layer = self._layer(("gate", channel), lambda: nn.Conv2d(channel, channel, 1))
                return ("gate", source, layer), channel, side
            case _:
                way = draw.choice((F.relu, F.gelu, F.silu, torch.tanh, torch.abs, F.hardswish))
                return ("call", source, way), channel, side

    def _layer(self, kind, make):
        """Make a layer, or take one of its kind again."""
        known = [number for number, layer in enumerate(self.layers) if layer.kind == kind]
        if known and self._draw.random() < 0.4:
            return self._draw.choice(known)
        layer = make()
        layer.kind = kind
        self.layers.append(layer)
        return len(self.layers) - 1

    def input(self):
        return torch.randn(self.input_shape)

    def forward(self, x):
        made = [x]
        for kind, source, what in self.steps:
            given = made[source]
            if kind == "layer":
                given = self.layers[what](given)
            elif kind == "call":
                given = what(given)
            elif kind == "add":
                given = given + made[what]
            elif kind == "cat":
                given = torch.cat([given, made[what]], 1)
            else:
                given = given * self.layers[what](given.mean((2, 3), keepdim=True)).sigmoid()
            made.append(given)
        return sum((made[head].pow(2).mean() for head in self.heads), start=torch.zeros(()))
