"""The sources: docstrings of rooms, no state in modules, notes that exist, settings that are used."""

import ast
import re
from pathlib import Path

import pytest

import write_docs
from graphwright.base.config import Config
from graphwright.base.logging import LogName

PACKAGE = write_docs.ROOT / "src" / "graphwright"
MODULES = sorted(PACKAGE.rglob("*.py"))

MUTABLE_NODES = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
MUTABLE_MAKERS = {"dict", "list", "set", "defaultdict", "Counter", "deque", "OrderedDict"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_it_is_for(path):
    assert ast.get_docstring(tree_of(path))


ROOMS = [path for path in MODULES if path.name == "__init__.py" and path.parent.parent == PACKAGE]


@pytest.mark.parametrize("path", ROOMS, ids=name_of)
def test_room_lists_its_public_names(path):
    names = {
        target.id
        for node in tree_of(path).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }

    assert "__all__" in names


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in MUTABLE_MAKERS
    return isinstance(value, MUTABLE_NODES)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_holds_no_state_but_final_tables(path):
    offenders = []
    for node in tree_of(path).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name != "__all__":
                is_offender = is_mutable(value)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                is_final = "Final" in ast.unparse(annotation)
                is_offender = is_mutable(value) and not is_final and name != "__all__"
            case _:
                continue
        if is_offender:
            offenders.append(f"{name_of(path)}:{node.lineno} {name}")

    assert offenders == []


def test_notes_that_are_referred_to_exist():
    texts = {path: path.read_text("utf-8") for path in MODULES}
    written = {note for text in texts.values() for note in re.findall(r"# Note \[([^\]]+)\]", text)}

    missing = [
        f"{name_of(path)}: {note}"
        for path, text in texts.items()
        for note in re.findall(r"see Note \[([^\]]+)\]", text)
        if note not in written
    ]

    assert missing == []


@pytest.mark.parametrize("name", list(Config.settings()))
def test_setting_is_read_by_something(name):
    readers = [
        path
        for path in MODULES
        if path.name != "config.py" and re.search(rf"\.{name}\b", path.read_text("utf-8"))
    ]
    is_tag_of_keys = Config.settings()[name].is_output and any(
        ".output_settings()" in path.read_text("utf-8")
        for path in MODULES
        if path.name != "config.py"
    )

    assert readers or is_tag_of_keys


def test_no_unfinished_marks_are_left():
    marks = re.compile(r"\b(TODO(?!\(#\d+\))|FIXME|XXX|HACK)\b|raise NotImplementedError\b")

    found = [
        f"{name_of(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if marks.search(line)
    ]

    assert found == []


@pytest.mark.parametrize("name", list(LogName))
def test_log_is_written_by_something(name):
    marks = (f"LogName.{name.name}", f'artifact("{name}"')

    writers = [
        path
        for path in MODULES
        if path.parent.name != "base" and any(mark in path.read_text("utf-8") for mark in marks)
    ]

    assert writers
