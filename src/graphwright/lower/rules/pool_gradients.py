"""Gradients of averages and of repetitions: what each element of the image gave to. One row an overload.

In: nothing.   Out: `POOL_GRADIENTS`, overload name → `ElementRow`.
Keeps: sums are taken in eager's order. Windows lie side by side, so that an element of the image is in one of them at most, or begin at
each element.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from graphwright.ir.aten import AtenNode, LiteralArg
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integers_of, is_given, is_number, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.ir.pools import MOST_TAPS, spread
from graphwright.lower.affine import Affine
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.joining import Piece, join
from graphwright.lower.rules.pools import sum_pool
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.rules.windows import Window, covered, divide_by, iter_taps, num_taps
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values

_Taps = Callable[[Values, AtenNode, int], list[int] | None]
"""Extents of the windows along the last axes; None where they are not side by side."""
_Divisors = Callable[[AtenNode, Sequence[int]], Sequence[int]]
"""What a sum over a window was divided by, one division after another."""
_COST: Final = 12


def _average_taps(values: Values, node: AtenNode, rank: int) -> list[int] | None:
    """avg_pool2d_backward(grad, x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""
    taps = spread(node, 2, "kernel_size", rank, ())
    steps = spread(node, 3, "stride", rank, taps)
    pads = spread(node, 4, "padding", rank, (0,))
    given = argument(node, 7, "divisor_override")
    is_refused = is_number(given) and not number_of(given)
    covered = map(operator.mul, taps, shape_of(values, node, 0)[-rank:])
    fits = all(map(operator.le, covered, shape_of(values, node, 1)[-rank:]))
    return taps if taps == steps and not any(pads) and fits and not is_refused else None


def _average_divisors(node: AtenNode, taps: Sequence[int]) -> Sequence[int]:
    given = argument(node, 7, "divisor_override")
    return (int(number_of(given)) if is_number(given) else math.prod(taps),)


def _adaptive_taps(values: Values, node: AtenNode, rank: int) -> list[int] | None:
    """_adaptive_avg_pool2d_backward(grad, x), of an extent that is a multiple of the gradient's."""
    sizes, extents = shape_of(values, node, 0)[-rank:], shape_of(values, node, 1)[-rank:]
    if 0 in sizes or any(map(operator.mod, extents, sizes)):
        return None
    return list(map(operator.floordiv, extents, sizes))


def _adaptive_divisors(node: AtenNode, taps: Sequence[int]) -> Sequence[int]:
    """Eager divides by the extent of one axis after the other; once where channels are innermost."""
    result = node.metas[0]
    assert result is not None, f"{node.op} has a result"
    has_channels_last = result.strides[-1] != 1
    return (math.prod(taps),) if has_channels_last else taps


def _overlapping_windows(values: Values, node: AtenNode, rank: int) -> list[Window] | None:
    """Give the windows of the average over the image; None where they do not begin at each element."""
    taps = spread(node, 2, "kernel_size", rank, ())
    steps = spread(node, 3, "stride", rank, taps)
    pads = spread(node, 4, "padding", rank, (0,))
    extents = shape_of(values, node, 1)[-rank:]
    windows = [Window(*one) for one in zip(extents, taps, steps, pads, strict=True)]
    return windows if all(window.step == 1 for window in windows) else None


def _overlapping_gradient(
    reader: Reader, node: AtenNode, indices: Indices, windows: Sequence[Window]
) -> Scalar:
    """Give each element the sum of its shares of all windows that it is in."""
    builder, rank = reader.builder, len(windows)
    counts_padding = argument(node, 6, "count_include_pad") != LiteralArg(value=False)
    given = argument(node, 7, "divisor_override")
    around = [
        Window(extent, window.taps, 1, window.taps - 1 - window.before)
        for window, extent in zip(windows, shape_of(reader.values, node, 0)[-rank:], strict=True)
    ]

    def share(places: Indices) -> Scalar:
        divisor = covered(reader, windows, places[-rank:], counts_padding=counts_padding)
        divisor = int(number_of(given)) if is_number(given) else divisor
        return divide_by(reader, reader.operand(node, 0, places), divisor)

    dtype = reader.values.dtype(ref_of(node.args[0]))
    zero = builder.const(0, dtype)
    total = zero
    for part in iter_taps(reader, indices, around, share, zero):
        if total is zero:
            total = part
        elif part is not zero:
            total = builder.compute(ScalarOp.ADD, (total, part), dtype)
    return total


def _average_gradient(rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    share = _gradient(rank, _average_taps, _average_divisors)

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        if _average_taps(reader.values, node, rank) is not None:
            return share(reader, node, indices)
        windows = _overlapping_windows(reader.values, node, rank)
        assert windows is not None, "checked by `can_lower`"
        return _overlapping_gradient(reader, node, indices, windows)

    return element


def _serves_average(rank: int) -> Callable[[Values, AtenNode], bool]:
    """Narrow floats are rounded after each window in eager: they are served where there is one."""
    serves_one = _serves(rank, _average_taps)

    def serves(values: Values, node: AtenNode) -> bool:
        if serves_one(values, node):
            return True
        windows = _overlapping_windows(values, node, rank)
        result = node.metas[0]
        is_wide = result is not None and result.dtype in (DType.FLOAT32, DType.FLOAT64)
        given = argument(node, 7, "divisor_override")
        is_refused = is_number(given) and not number_of(given)
        is_known = windows is not None and is_wide and not is_refused
        is_full = 0 not in shape_of(values, node, 0) and 0 not in shape_of(values, node, 1)
        return is_known and is_full and 0 < num_taps(windows or ()) <= MOST_TAPS

    return serves


def _gradient(
    rank: int, taps_of: _Taps, divisors_of: _Divisors
) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Give each element its share of what its window got, and 0 past the last window."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        taps = taps_of(reader.values, node, rank)
        assert taps is not None, "checked by `can_lower`"
        first = len(indices) - rank
        return settle(reader, node, indices[:first], indices[first:], taps)

    def settle(
        reader: Reader, node: AtenNode, settled: Indices, rest: Indices, taps: list[int]
    ) -> Scalar:
        """Settle one axis, then the rest: which window the place is in."""
        result = node.metas[0]
        assert result is not None, f"{node.op} has a result"
        if not rest:
            return _divided(reader, reader.operand(node, 0, settled), divisors_of(node, taps))
        extent, tap = shape_of(reader.values, node, 0)[len(settled)], taps[-len(rest)]

        def share(index: Affine) -> Scalar:
            window = reader.divide(index, tap, extent)[0] if tap > 1 else index
            return settle(reader, node, (*settled, window), rest[1:], taps)

        zero = reader.builder.const(0, result.dtype)
        pieces = [Piece(extent * tap, share), Piece(1 << 62, lambda _index: zero)]
        return join(reader, rest[0], pieces, result.dtype)

    return element


def _divided(reader: Reader, value: Scalar, divisors: Sequence[int]) -> Scalar:
    """Divide by one after the other, rounded each time."""
    builder, dtype = reader.builder, value.dtype
    wide = computation_dtype(dtype)
    for divisor in divisors:
        operands = (builder.cast(value, wide), builder.const(divisor, wide))
        value = builder.cast(builder.compute(ScalarOp.DIV, operands, wide), dtype)
    return value


def _serves(rank: int, taps_of: _Taps) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        result = node.metas[0]
        is_float = result is not None and result.dtype.is_float
        shape, image = shape_of(values, node, 0), shape_of(values, node, 1)
        is_alike = len(shape) == len(image) and shape[:-rank] == image[:-rank]
        is_full = is_alike and 0 not in shape and 0 not in image
        return is_float and is_full and taps_of(values, node, rank) is not None

    return serves


# Repetition


def _repetitions(values: Values, node: AtenNode, rank: int) -> list[Window] | None:
    """upsample_nearest2d_backward(grad, output_size, input_size, scales_h, scales_w): the windows that elements were repeated in."""
    extents = shape_of(values, node, 0)[-rank:]
    sizes = (integers_of(argument(node, 2, "input_size")) or ())[-rank:]
    windows = []
    for place, (extent, size) in enumerate(zip(extents, sizes, strict=True)):
        scale = argument(node, 3 + place, "")
        if not size or not extent or extent % size:
            return None
        if is_given(node, 3 + place, "") and (
            not is_number(scale) or float(number_of(scale)) * size != extent
        ):
            return None
        windows.append(Window(extent, extent // size, extent // size))
    return windows


def _known_repetitions(values: Values, node: AtenNode, rank: int) -> list[Window]:
    windows = _repetitions(values, node, rank)
    assert windows is not None, "checked by `can_lower`"
    return windows


def _as_it_is(_reader: Reader, _node: AtenNode, _indices: Indices, total: Scalar) -> Scalar:
    return total


def _serves_repetitions(rank: int) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        windows = _repetitions(values, node, rank)
        result = node.metas[0]
        is_float = result is not None and result.dtype.is_float
        return windows is not None and is_float and num_taps(windows) <= MOST_TAPS

    return serves


def _rows_of_rank(rank: int) -> tuple[ElementRow, ...]:
    repeated = sum_pool(_known_repetitions, rank, _as_it_is)
    found = [
        ElementRow(
            f"aten.{name}{rank}d_backward.default", repeated, _serves_repetitions(rank), _COST
        )
        for name in ("upsample_nearest", "_upsample_nearest_exact")
    ]
    if rank > 1:
        name, serves = f"aten.avg_pool{rank}d_backward.default", _serves_average(rank)
        found.append(ElementRow(name, _average_gradient(rank), serves, _COST, rereads=True))
        name, serves = (
            f"aten._adaptive_avg_pool{rank}d_backward.default",
            _serves(rank, _adaptive_taps),
        )
        share = _gradient(rank, _adaptive_taps, _adaptive_divisors)
        found.append(ElementRow(name, share, serves, _COST))
    return tuple(found)


POOL_GRADIENTS: Final[Mapping[str, ElementRow]] = rows(
    *(row for rank in (1, 2, 3) for row in _rows_of_rank(rank))
)
