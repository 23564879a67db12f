"""Gradients of images that became larger along several axes: those of one axis after the other.

In: nothing.   Out: `RESAMPLING`, overload name → `Decomposition`.
Keeps: float32 and float64 only: narrower floats would be rounded in between.

    %2 = upsample_bilinear2d_backward(%1, [H, W], [N, C, H/2, W/2], …)
    →    %3 = upsample_bilinear2d_backward(%1, [H, W], [N, C, H/2, W], …)
         %2 = upsample_bilinear2d_backward(%3, [H/2, W], [N, C, H/2, W/2], …)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter, as_list, reduced_strides
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, tensor
from graphwright.ir.aten import Arg, AtenNode, LiteralArg, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.resampling import RANKS, enlargements


def _gradient(name: str, rank: int) -> Callable[[Emitter, AtenNode], bool]:
    """upsample_bilinear2d_backward(grad, output_size, input_size, align_corners, scales_h, scales_w)."""
    op = f"aten.{name}_backward.default"

    def write(emit: Emitter, node: AtenNode) -> bool:
        value = tensor(node, 0)
        shape = emit.shape(value)
        found = enlargements(node, shape[-rank:]) if len(shape) == rank + 2 else None
        is_wide = result_meta(node).dtype in (DType.FLOAT32, DType.FLOAT64)
        if found is None or not is_wide or sum(axis.factor > 1 for axis in found) < 2:
            return False
        none = LiteralArg(None)
        for number, axis in enumerate(found):
            if axis.factor == 1:
                continue
            meta, before = emit.meta(value), emit.shape(value)
            after = list(before)
            after[2 + number] = axis.extent
            strides = reduced_strides(before, meta.strides, after)
            result = TensorMeta(meta.dtype, tuple(after), strides, meta.device)
            sizes = (as_list(before[2:]), as_list(after))
            args: list[Arg] = [value, *sizes, LiteralArg(value=False), *[none] * rank]
            value = emit.node(op, args, result)
        give(emit, node, value)
        return True

    return write


RESAMPLING: Final[Mapping[str, Decomposition]] = rows(
    *(
        Decomposition(f"aten.{name}_backward.default", _gradient(name, rank))
        for name, rank in RANKS.items()
        if rank > 1
    )
)
