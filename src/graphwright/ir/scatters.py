"""How eager rounds the sums and products of scatters.

In: a node that scatters.   Out: whether float16 and bfloat16 elements are combined in float32, and rounded once.
"""

from __future__ import annotations

from typing import Final

from graphwright.ir.aten import AtenNode, LiteralArg
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integer_of, number_of

_COMBINING: Final = frozenset(
    {
        "aten.scatter_add.default",
        "aten.scatter_reduce.two",
        "aten.scatter.reduce",
        "aten.scatter.value_reduce",
    }
)


def rounds_once(node: AtenNode, rank: int, index: DType) -> bool:
    """Tell whether eager combines all updates of an element before it rounds to a narrow dtype.

    It does not in `index_put` and in gradients of embeddings; in `index_add` only where that is computed as `scatter_add`.

    Args:
        node: op(x, dim, index, …).
        rank: number of the axes of x.
        index: the dtype of the indices.
    """
    if node.op in _COMBINING:
        return argument(node, 4, "reduce") not in (LiteralArg("amax"), LiteralArg("amin"))
    if node.op != "aten.index_add.default" or rank < 2 or index is not DType.INT64:
        return False
    alpha = argument(node, 4, "alpha")
    is_outer = integer_of(node, 1, "dim", 0) % rank in (0, rank - 1)
    return is_outer and (alpha is None or number_of(alpha) == 1)
