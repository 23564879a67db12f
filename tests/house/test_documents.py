"""The documents: generated pages are up to date, links lead somewhere, records and versions are listed."""

import re

import pytest
import torch

import graphwright
import model_table
import write_docs
from graphwright.base.config import config
from graphwright.base.logging import apply_logs

ROOT = write_docs.ROOT
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
)


def test_generated_pages_are_what_make_docs_would_write():
    assert write_docs.stale_pages() == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)", prose)

    missing = [name for name in targets if "://" not in name and not (page.parent / name).exists()]

    assert missing == []


def test_table_of_models_lists_the_families_that_are_tested():
    pytest.importorskip("transformers")
    families = (ROOT / "tests/support/transformer_families.py").read_text("utf-8")
    page = (ROOT / "docs/models.md").read_text("utf-8")

    tested = re.findall(r'^    "([\w-]+)": _family\(', families, re.MULTILINE)

    assert model_table.family_names(page) == sorted(tested)


def test_every_decision_is_in_the_list_of_decisions():
    listing = (ROOT / "docs/adr/README.md").read_text("utf-8")

    unlisted = [
        path.name
        for path in (ROOT / "docs/adr").glob("[0-9]*.md")
        if f"({path.name})" not in listing
    ]

    assert unlisted == []


def test_changelog_has_the_version_of_the_package():
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert f"\n## {graphwright.__version__}" in changes


def test_commands_of_the_readme_are_targets_of_the_makefile():
    readme = (ROOT / "README.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z]+)", readme)) <= targets


@pytest.mark.slow
def test_code_of_the_readme_runs_and_gives_what_eager_gives():
    first, second = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    names = {}

    exec(first, names)
    x = torch.randn(8, 64)
    with torch.no_grad():
        torch.testing.assert_close(names["fast"](x), names["model"](x))

    with config.patch(wrapper=config.wrapper, logs=config.logs):
        exec(second, names)
        with torch.no_grad():
            torch.testing.assert_close(names["fast"](x), names["model"](x))
    apply_logs(config.logs)
