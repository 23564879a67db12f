"""Matrix products that kernels compute themselves.

In: a node.   Out: what it multiplies (`Product`), and whether a kernel of our own serves it.
Keeps: the products that stay calls are those of other dtypes, of matrices that lie in memory in no order that a kernel goes
along, and of sizes for which PyTorch's library is quicker.

A kernel of our own fuses what follows the product (bias, activation, residual) and takes a matrix as it lies, transposed or
not; PyTorch's library is at its best for large square matrices only (AMD EPYC 9004, 2 threads, float32, operations a second:
64 × 768 × 3072 takes 105 G in the library, over 200 G here; the processor's peak is 228 G).
"""

from __future__ import annotations

from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import is_number, number_of
from graphwright.lower.reader import ref_of
from graphwright.lower.values import Layout, Values, static_dims

LEAST_ROWS: Final = 4
"""Products of fewer rows wait for the right side's memory."""
LEAST_COLS: Final = 16
"""Fewer columns do not fill a vector."""
MOST_DEPTH: Final = 1 << 14
MOST_LEFT_BYTES: Final = 8 << 20
"""Left sides that are larger do not stay in the cache while the panels of the right side go by."""

_BARE: Final = frozenset({"aten.mm.default", "aten.bmm.default"})
_SUMS: Final = frozenset({"aten.addmm.default", "aten.baddbmm.default"})
PRODUCTS: Final = _BARE | _SUMS
"""The ops that multiply matrices."""


class Product(msgspec.Struct, frozen=True):
    """`alpha * left @ right + beta * addend`, of matrices or batches of them."""

    left: int
    right: int
    addend: int | None = None
    beta: float = 1.0
    alpha: float = 1.0


def product_of(node: AtenNode) -> Product | None:
    """Give what a node multiplies; None for a node that multiplies no matrices, or with factors that are no real numbers."""
    if node.op in _BARE:
        return Product(ref_of(node.args[0]), ref_of(node.args[1]))
    if node.op not in _SUMS:
        return None
    factors = {kwarg.name: kwarg.value for kwarg in node.kwargs}
    if not all(map(is_number, factors.values())):
        return None
    beta, alpha = (
        float(number_of(factors[name])) if name in factors else 1.0 for name in ("beta", "alpha")
    )
    # eager does not read the addend when beta is 0
    addend = ref_of(node.args[0]) if beta else None
    return Product(ref_of(node.args[1]), ref_of(node.args[2]), addend, beta, alpha)


class Sides(msgspec.Struct, frozen=True):
    """The extents of a product, and how its sides lie in memory (strides in elements)."""

    batch: int
    rows: int
    cols: int
    depth: int
    left: Layout
    right: Layout

    @property
    def is_right_transposed(self) -> bool:
        """The right side is contiguous along the depth."""
        return self.right.strides[-1] != 1

    @property
    def multiplications(self) -> int:
        """Multiplications of one run."""
        return self.batch * self.rows * self.cols * self.depth


def sides_of(values: Values, product: Product) -> Sides:
    """Give the extents of a product."""
    left, right = values.layouts[product.left], values.layouts[product.right]
    batch = left.shape[0] if len(left.shape) == 3 else 1
    rows, depth = left.shape[-2:]
    return Sides(batch, rows, right.shape[-1], depth, left, right)


def serves_product(values: Values, node: AtenNode) -> bool:
    """Tell whether a kernel of our own computes the product."""
    product, meta = product_of(node), node.metas[0]
    if product is None or meta is None or meta.dtype not in (DType.FLOAT32, DType.FLOAT64):
        return False
    read = [product.left, product.right, *([] if product.addend is None else [product.addend])]
    dtypes = {values.dtype(one) for operand in read for one in (operand, values.bases[operand])}
    if dtypes != {meta.dtype}:
        return False
    sides = sides_of(values, product)
    has_order = 1 in sides.right.strides[-2:] and 1 in sides.left.strides[-2:]
    result = static_dims(meta.strides)
    is_row_major = result[-2:] == (sides.cols, 1) and result[:-2] in (
        (),
        (sides.rows * sides.cols,),
    )
    return has_order and is_row_major and _has_size(sides, meta.dtype)


def _has_size(sides: Sides, dtype: DType) -> bool:
    left_bytes = sides.rows * sides.depth * dtype.size_bytes
    return (
        sides.batch > 0
        and sides.rows >= LEAST_ROWS
        and sides.cols >= LEAST_COLS
        and 0 < sides.depth <= MOST_DEPTH
        and left_bytes <= MOST_LEFT_BYTES
    )
