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
from graphwright.runtime.entry import Run


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


class _Program(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, runs: GradientRuns, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = runs.forward(inputs, ())
        outputs, saved = results[: runs.num_outputs], results[runs.num_outputs :]
        ctx.runs, ctx.num_inputs = runs, len(inputs)
        ctx.save_for_backward(*(inputs[index] for index in runs.saved_inputs), *saved)
        tangents = set(runs.tangent_outputs)
        ctx.mark_non_differentiable(
            *(output for index, output in enumerate(outputs) if index not in tangents)
        )
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
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

    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        del symbols  # a static graph has none
        outputs: Sequence[torch.Tensor] = _Program.apply(runs, *inputs)  # type: ignore[no-untyped-call]
        return outputs

    return run


def _laid_out(tangent: torch.Tensor, meta: TensorMeta) -> torch.Tensor:
    strides = tuple(int(stride) for stride in meta.strides if isinstance(stride, int))
    if tangent.stride() == strides and not tangent.is_conj() and not tangent.is_neg():
        return tangent
    made = torch.empty_strided(
        tuple(tangent.shape), strides, dtype=tangent.dtype, device=tangent.device
    )
    return made.copy_(tangent)
