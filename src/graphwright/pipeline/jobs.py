"""What is to be compiled: the call, and how.

In: nothing.   Out: `Job`; what is told of the program that comes of one, new or from the cache.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Sequence
from typing import Any

from graphwright.base.config import Config
from graphwright.base.counters import counters
from graphwright.base.errors import InternalError
from graphwright.base.logging import LogName, log
from graphwright.capture import Foreseen
from graphwright.ir.program import Break, Program
from graphwright.observe import Observer
from graphwright.pipeline.options import CompileOptions


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One compile: the call to compile for, and how."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: CompileOptions
    settings: Config
    observer: Observer
    make_go_on: Callable[[Break, types.CodeType, Foreseen | None], Callable[..., Any]] | None = None
    """Makes what a call goes on with after a graph break; None: a break is an error."""
    on_fault: Callable[[InternalError], None] | None = None
    """Told of a failure of the interpreter's own, which then breaks the graph; None: it is raised."""
    earlier: Sequence[Program] = ()
    """What was compiled for other calls of the target."""


def tell_break(program: Program) -> None:
    """Count and log the graph break that a new program ends with, if it does."""
    ends_at = program.ends_at
    if ends_at is None:
        return
    counters.add("capture", "graph_breaks")
    counters.add("graph_break", ends_at.met)
    text = "graph break in %s: %s\n  where: %s\n  why: %s\n  what to do: %s"
    log(LogName.GRAPH_BREAKS).info(
        text, program.name, ends_at.met, ends_at.location, ends_at.why, ends_at.remedy
    )
