from __future__ import annotations

import os
import shutil
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from graphwright.cache import digest_source, environment_parts
from graphwright.cache.keys import make_part


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "room" / "__pycache__").mkdir(parents=True)
    (folder / "a.py").write_text("a = 1\n")
    (folder / "room" / "b.py").write_text("b = 2\n")
    (folder / "room" / "__pycache__" / "b.py").write_text("stale\n")
    (folder / "notes.txt").write_text("no source\n")
    return folder


def test_digest_follows_names_and_contents_of_python_files_alone(source: Path) -> None:
    before = digest_source(source, None)

    (source / "notes.txt").write_text("changed")
    (source / "room" / "__pycache__" / "b.py").write_text("changed")
    assert digest_source(source, None) == before
    (source / "room" / "b.py").write_text("b = 3\n")
    changed = digest_source(source, None)
    assert changed != before
    (source / "room" / "b.py").rename(source / "room" / "c.py")
    assert digest_source(source, None) not in {before, changed}


def test_digest_is_the_same_wherever_the_package_is(source: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(source, tmp_path / "elsewhere")

    assert digest_source(moved, None) == digest_source(source, None)


def test_memo_saves_reading_the_files(source: Path, tmp_path: Path, monkeypatch) -> None:
    memo = tmp_path / "memo"
    digest = digest_source(source, memo)
    monkeypatch.setattr(Path, "read_bytes", None)

    assert digest_source(source, memo) == digest
    assert len(list(memo.iterdir())) == 1


def test_memo_is_not_used_for_an_edited_file_of_the_same_size(source: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo"
    before = digest_source(source, memo)

    (source / "a.py").write_text("a = 9\n")
    os.utime(source / "a.py", ns=(1, 1))

    after = digest_source(source, memo)
    assert after != before
    assert after == digest_source(source, None)
    assert len(list(memo.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"x", b"x y z", b"\xff\xfe"])
def test_damaged_memo_is_made_anew(source: Path, tmp_path: Path, damage: bytes) -> None:
    memo = tmp_path / "memo"
    digest = digest_source(source, memo)
    (kept,) = memo.iterdir()
    good = kept.read_bytes()
    kept.write_bytes(damage)

    assert digest_source(source, memo) == digest
    assert kept.read_bytes() == good


def test_memo_with_an_edited_digest_is_made_anew(source: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo"
    digest = digest_source(source, memo)
    (kept,) = memo.iterdir()
    kept.write_text(kept.read_text().replace(digest, "0" * len(digest)))

    assert digest_source(source, memo) == digest


def test_memo_that_cannot_be_written_is_done_without(source: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    assert digest_source(source, blocked / "memo") == digest_source(source, None)


def test_environment_names_versions_and_the_processor() -> None:
    parts = {part.name: part for part in environment_parts(source_digest="abc")}

    assert parts["graphwright source"].text == "abc"
    assert parts["cpu"].text == llvm.get_host_cpu_name()
    assert {"torch", "python", "llvm", "machine", "cpu features", "cache_key_tag"} <= set(parts)


def test_environment_holds_no_path_and_no_device_index() -> None:
    text = " ".join(part.text or "" for part in environment_parts(source_digest="abc"))

    assert os.getcwd() not in text
    assert os.path.expanduser("~") + "/" not in text
    assert "cuda:" not in text


def test_each_setting_is_a_part_of_its_own_in_any_order() -> None:
    one = environment_parts(source_digest="", config={"b": "2", "a": "1"})
    two = environment_parts(source_digest="", config={"a": "1", "b": "2"})

    assert one == two
    assert one[-2:] == (make_part("config a", "1"), make_part("config b", "2"))


def test_tag_sets_the_environment_apart() -> None:
    plain = environment_parts(source_digest="")
    tagged = environment_parts(source_digest="", cache_key_tag="mine")

    changed = [a.name for a, b in zip(plain, tagged, strict=True) if a != b]
    assert changed == ["cache_key_tag"]
