"""Scans: what has been gathered along an axis up to each element. One row an overload.

In: nothing.   Out: `SCANS`, overload name → `ScanRow`; `scan_axis`.
Keeps: elements are taken in one by one, from the first to the last, in the type that eager's CPU kernels carry (float64 for
float32, float32 for narrower floats, int64 for integers), so that results are eager's bit for bit where the operations are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import integer_of
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.identities import identity_of
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import ref_of
from graphwright.lower.rules.rows import ScanRow, ScanState, rows
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Values

States = tuple[Scalar, ...]


def scan_axis(values: Values, node: AtenNode) -> int:
    """Give the axis along which a scan goes; its operand has one."""
    return integer_of(node, 1, "dim", 0) % len(values.layouts[ref_of(node.args[0])].shape)


def _accumulated(_operand: DType, result: DType) -> DType:
    if not result.is_float:
        return DType.INT64
    return DType.FLOAT64 if result is DType.FLOAT32 else computation_dtype(result)


def _compared(operand: DType, _result: DType) -> DType:
    return DType.UINT8 if operand is DType.BOOL else computation_dtype(operand)


def _position(_operand: DType, _result: DType) -> DType:
    return DType.INT64


def _identity(op: ReduceOp) -> Callable[[DType], str]:
    return lambda dtype: identity_of(op, dtype)


def _accumulate(op: ScalarOp) -> Callable[[ScalarBuilder, States, Scalar, Scalar], States]:
    def step(builder: ScalarBuilder, states: States, element: Scalar, _index: Scalar) -> States:
        (total,) = states
        update = builder.cast(element, total.dtype)
        return (builder.compute(op, (total, update), total.dtype),)

    return step


def _extreme(op: ScalarOp) -> Callable[[ScalarBuilder, States, Scalar, Scalar], States]:
    """Of equal elements the last one counts; the first NaN stays, and each further one counts."""

    def step(builder: ScalarBuilder, states: States, element: Scalar, index: Scalar) -> States:
        best, place = states
        element = builder.cast(element, best.dtype)
        takes = builder.compute(op, (element, best), DType.BOOL)
        is_nan = builder.compute(ScalarOp.IS_NAN, (element,), DType.BOOL)
        takes = builder.compute(ScalarOp.BITWISE_OR, (takes, is_nan), DType.BOOL)
        return (
            builder.compute(ScalarOp.WHERE, (takes, element, best), best.dtype),
            builder.compute(ScalarOp.WHERE, (takes, index, place), DType.INT64),
        )

    return step


def _log_add_exp(builder: ScalarBuilder, states: States, element: Scalar, _index: Scalar) -> States:
    """Give log(exp(total) + exp(x)) = log1p(exp(low - high)) + high; x where both are the same infinity."""
    (total,) = states
    dtype = total.dtype
    element = builder.cast(element, dtype)
    low = builder.compute(ScalarOp.MINIMUM, (element, total), dtype)
    high = builder.compute(ScalarOp.MAXIMUM, (element, total), dtype)
    are_equal = builder.compute(ScalarOp.EQ, (low, high), DType.BOOL)
    is_infinite = builder.compute(ScalarOp.IS_INF, (low,), DType.BOOL)
    is_same = builder.compute(ScalarOp.BITWISE_AND, (are_equal, is_infinite), DType.BOOL)
    distance = builder.compute(ScalarOp.SUB, (low, high), dtype)
    ratio = builder.compute(ScalarOp.EXP, (distance,), dtype)
    more = builder.compute(ScalarOp.LOG1P, (ratio,), dtype)
    joined = builder.compute(ScalarOp.ADD, (more, high), dtype)
    return (builder.compute(ScalarOp.WHERE, (is_same, element, joined), dtype),)


_SUM: Final = ScanState(_accumulated, _identity(ReduceOp.SUM))
_PRODUCT: Final = ScanState(_accumulated, _identity(ReduceOp.PROD))
_LARGEST: Final = ScanState(_compared, _identity(ReduceOp.MAX))
_SMALLEST: Final = ScanState(_compared, _identity(ReduceOp.MIN))
_LOGARITHM: Final = ScanState(_accumulated, _identity(ReduceOp.MAX))
_PLACE: Final = ScanState(_position, _identity(ReduceOp.SUM))

SCANS: Final[Mapping[str, ScanRow]] = rows(
    ScanRow("aten.cumsum.default", (_SUM,), _accumulate(ScalarOp.ADD)),
    ScanRow("aten.cumprod.default", (_PRODUCT,), _accumulate(ScalarOp.MUL)),
    ScanRow("aten.cummax.default", (_LARGEST, _PLACE), _extreme(ScalarOp.GE)),
    ScanRow("aten.cummin.default", (_SMALLEST, _PLACE), _extreme(ScalarOp.LE)),
    ScanRow("aten.logcumsumexp.default", (_LOGARITHM,), _log_add_exp, is_dear=True),
)
