"""The workloads of the benchmark, by name.

In: a name.   Out: a program (a callable and the arguments of one call), made anew with the same random numbers each time.
All are float32. Models run under `torch.no_grad`; for the others it would make no difference, since nothing needs gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import torch
from torch import Tensor

from graphwright.cli.bench.models import DecoderStep, NormResidual, Tagger, make_block, make_resnet
from graphwright.cli.bench.transformer_models import (
    make_bert,
    make_gpt2,
    make_llama,
    make_t5,
    make_vit,
    random_token_ids,
)
from graphwright.cli.bench.unet import UNet
from graphwright.cli.demo.encoder import load_encoder

_SEED: Final = 7


class Program(msgspec.Struct, frozen=True):
    """A callable and the arguments of one call."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Workload(msgspec.Struct, frozen=True):
    """A named program.

    A `make` without a seed of its own is called after the seed was set, see `make_program`.
    """

    name: str
    what: str
    """One line for the reader of the table."""
    make: Callable[[], Program]
    is_memory_bound: bool = False
    """It does so little with each element that reading and writing them is what takes the time."""


def make_program(workload: Workload) -> Program:
    """Make the program of a workload; equal values each time and in each process."""
    torch.manual_seed(_SEED)
    return workload.make()


def _pointwise(x: Tensor) -> Tensor:
    return torch.relu(x * 2 + 1).sin()


def _softmax_gelu(x: Tensor) -> Tensor:
    return torch.softmax(torch.nn.functional.gelu(x) * x + 1, dim=-1)


def _large_pointwise(x: Tensor, y: Tensor) -> Tensor:
    return torch.sigmoid(x) * y + torch.tanh(x - y)


def _column_sums(x: Tensor) -> Tensor:
    return (x * x).sum(dim=0)


def _transposed_add(x: Tensor, y: Tensor) -> Tensor:
    return x.t() + y


def _decoder_step() -> Program:
    num_layers, num_kv_heads, head_size, num_seen = 8, 4, 64, 128
    model = DecoderStep(
        num_layers=num_layers,
        num_features=512,
        num_heads=8,
        num_kv_heads=num_kv_heads,
        num_tokens=8192,
    )
    shape = (1, num_kv_heads, num_seen, head_size)
    past = [(torch.randn(shape), torch.randn(shape)) for _ in range(num_layers)]
    return Program(model.eval(), (torch.tensor([[17]]), torch.tensor([float(num_seen)]), past))


def _minilm() -> Program:
    token_ids = random_token_ids(8, 64, 30_000)
    return Program(load_encoder(), (token_ids, torch.ones_like(token_ids)))


def _t5() -> Program:
    return Program(make_t5(), (random_token_ids(1, 64, 32_000), random_token_ids(1, 32, 32_000)))


def _unet() -> Program:
    arguments = (torch.randn(1, 3, 64, 64), torch.tensor([500.0]))
    return Program(UNet((32, 64, 128), num_heads=4).eval(), arguments)


def _lstm() -> Program:
    model = Tagger(num_tokens=10_000, num_features=128, num_layers=2, num_tags=20)
    return Program(model.eval(), (random_token_ids(8, 64, 10_000),))


WORKLOADS: Final = (
    Workload(
        "pointwise", "relu(x*2+1).sin(), 8×8", lambda: Program(_pointwise, (torch.randn(8, 8),))
    ),
    Workload(
        "softmax-gelu",
        "softmax(gelu(x)*x+1), 4096×1024",
        lambda: Program(_softmax_gelu, (torch.randn(4096, 1024),)),
    ),
    Workload(
        "block",
        "Linear-GELU-LayerNorm-Linear, 16×128, 256 inside",
        lambda: Program(make_block(128, 256), (torch.randn(16, 128),)),
    ),
    Workload(
        "gpt2",
        "GPT-2, 12 layers, 64 tokens",
        lambda: Program(make_gpt2(), (random_token_ids(1, 64, 50_000),)),
    ),
    Workload(
        "bert",
        "BERT-base, 128 tokens",
        lambda: Program(make_bert(), (random_token_ids(1, 128, 30_000),)),
    ),
    Workload(
        "large-pointwise",
        "sigmoid(x)*y+tanh(x-y), 16 million elements",
        lambda: Program(_large_pointwise, (torch.randn(1 << 24), torch.randn(1 << 24))),
        is_memory_bound=True,
    ),
    Workload(
        "norm-residual",
        "x + layer_norm(x+r), 2048×1024",
        lambda: Program(
            NormResidual(1024).eval(), (torch.randn(2048, 1024), torch.randn(2048, 1024))
        ),
        is_memory_bound=True,
    ),
    Workload(
        "column-sums",
        "(x*x).sum(0), 4096×1024",
        lambda: Program(_column_sums, (torch.randn(4096, 1024),)),
        is_memory_bound=True,
    ),
    Workload(
        "transposed-add",
        "x.t()+y, 2048×2048",
        lambda: Program(_transposed_add, (torch.randn(2048, 2048), torch.randn(2048, 2048))),
        is_memory_bound=True,
    ),
    Workload("llama-decode", "a Llama-like decoder, 8 layers, one token after 128", _decoder_step),
    Workload(
        "vit", "ViT-base, 224×224", lambda: Program(make_vit(), (torch.randn(1, 3, 224, 224),))
    ),
    Workload(
        "resnet18",
        "a residual net of 18 layers, 224×224",
        lambda: Program(make_resnet(1000), (torch.randn(1, 3, 224, 224),)),
    ),
    Workload("unet", "a U-Net with attention in the middle, 64×64", _unet),
    Workload(
        "llama",
        "a small Llama, 8 layers, 64 tokens",
        lambda: Program(make_llama(), (random_token_ids(1, 64, 8_000),)),
    ),
    Workload("t5", "T5-small, 64 tokens read, 32 written", _t5),
    Workload("lstm", "a tagger of two LSTM layers both ways, 8 sentences of 64 tokens", _lstm),
    Workload("minilm", "all-MiniLM-L6-v2, 8 sentences of 64 tokens", _minilm),
)
"""Every workload, in the order of the table."""

WORKLOAD_NAMES: Final = tuple(workload.name for workload in WORKLOADS)


def find_workload(name: str) -> Workload:
    """Give the workload called `name`, which must exist."""
    return next(workload for workload in WORKLOADS if workload.name == name)
