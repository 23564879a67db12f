"""The way of a program, top to bottom.

In: a target and the arguments of one call.   Out: an `Entry` that serves this call and those like it.

    capture → simplify → lower → codegen → runtime

Each stage is a span of the observer and leaves its artifact there. Does not: decide whether to compile (see `targets.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, final

import msgspec
import torch

from graphwright.base.config import Config, Wrapper
from graphwright.base.counters import counters
from graphwright.base.errors import BackendError, InternalError, Unsupported
from graphwright.base.logging import LogName, log
from graphwright.cache import Caches, KernelEntry, Key, Kind, make_part
from graphwright.capture import (
    Captured,
    CaptureOptions,
    Continuation,
    ProgramRaised,
    capture_call,
)
from graphwright.codegen.llvm import (
    LoadedCode,
    ObjectCode,
    compile_kernels,
    host_target,
    load_object,
)
from graphwright.graph import execute, partition, simplify
from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.aten_text import render_graph
from graphwright.ir.aten_verify import verify_graph
from graphwright.ir.loops import Kernel
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.plan import CallExtern, Plan
from graphwright.ir.plan_text import render_plan, verify_plan
from graphwright.ir.program import Break, Program
from graphwright.ir.program_text import render_guard, verify_program
from graphwright.ir.symint import Dim
from graphwright.lower import lower_graph
from graphwright.observe import Observer
from graphwright.pipeline.dynamic import SymbolChoice
from graphwright.pipeline.explain import REPORT, report_of
from graphwright.pipeline.options import BackendFunction, BackendKind, CompileOptions
from graphwright.pipeline.session import SESSION
from graphwright.pipeline.sized_run import SizedRun
from graphwright.record import JointGraph
from graphwright.runtime import (
    Entry,
    GradientRuns,
    NativeRefusal,
    Run,
    SharedOutput,
    has_autocast,
    load_native_module,
    make_backend_entry,
    make_entry,
    make_gradient_run,
    make_plan_run,
)


@final
class PlanCode:
    """The loaded code of a plan's kernels, by their symbols in the plan."""

    def __init__(self, codes: Mapping[str, LoadedCode]) -> None:
        self._codes: Final = dict(codes)

    def address(self, symbol: str) -> int:
        """Give the address of the kernel that the plan calls `symbol`."""
        code = self._codes[symbol]
        return code.address(code.symbols[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One compile: the call to compile for, and how."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: CompileOptions
    settings: Config
    observer: Observer
    make_go_on: Callable[[Break, types.CodeType], Callable[..., Any]] | None = None
    """Makes what a call goes on with after a graph break; None: a break is an error."""
    on_fault: Callable[[InternalError], None] | None = None
    """Told of a failure of the interpreter's own, which then breaks the graph; None: it is raised."""
    earlier: Sequence[Program] = ()
    """What was compiled for other calls of the target."""


def build_entry(job: Job) -> Entry:
    """Compile one call.

    Raises:
        Unsupported: something in the program cannot be captured.
        BackendError: the user's backend raised.
    """
    with job.observer.span("capture"):
        captured = _capture(job)
    counters.add("capture", "frames")
    if captured.program.graph.nodes:
        counters.add("capture", "graphs")
    if captured.program.ends_at is not None:
        _tell_break(captured.program.name, captured.program.ends_at)
    if job.settings.verify:
        verify_program(captured.program)
    job.observer.artifact("graph", lambda: _render_torch_graph(captured))
    job.observer.artifact("guards", lambda: _render_guards(captured))
    entry = _entry_of(job, captured)
    job.observer.artifact("output_code", lambda: entry.source)
    job.observer.artifact(REPORT, lambda: msgspec.json.encode(report_of(entry)).decode())
    return entry


def _tell_break(name: str, ends_at: Break) -> None:
    counters.add("capture", "graph_breaks")
    counters.add("graph_break", ends_at.met)
    text = "graph break in %s: %s\n  where: %s\n  why: %s\n  what to do: %s"
    log(LogName.GRAPH_BREAKS).info(
        text, name, ends_at.met, ends_at.location, ends_at.why, ends_at.remedy
    )


def _capture(job: Job) -> Captured:
    """Capture the job's call with the symbols that are chosen for it.

    What symbols are in the way of is captured without; what cannot be captured without either is captured as far as a graph break.
    """
    can_break = job.make_go_on is not None
    static = CaptureOptions(
        codes=SESSION.codes,
        on_fault=job.on_fault,
        has_backward=job.options.backend in (BackendKind.NATIVE, BackendKind.ATEN),
    )
    choice = SymbolChoice(job.options.dynamic, job.earlier)
    symbolic = dataclasses.replace(
        static,
        dynamic_dims=choice.dims_of,
        symbol_ranges=choice.ranges,
        dynamic_ints=choice.int_symbol,
        may_break=lambda: can_break and choice.is_empty,
    )
    broken = dataclasses.replace(symbolic, may_break=lambda: can_break)
    for way in (symbolic, static, broken):
        found = _try_capture(job, way)
        if not isinstance(found, Captured):
            if choice.is_empty or way is broken:
                raise found
            continue
        if way is static:
            counters.add("capture", "static_again")
        choice.check_demands(found.program)
        return found
    message = "every way to capture a call gives a program or raises"
    raise InternalError(message)


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


def _entry_of(job: Job, captured: Captured) -> Entry:
    settings, observer, program = job.settings, job.observer, captured.program
    go_on = _make_go_on(job, captured)
    is_native = job.options.backend is BackendKind.NATIVE
    if is_native and captured.joint is None and not program.graph.symbols:
        plan, kernels = lower_program(program.graph, settings, observer)
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
            return _make_graph_run(captured, kind, job.settings, job.observer)
        case BackendKind.EAGER:
            return _run_of(captured.torch_graph, captured)
        case _ if not captured.program.graph.nodes and _is_part(job, captured.program):
            return _make_graph_run(captured, BackendKind.ATEN, job.settings, job.observer)
        case backend:
            return _run_of(_call_backend(backend, captured), captured)


def _is_part(job: Job, program: Program) -> bool:
    """Tell whether a program is a part of a function that graph breaks divide."""
    return program.ends_at is not None or isinstance(job.target, Continuation)


def _make_go_on(job: Job, captured: Captured) -> Callable[..., Any] | None:
    ends_at = captured.program.ends_at
    if ends_at is None or job.make_go_on is None:
        return None
    code = captured.live_pins[ends_at.code_pin]
    assert isinstance(code, types.CodeType), "a break is in code"
    return job.make_go_on(ends_at, code)


def lower_program(
    graph: AtenGraph, settings: Config, observer: Observer
) -> tuple[Plan, tuple[Kernel, ...]]:
    """Simplify an ATen graph and lower it to a plan and its kernels."""
    observer.artifact("aten", lambda: render_graph(graph))
    with observer.span("simplify"):
        simple = simplify(graph)
    if settings.verify:
        verify_graph(graph)
        verify_graph(simple)
    observer.artifact("aten_simplified", lambda: render_graph(simple))
    with observer.span("lower"):
        lowered = lower_graph(simple, num_threads=num_threads_of(settings))
    if settings.verify:
        verify_plan(lowered.plan)
    observer.artifact("schedule", lambda: "\n\n".join(map(render_kernel, lowered.kernels)))
    observer.artifact("plan", lambda: render_plan(lowered.plan))
    _count(lowered.plan, lowered.kernels)
    return lowered.plan, lowered.kernels


def num_threads_of(settings: Config) -> int:
    """Give the number of threads that kernels are divided among."""
    return settings.num_threads or torch.get_num_threads()


def _count(plan: Plan, kernels: Sequence[Kernel]) -> None:
    counters.add("codegen", "kernels", len(kernels))
    counters.add("codegen", "fused_nodes", sum(len(kernel.origins) for kernel in kernels))
    counters.add(
        "codegen", "extern_calls", sum(isinstance(step, CallExtern) for step in plan.steps)
    )


def load_kernels(
    plan: Plan, kernels: Sequence[Kernel], settings: Config, observer: Observer
) -> PlanCode:
    """Give the loaded code of a plan's kernels: from memory, from the cache, or compiled now, several at a time."""
    caches = SESSION.caches(settings)
    num_threads = num_threads_of(settings)
    codes: dict[str, LoadedCode] = {}
    missing: list[tuple[str, Kernel]] = []
    with observer.span("load"):
        for ref, kernel in zip(plan.kernels, kernels, strict=True):
            code = find_kernel(ref.key, num_threads, caches)
            if code is None:
                missing.append((ref.key, kernel))
            else:
                codes[ref.key] = code
    with observer.span("codegen"):
        if missing:
            codes |= _compile_missing(missing, num_threads, caches, verify=settings.verify)
    return plan_code(plan, codes)


def prepare_runtime(settings: Config) -> None:
    """Load the native functions of the runtime, through the cache, where they are wanted.

    Where a process cannot have them, the entries say so and Python serves.
    """
    caches = SESSION.caches(settings)
    if settings.wrapper is not Wrapper.NATIVE or caches is None:
        return

    def key_of(name: str) -> Key:
        return caches.make_key(Kind.KERNEL, make_part("runtime functions", name))

    def find(name: str) -> bytes | None:
        entry = caches.kernels.get(key_of(name))
        return None if entry is None else entry.object_code

    def keep(name: str, data: bytes) -> None:
        caches.kernels.put(key_of(name), KernelEntry(object_code=data, symbols=()))

    with contextlib.suppress(NativeRefusal):
        load_native_module(find, keep)


def plan_code(plan: Plan, codes: Mapping[str, LoadedCode]) -> PlanCode:
    """Give the code of a plan; `codes` holds that of its kernels, by their keys."""
    return PlanCode({ref.symbol: codes[ref.key] for ref in plan.kernels})


def find_kernel(key: str, num_threads: int, caches: Caches | None) -> LoadedCode | None:
    """Give the loaded code of the kernel with this content, from memory or from the cache; None when it is in neither."""
    code = SESSION.find_code(key)
    if code is not None or caches is None:
        return code
    entry = caches.kernels.get(_kernel_key(key, num_threads, caches))
    if entry is None:
        return None
    found = ObjectCode((entry.object_code,), entry.symbols, host_target())
    return SESSION.keep_code(key, load_object(found))


def _kernel_key(key: str, num_threads: int, caches: Caches) -> Key:
    is_parallel = make_part("threads", "one" if num_threads == 1 else "several")
    return caches.make_key(Kind.KERNEL, make_part("loop IR", key), is_parallel)


def _compile_missing(
    missing: Sequence[tuple[str, Kernel]],
    num_threads: int,
    caches: Caches | None,
    *,
    verify: bool,
) -> dict[str, LoadedCode]:
    def compile_one(item: tuple[str, Kernel]) -> ObjectCode:
        return compile_kernels([item[1]], num_threads=num_threads, verify=verify)

    codes: dict[str, LoadedCode] = {}
    with ThreadPoolExecutor(max_workers=min(len(missing), _COMPILE_THREADS)) as pool:
        for (key, _), made in zip(missing, pool.map(compile_one, missing), strict=True):
            codes[key] = SESSION.keep_code(key, load_object(made))
            if caches is not None:
                entry = KernelEntry(object_code=made.objects[0], symbols=made.symbols)
                caches.kernels.put(_kernel_key(key, num_threads, caches), entry)
    return codes


_COMPILE_THREADS: Final = os.cpu_count() or 1


def _make_graph_run(
    captured: Captured, kind: BackendKind, settings: Config, observer: Observer
) -> Run:
    """Make what runs a captured graph, for any sizes and with gradients where they are needed."""
    program, joint = captured.program, captured.joint
    if joint is not None and _writes_to_history(joint.graph):
        counters.add("eager", "history")
        return _run_of(captured.torch_graph, captured)
    graph = program.graph if joint is None else joint.graph

    def make_run(static: AtenGraph, how: BackendKind = kind) -> Run:
        # Sizes are met long after the compile, and an observer keeps all that it is told.
        of_sizes = observer if static is graph else Observer(observer.compile_id)
        return _make_static_run(static, joint, how, settings, of_sizes)

    if not graph.symbols:
        return make_run(graph)
    run = SizedRun(
        graph,
        [binding.symbol for binding in program.symbols],
        make_run,
        lambda static: make_run(static, BackendKind.ATEN),
        limit=settings.specialised_sizes,
    )
    run.prepare(tuple(captured.symbol_values[name] for name in graph.symbols))
    return run if not has_autocast(program) else _without_autocast(run)


def _without_autocast(run: Run) -> Run:
    """Make the run of a program that was captured under autocast, which its graph has applied."""

    def run_plainly(
        inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]
    ) -> Sequence[torch.Tensor]:
        with torch.autocast("cpu", enabled=False):
            return run(inputs, symbols)

    return run_plainly


def _make_static_run(
    graph: AtenGraph,
    joint: JointGraph | None,
    kind: BackendKind,
    settings: Config,
    observer: Observer,
) -> Run:
    """Make what runs a graph with no symbols: the program's, or forward and backward in one, which `joint` says how to cut."""

    def make_run(graph: AtenGraph) -> Run:
        if kind is BackendKind.ATEN:
            return _make_eager_run(graph)
        plan, kernels = lower_program(graph, settings, observer)
        code = load_kernels(plan, kernels, settings, observer)
        return make_plan_run(plan, code, wrapper=settings.wrapper)

    if joint is None:
        return make_run(graph)
    num_tangents = len(joint.tangent_outputs)
    with observer.span("partition"):
        cut = partition(graph, num_tangents=num_tangents, num_outputs=joint.num_forward_outputs)
    return make_gradient_run(
        GradientRuns(
            forward=make_run(cut.forward),
            backward=make_run(cut.backward),
            num_outputs=cut.num_outputs,
            saved_inputs=cut.saved_inputs,
            tangent_outputs=joint.tangent_outputs,
            tangent_metas=graph.inputs[len(graph.inputs) - num_tangents :],
            gradient_inputs=joint.gradient_inputs,
            shared_outputs=tuple(_shared_outputs(graph, joint.num_forward_outputs)),
        )
    )


def _writes_to_history(graph: AtenGraph) -> bool:
    """Tell whether a program writes to a tensor that needs a gradient.

    Autograd keeps the history of such a tensor by the operations as they happen, which two graphs cannot stand for.
    """
    return any(graph.inputs[item.input_index].requires_grad for item in graph.mutations)


def _shared_outputs(graph: AtenGraph, num_outputs: int) -> Iterator[SharedOutput]:
    """Give the outputs with a gradient that are views of an input or of an earlier output."""
    for index, output in enumerate(graph.outputs[:num_outputs]):
        of_input, of_output = output.alias_of_input, output.alias_of_output
        if not output.meta.requires_grad or (of_input is None and of_output is None):
            continue
        base = (
            graph.inputs[of_input] if of_input is not None else graph.outputs[of_output or 0].meta
        )
        if not base.requires_grad or base.dtype is not output.meta.dtype:
            met = (
                "an output that shares memory with a tensor of another dtype or without a gradient"
            )
            raise Unsupported(
                met,
                why="the history of such a view is not rebuilt after a compiled program",
                remedy="clone the tensor first, or call under torch.no_grad()",
            )
        if of_input is None and not _covers(base, output.meta):
            continue  # views of one tensor that is no output: each has a gradient of its own
        yield SharedOutput(
            index=index,
            meta=output.meta,
            base_meta=base,
            of_input=of_input,
            of_output=of_output,
            is_base_itself=output.is_input_itself,
        )


def _covers(base: TensorMeta, view: TensorMeta) -> bool:
    """Tell whether every element of a view is one of `base`, which then must have no gaps."""
    first, last = _span(base)
    view_first, view_last = _span(view)
    return (
        last - first + 1 == math.prod(_ints(base.shape))
        and first <= view_first
        and view_last <= last
    )


def _span(meta: TensorMeta) -> tuple[int, int]:
    """Give the places of the first and the last element of a tensor in its memory."""
    (first,) = _ints((meta.offset,))
    extents = zip(_ints(meta.shape), _ints(meta.strides), strict=True)
    return first, first + sum((extent - 1) * stride for extent, stride in extents)


def _ints(dims: Sequence[Dim]) -> list[int]:
    """Give the extents of a static graph."""
    return [dim for dim in dims if isinstance(dim, int)]


def _make_eager_run(graph: AtenGraph) -> Run:
    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        del symbols  # a static graph has none
        return execute(graph, inputs, {})

    return run


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
        outputs: Sequence[torch.Tensor] = function(*[symbols[place] for place in places], *inputs)
        return outputs

    return run
