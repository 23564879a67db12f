"""Record whole functions without capture: forward alone, or forward and backward as one graph.

In:  a function of tensors and example inputs.   Out: a `Recorded` or `JointGraph`.
The function's Python runs once, natively; what it decides by Python values is decided for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import torch
from torch.autograd.graph import _engine_run_backward
from torch.utils._pytree import tree_flatten

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import AtenGraph
from graphwright.ir.guards import ShapeGuard
from graphwright.ir.joint import Joint, JointPart
from graphwright.record.abstract import AbstractTensor
from graphwright.record.histories import group_by_history
from graphwright.record.recorder import Recorder

DynamicDims = Mapping[int, Mapping[int, str]]
"""Input number → dimension → symbol name."""


class Recorded(msgspec.Struct, frozen=True):
    """A recorded function."""

    graph: AtenGraph
    """Its inputs are the example inputs, then `extra_inputs`."""
    extra_inputs: tuple[torch.Tensor, ...]
    """Real tensors that the function found by itself (parameters, globals), in the order of the graph's inputs."""
    output_spec: Any
    """How the outputs were nested (`torch.utils._pytree.TreeSpec`)."""
    shape_guards: tuple[ShapeGuard, ...] = ()
    symbol_hints: dict[str, int] = {}


class JointGraph(msgspec.Struct, frozen=True):
    """A function recorded forward and backward: the fields of `Joint`, and what else was found out.

    The inputs are the example inputs, then the extra inputs.
    """

    graph: AtenGraph
    num_forward_outputs: int
    tangent_outputs: tuple[int, ...]
    gradient_inputs: tuple[int, ...]
    parts: tuple[JointPart, ...]
    extra_inputs: tuple[torch.Tensor, ...]
    output_spec: Any
    shape_guards: tuple[ShapeGuard, ...] = ()
    symbol_hints: dict[str, int] = {}


def record_function(
    function: Callable[..., Any],
    example_inputs: Sequence[torch.Tensor],
    *,
    dynamic_dims: DynamicDims | None = None,
    has_torch_graph: bool = False,
) -> Recorded:
    """Record `function(*example_inputs)`.

    Args:
        function: takes and gives tensors (nested in tuples, lists and dicts if it likes).
        example_inputs: real tensors; their data is not read.
        dynamic_dims: which dimensions of which inputs are symbolic.
        has_torch_graph: whether to keep a torch-level graph too.

    Raises:
        Unsupported: the function reads values, or gives something else than tensors.
    """
    extra: list[torch.Tensor] = []
    recorder = _recorder(extra, has_torch_graph=has_torch_graph)
    with recorder:
        stand_ins = _add_inputs(recorder, example_inputs, dynamic_dims or {})
        outputs, spec = _run(function, stand_ins)
        recorder.check_inputs_kept()
        graph = recorder.finish(outputs)
    return Recorded(graph, tuple(extra), spec, recorder.shape_guards, dict(recorder.symbol_hints))


def record_joint(
    function: Callable[..., Any],
    example_inputs: Sequence[torch.Tensor],
    *,
    dynamic_dims: DynamicDims | None = None,
) -> JointGraph:
    """Record `function(*example_inputs)` and the gradients of its outputs with respect to its inputs.

    Parameters that the function finds by itself become extra inputs and get gradients too.

    Raises:
        Unsupported: the function reads values, gives something else than tensors, or nothing needs a gradient.
    """
    extra: list[torch.Tensor] = []
    recorder = _recorder(extra, has_torch_graph=False)
    with recorder:
        stand_ins = _add_inputs(recorder, example_inputs, dynamic_dims or {})
        outputs, spec = _run(function, stand_ins)
        recorder.check_inputs_kept()
        joint = try_finish_joint(recorder, outputs)
    if joint is None:
        raise Unsupported(
            "a backward pass of a function without gradients",
            why="no input requires a gradient, or no output depends on one",
            remedy="record the forward pass alone",
        )
    return JointGraph(
        **msgspec.structs.asdict(joint),
        extra_inputs=tuple(extra),
        output_spec=spec,
        shape_guards=recorder.shape_guards,
        symbol_hints=dict(recorder.symbol_hints),
    )


def try_finish_joint(recorder: Recorder, outputs: Sequence[torch.Tensor]) -> Joint | None:
    """Record the gradients of `outputs` in an active recorder, and finish; None where nothing needs a gradient.

    Raises:
        Unsupported: an output is a view that says it requires a gradient, and has no history to send one through.
    """
    tensors = [recorder.abstract_of(output) for output in outputs]
    for tensor in tensors:
        _check_has_history(tensor)
    wanted = [index for index, tensor in enumerate(recorder.inputs) if tensor.requires_grad]
    tangent_outputs = [index for index, tensor in enumerate(tensors) if tensor.requires_grad]
    if not wanted or not tangent_outputs:
        return None
    reached: list[tuple[int, AbstractTensor]] = []
    parts: list[JointPart] = []
    groups = group_by_history([tensors[index] for index in tangent_outputs])
    for group in groups:
        outputs_of_part = [tensors[tangent_outputs[place]] for place in group]
        gradients = record_backward(recorder, outputs_of_part, wanted, is_last=len(groups) == 1)
        found = [
            (index, gradient)
            for index, gradient in zip(wanted, gradients, strict=True)
            if gradient is not None
        ]
        reached += found
        parts.append(JointPart(len(group), len(found)))
    graph = recorder.finish(
        [*tensors, *(gradient for _, gradient in reached)],
        is_shown=False,
        num_returned=len(tensors),
    )
    return Joint(
        graph=graph,
        num_forward_outputs=len(tensors),
        tangent_outputs=tuple(tangent_outputs[place] for group in groups for place in group),
        gradient_inputs=tuple(index for index, _ in reached),
        parts=tuple(parts),
    )


def _check_has_history(output: AbstractTensor) -> None:
    """Refuse a view that was made while gradients were off: `requires_grad` is its base's, and made anew it could get a history."""
    if not (output.is_leaf and output._is_view()):  # noqa: SLF001
        return
    base = output._base  # noqa: SLF001
    if base is not None and base.requires_grad:
        met = "a result that is a view, made while gradients are off, of a tensor that requires one"
        raise Unsupported(
            met,
            why="it says that it requires a gradient, but none can be sent back through it",
            remedy="return a view of its detach(), or its clone()",
        )


def record_backward(
    recorder: Recorder,
    outputs: Sequence[AbstractTensor],
    wanted: Sequence[int],
    *,
    is_last: bool = True,
) -> list[AbstractTensor | None]:
    """Record the gradients of `outputs` with respect to the inputs numbered `wanted`, in an active recorder.

    One new input per output is added, the tangent: contiguous or as dense as the output, in the outputs' order.
    A gradient is None where nothing depends on the input. Unless it `is_last`, histories are kept for further ones.
    """
    tangents = [recorder.add_tangent(output) for output in outputs]
    sources = [recorder.inputs[index] for index in wanted]
    # `torch.autograd.grad` imports sympy to compare the tangents' shapes with the outputs'; they are alike by making.
    gradients = _engine_run_backward(
        tuple(outputs),
        tuple(tangents),
        keep_graph=not is_last,
        create_graph=False,
        inputs=tuple(sources),
        allow_unreachable=True,
        accumulate_grad=False,
    )
    return list(gradients)  # type: ignore[arg-type]  # those of stand-ins are stand-ins, or None


def _recorder(extra: list[torch.Tensor], *, has_torch_graph: bool) -> Recorder:
    recorder = Recorder(has_torch_graph=has_torch_graph)

    def add_extra(tensor: torch.Tensor) -> AbstractTensor:
        extra.append(tensor)
        return recorder.add_input(tensor)

    recorder.on_real_tensor = add_extra
    return recorder


def _add_inputs(
    recorder: Recorder, example_inputs: Sequence[torch.Tensor], dynamic_dims: DynamicDims
) -> list[AbstractTensor]:
    return [
        recorder.add_input(tensor, name=f"arg{index}_1", dynamic_dims=dynamic_dims.get(index))
        for index, tensor in enumerate(example_inputs)
    ]


def _run(
    function: Callable[..., Any], stand_ins: Sequence[AbstractTensor]
) -> tuple[list[Any], Any]:
    outputs, spec = tree_flatten(function(*stand_ins))
    for output in outputs:
        if not isinstance(output, torch.Tensor):
            raise Unsupported(
                f"an output of type {type(output).__name__}",
                why="a recorded function gives tensors",
                remedy="return tensors only",
            )
    return outputs, spec
