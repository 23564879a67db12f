"""Gradients at call time.

In: what runs the forward and the backward graphs of a program.   Out: `Run`, whose outputs autograd can differentiate.
Keeps: what is saved for the backward pass is saved through autograd, so that an in-place change of it is an error as in eager, and
saved-tensor hooks see it. Does not: differentiate twice; gradients of gradients raise an error that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from graphwright.ir.aten import TensorMeta, ViewKind
from graphwright.ir.lookups import unmark
from graphwright.ir.symint import Dim
from graphwright.runtime.entry import Run
from graphwright.runtime.tensors import mark_view

_ONCE: Final = (
    b"gradients of what graphwright has compiled cannot be differentiated once more: "
    b"call torch.autograd.grad(..., create_graph=True) inside the compiled function, or run it eagerly (gw.disable)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOutput:
    """An output with a gradient that shares memory with an input or an earlier output: autograd makes it, as a view."""

    index: int
    meta: TensorMeta
    base_meta: TensorMeta
    of_input: int | None
    of_output: int | None
    is_base_itself: bool
    """The very tensor object, not a view of it."""
    kind: ViewKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardRun:
    """The backward half of the outputs whose gradients are sent back together."""

    run: Run
    """Saved inputs, saved values, tangents → gradients."""
    saved_inputs: tuple[int, ...]
    """Inputs that it reads."""
    saved_values: tuple[int, ...]
    """Which of the values that the forward half saved it reads."""
    tangent_outputs: tuple[int, ...]
    """The outputs, in the order of the tangents."""
    tangent_metas: tuple[TensorMeta, ...]
    """The layout in which it takes each tangent."""
    gradient_inputs: tuple[int, ...]
    """Inputs that the gradients belong to, in order."""
    tangents_of_gradients: tuple[tuple[int, ...], ...]
    """The numbers of the tangents that each gradient depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientRuns:
    """The halves of a program."""

    forward: Run
    """Inputs → the program's outputs, then the saved values."""
    backward: tuple[BackwardRun, ...]
    num_outputs: int
    inputs_apart: tuple[int, ...] = ()
    """Inputs that require a gradient and that none is sent to: autograd is not to look at their histories."""
    shared_outputs: tuple[SharedOutput, ...] = ()


class _Program(torch.autograd.Function):
    """A program whose outputs send their gradients back together."""

    @staticmethod
    def forward(
        ctx: Any, runs: GradientRuns, *inputs: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        results = runs.forward(inputs, ())
        outputs: list[torch.Tensor | None] = list(results[: runs.num_outputs])
        (half,) = runs.backward
        for shared in runs.shared_outputs:
            outputs[shared.index] = None
        ctx.half, ctx.num_inputs = half, len(inputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            *(inputs[index] for index in half.saved_inputs), *results[runs.num_outputs :]
        )
        tangents = set(half.tangent_outputs)
        ctx.mark_non_differentiable(
            *(
                output
                for index, output in enumerate(outputs)
                if index not in tangents and output is not None
            )
        )
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        half: BackwardRun = ctx.half
        found = _gradients(half, ctx, [tangents[index] for index in half.tangent_outputs])
        gradients: list[torch.Tensor | None] = [None] * ctx.num_inputs
        for index, gradient in zip(half.gradient_inputs, found, strict=True):
            gradients[index] = gradient
        return None, *gradients


class _Part(torch.autograd.Function):
    """The outputs of a program that send their gradients back together, once they are computed."""

    @staticmethod
    def forward(
        ctx: Any,
        half: BackwardRun,
        outputs: Sequence[torch.Tensor | None],
        saved: Sequence[torch.Tensor],
        *inputs: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        ctx.half, ctx.num_inputs = half, len(inputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*saved)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        gradients = _gradients(ctx.half, ctx, tangents)
        return None, None, None, *(gradients or [None] * ctx.num_inputs)


def _gradients(
    half: BackwardRun, ctx: Any, tangents: Sequence[torch.Tensor | None]
) -> list[torch.Tensor | None]:
    """Give the gradients; as in eager, none for inputs that no output leads to of which a gradient came in."""
    saved: Sequence[torch.Tensor] = ctx.saved_tensors
    with torch.no_grad():
        laid_out = [
            _laid_out(tangent, meta)
            for tangent, meta in zip(tangents, half.tangent_metas, strict=True)
        ]
        try:
            found = half.run((*saved, *laid_out), ())
        except Exception as error:
            unmark(error)  # it may go through a call that has changed something
            raise
    gradients = [
        None if numbers and all(tangents[number] is None for number in numbers) else gradient
        for gradient, numbers in zip(found, half.tangents_of_gradients, strict=True)
    ]
    if not torch.is_grad_enabled():  # as it is where nobody wants gradients of gradients
        return gradients
    known = [tangent for tangent in tangents if tangent is not None]
    depends = bool(half.saved_values) or any(tensor.requires_grad for tensor in (*saved, *known))
    return _differentiable_once(gradients) if depends else gradients


def _differentiable_once(gradients: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Let gradients raise where gradients of them are asked for: without a history, these would be lost without a word."""
    wanted = [gradient.detach().requires_grad_() for gradient in gradients if gradient is not None]
    refuse: Any = torch._C._functions.DelayedError(_ONCE, len(wanted))  # noqa: SLF001  (what PyTorch's own decorator uses)
    refusing = refuse(*wanted)
    rest = iter(refusing if isinstance(refusing, tuple) else (refusing,))
    return [None if gradient is None else next(rest) for gradient in gradients]


def make_gradient_run(runs: GradientRuns) -> Run:
    """Make the run of a program whose outputs can be differentiated."""
    tangents = frozenset(index for half in runs.backward for index in half.tangent_outputs)
    apply = _apply_whole if len(runs.backward) == 1 else _apply_parts

    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        del symbols  # a static graph has none
        given = list(inputs)
        for index in runs.inputs_apart:
            given[index] = given[index].detach()
        if torch.is_grad_enabled():
            outputs = _with_views(runs, inputs, apply(runs, given))
        else:  # the program turned gradients on for some of its outputs
            with torch.enable_grad():
                outputs = _with_views(runs, inputs, apply(runs, given))
        return [
            # autograd leaves a view of an input attached to it, whatever the function said
            output.detach() if output.requires_grad and index not in tangents else output
            for index, output in enumerate(outputs)
        ]

    return run


def _apply_whole(runs: GradientRuns, inputs: Sequence[torch.Tensor]) -> list[Any]:
    return list(_Program.apply(runs, *inputs))  # type: ignore[no-untyped-call]


def _apply_parts(runs: GradientRuns, inputs: Sequence[torch.Tensor]) -> list[Any]:
    """Run the program, then give the outputs of each part a history of their own."""
    with torch.no_grad():
        results = runs.forward(inputs, ())
    outputs: list[Any] = list(results[: runs.num_outputs])
    values = results[runs.num_outputs :]
    for shared in runs.shared_outputs:
        outputs[shared.index] = None
    for half in runs.backward:
        # one that sends nothing back has a history all the same
        sources = half.gradient_inputs or range(len(inputs))
        made = _Part.apply(  # type: ignore[no-untyped-call]
            half,
            [outputs[index] for index in half.tangent_outputs],
            [
                *(inputs[index] for index in half.saved_inputs),
                *(values[place] for place in half.saved_values),
            ],
            *(inputs[index] for index in sources),
        )
        for index, output in zip(half.tangent_outputs, made, strict=True):
            outputs[index] = output
    return outputs


def _with_views(
    runs: GradientRuns, inputs: Sequence[torch.Tensor], outputs: list[Any]
) -> Sequence[torch.Tensor]:
    """Put in the outputs that are views of inputs and other outputs."""
    for shared in runs.shared_outputs:
        base = (
            inputs[shared.of_input]
            if shared.of_input is not None
            else outputs[shared.of_output or 0]
        )
        outputs[shared.index] = (
            base if shared.is_base_itself else mark_view(shared.kind, _view_of(base, shared))
        )
    return outputs


def _view_of(base: torch.Tensor, shared: SharedOutput) -> torch.Tensor:
    """Make an output as a view that has a history: of numbers of the base's dtype, of their parts, or of pairs of them."""
    shape, strides = _ints(shared.meta.shape), _ints(shared.meta.strides)
    (offset,), (base_offset,) = _ints((shared.meta.offset,)), _ints((shared.base_meta.offset,))
    is_complex = shared.meta.dtype.is_complex
    if is_complex == shared.base_meta.dtype.is_complex:
        return base.as_strided(shape, strides, base.storage_offset() + offset - base_offset)
    if not is_complex:
        parts = torch.view_as_real(base)
        return parts.as_strided(shape, strides, parts.storage_offset() + offset - 2 * base_offset)
    pairs = base.as_strided(
        (*shape, 2),
        (*(2 * stride for stride in strides), 1),
        base.storage_offset() + 2 * offset - base_offset,
    )
    return torch.view_as_complex(pairs)


def _ints(extents: Sequence[Dim]) -> tuple[int, ...]:
    """Give the extents of a static graph."""
    return tuple(int(extent) for extent in extents if isinstance(extent, int))


def _laid_out(tangent: torch.Tensor | None, meta: TensorMeta) -> torch.Tensor:
    shape, strides = _ints(meta.shape), _ints(meta.strides)
    dtype, device = meta.dtype.torch_dtype, meta.device
    if tangent is None:
        return torch.empty_strided(shape, strides, dtype=dtype, device=device).zero_()
    if tangent.stride() == strides and not tangent.is_conj() and not tangent.is_neg():
        return tangent
    return torch.empty_strided(shape, strides, dtype=dtype, device=device).copy_(tangent)
