"""Scans of numbers: a tensor without dimensions is all that has been gathered up to its only element.

In: nothing.   Out: `SCANS`, overload name → `Decomposition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, tensor
from graphwright.ir.aten import AtenNode


def _of_number(emit: Emitter, node: AtenNode) -> bool:
    """Give the number itself; its place, where that is asked for, is 0."""
    x = tensor(node, 0)
    if emit.shape(x):
        return False
    give(emit, node, x)
    for place, result in enumerate(node.results):
        if place and result >= 0:
            emit.give_filled(result, result_meta(node, place), value=False)
    return True


SCANS: Final[Mapping[str, Decomposition]] = rows(
    *(
        Decomposition(f"aten.{name}.default", _of_number)
        for name in ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
    ),
)
