"""Rows for some dtypes only.

In: an overload and its expression.   Out: a row that leaves the node to an extern call where its result is of another dtype.
"""

from __future__ import annotations

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.lower.expressions import Expression
from graphwright.lower.rules.rows import ChoiceRow


def is_double(node: AtenNode) -> bool:
    """Tell whether the result is of float64."""
    result = node.metas[0]
    return result is None or result.dtype is DType.FLOAT64


def is_narrow(node: AtenNode) -> bool:
    """Tell whether the result is of bfloat16 or float16."""
    result = node.metas[0]
    return result is not None and result.dtype in (DType.BFLOAT16, DType.FLOAT16)


def narrower_than_double(op: str, expression: Expression) -> ChoiceRow:
    """Give the row of an op that is called for float64."""

    def choose(node: AtenNode) -> Expression | None:
        return None if is_double(node) else expression

    return ChoiceRow(op, choose)


def by_dtype(
    op: str, single: Expression, double: Expression, *, serves_narrow: bool = True
) -> ChoiceRow:
    """Give the row of an op that has a shorter expression for results narrower than float64; those below float32 may be called."""

    def choose(node: AtenNode) -> Expression | None:
        if is_double(node):
            return double
        return single if serves_narrow or not is_narrow(node) else None

    return ChoiceRow(op, choose)
