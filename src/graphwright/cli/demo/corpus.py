"""The text that the demo embeds: this project's documentation, cut into sentences.

In: the Markdown pages of `docs/` (in a checkout) or the copy of them in an installed package.   Out: sentences, each with the
page it is from, in a fixed order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

import graphwright

_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_BLOCK_START: Final = re.compile(r"^(#+|[-*|>]|\d+\.)\s*", re.MULTILINE)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`])")
_MARKUP: Final = re.compile(r"[*`]|\[|\]\([^)]*\)|\]")
_MIN_WORDS: Final = 6


class Sentence(msgspec.Struct, frozen=True):
    """A sentence of the documentation."""

    text: str
    page: str
    """The page's path below the documentation folder."""


def documentation_folder() -> Path:
    """Find the folder of the pages: in the installed package, or beside `src` in a checkout."""
    package = Path(graphwright.__file__).parent
    shipped = package / "_docs"
    return shipped if shipped.is_dir() else package.parents[1] / "docs"


def read_corpus(folder: Path) -> tuple[Sentence, ...]:
    """Cut the pages below `folder` into sentences, without those that appeared before."""
    first_seen: dict[str, Sentence] = {}
    for page in sorted(folder.rglob("*.md")):
        name = page.relative_to(folder).as_posix()
        for text in iter_sentences(page.read_text("utf-8")):
            first_seen.setdefault(text, Sentence(text, name))
    return tuple(first_seen.values())


def iter_sentences(page: str) -> Iterator[str]:
    """Give the sentences of a Markdown page: no code blocks, no table rules, no markup, no scraps of a few words."""
    prose = _FENCE.sub("\n", page)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#>]|\d+\.)\s)", prose):
        flat = " ".join(_BLOCK_START.sub("", block.strip()).split())
        for cell in flat.split(" | "):
            for sentence in _SENTENCE_END.split(_MARKUP.sub("", cell)):
                text = sentence.strip(" |-")
                if len(text.split()) >= _MIN_WORDS:
                    yield text
