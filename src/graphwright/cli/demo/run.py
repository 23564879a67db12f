"""The demo from beginning to end, and how its results are shown.

In: whether other systems are to be compared.   Out: tables on the terminal; status 0 when every call was compiled and the
compiled encoder gives what eager gives (embeddings within 1e-5, the same ranking), 1 otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table

import graphwright as gw
from graphwright.cli.demo.corpus import Sentence, documentation_folder, read_corpus
from graphwright.cli.demo.encoder import NUM_TOKENS, Encode, load_encoder, tokenize
from graphwright.cli.demo.measure import BATCH_SIZES, BatchRow, measure_batch
from graphwright.cli.demo.search import QUESTIONS, Answer, is_same_ranking, rank
from graphwright.cli.demo.worker import Job, Result
from graphwright.cli.processes import run_job
from graphwright.cli.systems import System
from graphwright.cli.terminal import render_time, wide_console

MAX_DIFFERENCE: Final = 1e-5
"""What an embedding's component may differ by between eager and compiled; both are of length 1."""

_NUM_BEST: Final = 5
_NUM_SHOWN: Final = 2
_EMBED_BATCH: Final = 32
_TIMEOUT_S: Final = 600.0


def run_demo(*, compare: bool) -> int:
    """Run the demo and give the exit status.

    Args:
        compare: whether torch.compile and graphwright are also measured in fresh processes, cold and warm.
    """
    console = wide_console()
    corpus = read_corpus(documentation_folder())
    texts = [sentence.text for sentence in corpus]
    console.print(
        f"all-MiniLM-L6-v2 on {len(texts)} sentences of graphwright's documentation, "
        f"{NUM_TOKENS} tokens each, {torch.get_num_threads()} threads"
    )
    encoder = load_encoder()
    compiled = gw.compile(encoder)
    with torch.no_grad():
        tokens = tokenize(texts)
        rows = [measure_batch(encoder, compiled, tokens, size) for size in BATCH_SIZES]
        console.print(render_rows(rows))
        is_equal = max(row.difference for row in rows) <= MAX_DIFFERENCE
        is_equal &= _search(console, encoder, compiled, corpus)
    if compare:
        console.print(_compare_starts(texts[: BATCH_SIZES[1]]))
    verdict = "[green]equal to eager[/]" if is_equal else "[red]NOT equal to eager[/]"
    console.print(f"embeddings within {MAX_DIFFERENCE:g} and the same ranking: {verdict}")
    left_to_eager = ", ".join(gw.counters["eager"])
    if left_to_eager:
        console.print(f"[red]some calls were not compiled[/]: {left_to_eager}")
    return 0 if is_equal and not left_to_eager else 1


def render_rows(rows: Sequence[BatchRow]) -> Table:
    """Show the rows of eager against compiled."""
    table = Table(title="eager against gw.compile")
    headings = "batch, first call eager, first call compiled, per call eager, per call compiled, speed-up, difference"
    for heading in headings.split(", "):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            str(row.batch_size),
            render_time(row.eager_first),
            render_time(row.compiled_first),
            render_time(row.eager),
            render_time(row.compiled),
            f"{row.speedup:.2f}×",
            f"{row.difference:.1e}",
        )
    return table


def _search(console: Console, eager: Encode, compiled: Encode, corpus: Sequence[Sentence]) -> bool:
    """Answer the questions with both encoders, show the answers, and say whether they are the same."""
    texts = [sentence.text for sentence in corpus]
    tokens = tokenize([*QUESTIONS, *texts])
    rankings = []
    for encode in (eager, compiled):
        embeddings = tokens.embed(encode, _EMBED_BATCH)
        questions, sentences = embeddings.split([len(QUESTIONS), len(texts)])
        rankings.append(rank(questions, sentences, corpus, num_best=_NUM_BEST))
    by_eager, by_compiled = rankings
    console.print(_render_answers(by_compiled))
    return is_same_ranking(by_eager, by_compiled)


def _render_answers(ranking: Sequence[Sequence[Answer]]) -> Table:
    table = Table(title="a search with the compiled encoder", show_lines=True)
    table.add_column("question", ratio=2)
    table.add_column("nearest sentences", ratio=5)
    for question, answers in zip(QUESTIONS, ranking, strict=True):
        found = (
            f"{answer.score:.2f}  {answer.sentence.text} [dim]({answer.sentence.page})[/]"
            for answer in answers[:_NUM_SHOWN]
        )
        table.add_row(question, "\n".join(found))
    return table


def _compare_starts(sentences: Sequence[str]) -> Table:
    """Measure each compiler in fresh processes: with empty caches, and again with what the first one left."""
    table = Table(title=f"fresh processes, a batch of {len(sentences)}")
    for heading in ("system", "first call, cold", "first call, warm", "per call"):
        table.add_column(heading, justify="right")
    for system in (System.TORCH_COMPILE, System.GRAPHWRIGHT):
        job = Job(system, tuple(sentences))
        with tempfile.TemporaryDirectory() as folder:
            cold, warm = (_start(job, Path(folder)) for _ in range(2))
        per_call = render_time(warm.per_call)
        table.add_row(system, render_time(cold.first), render_time(warm.first), per_call)
    return table


def _start(job: Job, caches: Path) -> Result:
    return run_job(
        "graphwright.cli.demo.worker", job, caches=caches, result_type=Result, timeout_s=_TIMEOUT_S
    )
