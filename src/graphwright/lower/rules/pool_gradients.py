"""Gradients of averages and of repetitions: what each element of the image gave to. One row an overload.

In: nothing.   Out: `POOL_GRADIENTS`, overload name → `ElementRow`.
Keeps: only windows side by side are served, so that an element of the image is in one of them at most; sums are taken in eager's order.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import argument, integers_of, is_given, is_number, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.ir.pools import MOST_TAPS, spread
from graphwright.lower.affine import Affine
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, shape_of
from graphwright.lower.rules.joining import Piece, join
from graphwright.lower.rules.pools import sum_pool
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.rules.windows import Window, num_taps
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
    for name, taps, divisors in (
        ("avg_pool", _average_taps, _average_divisors),
        ("_adaptive_avg_pool", _adaptive_taps, _adaptive_divisors),
    ):
        if rank > 1:
            share = _gradient(rank, taps, divisors)
            op = f"aten.{name}{rank}d_backward.default"
            found.append(ElementRow(op, share, _serves(rank, taps), _COST))
    return tuple(found)


POOL_GRADIENTS: Final[Mapping[str, ElementRow]] = rows(
    *(row for rank in (1, 2, 3) for row in _rows_of_rank(rank))
)
