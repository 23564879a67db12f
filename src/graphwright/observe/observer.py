"""What watches one compile: how long its stages take, and what they made.

In: `with observer.span("capture"):` around stages, `observer.artifact(…)` for the texts they make.   Out: the spans and
artifacts, in order, as data; the same as trace records, and the artifacts that have a log as log lines.
Keeps: a text is made only when somebody reads it. Rooms read the clock through here and nowhere else.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Final, final

import msgspec

from graphwright.base.config import config
from graphwright.base.logging import LogName, apply_logs, log
from graphwright.observe.trace import apply_trace, emit_trace, is_tracing


@final
class Span(msgspec.Struct, frozen=True):
    """One stage of a compile, finished."""

    name: str
    depth: int
    """How many spans it lies within."""
    start_ns: int
    """On the monotonic clock of the process."""
    elapsed_ns: int


@final
class Artifact(msgspec.Struct, frozen=True):
    """A text that a stage made."""

    name: str
    text: str


@final
class Observer:
    """Watches one compile, from one thread at a time.

    Args:
        compile_id: the compile's id, for the logs and the trace.
        keeps: the names of the texts that are made and kept though no log or trace asks for them.
    """

    def __init__(self, compile_id: str = "", *, keeps: Container[str] = ()) -> None:
        self.compile_id: Final = compile_id
        self._keeps: Final = keeps
        self._spans: list[Span] = []
        self._artifacts: list[Artifact] = []
        self._depth = 0
        # A compile is when the settings of logs and trace are looked at; between compiles there is little to tell.
        apply_logs(config.logs)
        apply_trace(config.trace)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The finished spans, in the order they were begun."""
        return tuple(sorted(self._spans, key=lambda span: (span.start_ns, span.depth)))

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The texts that were kept, in the order they were made."""
        return tuple(self._artifacts)

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time what runs inside; a span that ends by an exception is kept too."""
        depth = self._depth
        self._depth += 1
        start_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            span = Span(name, depth, start_ns, time.perf_counter_ns() - start_ns)
            self._depth = depth
            self._spans.append(span)
            self._emit("span", name, {"depth": depth, "elapsed_ns": span.elapsed_ns})

    def wants(self, name: str) -> bool:
        """Whether the text of the artifact `name` would be read by anybody."""
        return name in self._keeps or is_tracing() or _has_log(name)

    def artifact(self, name: str, make_text: Callable[[], str]) -> None:
        """Hand over a text that a stage made.

        Args:
            name: which one; one that is the name of a log is printed there when that log is on.
            make_text: makes the text; called once, or not at all when nobody reads it.
        """
        if not self.wants(name):
            return
        text = make_text()
        if name in self._keeps:
            self._artifacts.append(Artifact(name, text))
        if _has_log(name):
            log(LogName(name)).info("%s %s\n%s", self.compile_id, name, text)
        self._emit("artifact", name, {}, payload=text)

    def event(self, name: str, **facts: object) -> None:
        """Note something that happened, with plain data about it, in the trace."""
        self._emit("event", name, facts)

    def _emit(
        self, kind: str, name: str, facts: Mapping[str, object], *, payload: str | None = None
    ) -> None:
        emit_trace(kind, name, {"compile_id": self.compile_id, **facts}, payload=payload)


def _has_log(name: str) -> bool:
    return name in list(LogName) and log(LogName(name)).isEnabledFor(logging.INFO)
