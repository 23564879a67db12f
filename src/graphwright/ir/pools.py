"""How calls say what the windows of a pool are.

In: a node.   Out: a number for each axis of the window; and how many elements a window may have that a kernel names one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import argument, integers_of

MOST_TAPS: Final = 36
"""Larger windows are reductions, or pools of one axis after the other (`graph/decomps/pools.py`), or left to eager."""


def spread(
    node: AtenNode, position: int, name: str, rank: int, default: Sequence[int]
) -> list[int]:
    """Give a number for each axis of the window, as eager spreads a single one."""
    given = argument(node, position, name)
    numbers = list(integers_of(given) or ()) if given is not None else []
    numbers = numbers or list(default)
    return numbers * rank if len(numbers) == 1 else numbers
