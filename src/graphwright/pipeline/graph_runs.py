"""What runs a captured graph: for any sizes, and with gradients where they are needed.

In: a program's graph, or its forward and backward in one.   Out: `Run`.

    graph, symbols → one run for each set of sizes → (with gradients: cut in two) → a plan and its code, or eager kernels

Keeps: everything is made from data, so a program of an earlier process runs as it did there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from graphwright.base.config import Config
from graphwright.base.errors import Unsupported
from graphwright.graph import BackwardHalf, execute, partition
from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.joint import Joint
from graphwright.ir.program import Program
from graphwright.ir.symint import Dim
from graphwright.observe import Observer
from graphwright.pipeline.graph_plans import plan_graph
from graphwright.pipeline.options import BackendKind
from graphwright.pipeline.sized_run import SizedRun
from graphwright.runtime import (
    BackwardRun,
    GradientRuns,
    Run,
    SharedOutput,
    can_run_again,
    has_autocast,
    make_gradient_run,
    make_plan_run,
    telling,
)


def make_graph_run(
    program: Program,
    joint: Joint | None,
    kind: BackendKind,
    settings: Config,
    observer: Observer,
    *,
    sizes: Mapping[str, int] | None = None,
) -> Run:
    """Make what runs a program's graph.

    Args:
        program: the program.
        joint: forward and backward in one, where its outputs have gradients.
        kind: own kernels, or eager ones.
        settings: how to lower.
        observer: told of the stages, where the sizes are known by now.
        sizes: the symbols' values in the first call, to be made ready for; None: each set of sizes is when it is met.

    Raises:
        Unsupported: the history of an output cannot be rebuilt.
    """
    graph = program.graph if joint is None else joint.graph

    tells = not can_run_again(program)

    def make_run(static: AtenGraph, how: BackendKind = kind) -> Run:
        # Sizes are met long after the compile, and an observer keeps all that it is told.
        of_sizes = observer if static is graph else Observer(observer.compile_id)
        return _make_static_run(static, joint, how, settings, of_sizes, tells=tells)

    if not graph.symbols:
        return make_run(graph)
    run = SizedRun(
        graph,
        [binding.symbol for binding in program.symbols],
        make_run,
        lambda static: make_run(static, BackendKind.ATEN),
        limit=settings.specialised_sizes,
    )
    if sizes is not None:
        run.prepare(tuple(sizes[name] for name in graph.symbols))
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
    joint: Joint | None,
    kind: BackendKind,
    settings: Config,
    observer: Observer,
    *,
    tells: bool,
) -> Run:
    """Make what runs a graph with no symbols: the program's, or forward and backward in one, which `joint` says how to cut.

    With `tells`, one that raises before it has changed anything tells so.
    """

    def make_run(graph: AtenGraph, *, tells: bool = False) -> Run:
        if kind is BackendKind.ATEN:
            return _make_eager_run(graph)
        plan, code = plan_graph(graph, settings, observer)
        run = make_plan_run(plan, code, wrapper=settings.wrapper)
        return telling(run, plan) if tells else run

    if joint is None:
        return make_run(graph, tells=tells)
    with observer.span("partition"):
        cut = partition(graph, joint.parts, num_outputs=joint.num_forward_outputs)
    first_tangent = len(graph.inputs) - len(joint.tangent_outputs)
    return make_gradient_run(
        GradientRuns(
            forward=make_run(cut.forward, tells=tells),
            backward=tuple(
                _backward_runs(graph.inputs[first_tangent:], joint, cut.halves, make_run)
            ),
            num_outputs=joint.num_forward_outputs,
            inputs_apart=tuple(_inputs_apart(graph.inputs[:first_tangent], joint)),
            shared_outputs=tuple(_shared_outputs(graph, joint.num_forward_outputs)),
        )
    )


def _inputs_apart(inputs: Sequence[TensorMeta], joint: Joint) -> Iterator[int]:
    """Give the inputs that require a gradient and get none; no input at all where a part sends none, but has a history all the same."""
    if all(part.num_gradients for part in joint.parts):
        for index, meta in enumerate(inputs):
            if meta.requires_grad and index not in joint.gradient_inputs:
                yield index


def _backward_runs(
    tangents: Sequence[TensorMeta],
    joint: Joint,
    halves: Sequence[BackwardHalf],
    make_run: Callable[[AtenGraph], Run],
) -> Iterator[BackwardRun]:
    """Make what sends gradients back, part by part."""
    tangent = gradient = 0
    for part, half in zip(joint.parts, halves, strict=True):
        of_tangents = slice(tangent, tangent + part.num_tangents)
        of_gradients = slice(gradient, gradient + part.num_gradients)
        yield BackwardRun(
            run=make_run(half.graph),
            saved_inputs=half.saved_inputs,
            saved_values=half.saved_values,
            tangent_outputs=joint.tangent_outputs[of_tangents],
            tangent_metas=tuple(tangents[of_tangents]),
            gradient_inputs=joint.gradient_inputs[of_gradients],
            tangents_of_gradients=half.tangents_of_gradients,
        )
        tangent, gradient = of_tangents.stop, of_gradients.stop


def _shared_outputs(graph: AtenGraph, num_outputs: int) -> Iterator[SharedOutput]:
    """Give the outputs with a gradient that are views of an input or of an earlier output."""
    for index, output in enumerate(graph.outputs[:num_outputs]):
        of_input, of_output = output.alias_of_input, output.alias_of_output
        if not output.meta.requires_grad or (of_input is None and of_output is None):
            continue
        base = (
            graph.inputs[of_input] if of_input is not None else graph.outputs[of_output or 0].meta
        )
        if not base.requires_grad or _real_dtype(base) is not _real_dtype(output.meta):
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
            kind=output.view_kind,
        )


def _real_dtype(meta: TensorMeta) -> torch.dtype:
    """Give the dtype of the numbers that autograd can view a tensor with a gradient as: of the parts, where it is complex."""
    return meta.dtype.torch_dtype.to_real()


def _covers(base: TensorMeta, view: TensorMeta) -> bool:
    """Tell whether every element of a view is one of `base`, which then must have no gaps."""
    start, stop = _span_bytes(base)
    view_start, view_stop = _span_bytes(view)
    size_bytes = math.prod(_ints(base.shape)) * base.dtype.size_bytes
    return stop - start == size_bytes and start <= view_start and view_stop <= stop


def _span_bytes(meta: TensorMeta) -> tuple[int, int]:
    """Give where the elements of a tensor begin and end in its memory."""
    (first,) = _ints((meta.offset,))
    extents = zip(_ints(meta.shape), _ints(meta.strides), strict=True)
    last = first + sum((extent - 1) * stride for extent, stride in extents)
    return first * meta.dtype.size_bytes, (last + 1) * meta.dtype.size_bytes


def _ints(dims: Sequence[Dim]) -> list[int]:
    """Give the extents of a static graph."""
    return [dim for dim in dims if isinstance(dim, int)]


def _make_eager_run(graph: AtenGraph) -> Run:
    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        del symbols  # a static graph has none
        return execute(graph, inputs, {})

    return run
