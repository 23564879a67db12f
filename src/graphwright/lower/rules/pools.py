"""Pools: what is made of the elements of windows that move over an image, and gradients of them. One row an overload.

In: nothing.   Out: `POOLS`, overload name → `ElementRow`.
Keeps: sums of a window are taken in eager's order. Where a window reaches past the image the kernel is built in sections, so that
the inner part has neither tests nor computed indices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode, LiteralArg
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integers_of, is_number, number_of
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.identities import identity_of
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.joining import Piece, join
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Values

MOST_TAPS: Final = 36
"""Windows of more elements are left to eager: the kernel names each of them."""
_POOL_COST: Final = 12


class Window(msgspec.Struct, frozen=True):
    """The window of a pool along one axis."""

    extent: int
    """Of the image."""
    taps: int
    step: int
    before: int = 0
    """Elements of padding before the image (and after it)."""
    gap: int = 1
    """Distance of the taps."""

    def place(self, index: Affine, tap: int) -> Affine:
        """Give where a tap lies in the image, for an index of the result."""
        return index.times(self.step).shifted(tap * self.gap - self.before)


def spread(
    node: AtenNode, position: int, name: str, rank: int, default: Sequence[int]
) -> list[int]:
    """Give a number for each axis of the window, as eager spreads a single one."""
    given = argument(node, position, name)
    numbers = list(integers_of(given) or ()) if given is not None else []
    numbers = numbers or list(default)
    return numbers * rank if len(numbers) == 1 else numbers


def _max_windows(values: Values, node: AtenNode, rank: int) -> list[Window]:
    """max_pool2d_with_indices(x, kernel, stride, padding, dilation, ceil_mode)."""
    taps = spread(node, 1, "kernel_size", rank, ())
    steps = spread(node, 2, "stride", rank, taps)
    pads = spread(node, 3, "padding", rank, (0,))
    gaps = spread(node, 4, "dilation", rank, (1,))
    extents = shape_of(values, node)[-rank:]
    return [Window(*one) for one in zip(extents, taps, steps, pads, gaps, strict=True)]


def _average_windows(values: Values, node: AtenNode, rank: int) -> list[Window]:
    """avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""
    taps = spread(node, 1, "kernel_size", rank, ())
    steps = spread(node, 2, "stride", rank, taps)
    pads = spread(node, 3, "padding", rank, (0,))
    extents = shape_of(values, node)[-rank:]
    return [Window(*one) for one in zip(extents, taps, steps, pads, strict=True)]


def _adaptive_windows(values: Values, node: AtenNode, rank: int) -> list[Window]:
    """_adaptive_avg_pool2d(x, output_size), of an extent that is a multiple of the output's."""
    extents, sizes = shape_of(values, node)[-rank:], integers_of(node.args[1]) or ()
    taps = [extent // size for extent, size in zip(extents, sizes, strict=True)]
    return [Window(extent, own, own) for extent, own in zip(extents, taps, strict=True)]


def _iter_taps(
    reader: Reader,
    indices: Indices,
    windows: Sequence[Window],
    read: Callable[[Indices], Scalar],
    outside: Scalar,
) -> Iterator[Scalar]:
    """Give what is read for each element of the window, in order; `outside` for those past the image."""
    first = len(indices) - len(windows)
    for taps in itertools.product(*(range(window.taps) for window in windows)):
        places = [
            window.place(index, tap)
            for window, index, tap in zip(windows, indices[first:], taps, strict=True)
        ]
        yield _inside(reader, indices[:first], places, windows, read, outside)


def _inside(
    reader: Reader,
    settled: Indices,
    places: Sequence[Affine],
    windows: Sequence[Window],
    read: Callable[[Indices], Scalar],
    outside: Scalar,
) -> Scalar:
    """Settle one axis, then the rest: whether the place is in the image."""
    if not places:
        return read(settled)

    def element(index: Affine) -> Scalar:
        return _inside(reader, (*settled, index), places[1:], windows[1:], read, outside)

    pieces = [
        Piece(0, lambda _index: outside),
        Piece(windows[0].extent, element),
        Piece(1 << 62, lambda _index: outside),
    ]
    return join(reader, places[0], pieces, outside.dtype)


def _operand(reader: Reader, node: AtenNode) -> Callable[[Indices], Scalar]:
    """Give what reads an element of the image, in the dtype that is computed in."""
    dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
    return lambda indices: reader.builder.cast(reader.operand(node, 0, indices), dtype)


def _max_pool(rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        if reader.values.is_used(node.results[1]):
            return _largest(reader, node, indices, rank).element
        outside = _lowest(reader, node)
        largest = outside
        windows = _max_windows(reader.values, node, rank)
        for tap in _iter_taps(reader, indices, windows, _operand(reader, node), outside):
            if largest is outside:
                largest = tap
            elif tap is not outside:
                largest = reader.builder.compute(ScalarOp.MAXIMUM, (largest, tap), tap.dtype)
        return largest

    return element


def _max_position(rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Give where in the image the largest element lies, in row-major order."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        windows = _max_windows(reader.values, node, rank)
        first = Affine()
        for window, index in zip(windows, indices[-rank:], strict=True):
            first = first.times(window.extent).plus(window.place(index, 0))
        distance = _largest(reader, node, indices, rank).distance
        builder = reader.builder
        operands = (builder.index(first), builder.cast(distance, DType.INT64))
        return builder.compute(ScalarOp.ADD, operands, DType.INT64)

    return element


class _Largest(msgspec.Struct, frozen=True):
    """The largest of the taps so far."""

    element: Scalar
    distance: Scalar
    """Its place, from that of the window's first tap, in row-major order."""
    is_any: Scalar
    """Whether there was a tap in the image."""


def _largest(reader: Reader, node: AtenNode, indices: Indices, rank: int) -> _Largest:
    """Give the largest element of a window: the first one, or the last NaN."""
    builder = reader.builder
    windows = _max_windows(reader.values, node, rank)
    outside = _lowest(reader, node)
    yes, no = (builder.const(value=flag, dtype=DType.BOOL) for flag in (True, False))
    elements = _iter_taps(reader, indices, windows, _operand(reader, node), outside)
    flags = _iter_taps(reader, indices, windows, lambda _indices: yes, no)
    distances = itertools.product(*(range(window.taps) for window in windows))
    found: _Largest | None = None
    for element, is_inside, taps in zip(elements, flags, distances, strict=True):
        if is_inside is no:
            continue
        distance = 0
        for window, tap in zip(windows, taps, strict=True):
            distance = distance * window.extent + tap * window.gap
        own = _Largest(element, builder.const(distance, DType.INT32), is_inside)
        found = own if found is None else _larger(builder, found, own, yes)
    assert found is not None, "each window has an element in the image"
    return found


def _larger(builder: ScalarBuilder, found: _Largest, tap: _Largest, yes: Scalar) -> _Largest:
    dtype, both = tap.element.dtype, (tap.element, found.element)
    is_larger = builder.compute(ScalarOp.GT, both, DType.BOOL)
    if dtype.is_float:
        is_nan = builder.compute(ScalarOp.IS_NAN, (tap.element,), DType.BOOL)
        is_larger = builder.compute(ScalarOp.BITWISE_OR, (is_larger, is_nan), DType.BOOL)
    is_any = found.is_any
    if is_any is not yes:
        is_none = builder.compute(ScalarOp.LOGICAL_NOT, (is_any,), DType.BOOL)
        is_first = builder.compute(ScalarOp.BITWISE_AND, (is_none, tap.is_any), DType.BOOL)
        is_larger = builder.compute(ScalarOp.BITWISE_OR, (is_larger, is_first), DType.BOOL)
        is_any = builder.compute(ScalarOp.BITWISE_OR, (is_any, tap.is_any), DType.BOOL)
    return _Largest(
        builder.compute(ScalarOp.WHERE, (is_larger, *both), dtype),
        builder.compute(ScalarOp.WHERE, (is_larger, tap.distance, found.distance), DType.INT32),
        is_any,
    )


def _lowest(reader: Reader, node: AtenNode) -> Scalar:
    """Give what no element is smaller than."""
    dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
    text = identity_of(ReduceOp.MAX, dtype)
    return reader.builder.const(float(text) if dtype.is_float else int(text), dtype)


def sum_pool(
    windows_of: Callable[[Values, AtenNode, int], list[Window]],
    rank: int,
    divide: Callable[[Reader, AtenNode, Scalar, list[Window]], Scalar],
) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Give the rule of an element that is a sum over a window, divided as `divide` says."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        builder = reader.builder
        dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
        outside = builder.const(0, dtype)
        windows = windows_of(reader.values, node, rank)
        total: Scalar | None = None
        for tap in _iter_taps(reader, indices, windows, _operand(reader, node), outside):
            if total is None or total is outside:
                total = tap
            elif tap is not outside:
                total = builder.compute(ScalarOp.ADD, (total, tap), dtype)
        assert total is not None, "a window has taps"
        return divide(reader, node, total, windows)

    return element


def _divide_by(reader: Reader, total: Scalar, divisor: int) -> Scalar:
    by = reader.builder.const(divisor, total.dtype)
    return reader.builder.compute(ScalarOp.DIV, (total, by), total.dtype)


def _average(reader: Reader, node: AtenNode, total: Scalar, windows: list[Window]) -> Scalar:
    """Divide by the number of taps, or what the call says."""
    given = argument(node, 6, "divisor_override")
    count = math.prod(window.taps for window in windows)
    return _divide_by(reader, total, int(number_of(given)) if is_number(given) else count)


def _average_by_axis(
    reader: Reader, _node: AtenNode, total: Scalar, windows: list[Window]
) -> Scalar:
    """Divide by the taps of one axis after the other, as eager's adaptive pools do."""
    for window in windows:
        total = _divide_by(reader, total, window.taps)
    return total


def _is_served(values: Values, node: AtenNode, windows: Sequence[Window]) -> bool:
    count = math.prod(window.taps for window in windows)
    return 0 < count <= MOST_TAPS and 0 not in shape_of(values, node)


def _serves_max(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        is_known = node.results[0] >= 0
        return is_known and _is_served(values, node, _max_windows(values, node, rank))

    return serves


def _serves_average(rank: int) -> Callable[[Values, AtenNode], bool]:
    """Only where all windows are divided by one number: none reaches past the padding, and padding counts."""

    def serves(values: Values, node: AtenNode) -> bool:
        windows = _average_windows(values, node, rank)
        result = node.metas[0]
        assert result is not None, f"{node.op} has a result"
        extents = [dim for dim in result.shape if isinstance(dim, int)][-rank:]
        fits = all(
            (size - 1) * window.step + window.taps <= window.extent + 2 * window.before
            for window, size in zip(windows, extents, strict=True)
        )
        is_counted = argument(node, 5, "count_include_pad") != LiteralArg(value=False)
        is_uniform = is_counted or not any(window.before for window in windows)
        divisor = argument(node, 6, "divisor_override")
        is_refused = is_number(divisor) and not number_of(divisor)
        is_known = fits and is_uniform and _has_average(result.dtype, rank) and not is_refused
        return is_known and _is_served(values, node, windows)

    return serves


def _has_average(dtype: DType, rank: int) -> bool:
    """Tell whether eager has a kernel: for volumes it has none for narrow floats."""
    return dtype.is_float and (rank < 3 or dtype is computation_dtype(dtype))


def _serves_adaptive(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        extents, sizes = shape_of(values, node)[-rank:], integers_of(node.args[1]) or ()
        result = node.metas[0]
        assert result is not None, f"{node.op} has a result"
        is_known = _has_average(result.dtype, rank) and len(sizes) == rank
        is_even = is_known and all(
            size and extent % size == 0 for extent, size in zip(extents, sizes, strict=True)
        )
        return is_even and _is_served(values, node, _adaptive_windows(values, node, rank))

    return serves


def _pool(
    name: str,
    element: Callable[[Reader, AtenNode, Indices], Scalar],
    serves: Callable[[Values, AtenNode], bool],
) -> ElementRow:
    return ElementRow(f"aten.{name}.default", element, serves, cost=_POOL_COST, rereads=True)


def _rows_of_rank(rank: int) -> tuple[ElementRow, ...]:
    """Give the rows of pools over `rank` axes."""
    largest = _pool(f"max_pool{rank}d_with_indices", _max_pool(rank), _serves_max(rank))
    average = sum_pool(_average_windows, rank, _average)
    adaptive = sum_pool(_adaptive_windows, rank, _average_by_axis)
    return (
        msgspec.structs.replace(largest, second=_max_position(rank)),
        _pool(f"avg_pool{rank}d", average, _serves_average(rank)),
        _pool(f"_adaptive_avg_pool{rank}d", adaptive, _serves_adaptive(rank)),
    )


POOLS: Final[Mapping[str, ElementRow]] = rows(*_rows_of_rank(2), *_rows_of_rank(3))
