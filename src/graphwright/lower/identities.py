"""What reductions and scans start from.

In: an operation and a dtype.   Out: the value that changes nothing when it is taken in, as the loop IR writes it.
"""

from __future__ import annotations

import torch

from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ReduceOp
from graphwright.lower.scalars import render_constant


def identity_of(op: ReduceOp, dtype: DType) -> str:
    """Give the identity of a reduction as the loop IR writes it."""
    match op:
        case ReduceOp.SUM | ReduceOp.ANY:
            return render_constant(0, dtype)
        case ReduceOp.PROD | ReduceOp.ALL:
            return render_constant(1, dtype)
        case ReduceOp.MAX | ReduceOp.MIN if dtype.is_float:
            return "-inf" if op is ReduceOp.MAX else "inf"
        case ReduceOp.MAX:
            return render_constant(torch.iinfo(dtype.torch_dtype).min, dtype)
        case ReduceOp.MIN:
            return render_constant(torch.iinfo(dtype.torch_dtype).max, dtype)
        case _:
            message = f"{op} has no identity of its own"
            raise AssertionError(message)
