from __future__ import annotations

import threading

from graphwright.base.counters import Counters


def test_counter_never_counted_reads_zero_and_leaves_no_group() -> None:
    counters = Counters()

    assert counters["kernel_cache"]["hit"] == 0
    assert list(counters) == []


def test_counts_add_up_by_group_and_name() -> None:
    counters = Counters()

    counters.add("kernel_cache", "hit")
    counters.add("kernel_cache", "hit", 2)
    counters.add("graph_cache", "hit")

    assert counters.snapshot() == {"kernel_cache": {"hit": 3}, "graph_cache": {"hit": 1}}


def test_clear_forgets_one_group_or_all() -> None:
    counters = Counters()
    counters.add("a", "x")
    counters.add("b", "x")

    counters.clear("a")
    assert counters.snapshot() == {"b": {"x": 1}}
    counters.clear()
    assert counters.snapshot() == {}


def test_counts_of_many_threads_are_all_kept() -> None:
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.add("g", "n") for _ in range(2000)])
        for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counters["g"]["n"] == 16000
