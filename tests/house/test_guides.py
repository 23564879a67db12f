"""The guides: what they say that their examples print is what they print."""

from __future__ import annotations

import linecache
import re

import pytest

import write_docs

NUM_EXAMPLES = {"comptime.md": 4, "controls.md": 4, "graph_breaks.md": 3}
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


@pytest.mark.parametrize("name", NUM_EXAMPLES)
def test_examples_print_what_the_page_says(name, run):
    page = (write_docs.ROOT / "docs" / name).read_text("utf-8")
    examples = EXAMPLE.findall(page)

    printed = [without_outer_blanks(run(code)) for code, _ in examples]

    assert len(examples) == NUM_EXAMPLES[name] == page.count("```python")
    assert printed == [without_outer_blanks(text) for _, text in examples]
