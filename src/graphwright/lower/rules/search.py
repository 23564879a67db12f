"""Where values belong in sorted sequences: halving, with one lookup a step. One row an overload.

In: nothing.   Out: `SEARCHES`, overload name → `ElementRow`.
Keeps: the steps are eager's, so that what it finds in sequences that are not sorted, or hold NaN, is found here. All values of a
vector take as many steps; one that has arrived stays where it is, and each place that is looked at is one of the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import AtenNode, LiteralArg
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, flag_of, is_given
from graphwright.ir.ops import ScalarOp
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values


def _search(position: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Search the sequence that is the argument at `position` for the elements of the other of the first two."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        builder = reader.builder
        shape = shape_of(reader.values, node, position)
        lines = indices[: len(shape) - 1]
        value = reader.operand(node, 1 - position, indices)
        wide = computation_dtype(value.dtype)
        value = builder.cast(value, wide)
        is_past = ScalarOp.GT if _is_right(node) else ScalarOp.GE
        one, last = builder.const(1, DType.INT64), builder.const(shape[-1] - 1, DType.INT64)
        start, stop = builder.const(0, DType.INT64), builder.const(shape[-1], DType.INT64)
        for _ in range(shape[-1].bit_length()):
            length = builder.compute(ScalarOp.SUB, (stop, start), DType.INT64)
            half = builder.compute(ScalarOp.SHIFT_RIGHT, (length, one), DType.INT64)
            middle = builder.compute(ScalarOp.ADD, (start, half), DType.INT64)
            inside = builder.compute(ScalarOp.MINIMUM, (middle, last), DType.INT64)
            place = builder.dynamic_index(inside, shape[-1])
            met = builder.cast(reader.operand(node, position, (*lines, place)), wide)
            goes_left = builder.compute(is_past, (met, value), DType.BOOL)
            has_arrived = builder.compute(ScalarOp.GE, (start, stop), DType.BOOL)
            stays = builder.compute(ScalarOp.BITWISE_OR, (goes_left, has_arrived), DType.BOOL)
            after = builder.compute(ScalarOp.ADD, (middle, one), DType.INT64)
            start = builder.compute(ScalarOp.WHERE, (stays, start, after), DType.INT64)
            stop = builder.compute(ScalarOp.WHERE, (goes_left, middle, stop), DType.INT64)
        return start

    return element


def _is_right(node: AtenNode) -> bool:
    return flag_of(node, 3, "right") or argument(node, 4, "side") == LiteralArg("right")


def _can_search(position: int) -> Callable[[Values, AtenNode], bool]:
    """Tell whether eager would search: it refuses other dtypes and shapes, and sides that contradict each other."""

    def serves(values: Values, node: AtenNode) -> bool:
        sequence, value = (ref_of(node.args[place]) for place in (position, 1 - position))
        shape, wanted = values.layouts[sequence].shape, values.layouts[value].shape
        is_listed = len(shape) == 1 or (position == 0 and shape[:-1] == wanted[:-1])
        is_left = argument(node, 4, "side") == LiteralArg("left")
        return (
            0 < len(shape) <= max(len(wanted), 1)
            and is_listed
            and values.layouts[sequence].numel > 0
            and values.dtype(sequence) is values.dtype(value)
            and not is_given(node, 5, "sorter")
            and not (is_left and flag_of(node, 3, "right"))
        )

    return serves


SEARCHES: Final[Mapping[str, ElementRow]] = rows(
    ElementRow("aten.bucketize.Tensor", _search(1), _can_search(1), cost=40),
    ElementRow("aten.searchsorted.Tensor", _search(0), _can_search(0), cost=40),
)
