"""Which products should have their right sides packed beforehand.

In: a graph, the inputs that are known beforehand.   Out: the results of these products, for `graph/packing.py`.
Keeps: a product that is packed is computed by a kernel of our own, and its panels take hardly more memory than what they are
made from.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from graphwright.ir.aten import AtenGraph, AtenNode
from graphwright.ir.numerics import DEFAULT, Numerics
from graphwright.ir.packed import PANEL_COLS
from graphwright.lower.classify import classify
from graphwright.lower.products import PACKABLE, product_of
from graphwright.lower.values import ValueKind, Values

MOST_ROWS: Final = 1024
"""More rows share the packing of a panel, so that it takes a few hundredths of the time, and the memory is better saved.

Packed beforehand, a product takes this part of the time that it takes otherwise (768 × 768 and 768 × 3072, float32, one thread of
an AMD EPYC 9004): 0.38 for 2 rows, 0.47 for 4, 0.6 for 8, 0.7 for 16, 0.8 for 32, 0.94 for 128, 0.96 for 256. Two threads of an
Intel Xeon: 0.84 for 16 rows, 0.81 for 64, 0.9 for 128, 0.92 for 197 and 512, 0.93 for 1024.
"""
_WASTE: Final = 8
"""Panels may be larger than what they are made from by this part of it."""


def find_packable(
    graph: AtenGraph, fixed: Collection[int], numerics: Numerics = DEFAULT
) -> frozenset[int]:
    """Give the results of the products of matrices whose right side should be packed.

    Args:
        graph: a program of static shapes.
        fixed: the inputs that are known beforehand.
        numerics: how close to eager's the numbers must be.
    """
    values = classify(graph, numerics)
    return frozenset(
        node.results[0]
        for node in graph.nodes
        if node.op in PACKABLE and _pays(values, node, fixed)
    )


def _pays(values: Values, node: AtenNode, fixed: Collection[int]) -> bool:
    product = product_of(node)
    if product is None or node.kwargs or values.bases[product.right] not in fixed:
        return False
    rows, cols = values.layouts[product.left].shape[0], values.layouts[product.right].shape[1]
    is_wasteful = -cols % PANEL_COLS * _WASTE > cols
    is_own = values.kinds[node.results[0]] is ValueKind.PRODUCT
    return is_own and rows <= MOST_ROWS and not is_wasteful
