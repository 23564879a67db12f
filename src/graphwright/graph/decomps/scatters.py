"""Scatters in terms of simpler ones: sums of narrow floats, means, and results that leave out what was there.

In: nothing.   Out: `SCATTERS`, overload name → `Decomposition`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch

from graphwright.graph.decomps.emitter import Emitter, as_argument
from graphwright.graph.decomps.rules import Decomposition, give, rows, tensor
from graphwright.ir.aten import (
    Arg,
    AtenNode,
    KwArg,
    LiteralArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument
from graphwright.ir.scatters import rounds_once
from graphwright.ir.strides import row_major


def identity_of_update(name: str, dtype: DType) -> float | int | None:
    """Give what an update by `name` leaves as it is; None where there is no such update."""
    if name in ("sum", "mean", "prod"):
        return int(name == "prod")
    if dtype.is_float:
        return {"amax": -math.inf, "amin": math.inf}.get(name)
    if not dtype.is_integer:
        return None
    limits = torch.iinfo(dtype.torch_dtype)
    return {"amax": limits.min, "amin": limits.max}.get(name)


def _combine(emit: Emitter, node: AtenNode) -> bool:
    """Combine narrow floats in float32."""
    x = tensor(node, 0)
    if not rounds_once(node, len(emit.shape(x)), emit.dtype(tensor(node, 2))):
        return False
    wide, given = emit.widened(x), node.args[3]
    if wide == x or not _is_alike(emit, x, given):
        return False
    update = emit.widened(given) if isinstance(given, Ref) else given
    args = [wide, *node.args[1:3], update, *node.args[4:]]
    give(emit, node, _like(emit, node.op, args, wide, node.kwargs))
    return True


def _is_alike(emit: Emitter, x: Ref, given: Arg) -> bool:
    """Tell whether an update has the dtype that eager asks for; it refuses other tensors."""
    return not isinstance(given, Ref) or emit.dtype(given) is emit.dtype(x)


def _like(
    emit: Emitter, op: str, args: Sequence[Arg], like: Ref, kwargs: Sequence[KwArg] = ()
) -> Ref:
    """Add a node whose result is as `like`, in row order."""
    meta = emit.meta(like)
    shape = emit.shape(like)
    return emit.node(op, args, TensorMeta(meta.dtype, shape, row_major(shape), meta.device), kwargs)


def _scatter_reduce(emit: Emitter, node: AtenNode) -> bool:
    """Start from what is there, or from the identity at each place that is named; divide a mean by the count."""
    x, source = tensor(node, 0), tensor(node, 3)
    named = argument(node, 4, "reduce")
    name = str(named.value) if isinstance(named, LiteralArg) else ""
    includes = argument(node, 5, "include_self") != LiteralArg(value=False)
    if name != "mean" and includes:
        return _combine(emit, node)
    dtype = emit.dtype(x)
    identity = identity_of_update(name, dtype)
    is_served = dtype.is_float or (dtype.is_integer and name != "mean")
    if identity is None or not is_served or not _is_alike(emit, x, source):
        return False
    dim_and_index = node.args[1:3]
    is_sum = name in ("sum", "mean", "prod")
    start = emit.widened(x) if is_sum else x
    update = emit.widened(source) if is_sum else source
    if not includes:
        numbers = [start, *dim_and_index, as_argument(identity)]
        start = _like(emit, "aten.scatter.value", numbers, start)
    how = LiteralArg("sum" if name == "mean" else name)
    args = [start, *dim_and_index, update, how]
    result = emit.cast(_like(emit, "aten.scatter_reduce.two", args, start), emit.dtype(x))
    if name == "mean":
        result = emit.pointwise(
            "aten.div.Tensor", result, _counts(emit, node, start, includes=includes)
        )
    give(emit, node, result)
    return True


def _counts(emit: Emitter, node: AtenNode, like: Ref, *, includes: bool) -> Ref:
    """Count what each element is the mean of; 1 where that is nothing."""
    x, source = tensor(node, 0), tensor(node, 3)
    start = emit.full(emit.shape(x), int(includes), like)
    ones = emit.full(emit.shape(source), 1, like)
    args = [start, *node.args[1:3], ones]
    counts = emit.cast(_like(emit, "aten.scatter_add.default", args, start), emit.dtype(x))
    return emit.pointwise("aten.clamp_min.default", counts, 1)


SCATTERS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.scatter_reduce.two", _scatter_reduce),
    *(
        Decomposition(f"aten.{name}", _combine)
        for name in (
            "scatter_add.default",
            "scatter.reduce",
            "scatter.value_reduce",
            "index_add.default",
        )
    ),
)
