"""Which dtype an operation computes in.

In: dtypes and ranks of operands.   Out: the common dtype (eager's type promotion), and the dtype of the computation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch

from graphwright.ir.aten import FloatArg, LiteralArg
from graphwright.ir.dtypes import FROM_TORCH, DType
from graphwright.lower.values import Values

SUPPORTED: Final = frozenset(
    {
        DType.FLOAT64,
        DType.FLOAT32,
        DType.FLOAT16,
        DType.BFLOAT16,
        DType.INT64,
        DType.INT32,
        DType.INT16,
        DType.INT8,
        DType.UINT8,
        DType.BOOL,
    }
)
"""Element types that kernels compute with. Nodes with others are extern calls."""

_NARROW_FLOATS: Final = frozenset({DType.FLOAT16, DType.BFLOAT16})


def computation_dtype(dtype: DType) -> DType:
    """Give what eager's CPU kernels compute in: float32 for narrower floats."""
    return DType.FLOAT32 if dtype in _NARROW_FLOATS else dtype


def promote(values: Values, operands: Iterable[object]) -> DType:
    """Give the common dtype of tensor operands (by number) and numbers, as eager promotes.

    A tensor without dimensions counts only where it is of a higher category (bool, integer, float) than those that have
    some; a number only where it is of a higher category than all tensors.
    """
    by_rank: list[torch.dtype | None] = [None, None, None]
    for operand in operands:
        rank, dtype = _rank_and_dtype(values, operand)
        known = by_rank[rank]
        by_rank[rank] = dtype if known is None else torch.promote_types(known, dtype)
    known_dtypes = [dtype for dtype in by_rank if dtype is not None]
    assert known_dtypes, "an operation has operands"
    common = known_dtypes[0]
    for dtype in known_dtypes[1:]:
        if _category(dtype) > _category(common):
            common = torch.promote_types(common, dtype)
    return FROM_TORCH[common]


def _rank_and_dtype(values: Values, operand: object) -> tuple[int, torch.dtype]:
    match operand:
        case int():
            rank = 0 if values.layouts[operand].shape else 1
            return rank, values.dtype(operand).torch_dtype
        case FloatArg():
            return 2, torch.get_default_dtype()
        case LiteralArg(value=bool()):
            return 2, torch.bool
        case _:
            return 2, torch.int64


def _category(dtype: torch.dtype) -> int:
    if dtype is torch.bool:
        return 0
    if dtype.is_complex:
        return 3
    return 2 if dtype.is_floating_point else 1
