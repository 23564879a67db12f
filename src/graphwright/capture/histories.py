"""What autograd will find of a captured program: the same histories as in eager, or a refusal.

In: the machine at the program's end, the graph's outputs.   Out: `Histories`: forward and backward in one graph, where it was asked for.
Does not: cut that graph in two (`graph/partition.py`), nor run it (`runtime/autograd.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from graphwright.capture.effects import iter_changed_values
from graphwright.capture.machine import Machine
from graphwright.ir.joint import Joint, writes_to_history
from graphwright.record import GRADIENTS_OF_STAND_INS, try_finish_joint


class Histories(NamedTuple):
    """What is known of them."""

    joint: Joint | None
    """Forward and backward in one graph; None where it was not asked for, or no output needs a gradient."""
    are_written: bool
    """The program writes to a tensor whose history autograd keeps by the operations as they happen."""


def follow_histories(
    machine: Machine, outputs: Sequence[torch.Tensor], *, has_backward: bool
) -> Histories:
    """Check that autograd will find of each output, and of each input, what it would find in eager, and record the gradients.

    Args:
        machine: the machine, at the program's end.
        outputs: the graph's outputs.
        has_backward: gradients are computed by a graph of their own.

    Raises:
        Unsupported: it will not.
    """
    _check(machine, outputs, has_backward=has_backward)
    are_written = machine.recorder.writes_history()
    joint = _try_joint(machine, outputs) if has_backward else None
    # While gradients are off, a leaf may be written to, too: what is saved of it for the backward pass is then no more what it was.
    are_written |= joint is not None and writes_to_history(joint.graph)
    return Histories(joint, are_written)


def _check(machine: Machine, outputs: Sequence[torch.Tensor], *, has_backward: bool) -> None:
    for tensor in outputs:
        if not tensor.requires_grad:
            continue
        if tensor.is_leaf and not tensor._is_view() and machine.world.source_of(tensor) is None:  # noqa: SLF001  (no public name)
            raise machine.unmakeable(
                tensor,
                "a tensor made in the program that requires a gradient of its own",
                why="the gradient would be that of a tensor inside the graph",
                remedy="make it outside the compiled function",
            )
        if has_backward and not any(one.requires_grad for one in machine.recorder.inputs):
            raise machine.unmakeable(
                tensor,
                "a result with a history that begins in the program",
                why="gradients are sent back to the tensors that it is given, of which none requires one",
                remedy="return result.detach(), or make the tensors that require gradients outside",
            )
        if machine.freed_histories:
            raise machine.unmakeable(
                machine.freed_histories[0],
                "torch.autograd.grad without retain_graph, and a result with a history",
                why="the history was let go of, and cannot be followed once more",
                remedy="return result.detach(), or give retain_graph=True",
            )
    for tensor in machine.recorder.inputs:
        if tensor.is_leaf and GRADIENTS_OF_STAND_INS.get(tensor) is not None:
            raise machine.unsupported(
                "a backward pass inside PyTorch's own code",
                why="it adds to the gradients of tensors that existed before",
                remedy="call it outside the compiled function",
            )


_REFUSED_GRADIENT: Final = re.compile(
    r"modified by an inplace operation|derivative for .* is not implemented"
)
"""What autograd says of a program that is right but for its gradients; other errors may be the program's own, which eager will tell."""


def _try_joint(machine: Machine, outputs: Sequence[torch.Tensor]) -> Joint | None:
    """Record the gradients; the user's own code for some is interpreted.

    Raises:
        Unsupported: that code changes something, at another time than in eager; or PyTorch refuses the gradients, as eager would only
            when they are asked for.
    """
    before = list(map(id, iter_changed_values(machine)))
    try:
        with machine.recorder:
            joint = try_finish_joint(machine.recorder, outputs)
    except RuntimeError as error:
        if not _REFUSED_GRADIENT.search(str(error)):
            raise
        raise machine.unsupported(
            "a result whose gradient PyTorch refuses",
            why=str(error).partition("\n")[0],
            remedy="call it under torch.no_grad() if no gradient is wanted, or return result.detach()",
        ) from error
    if list(map(id, iter_changed_values(machine))) != before:
        raise machine.unsupported(
            "a backward() of an autograd.Function that changes objects",
            why="they would be changed when the program is called, not when gradients are computed",
            remedy="keep what it has to remember on its context, or call it outside the compiled function",
        )
    return joint
