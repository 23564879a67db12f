from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from graphwright.base.counters import Counters
from graphwright.cache import Key, Kind, Limits, Store, make_key, make_part


def key_of(*values: str, kind: Kind = Kind.KERNEL) -> Key:
    return make_key(kind, [make_part(f"part {i}", value) for i, value in enumerate(values)])


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def store(tmp_path: Path, counters: Counters) -> Store:
    return Store(tmp_path / "cache", Kind.KERNEL, counters=counters)


def files_of(store: Store) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def counted(counters: Counters) -> dict[str, int]:
    return counters.snapshot().get("kernel_cache", {})


def test_value_is_found_under_its_key_by_another_store(store, counters, tmp_path) -> None:
    assert store.get(key_of("a"), bytes) is None

    assert store.put(key_of("a"), b"value")

    other = Store(tmp_path / "cache", Kind.KERNEL, counters=counters)
    assert other.get(key_of("a"), bytes) == b"value"
    assert other.get(key_of("b"), bytes) is None
    assert counted(counters) == {"miss": 2, "save": 1, "hit": 1}


def test_last_value_put_is_the_value(store) -> None:
    store.put(key_of("a"), b"one")
    store.put(key_of("a"), b"two")

    assert store.get(key_of("a"), bytes) == b"two"
    assert store.usage().num_entries == 1


def test_values_added_under_one_key_are_all_found_newest_use_first(store) -> None:
    for age, value in enumerate([b"one", b"two", b"three"]):
        store.add(key_of("a"), value)
        newest = max(files_of(store), key=lambda path: path.stat().st_ctime_ns)
        os.utime(newest, ns=(0, age))
    store.add(key_of("a"), b"two")
    store.add(key_of("b"), b"other")

    assert store.get_all(key_of("a"), bytes) == (b"two", b"three", b"one")
    assert store.usage().num_entries == 4


def test_values_of_a_key_that_were_used_last_stay(tmp_path, counters) -> None:
    limits = Limits(max_values=3)
    store = Store(tmp_path / "cache", Kind.KERNEL, counters=counters, limits=limits)
    for age, value in enumerate([b"1", b"2", b"3", b"4", b"5"]):
        before = files_of(store)
        store.add(key_of("a"), value)
        (added,) = set(files_of(store)) - set(before)
        os.utime(added, ns=(0, age))
    store.add(key_of("b"), b"other")

    assert store.get_all(key_of("a"), bytes) == (b"5", b"4", b"3")
    assert store.get_all(key_of("b"), bytes) == (b"other",)


def test_no_value_added_is_one_miss(store, counters) -> None:
    assert store.get_all(key_of("a"), bytes) == ()
    assert counted(counters) == {"miss": 1}


def test_kinds_do_not_meet_in_one_folder(tmp_path, counters) -> None:
    kernels = Store(tmp_path, Kind.KERNEL, counters=counters)
    graphs = Store(tmp_path, Kind.GRAPH, counters=counters)
    kernels.put(key_of("a"), b"kernel")
    graphs.put(key_of("a", kind=Kind.GRAPH), b"graph")

    assert kernels.get(key_of("a"), bytes) == b"kernel"
    assert graphs.get(key_of("a", kind=Kind.GRAPH), bytes) == b"graph"


def test_folders_and_files_are_for_the_user_alone(store) -> None:
    store.put(key_of("a"), b"value")

    folders = [path for path in store.folder.parent.rglob("*") if path.is_dir()]
    assert {p.stat().st_mode & 0o777 for p in [store.folder.parent, *folders]} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in files_of(store)} == {0o600}


@pytest.mark.parametrize("size", [0, 1, 30, 60, 200])
def test_damaged_entry_is_a_counted_miss_and_is_replaced(store, counters, size: int) -> None:
    store.put(key_of("a"), b"value" * 20)
    (file,) = files_of(store)
    file.write_bytes(file.read_bytes()[:size])

    assert store.get(key_of("a"), bytes) is None
    assert counted(counters) == {"save": 1, "corrupt": 1, "miss": 1}
    assert files_of(store) == []
    store.put(key_of("a"), b"value")
    assert store.get(key_of("a"), bytes) == b"value"


def test_entry_moved_to_another_name_is_a_miss(store, counters) -> None:
    store.put(key_of("a"), b"value")
    (file,) = files_of(store)
    target = store.folder / key_of("b").name[0] / key_of("b").name
    target.parent.mkdir(exist_ok=True)
    file.rename(target)

    assert store.get(key_of("b"), bytes) is None
    assert counted(counters)["corrupt"] == 1


def test_value_that_does_not_decode_is_damaged(store, counters) -> None:
    store.put(key_of("a"), b"no number")

    assert store.get(key_of("a"), int) is None
    assert counted(counters) == {"save": 1, "corrupt": 1, "miss": 1}


def test_one_damaged_value_leaves_the_others(store, counters) -> None:
    store.add(key_of("a"), b"one")
    (first,) = files_of(store)
    store.add(key_of("a"), b"two")
    first.write_bytes(b"")

    assert store.get_all(key_of("a"), bytes) == (b"two",)
    assert counted(counters) == {"save": 2, "corrupt": 1, "hit": 1}


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")]
)
def test_what_is_no_regular_file_is_no_entry(store, make) -> None:
    store.put(key_of("a"), b"value")
    (file,) = files_of(store)
    file.unlink()
    make(file)

    assert store.get(key_of("a"), bytes) is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_code_is_not_kept_where_others_can_write(store, counters, caplog, mode: int) -> None:
    store.put(key_of("a"), b"value")
    store.folder.parent.chmod(mode)

    with caplog.at_level(logging.WARNING, "graphwright.cache"):
        assert store.get(key_of("a"), bytes) is None
        assert store.get_all(key_of("a"), bytes) == ()
        assert not store.put(key_of("a"), b"new")

    assert counted(counters) == {"save": 1, "bypass": 3}
    assert len(caplog.records) == 1
    assert "can be written by others" in caplog.text


def test_code_in_a_file_that_others_can_write_is_not_read(store, counters) -> None:
    store.put(key_of("a"), b"value")
    (file,) = files_of(store)
    file.chmod(0o666)

    assert store.get(key_of("a"), bytes) is None
    assert counted(counters)["corrupt"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_code_is_not_read_from_another_users_folder(store, counters) -> None:
    store.put(key_of("a"), b"value")
    os.chown(store.folder, 12345, 12345)

    assert store.get(key_of("a"), bytes) is None
    assert counted(counters)["bypass"] == 1


def test_data_is_kept_where_others_can_write(tmp_path, counters) -> None:
    tmp_path.chmod(0o777)
    graphs = Store(tmp_path, Kind.GRAPH, counters=counters)
    graphs.put(key_of("a", kind=Kind.GRAPH), b"value")

    assert graphs.get(key_of("a", kind=Kind.GRAPH), bytes) == b"value"


def test_folder_that_cannot_be_made_is_counted_and_told_once(tmp_path, counters, caplog) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "cache", Kind.GRAPH, counters=counters)
    key = key_of("a", kind=Kind.GRAPH)

    assert not store.put(key, b"value")
    assert not store.put(key, b"value")
    assert store.get(key, bytes) is None

    assert counters.snapshot() == {"graph_cache": {"save_failed": 2, "miss": 1}}
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "cannot be written" in caplog.messages[0]
    assert "cannot be read" in caplog.messages[1]


def test_use_and_not_age_decides_what_is_pruned(store) -> None:
    for index in range(10):
        store.put(key_of(str(index)), b"x" * 100)
        os.utime(store._path(key_of(str(index)).name), ns=(index, index))
    store.get(key_of("0"), bytes)

    num_removed = store.prune(Limits(max_files=5))

    assert num_removed == 6
    left = [i for i in range(10) if store.get(key_of(str(i)), bytes) is not None]
    assert left == [0, 7, 8, 9]


def test_prune_by_bytes_leaves_nine_tenths_of_the_limit(store) -> None:
    for index in range(10, 30):
        store.put(key_of(str(index)), b"x" * 1000)
    size_bytes = store.usage().size_bytes // 20

    store.prune(Limits(max_bytes=10 * size_bytes))

    assert store.usage().num_entries == 9


def test_prune_within_the_limits_removes_nothing(store) -> None:
    store.put(key_of("a"), b"value")

    assert store.prune() == 0
    assert store.usage().num_entries == 1


def test_store_stays_near_its_limits_by_itself(tmp_path, counters) -> None:
    store = Store(tmp_path, Kind.KERNEL, counters=counters, limits=Limits(max_files=50))

    largest = 0
    for index in range(1000):
        store.put(key_of(str(index)), b"value %d" % index)
        if index % 50 == 0:
            largest = max(largest, store.usage().num_entries)

    assert largest < 300
    assert store.get(key_of("999"), bytes) is not None


def test_value_larger_than_the_store_is_not_saved(tmp_path, counters) -> None:
    store = Store(tmp_path, Kind.KERNEL, counters=counters, limits=Limits(max_bytes=1000))
    store.put(key_of("a"), b"small")

    assert not store.put(key_of("b"), b"x" * 2000)
    assert store.get(key_of("a"), bytes) == b"small"
    assert counted(counters) == {"save": 1, "bypass": 1, "hit": 1}


def test_draft_of_a_killed_process_is_reported_and_cleared(store) -> None:
    store.put(key_of("a"), b"value")
    (file,) = files_of(store)
    file.with_name(".0123.tmp").write_bytes(b"half")

    usage = store.usage()
    assert (usage.num_entries, usage.num_drafts) == (1, 1)
    assert [Path(entry.path) for entry in store.list_entries()] == [file]
    assert store.clear() == 2
    assert files_of(store) == []


def test_verify_removes_what_is_damaged_and_nothing_else(store, counters) -> None:
    for name in "abc":
        store.put(key_of(name), b"value")
        store.add(key_of(name), b"value")
    bad = files_of(store)[0]
    data = bytearray(bad.read_bytes())
    data[-1] ^= 1
    bad.write_bytes(data)
    foreign = bad.with_name("foreign")
    foreign.write_text("hello")

    result = store.verify()

    assert result.num_good == 5
    assert sorted(result.damaged) == sorted([str(bad), str(foreign)])
    assert counted(counters)["corrupt"] == 2
    assert len(files_of(store)) == 5


def test_nearest_entry_shows_the_parts_that_differ(store) -> None:
    store.put(key_of("function f", "torch 2.12", "cpu x"), b"1")
    store.put(key_of("function g", "torch 2.12", "cpu y"), b"2")

    nearest = store.nearest(key_of("function f", "torch 2.13", "cpu x"))

    assert nearest is not None
    assert [(d.name, d.wanted, d.found) for d in nearest.differences] == [
        ("part 1", "torch 2.13", "torch 2.12")
    ]


def test_nearest_reads_heads_larger_than_a_page(store) -> None:
    values = [f"{i}" * 400 for i in range(10)]
    store.put(key_of(*values), b"value")

    nearest = store.nearest(key_of(*values[:-1], "other"))

    assert nearest is not None
    assert [difference.name for difference in nearest.differences] == ["part 9"]


def test_nearest_of_an_empty_store_is_none(store) -> None:
    assert store.nearest(key_of("a")) is None
