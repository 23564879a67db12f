"""The comptime code that one call has run, so that it runs once where the call is captured again.

A capture that meets a graph break is thrown away and made again up to the break. It is the same capture up to there, and comptime code
that changed nothing in the first attempt gives in the second what it gave then, without being run.

In: what each piece of comptime code gave, in order.   Out: the same, to a later attempt.
Does not: keep what belongs to an attempt (tensors, proxies), nor spare code that changed the program: that runs in each attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from graphwright.capture.missing import ABSENT, Missing

Outcome = bool | None | Missing
"""What the code gave; `ABSENT`: it is to run again."""


@final
class Blocks:
    """The outcomes of the comptime code of one call.

    Args:
        outcomes: those of code that has run already.
    """

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self._outcomes: Final[list[Outcome]] = list(outcomes)
        self._next = 0

    def rewind(self) -> None:
        """Begin another attempt."""
        self._next = 0

    def rest(self) -> tuple[Outcome, ...]:
        """Give those that this attempt has not come to."""
        return tuple(self._outcomes[self._next :])

    def take(self) -> Outcome:
        """Give the outcome of the next piece of code, or `ABSENT` when it has to run."""
        if self._next == len(self._outcomes):
            self._outcomes.append(ABSENT)
        self._next += 1
        return self._outcomes[self._next - 1]

    def keep(self, outcome: Outcome) -> None:
        """Keep the outcome of the code that `take` was asked for last."""
        self._outcomes[self._next - 1] = outcome
