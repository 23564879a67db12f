"""Semantic search: the sentences whose embeddings are nearest to a question's.

In: embeddings of length 1.   Out: the best sentences of each question, best first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import torch

from graphwright.cli.demo.corpus import Sentence

QUESTIONS: Final = (
    "Do I need a C++ compiler on my machine?",
    "How is it made sure that a compiled program fits its inputs?",
    "What happens when something cannot be captured?",
)


class Answer(msgspec.Struct, frozen=True):
    """A sentence found for a question."""

    sentence: Sentence
    score: float
    """The cosine of the angle between the embeddings, from −1 to 1."""


def rank(
    questions: torch.Tensor, corpus: torch.Tensor, sentences: Sequence[Sentence], *, num_best: int
) -> list[list[Answer]]:
    """Find the best sentences of each question.

    Args:
        questions: `[questions, features]` f32.
        corpus: `[sentences, features]` f32.
        sentences: what `corpus` embeds, in its order.
        num_best: how many to find for each question.
    """
    best = (questions @ corpus.T).topk(min(num_best, len(sentences)), dim=1)
    return [
        [Answer(sentences[index], score) for index, score in zip(indices, scores, strict=True)]
        for indices, scores in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def is_same_ranking(one: list[list[Answer]], other: list[list[Answer]]) -> bool:
    """Whether both name the same sentences in the same order; the scores may differ in their last digits."""
    return [[answer.sentence for answer in answers] for answers in one] == [
        [answer.sentence for answer in answers] for answers in other
    ]
