"""Make entries in the form that is asked for.

In: data, machine code.   Out: `Entry`.
Keeps: where native code cannot serve, the readable Python does, and `refusal` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphwright.base.config import Wrapper
from graphwright.ir.plan import Plan
from graphwright.ir.program import Program
from graphwright.runtime.entry import Entry, Run
from graphwright.runtime.frozen import Compute
from graphwright.runtime.native import NativeEntry, NativeRefusal, load_native_module
from graphwright.runtime.plan_code import Code


def make_entry(  # noqa: PLR0913  (program, plan, code; and how)
    program: Program,
    plan: Plan,
    code: Code,
    *,
    target: object,
    live_pins: Sequence[object] | None = None,
    kernel_texts: Sequence[str] = (),
    wrapper: Wrapper = Wrapper.NATIVE,
    go_on: Callable[..., Any] | None = None,
    compute: Compute | None = None,
) -> Entry:
    """Make an entry whose graph is run by a plan.

    Args:
        program: what was captured.
        plan: what `lower/` made of its graph.
        code: machine code of the plan's kernels.
        target: the object that was compiled.
        live_pins: the objects of `program.pins`, where they are known.
        kernel_texts: for each kernel, what to say of it in the readable source.
        wrapper: the form that serves calls.
        go_on: what the call goes on with after a graph break.
        compute: runs the plan's fold, where it has one.

    Raises:
        InternalError: the data contradict each other.
    """
    entry = Entry(
        program,
        plan=plan,
        code=code,
        run=None,
        target=target,
        live_pins=live_pins,
        kernel_texts=kernel_texts,
        go_on=go_on,
        compute=compute,
    )
    return _in_form(entry, wrapper)


def make_backend_entry(
    program: Program,
    run: Run,
    *,
    target: object,
    live_pins: Sequence[object] | None = None,
    wrapper: Wrapper = Wrapper.NATIVE,
    go_on: Callable[..., Any] | None = None,
) -> Entry:
    """Make an entry whose graph is run by a function: a user's backend, eager kernels, autograd at call time.

    Args:
        program: what was captured.
        run: gets the graph's inputs and the values of `program.symbols`; gives the graph's outputs.
        target: the object that was compiled.
        live_pins: the objects of `program.pins`, where they are known.
        wrapper: the form that checks the guards.
        go_on: what the call goes on with after a graph break.
    """
    entry = Entry(
        program, plan=None, code=None, run=run, target=target, live_pins=live_pins, go_on=go_on
    )
    return _in_form(entry, wrapper)


def _in_form(entry: Entry, wrapper: Wrapper) -> Entry:
    if wrapper is Wrapper.NATIVE:
        try:
            entry.native = NativeEntry(entry, load_native_module())
        except NativeRefusal as refusal:
            entry.refusal = str(refusal)
    return entry
