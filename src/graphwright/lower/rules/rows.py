"""What a row of a rule table is.

In: nothing.   Out: the row types, and `rows`, which makes a table of them.
Keeps: an overload has one row; a second one is an error when the table is made, before anything is compiled.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.expressions import Expression
from graphwright.lower.reader import Reader
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Values


class CommonDType(enum.Enum):
    """Where a pointwise op's common dtype comes from."""

    RESULT = "result"
    """It is the result's dtype."""
    PROMOTED = "promoted"
    """It is the promotion of the operands' dtypes (the result is a bool)."""


class PointwiseRow(msgspec.Struct, frozen=True):
    """A pointwise op: each element of the result is `expression` of the operands' elements."""

    op: str
    expression: Expression
    common: CommonDType = CommonDType.RESULT
    divides: bool = False
    """An integer divided by zero is an error in eager: the second operand is checked before (`checks.py`)."""
    rounds_each: bool = False
    """Eager's kernel rounds narrow floats after each operation, and not only at the end."""


class ChoiceRow(msgspec.Struct, frozen=True):
    """A pointwise op whose expression depends on the arguments that are no tensors."""

    op: str
    choose: Callable[[AtenNode], Expression | None]
    """Gives the expression, or None where there is none: then the op is called as it is."""
    common: CommonDType = CommonDType.RESULT
    divides: bool = False
    """As of a pointwise row."""
    rounds_each: bool = False
    """As of a pointwise row."""


class Lookup(msgspec.Struct, frozen=True):
    """Indices along one axis of an operand (or of a result), which are values of another operand."""

    indices: int
    """The value that holds them."""
    axis: int
    extent: int
    """Of the axis."""
    wraps: bool = False
    """Negative ones count from the end."""
    is_checked: bool = True
    """One out of range is an error; else the op passes over it."""

    @property
    def lowest(self) -> int:
        """The least index in range."""
        return -self.extent if self.wraps else 0


def no_lookups(_values: Values, _node: AtenNode) -> tuple[Lookup, ...]:
    """Give the lookups of an op that has none."""
    return ()


class ElementRow(msgspec.Struct, frozen=True):
    """An op whose result's elements are computed one by one, from operands' elements at other indices."""

    op: str
    element: Callable[[Reader, AtenNode, tuple[Affine, ...]], Scalar]
    """Gives the element at an index."""
    can_lower: Callable[[Values, AtenNode], bool]
    """Whether `element` serves this node; else the op is called as it is."""
    cost: int = 2
    reads: bool = True
    """Elements of operands are read (not only their shapes)."""
    rereads: bool = False
    """Elements of the operand are read for several elements of the result: what is dear to compute is better in memory."""
    same_index: tuple[int, ...] = ()
    """Positions of operands that are read, if at all, at the very index of the result."""
    second: Callable[[Reader, AtenNode, tuple[Affine, ...]], Scalar] | None = None
    """Gives the element of the second result, of an op that has two of one shape."""
    lookups: Callable[[Values, AtenNode], tuple[Lookup, ...]] = no_lookups
    """Where its indices come from; it is lowered where they are known, or checked (`checks.py`), to be in range."""


class ScatterRow(msgspec.Struct, frozen=True):
    """An op that starts from given elements and goes over updates, each of which changes one element."""

    op: str
    can_lower: Callable[[Values, AtenNode], bool]
    """Whether the row serves this node; else the op is called as it is."""
    domain: Callable[[Values, AtenNode], tuple[int, ...]]
    """The shape of what there is one update for each of; they are made in row-major order."""
    place: Callable[[Reader, AtenNode, tuple[Affine, ...]], tuple[Affine, ...]]
    """The element that the update at an index changes."""
    update: Callable[[Reader, AtenNode, tuple[Affine, ...]], Scalar]
    combine: Callable[[AtenNode], ScalarOp | None]
    """(the element, the update) → the element; None where the update replaces it."""
    lookups: Callable[[Values, AtenNode], tuple[Lookup, ...]]
    """Where the places come from; along all other axes, an index of the result is the update's own."""
    initial: Callable[[Reader, AtenNode, tuple[Affine, ...]], Scalar]
    """The element of the result before all updates."""
    condition: Callable[[Reader, AtenNode, tuple[Affine, ...]], Scalar] | None = None
    """Whether there is an update at an index."""
    same_index: tuple[int, ...] = (0,)
    """Positions of operands that are read at the very index of the result."""


class ReductionPart(msgspec.Struct, frozen=True):
    """One result of a reduction."""

    op: ReduceOp
    accumulator: Callable[[DType, DType], DType]
    """(operand's dtype, result's dtype) → what values are accumulated in."""
    is_mean: bool = False
    """The sum is divided by the number of elements."""


class ReductionRow(msgspec.Struct, frozen=True):
    """A reduction of the first operand over some of its axes."""

    op: str
    axes: Callable[[Values, AtenNode], tuple[int, ...]]
    parts: tuple[ReductionPart, ...]
    """One for each result."""


class ScanState(msgspec.Struct, frozen=True):
    """What a scan carries from element to element, one value of it; result number k of the op is state k."""

    dtype: Callable[[DType, DType], DType]
    """(operand's dtype, result's dtype) → what is carried."""
    initial: Callable[[DType], str]
    """The carried dtype → the value before the first element, as the loop IR writes it."""


class ScanRow(msgspec.Struct, frozen=True):
    """A scan of the first operand along one axis."""

    op: str
    states: tuple[ScanState, ...]
    step: Callable[[ScalarBuilder, tuple[Scalar, ...], Scalar, Scalar], tuple[Scalar, ...]]
    """(builder, states, element, its index along the axis) → the next states."""
    is_dear: bool = False
    """An element takes far longer to compute than to load."""


class HasOp(Protocol):
    """A row."""

    @property
    def op(self) -> str:
        """The overload's name."""
        ...


RowT = TypeVar("RowT", bound=HasOp)


def rows(*given: RowT) -> Mapping[str, RowT]:
    """Make a table.

    Raises:
        InternalError: an overload has two rows.
    """
    table: dict[str, RowT] = {}
    for row in given:
        if row.op in table:
            message = f"{row.op} has two rows: {table[row.op]} and {row}"
            raise InternalError(message)
        table[row.op] = row
    return MappingProxyType(table)
