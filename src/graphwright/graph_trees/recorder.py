"""What a recorder must do: run a function once so that it can be run again without it.

In: a function of a list of inputs.   Out: `Recorded`, its outputs and a way to make them again from other inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from graphwright.base.errors import GraphwrightError

Value = object
"""A tensor, or any other value that a function takes or gives."""
RecordableFunction = Callable[[list[Value]], Sequence[Value]]


class CannotReplay(GraphwrightError):  # noqa: N818  (an answer, not a fault: the function is run as it is)
    """A function did something that cannot be replayed; it has run, and its outputs are good.

    Args:
        reason: what it did, to be read after "skipping cudagraphs due to".
        outputs: what the run gave.
    """

    def __init__(self, reason: str, *, outputs: Sequence[Value]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outputs = tuple(outputs)


class Replay(Protocol):
    """Does again what was recorded."""

    def __call__(self, inputs: Sequence[Value]) -> Sequence[Value]:
        """Give the outputs for these inputs, in memory of their own, aliasing inputs where the function's did."""


class Recorded:
    """A run of a function, and how to repeat it."""

    def __init__(
        self,
        outputs: Sequence[Value],
        replay: Replay,
        *,
        captured: Sequence[torch.Tensor] = (),
    ) -> None:
        self.outputs = tuple(outputs)
        self.replay = replay
        self.captured = tuple(captured)
        """Tensors that the function used without being given them."""


class Recorder(Protocol):
    """Records functions on one kind of device."""

    def record(
        self, function: RecordableFunction, inputs: list[Value], may_mutate: Sequence[bool]
    ) -> Recorded:
        """Run `function` (which may empty `inputs`) and note what it does.

        Args:
            function: what to run.
            inputs: its inputs.
            may_mutate: for each input, whether a replay may write to it (its memory is the same each time).

        Raises:
            CannotReplay: it has run, but cannot be replayed.
        """


def tensor_key(value: Value) -> Value:
    """Give what a recording depends on of an input: all of a plain value, the layout of a tensor."""
    if isinstance(value, torch.Tensor):
        return (
            value.dtype,
            value.device,
            tuple(value.shape),
            value.stride(),
            value.is_conj(),
            value.is_neg(),
        )
    return type(value), value
