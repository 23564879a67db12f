"""What of eager's arithmetic a program keeps.

In: nothing.   Out: `Numerics`, which the settings become, for the passes, the lowering and code generation.
"""

from __future__ import annotations

from typing import Final

from graphwright.ir.data import Data


class Numerics(Data, frozen=True):
    """How close to eager's a program's numbers are, beyond the tolerance of their dtypes."""

    is_strict: bool = False
    """Pointwise ops give eager's very bits: one rounding for each of eager's, sums in eager's order; what own code cannot
    give so is called."""
    rounds_between: bool = True
    """A bfloat16 or float16 value between two ops of one kernel is rounded, as it is where eager stores it."""

    keeps_random_stream: bool = True
    """Random numbers are those that eager draws."""


DEFAULT: Final = Numerics()
