"""The run: children for ops, several at a time, restarted after what took them down.

In: which ops and triples.   Out: a file of results, in the order of the database.
Keeps: one process an op, forked from one that has imported everything, so that a crash costs one triple and memory never
grows with the number of ops.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from opinfo.cases import Budget, full_name
from opinfo.outcomes import Case, Line, Outcome, Result, Variant
from opinfo.worker import load_database, warm_up, work

OnResults = Callable[[Sequence[Result]], None]
TIMEOUT_S: Final = 120.0
"""A triple that takes longer is ended."""


class _Child:
    """A process that works on one op."""

    def __init__(self, position: int, info: Any, budget: Budget, results: list[Result]) -> None:
        self.position = position
        self.info = info
        self.results = results
        self.begun: Case | None = None
        self.since = time.monotonic()
        self._rest = b""
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(reading)
                work(info, position, budget, len(results), writing)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        self.pipe = reading

    def take(self) -> bool:
        """Take in what it tells; False when it has ended."""
        data = os.read(self.pipe, 1 << 16)
        if not data:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            item = _DECODER.decode(line)
            self.since = time.monotonic()
            if isinstance(item, Case):
                self.begun = item
            else:
                self.begun = None
                self.results.append(item)
        return True

    def end(self) -> int:
        """Wait for it and give its status."""
        os.close(self.pipe)
        return os.waitpid(self.pid, 0)[1]


_DECODER: Final = msgspec.json.Decoder(Line)


class _Pool:
    """The children that are at work, and the ops that wait for one."""

    def __init__(
        self, ops: Sequence[tuple[int, Any]], budget: Budget, on_results: OnResults
    ) -> None:
        self._waiting = [(position, info, list[Result]()) for position, info in reversed(ops)]
        self._budget = budget
        self._on_results = on_results
        self._selector = selectors.DefaultSelector()

    def run(self, num_jobs: int) -> None:
        """Serve until every op is done."""
        while self._waiting or self._selector.get_map():
            while self._waiting and len(self._selector.get_map()) < num_jobs:
                self._start(*self._waiting.pop())
            for key, _ in self._selector.select(timeout=1.0):
                child: _Child = key.data
                if not child.take():
                    self._finish(child)
            self._end_late_ones()

    def _start(self, position: int, info: Any, results: list[Result]) -> None:
        child = _Child(position, info, self._budget, results)
        self._selector.register(child.pipe, selectors.EVENT_READ, child)

    def _finish(self, child: _Child) -> None:
        self._selector.unregister(child.pipe)
        status = child.end()
        if child.begun is None and status == 0:
            self._on_results(child.results)
            return
        if child.begun is None:
            # It went down between two triples: where samples are made, which is none of the compiler's.
            case = Case(full_name(child.info), "-", Variant.FUNCTION, -1)
            child.results.append(Result(case, Outcome.EAGER_RAISED, f"no samples: status {status}"))
            self._on_results(child.results)
            return
        is_late = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        outcome = Outcome.TIMED_OUT if is_late else Outcome.CRASHED
        child.results.append(Result(child.begun, outcome, f"status {status}"))
        self._start(child.position, child.info, child.results)

    def _end_late_ones(self) -> None:
        for key in self._selector.get_map().values():
            child: _Child = key.data
            if time.monotonic() - child.since > TIMEOUT_S:
                os.kill(child.pid, signal.SIGKILL)


def run(
    wanted: Callable[[int, str], bool], budget: Budget, *, num_jobs: int, on_results: OnResults
) -> None:
    """Run the triples of the ops that are wanted.

    Args:
        wanted: (position in the database, name) → whether the op is run.
        budget: which of its triples.
        num_jobs: children at a time.
        on_results: given each op's results when it is done.
    """
    database = load_database()
    warm_up()
    ops = [
        (position, info)
        for position, info in enumerate(database)
        if wanted(position, full_name(info))
    ]
    _Pool(ops, budget, on_results).run(num_jobs)


def write_results(path: Path) -> OnResults:
    """Give a function that appends results to a file."""
    encoder = msgspec.json.Encoder()

    def write(results: Sequence[Result]) -> None:
        with path.open("ab") as file:
            file.writelines(encoder.encode(result) + b"\n" for result in results)

    return write
