"""Reductions: one row an overload.

In: nothing.   Out: `REDUCTIONS`, overload name → `ReductionRow`.
Keeps: values of narrower floats are accumulated in float32 and rounded once, as eager's CPU kernels do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integers_of, is_number, number_of
from graphwright.ir.ops import ReduceOp
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import ref_of
from graphwright.lower.rules.rows import ReductionPart, ReductionRow, rows
from graphwright.lower.values import Values


def _rank(values: Values, node: AtenNode) -> int:
    return len(values.layouts[ref_of(node.args[0])].shape)


def _all_axes(values: Values, node: AtenNode) -> tuple[int, ...]:
    return tuple(range(_rank(values, node)))


def _given_axes(values: Values, node: AtenNode) -> tuple[int, ...]:
    """The axes of the second argument; all where there are none."""
    rank = _rank(values, node)
    axes = integers_of(argument(node, 1, "dim"))
    if not axes or not rank:
        return tuple(range(rank))
    return tuple(sorted({axis % rank for axis in axes}))


def _one_axis(values: Values, node: AtenNode) -> tuple[int, ...]:
    """The axis that the keyword names; all where there is none."""
    rank = _rank(values, node)
    dim = argument(node, 1, "dim")
    return (int(number_of(dim)) % rank,) if is_number(dim) and rank else tuple(range(rank))


def _of_result(_operand: DType, result: DType) -> DType:
    return computation_dtype(result)


def _own(operand: DType, _result: DType) -> DType:
    """Extreme values need no wider type; narrow floats are compared as what they are computed in."""
    return computation_dtype(operand)


def _bool(_operand: DType, _result: DType) -> DType:
    return DType.BOOL


_SUM: Final = ReductionPart(ReduceOp.SUM, _of_result)
_MEAN: Final = ReductionPart(ReduceOp.SUM, _of_result, is_mean=True)
_PROD: Final = ReductionPart(ReduceOp.PROD, _of_result)
_MAX: Final = ReductionPart(ReduceOp.MAX, _own)
_MIN: Final = ReductionPart(ReduceOp.MIN, _own)
_ARGMAX: Final = ReductionPart(ReduceOp.ARGMAX, _own)
_ARGMIN: Final = ReductionPart(ReduceOp.ARGMIN, _own)
_ANY: Final = ReductionPart(ReduceOp.ANY, _bool)
_ALL: Final = ReductionPart(ReduceOp.ALL, _bool)

REDUCTIONS: Final[Mapping[str, ReductionRow]] = rows(
    ReductionRow("aten.sum.default", _all_axes, (_SUM,)),
    ReductionRow("aten.sum.dim_IntList", _given_axes, (_SUM,)),
    ReductionRow("aten.mean.default", _all_axes, (_MEAN,)),
    ReductionRow("aten.mean.dim", _given_axes, (_MEAN,)),
    ReductionRow("aten.prod.default", _all_axes, (_PROD,)),
    ReductionRow("aten.prod.dim_int", _given_axes, (_PROD,)),
    ReductionRow("aten.amax.default", _given_axes, (_MAX,)),
    ReductionRow("aten.amin.default", _given_axes, (_MIN,)),
    ReductionRow("aten.max.default", _all_axes, (_MAX,)),
    ReductionRow("aten.min.default", _all_axes, (_MIN,)),
    ReductionRow("aten.max.dim", _given_axes, (_MAX, _ARGMAX)),
    ReductionRow("aten.min.dim", _given_axes, (_MIN, _ARGMIN)),
    ReductionRow("aten.aminmax.default", _one_axis, (_MIN, _MAX)),
    ReductionRow("aten.argmax.default", _given_axes, (_ARGMAX,)),
    ReductionRow("aten.argmin.default", _given_axes, (_ARGMIN,)),
    ReductionRow("aten.any.default", _all_axes, (_ANY,)),
    ReductionRow("aten.any.dim", _given_axes, (_ANY,)),
    ReductionRow("aten.any.dims", _given_axes, (_ANY,)),
    ReductionRow("aten.all.default", _all_axes, (_ALL,)),
    ReductionRow("aten.all.dim", _given_axes, (_ALL,)),
    ReductionRow("aten.all.dims", _given_axes, (_ALL,)),
)
