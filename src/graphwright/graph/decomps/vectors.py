"""Products of a matrix with a vector, and of matrices too small for a tile of a product, as sums of products.

In: nothing.   Out: `VECTORS`, overload name → `Decomposition`.
Keeps: sums of float32, float64 and integers only: narrower floats would be rounded between the product and the sum.

A product with a vector waits for the matrix's memory, which is read once in its order. A row by 2048 × 2048 (float32, AMD EPYC 9004,
2 threads): 103 µs; PyTorch's library takes 400 µs, oneDNN with packed weights 180 µs. Small matrices are products of fewer columns than
`lower/products.py` has a kernel for, where sums beat a call (float32, the library's time in parentheses): 4 × 4 × 4 0.8 µs (1.2), a
thousand of them 6 µs (31), 64 × 768 × 2 by a transposed weight 3.9 µs (17); but 8 × 768 × 7 2.6 µs (2.0), and 64 × 64 × 7 by a weight
that is not 5.1 µs (2.6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from graphwright.graph.decomps.emitter import Emitter, static_dims, static_layout
from graphwright.graph.decomps.rules import (
    Decomposition,
    give,
    give_reduced,
    result_meta,
    rows,
    squeeze,
    tensor,
)
from graphwright.ir.aten import Arg, AtenNode, ListArg, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import integer_of, is_number, number_of
from graphwright.lower.products import LEAST_COLS

_SUM: Final = "aten.sum.dim_IntList"
_FEW: Final = 1 << 9
"""So many multiplications are quicker than a call however the matrices lie."""
_SMALL: Final = 1 << 12
"""So many in one product are where columns fill a vector."""
_SMALL_ALONG_DEPTH: Final = 1 << 14
"""So many are where both sides lie along the depth."""
_EVEN_COLS: Final = (2, 4, 8)
_DEEP: Final = 64
_MANY_ROWS: Final = 16


def _product(emit: Emitter, node: AtenNode) -> bool:
    """Give left @ right where one side has but one row or column, or both are small."""
    total = _sum(emit, node, tensor(node, 0), tensor(node, 1))
    if total is None:
        return False
    give(emit, node, total)
    return True


def _product_and_sum(emit: Emitter, node: AtenNode) -> bool:
    """Give beta * addend + alpha * left @ right."""
    total = _sum(emit, node, tensor(node, 1), tensor(node, 2))
    if total is None:
        return False
    give(emit, node, _with_addend(emit, node, total))
    return True


def _matrix_vector(emit: Emitter, node: AtenNode) -> bool:
    """Give matrix @ vector."""
    if not _is_served(node):
        return False
    products = emit.pointwise("aten.mul.Tensor", tensor(node, 0), tensor(node, 1))
    give_reduced(emit, node, emit.reduce(_SUM, products, [1]), [1])
    return True


def _inner_product(emit: Emitter, node: AtenNode) -> bool:
    """Give the sum of the products of two vectors."""
    if not _is_served(node):
        return False
    products = emit.pointwise("aten.mul.Tensor", tensor(node, 0), tensor(node, 1))
    give_reduced(emit, node, emit.reduce(_SUM, products, [0]), [0])
    return True


def _matrix_vector_and_sum(emit: Emitter, node: AtenNode) -> bool:
    """Give beta * addend + alpha * matrix @ vector."""
    if not _is_served(node):
        return False
    products = emit.pointwise("aten.mul.Tensor", tensor(node, 1), tensor(node, 2))
    total = squeeze(emit, emit.reduce(_SUM, products, [1]), [1])
    give(emit, node, _with_addend(emit, node, total))
    return True


def _outer_product_and_sum(emit: Emitter, node: AtenNode) -> bool:
    """Give beta * addend + alpha * (a column by a row)."""
    if not _is_served(node) or any(
        emit.dtype(tensor(node, place)) is not result_meta(node).dtype for place in range(3)
    ):
        return False
    column, row = tensor(node, 1), tensor(node, 2)
    products = emit.pointwise("aten.mul.Tensor", emit.with_axis(column, 1), row)
    give(emit, node, _with_addend(emit, node, products))
    return True


def _cross_product(emit: Emitter, node: AtenNode) -> bool:
    """linalg_cross(x, y, dim): element k of three is x[k+1]·y[k+2] - x[k+2]·y[k+1], counted in a circle."""
    x, y, meta = tensor(node, 0), tensor(node, 1), result_meta(node)
    if any(emit.dtype(side) is not meta.dtype for side in (x, y)):
        return False
    rank = len(meta.shape)
    axis = integer_of(node, 2, "dim", -1) % rank
    if any(len(emit.shape(side)) != rank or emit.shape(side)[axis] != 3 for side in (x, y)):
        return False
    given = [[emit.slice(side, axis, place, 1) for place in range(3)] for side in (x, y)]
    parts = []
    for place in range(3):
        first, second = (place + 1) % 3, (place + 2) % 3
        ahead = emit.pointwise("aten.mul.Tensor", given[0][first], given[1][second])
        behind = emit.pointwise("aten.mul.Tensor", given[0][second], given[1][first])
        parts.append(emit.pointwise("aten.sub.Tensor", ahead, behind))
    listed: list[Arg] = [ListArg(tuple(parts)), LiteralArg(axis)]
    give(emit, node, emit.fresh("aten.cat.default", listed, static_dims(meta.shape), x))
    return True


def _sum(emit: Emitter, node: AtenNode, left: Ref, right: Ref) -> Ref | None:
    """Give the sums over the depth; None for a product of two larger matrices, or of narrow floats."""
    if not _is_served(node):
        return None
    if emit.shape(left)[-2] == 1:
        return products_of_vectors(emit, left, right)
    if emit.shape(right)[-1] == 1:
        right = emit.transposed(right)
        products = emit.pointwise("aten.mul.Tensor", left, right)
        return emit.reduce(_SUM, products, [len(emit.shape(left)) - 1])
    return _products_of_rows(emit, left, right) if _are_small(emit, left, right) else None


def _are_small(emit: Emitter, left: Ref, right: Ref) -> bool:
    """Tell whether sums are quicker than a call, and no kernel multiplies such matrices as matrices."""
    *batch, rows, depth = emit.shape(left)
    cols, is_float = emit.shape(right)[-1], emit.dtype(left).is_float
    if is_float and cols >= LEAST_COLS:
        return False
    multiplications, num_products = rows * cols * depth, math.prod(batch)
    if _has_columns(emit, left, right):
        is_deep = is_float and depth >= _DEEP and rows >= _MANY_ROWS and cols <= max(_EVEN_COLS)
        return is_deep or multiplications <= _SMALL_ALONG_DEPTH
    if cols in _EVEN_COLS or cols >= LEAST_COLS:
        return multiplications <= _SMALL
    return num_products * multiplications <= _FEW


def _products_of_rows(emit: Emitter, left: Ref, right: Ref) -> Ref:
    """Give left @ right as sums over the products of each row with each column, the axis along which both sides lie innermost."""
    rank = len(emit.shape(left))
    if _has_columns(emit, left, right):
        rows, cols = emit.with_axis(left, rank - 1), emit.transposed(right)
        depth = rank
    else:
        rows, cols = emit.with_axis(left, rank), right
        depth = rank - 1
    products = emit.pointwise("aten.mul.Tensor", rows, emit.with_axis(cols, rank - 2))
    return squeeze(emit, emit.reduce(_SUM, products, [depth]), [depth])


def _has_columns(emit: Emitter, left: Ref, right: Ref) -> bool:
    """Tell whether both sides lie along the depth."""
    left_steps, right_steps = (static_layout(emit.meta(side))[1] for side in (left, right))
    return left_steps[-1] == 1 and right_steps[-2] == 1


def products_of_vectors(emit: Emitter, left: Ref, right: Ref) -> Ref:
    """Give left @ right for a left side of one row."""
    column = emit.transposed(left)
    products = emit.pointwise("aten.mul.Tensor", column, right)
    return emit.reduce(_SUM, products, [len(emit.shape(column)) - 2])


def _is_served(node: AtenNode) -> bool:
    dtype = result_meta(node).dtype
    if not all(is_number(kwarg.value) for kwarg in node.kwargs):
        return False
    factors = [number_of(kwarg.value) for kwarg in node.kwargs]
    if dtype.is_integer:
        return all(isinstance(factor, int) for factor in factors)
    is_wide = dtype in (DType.FLOAT32, DType.FLOAT64)
    return is_wide and not any(math.isinf(dtype.held(factor)) for factor in factors)  # refused


def _with_addend(emit: Emitter, node: AtenNode, total: Ref) -> Ref:
    factors = {kwarg.name: number_of(kwarg.value) for kwarg in node.kwargs}
    alpha, beta = factors.get("alpha", 1), factors.get("beta", 1)
    number = float if emit.dtype(total).is_float else int
    if alpha != 1:
        total = emit.pointwise("aten.mul.Tensor", total, number(alpha))
    addend = tensor(node, 0)
    if beta == 0:
        return total  # eager does not read the addend then
    if beta != 1:
        addend = emit.pointwise("aten.mul.Tensor", addend, number(beta))
    return emit.pointwise("aten.add.Tensor", total, addend)


VECTORS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.mm.default", _product),
    Decomposition("aten.bmm.default", _product),
    Decomposition("aten.addmm.default", _product_and_sum),
    Decomposition("aten.baddbmm.default", _product_and_sum),
    Decomposition("aten.mv.default", _matrix_vector),
    Decomposition("aten.addmv.default", _matrix_vector_and_sum),
    Decomposition("aten.dot.default", _inner_product),
    Decomposition("aten.vdot.default", _inner_product),
    Decomposition("aten.addr.default", _outer_product_and_sum),
    Decomposition("aten.linalg_cross.default", _cross_product),
)
