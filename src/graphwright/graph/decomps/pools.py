"""Pools with large windows: reductions where these lie side by side, else pools of one axis after the other.

In: nothing.   Out: `POOLS`, overload name → `Decomposition`.
Keeps: narrow floats are rounded once, at the end. Positions of the largest elements are those that eager finds in its order: where they are
read, or a window along one axis is larger than a kernel can name the elements of, the pool stays as it is.

    %1 = avg_pool2d(%0, [16, 16])     →    %1 = mean(view(%0, [N, C, H/16, 16, W/16, 16]), [3, 5])
    %1 = max_pool2d(%0, [9, 9], …)    →    %1 = max_pool2d(max_pool2d(%0, [9, 1], …), [1, 9], …)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from graphwright.graph.decomps.emitter import (
    Emitter,
    as_list,
    reduced_strides,
    static_shape,
)
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, squeeze, tensor
from graphwright.ir.aten import Arg, AtenNode, LiteralArg, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, flag_of, integers_of, is_number, number_of
from graphwright.ir.pools import MOST_TAPS, spread


class _Axis(msgspec.Struct, frozen=True):
    """The windows along one axis: so many, of so many elements each."""

    size: int
    taps: int
    is_even: bool
    """They lie side by side, and cover the image."""


_WHOLE: Final = _Axis(size=1, taps=1, is_even=True)
_PoolAxis = Callable[[Ref, int], tuple[str, Sequence[Arg]]]
"""(the image, which of the window's axes) → the pool of that axis alone."""


def _axes(emit: Emitter, node: AtenNode, rank: int, first: int) -> list[_Axis]:
    """Give the axes of op(x, …, kernel, stride, padding, …) whose kernel is argument number `first`."""
    taps = spread(node, first, "kernel_size", rank, ())
    steps = spread(node, first + 1, "stride", rank, taps)
    pads = spread(node, first + 2, "padding", rank, (0,))
    extents = emit.shape(tensor(node, 0))[-rank:]
    sizes = static_shape(result_meta(node))[-rank:]
    return [
        _Axis(size, tap, not pad and size * tap == extent and (tap == step or size == 1))
        for extent, size, tap, step, pad in zip(extents, sizes, taps, steps, pads, strict=True)
    ]


def _adaptive_axes(emit: Emitter, node: AtenNode, rank: int) -> list[_Axis]:
    """Give the axes of op(x, output_size)."""
    extents = emit.shape(tensor(node, 0))[-rank:]
    sizes = integers_of(node.args[1]) or ()
    if len(sizes) != rank or 0 in sizes:
        return []
    return [
        _Axis(size, -(-extent // size) + int(extent % size > 0), extent % size == 0)
        for extent, size in zip(extents, sizes, strict=True)
    ]


def _pooled(
    emit: Emitter, x: Ref, axes: Sequence[_Axis], reduction: str, pool_axis: _PoolAxis
) -> Ref | None:
    """Give the pool of `x`; None where its windows are small, or too large for all that."""
    if math.prod(axis.taps for axis in axes) <= MOST_TAPS:
        return None
    if all(axis.is_even for axis in axes):
        return _reduced(emit, x, axes, reduction)
    if any(axis.taps > MOST_TAPS and not axis.is_even for axis in axes):
        return None
    for number, axis in enumerate(axes):
        if axis.taps > MOST_TAPS:
            alone = [axis if place == number else _WHOLE for place in range(len(axes))]
            x = _reduced(emit, x, alone, reduction)
        elif axis.taps > 1 or not axis.is_even:
            x = _along(emit, x, number - len(axes), axis.size, pool_axis(x, number))
    return x


def _reduced(emit: Emitter, x: Ref, axes: Sequence[_Axis], reduction: str) -> Ref:
    """Give the reduction of each window."""
    first = len(emit.shape(x)) - len(axes)
    inner: list[int] = []
    seen: list[int] = []
    for number, axis in reversed(list(enumerate(axes))):
        place = first + number
        if axis.size > 1 and axis.taps > 1:
            x = emit.split(x, place, (axis.size, axis.taps))
            inner = [place + 1, *(other + 1 for other in inner)]
            seen = [other + 1 for other in seen]
        elif axis.taps > 1:
            seen = [place, *seen]
    return squeeze(emit, emit.reduce(reduction, x, [*inner, *seen]), inner)


def _along(emit: Emitter, x: Ref, axis: int, size: int, pool: tuple[str, Sequence[Arg]]) -> Ref:
    """Give the pool of `x` that leaves `size` elements along `axis`."""
    op, args = pool
    meta, shape = emit.meta(x), list(emit.shape(x))
    shape[axis] = size
    strides = reduced_strides(emit.shape(x), meta.strides, shape)
    result = TensorMeta(meta.dtype, tuple(shape), strides, meta.device)
    return emit.first_of(2 if "max" in op else 1, op, [x, *args], result)


def _only(rank: int, number: int, value: int, other: int) -> Arg:
    """Give a list argument that has `value` for one axis."""
    return as_list([value if place == number else other for place in range(rank)])


def _average(rank: int) -> Callable[[Emitter, AtenNode], bool]:
    """avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""

    def write(emit: Emitter, node: AtenNode) -> bool:
        x = emit.widened(tensor(node, 0))
        divisor = argument(node, 6, "divisor_override")
        has_divisor = is_number(divisor)
        is_refused = has_divisor and not number_of(divisor)
        if not _has_average(node, rank) or is_refused:
            return False
        taps = spread(node, 1, "kernel_size", rank, ())
        steps = spread(node, 2, "stride", rank, taps)
        pads = spread(node, 3, "padding", rank, (0,))
        counts_padding = argument(node, 5, "count_include_pad") != LiteralArg(value=False)
        flags = [LiteralArg(flag_of(node, 4, "ceil_mode")), LiteralArg(counts_padding)]

        def pool_axis(_x: Ref, number: int) -> tuple[str, Sequence[Arg]]:
            window = [_only(rank, number, taps[number], 1), _only(rank, number, steps[number], 1)]
            rest = [LiteralArg(1)] if has_divisor else []
            args = [*window, _only(rank, number, pads[number], 0), *flags, *rest]
            return f"aten.avg_pool{rank}d.default", args

        reduction = "aten.sum.dim_IntList" if has_divisor else "aten.mean.dim"
        value = _pooled(emit, x, _axes(emit, node, rank, 1), reduction, pool_axis)
        if value is None:
            return False
        if has_divisor:
            value = emit.pointwise("aten.div.Tensor", value, float(number_of(divisor)))
        give(emit, node, value)
        return True

    return write


def _adaptive_average(rank: int) -> Callable[[Emitter, AtenNode], bool]:
    """_adaptive_avg_pool2d(x, output_size)."""

    def write(emit: Emitter, node: AtenNode) -> bool:
        if not _has_average(node, rank):
            return False
        x = emit.widened(tensor(node, 0))
        axes = _adaptive_axes(emit, node, rank)
        pool_axis = _adaptive_pool(f"aten._adaptive_avg_pool{rank}d.default", emit, axes)
        value = _pooled(emit, x, axes, "aten.mean.dim", pool_axis)
        if value is None:
            return False
        give(emit, node, value)
        return True

    return write


def _adaptive_pool(op: str, emit: Emitter, axes: Sequence[_Axis]) -> _PoolAxis:
    def pool_axis(x: Ref, number: int) -> tuple[str, Sequence[Arg]]:
        sizes = list(emit.shape(x)[-len(axes) :])
        sizes[number] = axes[number].size
        return op, [as_list(sizes)]

    return pool_axis


def _largest(rank: int) -> Callable[[Emitter, AtenNode], bool]:
    """max_pool2d_with_indices(x, kernel, stride, padding, dilation, ceil_mode)."""

    def write(emit: Emitter, node: AtenNode) -> bool:
        taps = spread(node, 1, "kernel_size", rank, ())
        steps = spread(node, 2, "stride", rank, taps)
        pads = spread(node, 3, "padding", rank, (0,))
        gaps = spread(node, 4, "dilation", rank, (1,))
        is_ceil = LiteralArg(flag_of(node, 5, "ceil_mode"))

        def pool_axis(_x: Ref, number: int) -> tuple[str, Sequence[Arg]]:
            numbers = ((taps, 1), (steps, 1), (pads, 0), (gaps, 1))
            window = [_only(rank, number, own[number], other) for own, other in numbers]
            return f"aten.max_pool{rank}d_with_indices.default", [*window, is_ceil]

        return _give_largest(emit, node, _axes(emit, node, rank, 1), pool_axis)

    return write


def _adaptive_largest(rank: int) -> Callable[[Emitter, AtenNode], bool]:
    """adaptive_max_pool2d(x, output_size)."""

    def write(emit: Emitter, node: AtenNode) -> bool:
        axes = _adaptive_axes(emit, node, rank)
        pool_axis = _adaptive_pool(f"aten.adaptive_max_pool{rank}d.default", emit, axes)
        is_known = bool(axes) and result_meta(node).dtype.is_float
        return is_known and _give_largest(emit, node, axes, pool_axis)

    return write


def _give_largest(
    emit: Emitter, node: AtenNode, axes: Sequence[_Axis], pool_axis: _PoolAxis
) -> bool:
    if emit.is_read(node.results[1]) or node.results[0] < 0:
        return False
    value = _pooled(emit, tensor(node, 0), axes, "aten.amax.default", pool_axis)
    if value is not None:
        give(emit, node, value)
    return value is not None


def _has_average(node: AtenNode, rank: int) -> bool:
    """Tell whether eager has a kernel: for volumes it has none for narrow floats."""
    dtype = result_meta(node).dtype
    return dtype.is_float and (rank < 3 or dtype in (DType.FLOAT32, DType.FLOAT64))


POOLS: Final[Mapping[str, Decomposition]] = rows(
    *(
        Decomposition(f"aten.{name}{rank}d{suffix}.default", make(rank))
        for rank in (2, 3)
        for name, suffix, make in (
            ("avg_pool", "", _average),
            ("_adaptive_avg_pool", "", _adaptive_average),
            ("max_pool", "_with_indices", _largest),
            ("adaptive_max_pool", "", _adaptive_largest),
        )
    )
)
