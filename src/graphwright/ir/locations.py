"""Where in the user's source something came from.

In: nothing.   Out: `Loc`, carried by every node of every IR.
"""

from __future__ import annotations

from graphwright.ir.data import Data


class Loc(Data, frozen=True):
    """A line of the user's program."""

    file: str
    line: int
    function: str

    def render(self) -> str:
        """Give `file:line in function`."""
        return f"{self.file}:{self.line} in {self.function}"
