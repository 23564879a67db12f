"""Matrix products that kernels compute themselves; a convolution is one.

In: a node.   Out: what it multiplies (`Product`), where the sides lie (`Sides`), and whether a kernel of our own serves it.
Keeps: the products that stay calls are those of other dtypes, of matrices that lie in memory in no order that a kernel goes
along, and of sizes for which PyTorch's library is quicker.

A kernel of our own fuses what follows the product (bias, activation, residual) and takes a matrix as it lies, transposed or
not; PyTorch's library is at its best for large square matrices only (AMD EPYC 9004, 2 threads, float32, operations a second:
64 × 768 × 3072 takes 105 G in the library, over 200 G here; the processor's peak is 228 G).

A convolution multiplies the weight (a row for each channel that it gives) by the *windows* of the image: a column for each
pixel that it gives, holding what the kernel covers there, padding as zeros.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import flag_of, integer_of, integers_of, is_number, number_of
from graphwright.ir.packed import PACKED_MM, PANEL_COLS
from graphwright.ir.strides import is_row_major
from graphwright.lower.reader import ref_of
from graphwright.lower.values import Layout, Values, refs_of, static_dims

LEAST_ROWS: Final = 2
LEAST_COLS: Final = 16
"""Fewer columns do not fill a vector."""
MOST_DEPTH: Final = 1 << 14
MOST_LEFT_BYTES: Final = 16 << 20
"""Left sides that are larger do not stay in the cache while the panels of the right side go by."""
LEAST_CHANNELS: Final = 8
"""A convolution that gives fewer channels (in a group) hardly uses a window again once it is laid out."""
MOST_WIDTH: Final = 256
"""Lines of more pixels are not laid out whole."""

_BARE: Final = frozenset({"aten.mm.default", "aten.bmm.default", "aten.matmul.default"})
_SUMS: Final = frozenset({"aten.addmm.default", "aten.baddbmm.default"})
_CONVOLUTION: Final = "aten.convolution.default"
PRODUCTS: Final = _BARE | _SUMS | {_CONVOLUTION, PACKED_MM}
"""The ops that multiply matrices."""
PACKABLE: Final = frozenset({"aten.mm.default", "aten.addmm.default"})
"""The ops that multiply by a matrix that may lie in panels."""
_IMAGE_RANK: Final = 4


class Product(msgspec.Struct, frozen=True):
    """`alpha * left @ right + beta * addend`, of matrices or batches of them."""

    left: int
    right: int
    addend: int | None = None
    beta: float = 1.0
    alpha: float = 1.0
    addend_axis: int | None = None
    """The axis of the result that the addend lies along; None where it is broadcast as usual."""


def product_of(node: AtenNode) -> Product | None:
    """Give what a node multiplies; None for a node that multiplies no matrices, or with factors that are no real numbers."""
    if node.op in _BARE or node.op == PACKED_MM:
        return Product(ref_of(node.args[0]), ref_of(node.args[1]))
    if node.op == _CONVOLUTION:
        bias = refs_of(node.args[2:3])
        return Product(
            ref_of(node.args[1]), ref_of(node.args[0]), bias[0] if bias else None, addend_axis=1
        )
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


class Side(msgspec.Struct, frozen=True):
    """Where the elements of a side lie: the first one, and the step along each axis, in elements."""

    offset: int
    batches: tuple[int, ...]
    row: int
    col: int


class Window(msgspec.Struct, frozen=True):
    """How the right side is made from images: (vertical, horizontal) each."""

    size: tuple[int, int]
    """Of the images."""
    kernel: tuple[int, int]
    result: tuple[int, int]
    """Pixels that the convolution gives."""
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    steps: tuple[int, int, int]
    """Steps in memory along channels, lines and pixels of the images."""

    @property
    def area(self) -> int:
        """Elements of the kernel."""
        return math.prod(self.kernel)


class Sides(msgspec.Struct, frozen=True):
    """The extents of a product, and how its sides lie in memory."""

    batches: tuple[int, ...]
    """For a convolution: images and groups."""
    rows: int
    cols: int
    depth: int
    strides: tuple[int, ...]
    """Steps of the result along batches, rows and columns."""
    left: Side
    right: Side
    window: Window | None = None
    is_packed: bool = False
    """The right side lies in panels already (see `ir/packed.py`); its steps are those in the first one."""

    @property
    def is_right_transposed(self) -> bool:
        """The right side is contiguous along the depth."""
        return self.right.col != 1

    @property
    def extents(self) -> tuple[int, ...]:
        """The extents of the result: batches, rows and columns."""
        return (*self.batches, self.rows, self.cols)

    @property
    def batch(self) -> int:
        """The number of products."""
        return math.prod(self.batches)

    @property
    def multiplications(self) -> int:
        """Multiplications of one run."""
        return self.batch * self.rows * self.cols * self.depth


def sides_of(values: Values, node: AtenNode) -> Sides:
    """Give the extents of a product, and where its sides lie."""
    product = product_of(node)
    assert product is not None, f"{node.op} multiplies no matrices"
    left, right = values.layouts[product.left], values.layouts[product.right]
    if node.op == _CONVOLUTION:
        return _convolution_sides(node, image=right, weight=left)
    rows, depth = left.shape[-2:]
    strides = static_dims(_result(node).strides)
    if node.op == PACKED_MM:
        cols, panel = integer_of(node, 2, "cols", 0), Side(right.offset, (), PANEL_COLS, 1)
        return Sides((), rows, cols, depth, strides, _side(left), panel, is_packed=True)
    return Sides(left.shape[:-2], rows, right.shape[-1], depth, strides, _side(left), _side(right))


def _result(node: AtenNode) -> TensorMeta:
    (meta,) = node.metas
    assert meta is not None, f"{node.op} gives a tensor"
    return meta


def _side(layout: Layout) -> Side:
    return Side(layout.offset, layout.strides[:-2], *layout.strides[-2:])


def _convolution_sides(node: AtenNode, image: Layout, weight: Layout) -> Sides:
    groups = integer_of(node, 8, "groups", 1)
    gives, channels, *kernel = weight.shape
    depth = channels * math.prod(kernel)
    result = static_dims(_result(node).shape)[2:]
    left = Side(weight.offset, (0, gives // groups * depth), depth, 1)
    images = (image.strides[0], channels * image.strides[1])
    batches = (image.shape[0], groups)
    window = Window(
        size=_pair(image.shape[2:]),
        kernel=_pair(kernel),
        result=_pair(result),
        stride=_pair(integers_of(node.args[3])),
        padding=_pair(integers_of(node.args[4])),
        dilation=_pair(integers_of(node.args[5])),
        steps=(image.strides[1], image.strides[2], image.strides[3]),
    )
    cols = math.prod(result)
    strides = (gives * cols, gives // groups * cols, cols, 1)
    if _is_plain(window):
        right = Side(image.offset, images, image.strides[1], image.strides[3])
        return Sides(batches, gives // groups, cols, depth, strides, left, right)
    right = Side(image.offset, images, 0, 1)
    return Sides(batches, gives // groups, cols, depth, strides, left, right, window)


def _pair(given: object) -> tuple[int, int]:
    numbers = tuple(given) if isinstance(given, (tuple, list)) else ()
    vertical, horizontal = numbers if len(numbers) == 2 else (*numbers, *numbers)
    return int(vertical), int(horizontal)


def _is_plain(window: Window) -> bool:
    """The windows are the pixels themselves, line after line."""
    return (
        window.kernel == (1, 1)
        and window.stride == (1, 1)
        and window.padding == (0, 0)
        and window.steps[1] == window.size[1] * window.steps[2]
    )


def serves_product(values: Values, node: AtenNode) -> bool:
    """Tell whether a kernel of our own computes the product."""
    product, meta = product_of(node), _result(node)
    if product is None or meta.dtype not in (DType.FLOAT32, DType.FLOAT64):
        return False
    read = [product.left, product.right, *([] if product.addend is None else [product.addend])]
    dtypes = {values.dtype(one) for operand in read for one in (operand, values.bases[operand])}
    if dtypes != {meta.dtype}:
        return False
    is_convolution = node.op == _CONVOLUTION
    serves = _serves_convolution if is_convolution else _serves_matrices
    if not serves(values, node, product):
        return False
    sides = sides_of(values, node)
    has_order = 1 in (sides.right.row, sides.right.col) and 1 in (sides.left.row, sides.left.col)
    return has_order and _has_size(sides, meta.dtype)


def _serves_matrices(values: Values, node: AtenNode, product: Product) -> bool:
    left, right = values.layouts[product.left], values.layouts[product.right]
    meta = _result(node)
    result = Layout(static_dims(meta.shape), static_dims(meta.strides))
    is_packed = node.op == PACKED_MM
    have_batches = len(left.shape) > 1 and (is_packed or left.shape[:-2] == right.shape[:-2])
    return have_batches and result.is_dense and result.strides[-1] == 1


def _serves_convolution(values: Values, node: AtenNode, product: Product) -> bool:
    image, weight = values.layouts[product.right], values.layouts[product.left]
    if flag_of(node, 6, "transposed") or len(image.shape) != _IMAGE_RANK:
        return False
    if not is_row_major(weight.shape, weight.strides) or image.strides[3] != 1:
        return False
    result = _result(node)
    shape = static_dims(result.shape)
    groups = integer_of(node, 8, "groups", 1)
    has_order = is_row_major(shape, static_dims(result.strides))
    return has_order and weight.shape[0] // groups >= LEAST_CHANNELS and shape[3] <= MOST_WIDTH


def _has_size(sides: Sides, dtype: DType) -> bool:
    left_bytes = sides.rows * sides.depth * dtype.size_bytes
    return (
        sides.batch > 0
        and sides.rows >= LEAST_ROWS
        and sides.cols >= LEAST_COLS
        and 0 < sides.depth <= MOST_DEPTH
        and left_bytes <= MOST_LEFT_BYTES
    )
