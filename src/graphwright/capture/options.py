"""What a capture may be told.

In: nothing.   Out: `CaptureOptions`, and the functions that choose which sizes and numbers are not fixed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch

from graphwright.base.errors import InternalError
from graphwright.capture.foreseen import Foreseen
from graphwright.capture.frames import CodeTable
from graphwright.ir.sources import Source

DimNames = Callable[[torch.Tensor, Source], Mapping[int, str]]
"""Says which dimensions of an input are symbolic, and the names of their symbols."""


IntNames = Callable[[int, Source], str | None]
"""Gives the name of the symbol that an int met at a source becomes; None where it stays a constant."""


def no_symbolic_ints(value: int, source: Source) -> str | None:
    """Make every int a constant."""
    return None


FloatChoice = Callable[[float, Source], bool]
"""Tells whether a float met at a source is not fixed."""


def no_open_floats(value: float, source: Source) -> bool:
    """Make every float a constant."""
    return False


def no_symbolic_dims(tensor: torch.Tensor, source: Source) -> Mapping[int, str]:
    """Make every dimension static."""
    return {}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """What a capture may be told."""

    dynamic_dims: DimNames = no_symbolic_dims
    """Symbolic dimensions of each input."""
    symbol_ranges: Mapping[str, tuple[int, int | None]] = dataclasses.field(default_factory=dict)
    """Least and greatest value of symbols of sizes that have a range of their own; looked at when one is made."""
    dynamic_ints: IntNames = no_symbolic_ints
    """The symbol of each int."""
    is_open: FloatChoice = no_open_floats
    """Whether each float is not fixed."""
    has_backward: bool = False
    """Whether to record the gradients too, where outputs need them."""
    codes: CodeTable | None = None
    """What earlier captures learnt of code objects; shared to save time."""
    foreseen: Foreseen | None = None
    """What is known of the call."""
    has_late_calls: bool = True
    """Whether what asks for the values of tensors may be called after the graph, where the program does not look at the result."""
    has_late_texts: bool = True
    """Whether numbers that are not fixed may be written into texts after the graph, where the program does not look at the text."""
    on_fault: Callable[[InternalError], None] | None = None
    """Told of a failure of the interpreter's own before the graph is broken there; None: such a failure is raised."""
    may_break: Callable[[], bool] = bool
    """Asked when something cannot be captured: whether to end the program before it, rather than refuse it."""
