"""The models of the benchmark that are written out here: a block, one step of a decoder, a convolutional net, and a tagger.

In: sizes.   Out: `torch.nn.Module`s with random weights, in evaluation mode; float32 throughout.
"""

from __future__ import annotations

import math
from typing import Final, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional


def make_block(num_in: int, num_hidden: int) -> nn.Module:
    """Make Linear-GELU-LayerNorm-Linear, `[batch, num_in] → [batch, num_in]`."""
    return nn.Sequential(
        nn.Linear(num_in, num_hidden),
        nn.GELU(),
        nn.LayerNorm(num_hidden),
        nn.Linear(num_hidden, num_in),
    ).eval()


@final
class NormResidual(nn.Module):
    """Layer norm of a sum, `[rows, features]` twice → `[rows, features]`."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(num_features)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Add and normalise."""
        return x + cast("Tensor", self.norm(x + residual))


@final
class _RootMeanSquareNorm(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


@final
class _DecoderLayer(nn.Module):
    """Attention over a past of keys and values plus the new token, and a gated feed-forward net."""

    def __init__(self, num_features: int, num_heads: int, num_kv_heads: int) -> None:
        super().__init__()
        self.num_heads: Final = num_heads
        self.num_kv_heads: Final = num_kv_heads
        self.head_size: Final = num_features // num_heads
        num_inner = num_features * 8 // 3
        num_kv_features = num_kv_heads * self.head_size
        self.attention_norm = _RootMeanSquareNorm(num_features)
        self.query = nn.Linear(num_features, num_features, bias=False)
        self.key = nn.Linear(num_features, num_kv_features, bias=False)
        self.value = nn.Linear(num_features, num_kv_features, bias=False)
        self.output = nn.Linear(num_features, num_features, bias=False)
        self.net_norm = _RootMeanSquareNorm(num_features)
        self.gate = nn.Linear(num_features, num_inner, bias=False)
        self.up = nn.Linear(num_features, num_inner, bias=False)
        self.down = nn.Linear(num_inner, num_features, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past_keys: Tensor, past_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, _ = x.shape
        normed = self.attention_norm(x)
        query = self._heads(self.query(normed), self.num_heads)
        key = self._heads(self.key(normed), self.num_kv_heads)
        value = self._heads(self.value(normed), self.num_kv_heads)
        keys = torch.cat([past_keys, _rotate(key, cos, sin)], dim=2)
        values = torch.cat([past_values, value], dim=2)
        num_shared = self.num_heads // self.num_kv_heads
        attended = functional.scaled_dot_product_attention(
            _rotate(query, cos, sin),
            keys.repeat_interleave(num_shared, dim=1),
            values.repeat_interleave(num_shared, dim=1),
        )
        x = x + self.output(attended.transpose(1, 2).reshape(batch, length, -1))
        normed = self.net_norm(x)
        x = x + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return x, keys, values

    def _heads(self, x: Tensor, num_heads: int) -> Tensor:
        batch, length, _ = x.shape
        return x.view(batch, length, num_heads, self.head_size).transpose(1, 2)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of features by angles that grow with the position (rotary embedding)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


@final
class DecoderStep(nn.Module):
    """One token through a Llama-like decoder that has already seen some.

    Args:
        num_layers: decoder layers.
        num_features: width; a multiple of `num_heads`.
        num_heads: query heads.
        num_kv_heads: key and value heads, shared by groups of query heads.
        num_tokens: size of the vocabulary.
    """

    def __init__(
        self,
        *,
        num_layers: int,
        num_features: int,
        num_heads: int,
        num_kv_heads: int,
        num_tokens: int,
    ) -> None:
        super().__init__()
        self.head_size: Final = num_features // num_heads
        self.embedding = nn.Embedding(num_tokens, num_features)
        self.layers = nn.ModuleList(
            _DecoderLayer(num_features, num_heads, num_kv_heads) for _ in range(num_layers)
        )
        self.norm = _RootMeanSquareNorm(num_features)
        self.head = nn.Linear(num_features, num_tokens, bias=False)

    def forward(
        self, token_ids: Tensor, position: Tensor, past: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Give the logits of the next token, and the keys and values grown by one position.

        Args:
            token_ids: `[batch, 1]` i64.
            position: `[1]` f32, how many tokens came before.
            past: for each layer keys and values, `[batch, num_kv_heads, seen, head_size]` f32.
        """
        exponents = torch.arange(0, self.head_size, 2, dtype=torch.float32) / self.head_size
        angles = position[:, None] * torch.exp(exponents * -math.log(10_000.0))
        turns = torch.cat([angles, angles], dim=-1)
        cos, sin = turns.cos(), turns.sin()
        x = self.embedding(token_ids)
        grown = []
        for layer, (keys, values) in zip(self.layers, past, strict=True):
            x, keys, values = layer(x, cos, sin, keys, values)
            grown.append((keys, values))
        return self.head(self.norm(x)), grown


@final
class _ResidualUnit(nn.Module):
    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(num_out)
        is_same = num_in == num_out and stride == 1
        self.shortcut: nn.Module = (
            nn.Identity() if is_same else _projection(num_in, num_out, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def _projection(num_in: int, num_out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out))


def make_resnet(num_classes: int) -> nn.Module:
    """Make a residual net of eighteen layers with weights, `[batch, 3, height, width] → [batch, num_classes]`."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
    ]
    num_in = 64
    for num_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_ResidualUnit(num_in, num_out, stride), _ResidualUnit(num_out, num_out, 1)]
        num_in = num_out
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(num_in, num_classes)]
    return nn.Sequential(*layers).eval()


@final
class Tagger(nn.Module):
    """A recurrent net in both directions that gives each token a tag.

    Args:
        num_tokens: size of the vocabulary.
        num_features: width of the embedding, and of each direction.
        num_layers: recurrent layers.
        num_tags: how many tags there are.
    """

    def __init__(
        self, *, num_tokens: int, num_features: int, num_layers: int, num_tags: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, num_features)
        self.recurrent = nn.LSTM(
            num_features, num_features, num_layers, batch_first=True, bidirectional=True
        )
        self.head = nn.Linear(2 * num_features, num_tags)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Give the logarithm of each tag's probability, `[batch, length] → [batch, length, num_tags]`."""
        states, _ = self.recurrent(self.embedding(token_ids))
        return functional.log_softmax(self.head(torch.tanh(states)), dim=-1)
