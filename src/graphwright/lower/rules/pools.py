"""Pools: what is made of the elements of windows that move over an image. One row an overload.

In: nothing.   Out: `POOLS`, overload name → `ElementRow`; `sum_pool`, which makes gradients too.
Keeps: sums of a window are taken in eager's order, and divided as often as eager divides them.
Does not: name the elements of large windows: where these lie side by side they are reductions (`graph/decomps/pools.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode, LiteralArg
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integers_of, is_number, number_of
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.pools import MOST_TAPS, spread
from graphwright.lower.affine import Affine
from graphwright.lower.identities import identity_of
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.rules.windows import (
    AnyWindow,
    Share,
    Window,
    covered,
    divide_by,
    iter_taps,
    num_taps,
)
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Values

_POOL_COST: Final = 12
_WindowsOf = Callable[[Values, AtenNode, int], Sequence[AnyWindow]]


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


def _adaptive_windows(values: Values, node: AtenNode, rank: int) -> list[AnyWindow]:
    """_adaptive_avg_pool2d(x, output_size)."""
    extents, sizes = shape_of(values, node)[-rank:], integers_of(node.args[1]) or ()
    return [_adaptive_window(*axis) for axis in zip(extents, sizes, strict=True)]


def _adaptive_window(extent: int, size: int) -> AnyWindow:
    taps, rest = divmod(extent, size)
    return Share(extent, size) if rest else Window(extent, taps, taps)


def _operand(reader: Reader, node: AtenNode) -> Callable[[Indices], Scalar]:
    """Give what reads an element of the image, in the dtype that is computed in."""
    dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
    return lambda indices: reader.builder.cast(reader.operand(node, 0, indices), dtype)


def _max_pool(windows_of: _WindowsOf, rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        windows = windows_of(reader.values, node, rank)
        if reader.values.is_used(node.results[1]):
            return _largest(reader, node, indices, windows).element
        outside = _lowest(reader, node)
        largest = outside
        for tap in iter_taps(reader, indices, windows, _operand(reader, node), outside):
            if largest is outside:
                largest = tap
            elif tap is not outside:
                largest = reader.builder.compute(ScalarOp.MAXIMUM, (largest, tap), tap.dtype)
        return largest

    return element


def _max_position(
    windows_of: _WindowsOf, rank: int
) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Give where in the image the largest element lies, in row-major order."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        windows = windows_of(reader.values, node, rank)
        first = Affine()
        for window, index in zip(windows, indices[-rank:], strict=True):
            first = first.times(window.extent).plus(window.first(reader, index))
        distance = _largest(reader, node, indices, windows).distance
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


def _largest(
    reader: Reader, node: AtenNode, indices: Indices, windows: Sequence[AnyWindow]
) -> _Largest:
    """Give the largest element of a window: the first one, or the last NaN."""
    builder = reader.builder
    outside = _lowest(reader, node)
    yes, no = (builder.const(value=flag, dtype=DType.BOOL) for flag in (True, False))
    elements = iter_taps(reader, indices, windows, _operand(reader, node), outside)
    flags = iter_taps(reader, indices, windows, lambda _indices: yes, no)
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
    windows_of: _WindowsOf,
    rank: int,
    divide: Callable[[Reader, AtenNode, Indices, Scalar], Scalar],
) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Give the rule of an element that is a sum over a window, divided as `divide` says."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        builder = reader.builder
        dtype = computation_dtype(reader.values.dtype(ref_of(node.args[0])))
        outside = builder.const(0, dtype)
        windows = windows_of(reader.values, node, rank)
        total: Scalar | None = None
        for tap in iter_taps(reader, indices, windows, _operand(reader, node), outside):
            if total is None or total is outside:
                total = tap
            elif tap is not outside:
                total = builder.compute(ScalarOp.ADD, (total, tap), dtype)
        assert total is not None, "a window has taps"
        return divide(reader, node, indices[-rank:], total)

    return element


def _average(reader: Reader, node: AtenNode, indices: Indices, total: Scalar) -> Scalar:
    """Divide by the number of elements in the image (and its padding), or by what the call says."""
    given = argument(node, 6, "divisor_override")
    if is_number(given):
        return divide_by(reader, total, int(number_of(given)))
    counts_padding = argument(node, 5, "count_include_pad") != LiteralArg(value=False)
    windows = _average_windows(reader.values, node, len(indices))
    return divide_by(
        reader, total, covered(reader, windows, indices, counts_padding=counts_padding)
    )


def _average_by_axis(reader: Reader, node: AtenNode, indices: Indices, total: Scalar) -> Scalar:
    """Divide by the taps of one axis after the other, as eager's adaptive pools do."""
    windows = _adaptive_windows(reader.values, node, len(indices))
    for window, index in zip(windows, indices, strict=True):
        count = window.count(reader, index) if isinstance(window, Share) else window.taps
        total = divide_by(reader, total, count)
    return total


def _is_served(values: Values, node: AtenNode, windows: Sequence[AnyWindow]) -> bool:
    return 0 < num_taps(windows) <= MOST_TAPS and 0 not in shape_of(values, node)


def _serves_max(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        is_known = node.results[0] >= 0
        return is_known and _is_served(values, node, _max_windows(values, node, rank))

    return serves


def _serves_average(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        divisor = argument(node, 6, "divisor_override")
        is_refused = is_number(divisor) and not number_of(divisor)
        dtype = _result_dtype(node)
        is_known = dtype is DType.INT64 or _has_average(dtype, rank)
        windows = _average_windows(values, node, rank)
        return is_known and not is_refused and _is_served(values, node, windows)

    return serves


def _has_average(dtype: DType, rank: int) -> bool:
    """Tell whether eager has a kernel: for volumes it has none for narrow floats."""
    return dtype.is_float and (rank < 3 or dtype is computation_dtype(dtype))


def _result_dtype(node: AtenNode) -> DType:
    result = node.metas[0]
    assert result is not None, f"{node.op} has a result"
    return result.dtype


def _serves_adaptive(rank: int, *, is_max: bool) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        sizes = integers_of(node.args[1]) or ()
        if node.results[0] < 0 or len(sizes) != rank or 0 in sizes:
            return False
        dtype = _result_dtype(node)
        is_known = dtype.is_float if is_max else _has_average(dtype, rank)
        return is_known and _is_served(values, node, _adaptive_windows(values, node, rank))

    return serves


def _pool(
    name: str,
    element: Callable[[Reader, AtenNode, Indices], Scalar],
    serves: Callable[[Values, AtenNode], bool],
) -> ElementRow:
    return ElementRow(f"aten.{name}.default", element, serves, cost=_POOL_COST, rereads=True)


def _rows_of_rank(rank: int) -> tuple[ElementRow, ...]:
    """Give the rows of pools over `rank` axes."""
    average = sum_pool(_average_windows, rank, _average)
    adaptive = sum_pool(_adaptive_windows, rank, _average_by_axis)
    return (
        _pool(f"avg_pool{rank}d", average, _serves_average(rank)),
        _pool(f"_adaptive_avg_pool{rank}d", adaptive, _serves_adaptive(rank, is_max=False)),
        _maximum(f"max_pool{rank}d_with_indices", _max_windows, rank, _serves_max(rank)),
        _maximum(
            f"adaptive_max_pool{rank}d",
            _adaptive_windows,
            rank,
            _serves_adaptive(rank, is_max=True),
        ),
    )


def _maximum(
    name: str, windows_of: _WindowsOf, rank: int, serves: Callable[[Values, AtenNode], bool]
) -> ElementRow:
    row = _pool(name, _max_pool(windows_of, rank), serves)
    return msgspec.structs.replace(row, second=_max_position(windows_of, rank))


POOLS: Final[Mapping[str, ElementRow]] = rows(*_rows_of_rank(2), *_rows_of_rank(3))
