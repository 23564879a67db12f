"""Calls that are made again in plain Python, because the graph raised.

In: a program.   Out: whether plain Python may do its call from the start, after its graph has begun to run.

A kernel tells of a value that it cannot take (an index out of range, a matrix that is singular) when the graph runs: no longer inside
the `try` that the program had round that line, and before the effects of the lines above it. In plain Python the exception comes
from its line. That needs a graph that can run twice: it changes nothing, draws no random numbers, and calls no operators of the user's;
or one that does so only when nothing is left that may raise (`ir/refusals.py`): what is looked up in training is checked first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from graphwright.ir.plan import Plan
from graphwright.ir.program import Program
from graphwright.ir.recipes import CallLate
from graphwright.ir.refusals import changes, refuses_first


class RunFailed(Exception):  # noqa: N818  (it never reaches a user)
    """The graph, or a late call, raised; nothing that existed before the call has been changed.

    Args:
        error: what it raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def can_run_again(program: Program) -> bool:
    """Tell whether a call may be made in plain Python after the program's graph, or a late call, has raised, whatever it raised."""
    graph = program.graph
    return not graph.mutations and not any(changes(node.op) for node in graph.nodes)


def never_refuses_late(program: Program, plan: Plan) -> bool:
    """Tell whether nothing refuses values once the plan has changed something: neither a step of it nor a late call."""
    return refuses_first(plan) and not any(isinstance(one, CallLate) for one in program.built)


def is_refusal(error: BaseException) -> bool:
    """Tell whether an exception is about values. Memory may run short at any step, behind those that change something, too."""
    return not isinstance(error, MemoryError) and "allocate" not in str(error)


def call_and_watch(
    function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> tuple[Any, set[type[BaseException]]]:
    """Call a function; give its result, and the kinds of exceptions that were raised in Python code on the way, and handled."""
    raised: set[type[BaseException]] = set()

    def trace(_frame: FrameType, event: str, detail: Any) -> Any:
        if event == "exception":
            raised.add(detail[0])
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        return function(*args, **kwargs), raised
    finally:
        sys.settrace(outer)
