"""Which nodes own code computes to eager's very bits.

In: a node and how it would be lowered.   Out: whether every element comes out bit for bit as eager's kernel gives it.
Keeps: nothing is claimed of a row that this module does not know; such nodes are called under `strict_numerics`.

An element is exact where it is moved, compared or computed in integers, or where one operation that IEEE 754 defines rounds
once (`a + b`, `a / b`): all that compute it give the same. With two roundings it depends on whether eager's compiler
made a fused multiply-add of them, which differs between the vectors and the rest of one tensor; elementary functions differ
between any two libraries. A reduction is exact where the order does not matter.
"""

from __future__ import annotations

from typing import Final, assert_never

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import Number, argument, is_number, number_of
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.elements import expression_of
from graphwright.lower.expressions import (
    Apply,
    Expression,
    InDouble,
    Operand,
    Parameter,
    Rounded,
)
from graphwright.lower.rules import REDUCTIONS, SCATTERS
from graphwright.lower.values import ValueKind

_ROUNDED_ONCE: Final = frozenset(
    (ScalarOp.ADD, ScalarOp.SUB, ScalarOp.MUL, ScalarOp.DIV, ScalarOp.RECIPROCAL)
)
"""Square roots are not among them: IEEE 754 says what they are, but the vector library that eager takes them from is off by
one bit in one of five."""
_NEVER_ROUNDED: Final = frozenset(
    (
        *(ScalarOp.NEG, ScalarOp.ABS, ScalarOp.SIGN, ScalarOp.COPYSIGN, ScalarOp.SIGNBIT),
        *(ScalarOp.FLOOR, ScalarOp.CEIL, ScalarOp.ROUND, ScalarOp.TRUNC),
        *(ScalarOp.MAXIMUM, ScalarOp.MINIMUM, ScalarOp.FMAX, ScalarOp.FMIN),
        *(ScalarOp.EQ, ScalarOp.NE, ScalarOp.LT, ScalarOp.LE, ScalarOp.GT, ScalarOp.GE),
        *(ScalarOp.IS_NAN, ScalarOp.IS_INF, ScalarOp.LOGICAL_NOT, ScalarOp.WHERE),
        *(ScalarOp.BITWISE_AND, ScalarOp.BITWISE_OR, ScalarOp.BITWISE_XOR, ScalarOp.BITWISE_NOT),
        *(ScalarOp.SHIFT_LEFT, ScalarOp.SHIFT_RIGHT, ScalarOp.CAST, ScalarOp.BITCAST),
    )
)
_MOVES: Final = frozenset(
    f"aten.{name}"
    for name in (
        *("cat.default", "stack.default", "constant_pad_nd.default", "flip.default"),
        *("select_scatter.default", "slice_scatter.default", "repeat.default"),
        *("embedding.default", "index_select.default", "gather.default", "index.Tensor"),
        *("take.default", "roll.default"),
        *("eye.default", "eye.m", "tril.default", "triu.default"),
        *("full.default", "full_like.default", "scalar_tensor.default"),
        *("zeros.default", "zeros_like.default", "ones.default", "ones_like.default"),
        *("new_zeros.default", "new_ones.default", "new_full.default", "roll.default"),
        *(f"reflection_pad{rank}d.default" for rank in (1, 2, 3)),
        *(f"replication_pad{rank}d.default" for rank in (1, 2, 3)),
        *(f"upsample_nearest{rank}d.default" for rank in (1, 2, 3)),
        *(f"_upsample_nearest_exact{rank}d.default" for rank in (1, 2, 3)),
        *(f"max_pool{rank}d_with_indices.default" for rank in (2, 3)),
        *(f"adaptive_max_pool{rank}d.default" for rank in (2, 3)),
    )
)
"""Ops whose elements are operands' elements, or numbers among the arguments."""
_ANY_ORDER: Final = frozenset(set(ReduceOp) - {ReduceOp.SUM, ReduceOp.PROD})
_EXACT_UPDATES: Final = (None, ScalarOp.MAXIMUM, ScalarOp.MINIMUM)
_TOO_MANY: Final = 2
"""So many roundings may be fewer in eager."""


def is_exact(kind: ValueKind, node: AtenNode) -> bool:
    """Tell whether own code gives eager's bits for `node`, which would be lowered as `kind`."""
    match kind:
        case ValueKind.POINTWISE:
            expression, _ = expression_of(node)
            return _gives_integers(node) or _num_roundings(expression, node) < _TOO_MANY
        case ValueKind.ELEMENTS:
            return node.op in _MOVES or _gives_integers(node)
        case ValueKind.REDUCTION:
            parts = REDUCTIONS[node.op].parts
            return _gives_integers(node) or all(part.op in _ANY_ORDER for part in parts)
        case ValueKind.SOURCE | ValueKind.VIEW | ValueKind.EXTERN:
            return True
        case ValueKind.SCATTER:
            return SCATTERS[node.op].combine(node) in _EXACT_UPDATES or _gives_integers(node)
        case ValueKind.PRODUCT | ValueKind.SCAN:
            return _gives_integers(node)
        case _:
            assert_never(kind)


def _gives_integers(node: AtenNode) -> bool:
    """Integers are computed without rounding; where a bool comes from floats, these may have been rounded."""
    dtypes = [meta.dtype for meta in node.metas if meta is not None]
    return not any(dtype.is_float or dtype is DType.BOOL for dtype in dtypes)


def _num_roundings(expression: Expression | Number, node: AtenNode) -> int:
    """Count the roundings on the way to a value; `_TOO_MANY` where another library may give another value."""
    if isinstance(expression, (InDouble, Rounded)):
        return _TOO_MANY
    if not isinstance(expression, Apply):
        return 0
    if expression.op not in _NEVER_ROUNDED | _ROUNDED_ONCE:
        return _TOO_MANY
    below = 0
    for arg in expression.args:
        below += _num_roundings(arg, node)
        if below >= _TOO_MANY:
            return _TOO_MANY
    if below and expression.op is not ScalarOp.WHERE:
        return _TOO_MANY  # eager may round to a narrow dtype before it goes on
    is_rounded = expression.op in _ROUNDED_ONCE and not _is_by_one(expression, node)
    return below + int(is_rounded)


def _is_by_one(expression: Apply, node: AtenNode) -> bool:
    """Tell whether an expression is a product of which one factor is known to be 1: `alpha`, most of the time."""
    return expression.op is ScalarOp.MUL and any(_is_one(arg, node) for arg in expression.args)


def _is_one(expression: Expression | Number, node: AtenNode) -> bool:
    match expression:
        case Operand() | Parameter():
            given = argument(node, expression.position, expression.name)
            if given is None:
                return expression.default == 1
            return is_number(given) and number_of(given) == 1
        case Expression():
            return False
        case _:
            return expression == 1
