"""Modules whose forward and backward are recorded, and the comparison with eager."""

import torch
from torch import nn
from torch.nn import functional

from graphwright.graph import execute


class Perceptron(nn.Module):
    """Linear, GELU, layer norm, linear."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.norm = nn.LayerNorm(32)
        self.second = nn.Linear(32, 16)

    def forward(self, x):
        return self.second(self.norm(functional.gelu(self.first(x))))


class TransformerBlock(nn.Module):
    """Attention and perceptron with residuals, as GPT-2 has them."""

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.first_norm = nn.LayerNorm(width)
        self.second_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.project_in(self.first_norm(x)).split(width, dim=-1)
        query, key, value = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in parts
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.project_out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.narrow(functional.gelu(self.widen(self.second_norm(x))))


class ManualAttention(nn.Module):
    """Attention written out in plain ops, with a mask made from the length."""

    def __init__(self, width=16):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.scale = width**-0.5

    def forward(self, x):
        scores = self.query(x) @ x.transpose(-1, -2) * self.scale
        length = x.shape[1]
        positions = torch.arange(length, device=x.device)
        mask = positions[:, None] >= positions[None, :]
        return scores.masked_fill(~mask, -1e9).softmax(-1) @ x


def compare_with_eager(joint, module, shape, symbols):
    """Run a joint graph and the module on new inputs of `shape`; outputs, gradients and strides must agree."""
    x = torch.randn(*shape, requires_grad=True)
    inputs = [x, *joint.extra_inputs]
    expected = module(x)
    tangent = torch.randn_like(expected)
    gradients = torch.autograd.grad(
        expected, [inputs[number] for number in joint.gradient_inputs], tangent
    )

    found = execute(joint.graph, [*(tensor.detach() for tensor in inputs), tangent], symbols)

    for ours, eagers in zip(found, [expected, *gradients], strict=True):
        torch.testing.assert_close(ours, eagers.detach(), rtol=1e-6, atol=1e-6)
        assert ours.stride() == eagers.stride()
