"""Numbers of the call that are not fixed, floats above all, and what is calculated of them before the graph runs.

In: numbers met at sources.   Out: `SymbolicNumber`: the value in the example, and the source that gives it in any call.
Keeps: whatever needs the value, or a truth about it, guards it; sums, products and the like are sources again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from graphwright.ir.calculations import FUNCTIONS, Operation
from graphwright.ir.constants import make_number
from graphwright.ir.sources import CalculatedSource, NumberSource, Source

GuardNumber = Callable[[Source, bool | float], None]
"""Guards that the number at a source is this one."""

_MOST_OPERATIONS: Final = 64
"""Operations in one calculation; a longer one, which a loop makes, needs the values of what it is made of."""


@final
class SymbolicNumber:
    """A float of the call, or an int that is calculated with beside floats.

    Args:
        value: what it is in the example.
        source: what it is in any call.
        guard: guards numbers.
        num_operations: how many operations it is calculated by.
    """

    __slots__ = ("guard", "num_operations", "source", "symfloat", "value")

    def __init__(
        self, value: float, source: Source, guard: GuardNumber, num_operations: int = 0
    ) -> None:
        self.value: Final = value
        self.source: Final = source
        self.guard: Final = guard
        self.num_operations: Final = num_operations
        self.symfloat: object = None
        """The `torch.SymFloat` made for it, if one was needed (see `symnodes.py`)."""

    def __repr__(self) -> str:
        return repr(self.value)

    def specialise(self) -> float:
        """Give the value that it has in the example, guarding that it has no other."""
        self.guard(self.source, self.value)
        return self.value


Number = SymbolicNumber | float
"""A number, fixed or not."""


def calculate(operation: Operation, *operands: Number) -> Number:
    """Give the result of an operation on numbers, some of them not fixed; a truth is guarded.

    Raises:
        ArithmeticError: Python's own function does.
        ValueError: likewise.
    """
    symbolic = [one for one in operands if isinstance(one, SymbolicNumber)]
    values = [one.value if isinstance(one, SymbolicNumber) else one for one in operands]
    count = 1 + sum(one.num_operations for one in symbolic)
    try:
        result = FUNCTIONS[operation](*values)
    except (ArithmeticError, ValueError):
        _specialise(symbolic)
        raise
    if not symbolic or type(result) not in (float, bool) or count > _MOST_OPERATIONS:
        _specialise(symbolic)
        return result  # type: ignore[no-any-return]
    source = CalculatedSource(operation, tuple(map(_source_of, operands)))
    made = SymbolicNumber(result, source, symbolic[0].guard, count)
    return made.specialise() if type(result) is bool else made


def _specialise(numbers: list[SymbolicNumber]) -> None:
    for number in numbers:
        number.specialise()


def _source_of(operand: Number) -> Source:
    if isinstance(operand, SymbolicNumber):
        return operand.source
    return NumberSource(make_number(operand))
