"""Gradients at call time.

In: what runs the forward and the backward graph of a program.   Out: `Run`, whose outputs autograd can differentiate.
Keeps: what is saved for the backward pass is saved through autograd, so that an in-place change of it is an error as in eager, and
saved-tensor hooks see it. Does not: differentiate twice; that is an error of autograd's, which says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graphwright.ir.aten import TensorMeta
from graphwright.ir.symint import Dim
from graphwright.runtime.entry import Run


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientRuns:
    """The two halves of a program."""

    forward: Run
    """Inputs → the program's outputs, then the saved values."""
    backward: Run
    """Saved inputs, saved values, tangents → gradients."""
    num_outputs: int
    saved_inputs: tuple[int, ...]
    """Inputs that the backward half reads."""
    tangent_outputs: tuple[int, ...]
    """Outputs that have a gradient, in the order of the tangents."""
    tangent_metas: tuple[TensorMeta, ...]
    """The layout in which the backward half takes each tangent."""
    gradient_inputs: tuple[int, ...]
    """Inputs that the gradients belong to, in order."""
    inputs_apart: tuple[int, ...] = ()
    """Inputs that require a gradient and that none is sent to: autograd is not to look at their histories."""
    shared_outputs: tuple[SharedOutput, ...] = ()


class _Program(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, runs: GradientRuns, *inputs: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        results = runs.forward(inputs, ())
        outputs: list[torch.Tensor | None] = list(results[: runs.num_outputs])
        saved = results[runs.num_outputs :]
        for shared in runs.shared_outputs:
            outputs[shared.index] = None
        ctx.runs, ctx.num_inputs = runs, len(inputs)
        ctx.save_for_backward(*(inputs[index] for index in runs.saved_inputs), *saved)
        tangents = set(runs.tangent_outputs)
        ctx.mark_non_differentiable(
            *(
                output
                for index, output in enumerate(outputs)
                if index not in tangents and output is not None
            )
        )
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        runs: GradientRuns = ctx.runs
        laid_out = [
            _laid_out(tangents[index], meta)
            for index, meta in zip(runs.tangent_outputs, runs.tangent_metas, strict=True)
        ]
        found = runs.backward((*ctx.saved_tensors, *laid_out), ())
        gradients: list[torch.Tensor | None] = [None] * ctx.num_inputs
        for index, gradient in zip(runs.gradient_inputs, found, strict=True):
            gradients[index] = gradient
        return None, *gradients


def make_gradient_run(runs: GradientRuns) -> Run:
    """Make the run of a program whose outputs can be differentiated."""
    tangents = frozenset(runs.tangent_outputs)

    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        del symbols  # a static graph has none
        if torch.is_grad_enabled():
            outputs = _apply(runs, inputs)
        else:  # the program turned gradients on for some of its outputs
            with torch.enable_grad():
                outputs = _apply(runs, inputs)
        return [
            # autograd leaves a view of an input attached to it, whatever the function said
            output.detach() if output.requires_grad and index not in tangents else output
            for index, output in enumerate(outputs)
        ]

    return run


def _apply(runs: GradientRuns, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    given = list(inputs)
    for index in runs.inputs_apart:
        given[index] = given[index].detach()
    outputs: list[Any] = list(_Program.apply(runs, *given))  # type: ignore[no-untyped-call]
    for shared in runs.shared_outputs:
        base = (
            inputs[shared.of_input]
            if shared.of_input is not None
            else outputs[shared.of_output or 0]
        )
        outputs[shared.index] = base if shared.is_base_itself else _view_of(base, shared)
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
