"""What became of a program: its graphs, where it broke and why, and how long that took.

In: a callable and one call's arguments.   Out: `Explanation`, data that prints itself for people.
Each compile leaves a `CaptureReport` with its observer (and so in the trace); an explanation is those of one call, put together.
"""

from __future__ import annotations

import itertools
import linecache
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from graphwright.base.counters import counters
from graphwright.ir.program import Break, Program
from graphwright.observe import Observer
from graphwright.pipeline.session import collect_observers
from graphwright.runtime import Entry

REPORT: Final = "capture_report"
"""The artifact that holds a compile's report, as JSON."""


class BreakReport(msgspec.Struct, frozen=True):
    """Why a graph ends before its function does."""

    met: str
    why: str
    remedy: str
    location: str
    """`file:line in function` of the line that could not be captured."""
    frames: tuple[str, ...]
    """The user's frames there, outermost first, as `location` is written."""


class CaptureReport(msgspec.Struct, frozen=True):
    """One captured program."""

    name: str
    location: str
    num_operations: int
    """In the ATen graph, before anything is simplified."""
    num_guards: int
    num_kernels: int | None
    """Generated kernels; None where no plan runs the graph (gradients, a backend of the user's)."""
    num_extern_calls: int | None
    """Calls of PyTorch's own kernels; likewise."""
    arena_bytes: int | None
    """Memory for intermediate results, which is kept between calls; likewise."""
    ends_at: BreakReport | None


class Explanation(msgspec.Struct, frozen=True):
    """What one call of a program compiled."""

    captures: tuple[CaptureReport, ...]
    """In the order in which they were made; those without operations too."""
    guards: tuple[str, ...]
    """The guards of each program, a line each."""
    seconds: dict[str, float]
    """Time of each stage, over all compiles."""
    eager: dict[str, int]
    """What ran eagerly, by reason (the group `eager` of `gw.counters`)."""

    @property
    def graphs(self) -> tuple[CaptureReport, ...]:
        """The programs that compute something."""
        return tuple(one for one in self.captures if one.num_operations)

    @property
    def graph_breaks(self) -> tuple[BreakReport, ...]:
        """The graph breaks."""
        return tuple(one.ends_at for one in self.captures if one.ends_at is not None)

    def __str__(self) -> str:
        return "\n".join(_iter_lines(self))


def report_of(entry: Entry) -> CaptureReport:
    """Give the report of a new entry."""
    program, plan = entry.program, entry.plan
    return CaptureReport(
        name=program.name,
        location=program.loc.render() if program.loc else "",
        num_operations=len(program.graph.nodes),
        num_guards=len(program.guards),
        num_kernels=None if plan is None else len(plan.kernels),
        num_extern_calls=None if plan is None else plan.num_calls,
        arena_bytes=None if plan is None else plan.arena_bytes,
        ends_at=_break_of(program),
    )


def _break_of(program: Program) -> BreakReport | None:
    ends_at: Break | None = program.ends_at
    if ends_at is None:
        return None
    return BreakReport(ends_at.met, ends_at.why, ends_at.remedy, ends_at.location, ends_at.frames)


def explain_call(function: Callable[[], Any], *, has_guards: bool = True) -> Explanation:
    """Call `function` and tell what was compiled meanwhile; `has_guards` says whether to list the guards, which takes its time."""
    before = Counter(counters["eager"])
    with collect_observers(REPORT, *(["guards"] if has_guards else [])) as observers:
        function()
    seconds: dict[str, float] = {}
    for observer in observers:
        for span in observer.spans:
            seconds[span.name] = seconds.get(span.name, 0.0) + span.elapsed_ns / 1e9
    return Explanation(
        captures=tuple(
            msgspec.json.decode(text, type=CaptureReport) for text in _texts(observers, REPORT)
        ),
        guards=tuple(_texts(observers, "guards")),
        seconds=seconds,
        eager=dict(Counter(counters["eager"]) - before),
    )


def _texts(observers: Iterable[Observer], name: str) -> Iterator[str]:
    for observer in observers:
        yield from (one.text for one in observer.artifacts if one.name == name)


def _iter_lines(explanation: Explanation) -> Iterator[str]:
    num_guards = sum(one.num_guards for one in explanation.captures)
    yield (
        f"{_count(len(explanation.graphs), 'graph')}, "
        f"{_count(len(explanation.graph_breaks), 'graph break')}, {_count(num_guards, 'guard')}"
    )
    for number, capture in enumerate(explanation.captures, start=1):
        yield ""
        yield f"{number}. {capture.name}{', ' + capture.location if capture.location else ''}"
        yield f"   {_describe(capture)}"
        if capture.ends_at is not None:
            yield from _iter_break(capture.ends_at)
    for reason, count in explanation.eager.items():
        yield ""
        yield f"ran eagerly ({reason.replace('_', ' ')}): {_count(count, 'call')}"
    if explanation.seconds:
        yield ""
        parts = (f"{name} {1000 * seconds:.1f} ms" for name, seconds in explanation.seconds.items())
        yield f"time: {', '.join(parts)}"


def _describe(capture: CaptureReport) -> str:
    parts = [_count(capture.num_operations, "operation"), _count(capture.num_guards, "guard")]
    if capture.num_kernels is not None and capture.num_extern_calls is not None:
        parts.append(_count(capture.num_kernels, "generated kernel"))
        parts.append(_count(capture.num_extern_calls, "call") + " of PyTorch's kernels")
    return ", ".join(parts)


def _iter_break(found: BreakReport) -> Iterator[str]:
    yield f"   ends at a graph break: {found.met}"
    for frame, alike in itertools.groupby(found.frames or (found.location,)):
        source = _source_line(frame)
        yield f"     {frame}{': ' + source if source else ''}"
        repeated = len(list(alike)) - 1
        if repeated:
            yield f"     (the same line {_count(repeated, 'more time')})"
    yield f"     why: {found.why}"
    yield f"     what to do: {found.remedy}"


def _source_line(location: str) -> str:
    """Give the text of the line that `file:line in function` names."""
    place = location.rpartition(" in ")[0]
    file, _, line = place.rpartition(":")
    return linecache.getline(file, int(line)).strip() if line.isdigit() else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
