"""Names for the things that a process makes: programs and their variants.

In: nothing.   Out: ids that are unique in the process and short enough for a log line.
"""

from __future__ import annotations

import itertools
from typing import Final, final

import msgspec


@final
class CompileId(msgspec.Struct, frozen=True, order=True):
    """One compile: the `variant`-th (from 0) of the `program`-th function (from 0); printed as `3/1`."""

    program: int
    variant: int

    def __str__(self) -> str:
        return f"{self.program}/{self.variant}"


@final
class ProgramIds:
    """Hands out compile ids; safe to use from many threads, since `next` on a count is one step."""

    def __init__(self) -> None:
        self._numbers: Final = itertools.count()

    def next_program(self) -> CompileId:
        """Give the id of the first compile of a new program."""
        return CompileId(next(self._numbers), 0)
