"""A store among many processes, killed processes, full disks and read-only folders."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphwright.base.counters import Counters
from graphwright.cache import Key, Kind, Limits, Store, make_key, make_part

SIZES = [10, 5_000, 200_000]


def key_of(index: int) -> Key:
    return make_key(Kind.KERNEL, [make_part("index", str(index))])


def value_of(index: int) -> bytes:
    return b"%d " % index * SIZES[index % len(SIZES)]


def put_get_and_prune(root: Path, worker: int, failures) -> None:
    store = Store(root, Kind.KERNEL, counters=Counters(), limits=Limits(max_files=20))
    for step in range(60):
        index = (worker * 7 + step) % 30
        found = store.get(key_of(index), bytes)
        if found is not None and found != value_of(index):
            failures.put((worker, index, len(found)))
        store.put(key_of(index), value_of(index))
        if step % 20 == worker:
            store.clear()


def put_for_ever(root: Path) -> None:
    store = Store(root, Kind.KERNEL, counters=Counters(), limits=Limits(max_files=10_000))
    while True:
        for index in range(30):
            store.put(key_of(index), value_of(index))


def test_many_processes_in_one_folder_never_see_a_wrong_value(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    failures = context.Queue()
    workers = [
        context.Process(target=put_get_and_prune, args=(tmp_path, worker, failures))
        for worker in range(4)
    ]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0] * 4
    assert failures.empty()
    assert Store(tmp_path, Kind.KERNEL, counters=Counters()).verify().damaged == ()


def test_process_killed_while_writing_harms_no_entry(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    store = Store(tmp_path, Kind.KERNEL, counters=Counters())

    for attempt in range(8):
        process = context.Process(target=put_for_ever, args=(tmp_path,))
        process.start()
        while store.usage().num_entries == 0:
            time.sleep(0.001)
        time.sleep(0.003 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.join()

    assert store.verify().damaged == ()
    store.clear()
    assert store.usage().size_bytes == 0


def put_with_file_size_limit(root: Path, results) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    counters = Counters()
    store = Store(root, Kind.KERNEL, counters=counters)
    is_saved = [store.put(key_of(0), b"small"), store.put(key_of(1), b"x" * 5000)]
    results.put((is_saved, store.get(key_of(1), bytes), counters.snapshot()["kernel_cache"]))


def test_full_disk_is_counted_and_leaves_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=put_with_file_size_limit, args=(tmp_path, results))

    process.start()
    is_saved, found, counts = results.get(timeout=30)
    process.join()

    assert is_saved == [True, False]
    assert found is None
    assert counts == {"save": 1, "save_failed": 1, "miss": 1}
    assert Store(tmp_path, Kind.KERNEL, counters=Counters()).usage().num_drafts == 0


READ_ONLY_USE = """
import os, sys
from pathlib import Path
from graphwright.base.counters import Counters
from graphwright.cache import Kind, Store, make_key, make_part
os.setgid(54321); os.setuid(54321)
counters = Counters()
store = Store(Path(sys.argv[1]), Kind.GRAPH, counters=counters)
key = make_key(Kind.GRAPH, [make_part("a", "1")])
other = make_key(Kind.GRAPH, [make_part("a", "2")])
print(store.get(key, bytes), store.put(key, b"new"), store.put(other, b"x"), store.get(other, bytes))
print(sorted(counters.snapshot()["graph_cache"].items()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_read_only_folder_is_read_and_not_written(tmp_path: Path) -> None:
    key = make_key(Kind.GRAPH, [make_part("a", "1")])
    root = tmp_path / "cache"
    Store(root, Kind.GRAPH, counters=Counters()).put(key, b"value")
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for parent in [tmp_path, *list(tmp_path.parents)[:3]]:  # one level more with several workers
        parent.chmod(0o755)

    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY_USE, str(root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    values, counts = done.stdout.splitlines()
    assert values == "b'value' False False None"
    assert counts == "[('hit', 1), ('miss', 1), ('save_failed', 2)]"
    assert done.stderr.count("cannot be written") == 1
