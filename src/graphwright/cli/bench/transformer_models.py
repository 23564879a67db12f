"""The models of the benchmark that come from `transformers`, with random weights: nothing is downloaded.

In: which model.   Out: a module that takes the plain tensors of one call and gives one tensor.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn


@final
class _OneOutput(nn.Module):
    """A model that gives one tensor, for comparing: the field `field` of what `model` gives."""

    def __init__(self, model: nn.Module, field: str) -> None:
        super().__init__()
        self.model = model
        self.field = field

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = getattr(self.model(x), self.field)
        return output


@final
class _EncoderDecoder(nn.Module):
    """A model that reads one text and goes on with another: token ids of both → logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, read_ids: Tensor, written_ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=read_ids, decoder_input_ids=written_ids).logits
        return logits


def make_gpt2() -> nn.Module:
    """Make GPT-2 small: 12 layers, 768 features; token ids → logits."""
    transformers = _load_transformers()
    config = transformers.GPT2Config(use_cache=False)
    return _OneOutput(transformers.GPT2LMHeadModel(config), "logits").eval()


def make_bert() -> nn.Module:
    """Make BERT-base: 12 layers, 768 features; token ids → last hidden state."""
    transformers = _load_transformers()
    model = transformers.BertModel(transformers.BertConfig(), add_pooling_layer=False)
    return _OneOutput(model, "last_hidden_state").eval()


def make_vit() -> nn.Module:
    """Make ViT-base for patches of 16×16; pixels `[batch, 3, 224, 224]` → last hidden state."""
    transformers = _load_transformers()
    model = transformers.ViTModel(transformers.ViTConfig(), add_pooling_layer=False)
    return _OneOutput(model, "last_hidden_state").eval()


def make_llama() -> nn.Module:
    """Make a small Llama: 8 layers, 512 features, 8 query heads and 4 for keys and values; token ids → logits."""
    transformers = _load_transformers()
    config = transformers.LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        use_cache=False,
    )
    return _OneOutput(transformers.LlamaForCausalLM(config), "logits").eval()


def make_t5() -> nn.Module:
    """Make T5-small: 6 layers on each side, 512 features; token ids of two texts → logits."""
    transformers = _load_transformers()
    config = transformers.T5Config(use_cache=False)
    return _EncoderDecoder(transformers.T5ForConditionalGeneration(config)).eval()


def random_token_ids(batch_size: int, length: int, num_tokens: int) -> Tensor:
    """Make token ids, `[batch_size, length]` i64."""
    return torch.randint(0, num_tokens, (batch_size, length))


def _load_transformers() -> Any:
    """Import transformers, of the extra `demo`."""
    import transformers  # noqa: PLC0415

    transformers.logging.set_verbosity_error()
    return transformers
