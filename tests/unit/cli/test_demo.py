"""The demo: cutting pages into sentences, embedding in batches, ranking."""

import pytest
import torch

from graphwright.cli.demo.corpus import Sentence, iter_sentences, read_corpus
from graphwright.cli.demo.encoder import NUM_TOKENS, Tokens, load_encoder, tokenize
from graphwright.cli.demo.measure import measure_batch
from graphwright.cli.demo.search import Answer, is_same_ranking, rank

PAGE = """# The title of a page, in enough words

The first sentence has *six* words. A `code` word stands in this sentence,
which goes on in the next line. Too short.

- An item with a [link](https://example.org) in its text.

```python
this = "is code" and not prose and has many words
```

| what a cell of this table says | another cell with some more words |
| --- | --- |
"""


def test_sentences_are_prose_without_markup():
    assert list(iter_sentences(PAGE)) == [
        "The title of a page, in enough words",
        "The first sentence has six words.",
        "A code word stands in this sentence, which goes on in the next line.",
        "An item with a link in its text.",
        "what a cell of this table says",
        "another cell with some more words",
    ]


def test_corpus_keeps_the_first_of_equal_sentences_and_the_pages_order(tmp_path):
    (tmp_path / "b.md").write_text("This sentence stands on two pages. This one stands on page b.")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.md").write_text("This sentence stands on two pages.")

    assert read_corpus(tmp_path) == (
        Sentence("This sentence stands on two pages.", "a/a.md"),
        Sentence("This one stands on page b.", "b.md"),
    )


def test_embedding_in_batches_keeps_order_and_count():
    token_ids = torch.arange(7)[:, None].expand(7, 3)
    shapes = []

    def encode(token_ids, mask):
        shapes.append(tuple(token_ids.shape))
        return token_ids[:, :1].float() * mask[:, :1]

    embeddings = Tokens(token_ids, torch.ones_like(token_ids)).embed(encode, batch_size=4)

    assert embeddings.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert shapes == [(4, 3), (4, 3)]


def test_ranking_is_by_the_cosine_of_the_embeddings():
    corpus = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    sentences = [Sentence(text, "page") for text in ("east", "north", "between")]

    (answers,) = rank(torch.tensor([[0.0, 1.0]]), corpus, sentences, num_best=2)

    assert [(answer.sentence.text, round(answer.score, 2)) for answer in answers] == [
        ("north", 1.0),
        ("between", 0.8),
    ]


def test_rankings_are_the_same_when_only_scores_differ():
    one, other = Sentence("one", "p"), Sentence("other", "p")

    assert is_same_ranking([[Answer(one, 0.9)]], [[Answer(one, 0.9000001)]])
    assert not is_same_ranking([[Answer(one, 0.9)]], [[Answer(other, 0.9)]])


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


def test_pretrained_encoder_finds_what_means_the_same(encoder):
    sentences = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stocks fell on Monday."]
    tokens = tokenize(sentences)

    with torch.no_grad():
        embeddings = encoder(*tokens.batch(3))

    similarity = embeddings @ embeddings.T
    assert tokens.token_ids.shape == (3, NUM_TOKENS)
    assert similarity.diagonal().tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert similarity[0, 1] > 0.5 > similarity[0, 2]


def test_padding_does_not_change_an_embedding(encoder):
    token_ids, mask = tokenize(["A cat sits on the mat."]).batch(1)
    num_tokens = int(mask.sum())

    with torch.no_grad():
        padded = encoder(token_ids, mask)
        cut = encoder(token_ids[:, :num_tokens], mask[:, :num_tokens])

    torch.testing.assert_close(padded, cut, rtol=0, atol=1e-6)


def test_measured_difference_is_the_largest_of_a_component(monkeypatch):
    monkeypatch.setattr("graphwright.cli.demo.measure._NUM_ROUNDS", 1)
    tokens = Tokens(torch.zeros(2, 3), torch.zeros(2, 3))

    row = measure_batch(
        lambda token_ids, mask: token_ids, lambda token_ids, mask: token_ids - 0.25, tokens, 2
    )

    assert row.batch_size == 2
    assert row.difference == 0.25
