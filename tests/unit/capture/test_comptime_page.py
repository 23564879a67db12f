"""The guide to comptime: what it says that its examples print is what they print."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "comptime.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n```text\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(monkeypatch, capsys):
    """Give a function that runs an example after those before it, as parts of one file, and gives what it prints."""
    space = {"__name__": "model"}
    written: list[str] = []

    def run_one(code: str) -> str:
        padding = "\n" * len(written)
        written.extend(code.splitlines(keepends=True))
        entry = (sum(map(len, written)), None, written, "model.py")
        monkeypatch.setitem(linecache.cache, "model.py", entry)
        exec(compile(padding + code, "model.py", "exec"), space)
        return capsys.readouterr().out

    return run_one


def without_outer_blanks(text: str) -> str:
    """Drop what a page cannot show: blanks at the ends of lines, and blank lines that come in a row or at an end."""
    lines = [line.rstrip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def test_examples_print_what_the_page_says(run):
    examples = EXAMPLE.findall(PAGE.read_text("utf-8"))

    printed = [without_outer_blanks(run(code)) for code, _ in examples]

    assert len(examples) == 4
    assert printed == [without_outer_blanks(text) for _, text in examples]
