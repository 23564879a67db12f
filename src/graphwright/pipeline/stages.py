"""The way of a program, top to bottom.

In: a target and the arguments of one call.   Out: an `Entry` that serves this call and those like it.

    capture → simplify → lower → codegen → runtime

Each stage is a span of the observer and leaves its artifact there. Does not: decide whether to compile (see `targets.py`).
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch

from graphwright.base.counters import counters
from graphwright.base.errors import BackendError, InternalError, Unsupported
from graphwright.capture import (
    Callee,
    Captured,
    CaptureOptions,
    Continuation,
    Foreseen,
    ProgramRaised,
    capture_call,
    code_of_target,
    take_foreseen,
)
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.program import Program
from graphwright.ir.program_text import render_guard, verify_program
from graphwright.pipeline.code_table import CODES
from graphwright.pipeline.dynamic import SymbolChoice
from graphwright.pipeline.explain import REPORT, report_of
from graphwright.pipeline.freezing import fold_function, frozen_inputs, with_frozen_guard
from graphwright.pipeline.graph_runs import make_graph_run
from graphwright.pipeline.jobs import Job, tell_break
from graphwright.pipeline.options import BackendFunction, BackendKind
from graphwright.pipeline.planning import load_kernels, lower_program
from graphwright.runtime import Entry, Run, global_state_kept, make_backend_entry, make_entry


def build_entry(job: Job) -> Entry:
    """Compile one call.

    Raises:
        Unsupported: something in the program cannot be captured.
        BackendError: the user's backend raised.
    """
    return entry_of(job, capture_job(job))


def capture_job(job: Job) -> Captured:
    """Capture the job's call.

    Raises:
        Unsupported: something in the program cannot be captured.
    """
    with job.observer.span("capture"):
        captured = _capture(job)
    counters.add("capture", "frames")
    if captured.program.graph.nodes:
        counters.add("capture", "graphs")
    tell_break(captured.program)
    if job.settings.verify:
        verify_program(captured.program)
    job.observer.artifact("graph", lambda: _render_torch_graph(captured))
    job.observer.artifact("guards", lambda: _render_guards(captured))
    return captured


def _capture(job: Job) -> Captured:
    """Capture the job's call with the symbols that are chosen for it.

    What symbols are in the way of is captured without; what cannot be captured without either is captured as far as a graph break.
    """
    can_break = job.make_go_on is not None
    static = CaptureOptions(
        codes=CODES,
        on_fault=job.on_fault,
        foreseen=_take_foreseen(job),
        has_backward=job.options.backend in (BackendKind.NATIVE, BackendKind.ATEN),
    )
    choice = SymbolChoice(job.options.dynamic, job.earlier)
    symbolic = dataclasses.replace(
        static,
        dynamic_dims=choice.dims_of,
        symbol_ranges=choice.ranges,
        dynamic_ints=choice.int_symbol,
        is_open=choice.is_open,
        may_break=lambda: can_break and choice.is_empty,
    )
    broken = dataclasses.replace(symbolic, may_break=lambda: can_break)
    for way in (symbolic, static, broken):
        found = _try_capture(job, way)
        if isinstance(found, Captured):
            if way is static:
                counters.add("capture", "static_again")
            choice.check_demands(found.program)
            return found
        if choice.is_empty or way is broken:
            try:
                raise found
            finally:
                del found  # it would be part of a cycle with its own traceback
    message = "every way to capture a call gives a program or raises"
    raise InternalError(message)


def _take_foreseen(job: Job) -> Foreseen | None:
    """Give what is known of the job's call, where it is that of a function that a break was met in."""
    is_callee = isinstance(job.target, Callee)
    return take_foreseen(code_of_target(job.target, job.args)) if is_callee else None


def _try_capture(job: Job, options: CaptureOptions) -> Captured | Unsupported | ProgramRaised:
    """Capture the job's call, or give why it cannot be (given, not raised: the next attempt must not run inside a handler)."""
    try:
        return capture_call(job.target, job.args, job.kwargs, options=options)
    except (Unsupported, ProgramRaised) as error:
        return error


def _render_guards(captured: Captured) -> str:
    program = captured.program
    return "\n".join(render_guard(guard, program.pins) for guard in program.guards)


def _render_torch_graph(captured: Captured) -> str:
    return str(captured.torch_graph.print_readable(print_output=False))


def entry_of(job: Job, captured: Captured) -> Entry:
    """Make the entry of a captured program.

    Raises:
        Unsupported: it cannot be run as it was captured.
        BackendError: the user's backend raised.
    """
    entry = _make_entry(job, captured)
    job.observer.artifact("output_code", lambda: entry.source)
    job.observer.artifact(REPORT, lambda: msgspec.json.encode(report_of(entry)).decode())
    return entry


def _make_entry(job: Job, captured: Captured) -> Entry:
    settings, observer, program = job.settings, job.observer, captured.program
    go_on = _make_go_on(job, captured)
    is_native = job.options.backend is BackendKind.NATIVE
    is_planned = captured.joint is None and not captured.writes_history
    if is_native and is_planned and not program.graph.symbols:
        frozen = frozen_inputs(program, captured.inputs) if settings.freezing else ()
        plan, kernels = lower_program(program.graph, settings, observer, frozen)
        program = with_frozen_guard(program, plan.fold)
        code = load_kernels(plan, kernels, settings, observer)
        with observer.span("runtime"):
            return make_entry(
                program,
                plan,
                code,
                target=job.target,
                live_pins=captured.live_pins,
                kernel_texts=[render_kernel(kernel) for kernel in kernels],
                wrapper=settings.wrapper,
                go_on=go_on,
                compute=fold_function(plan.fold),
            )
    return make_backend_entry(
        program,
        _run_for(job, captured),
        target=job.target,
        live_pins=captured.live_pins,
        wrapper=settings.wrapper,
        go_on=go_on,
    )


def _run_for(job: Job, captured: Captured) -> Run:
    """Make what runs a captured graph where no plan does."""
    match job.options.backend:
        case (BackendKind.NATIVE | BackendKind.ATEN) as kind:
            return _run_with_gradients(job, captured, kind)
        case BackendKind.EAGER:
            return _run_as_captured(job, captured)
        case _ if not captured.program.graph.nodes and _is_part(job, captured.program):
            return _run_with_gradients(job, captured, BackendKind.ATEN)
        case backend:
            return _run_of(_call_backend(backend, captured), captured)


def _run_as_captured(job: Job, captured: Captured) -> Run:
    """Make the run of a torch-level graph; where a functional transform leaves none, of the ATen graph."""
    if captured.trace.hides_calls:
        return _run_with_gradients(job, captured, BackendKind.ATEN)
    return _run_of(captured.torch_graph, captured)


def _run_with_gradients(job: Job, captured: Captured, kind: BackendKind) -> Run:
    if captured.writes_history:
        counters.add("eager", "history")
        return _run_of(captured.torch_graph, captured)
    return make_graph_run(
        captured.program,
        captured.joint,
        kind,
        job.settings,
        job.observer,
        sizes=captured.symbol_values,
    )


def _is_part(job: Job, program: Program) -> bool:
    """Tell whether a program is a part of a function that graph breaks divide."""
    return program.ends_at is not None or isinstance(job.target, Continuation)


def _make_go_on(job: Job, captured: Captured) -> Callable[..., Any] | None:
    ends_at = captured.program.ends_at
    if ends_at is None or job.make_go_on is None:
        return None
    code = captured.live_pins[ends_at.code_pin]
    assert isinstance(code, types.CodeType), "a break is in code"
    return job.make_go_on(ends_at, code, captured.foreseen)


def _call_backend(backend: BackendFunction, captured: Captured) -> Callable[..., Any]:
    names = captured.trace.int_symbols
    inputs = [*(captured.symbol_values[name] for name in names), *captured.inputs]
    try:
        return backend(captured.torch_graph, inputs)
    except Exception as error:
        name = getattr(backend, "__qualname__", type(backend).__qualname__)
        message = f"the backend {name} raised {type(error).__name__}: {error}"
        raise BackendError(message) from error


def _run_of(function: Callable[..., Any], captured: Captured) -> Run:
    """Make the run of a function that takes what the torch-level graph does: symbolic ints, then tensors."""
    order = [binding.symbol for binding in captured.program.symbols]
    places = [order.index(name) for name in captured.trace.int_symbols]

    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        # A piece that leaves a block it began in sets a mode; what it sets is set when its results have been made.
        with global_state_kept():
            outputs: Sequence[torch.Tensor] = function(
                *[symbols[place] for place in places], *inputs
            )
        return outputs

    return run
