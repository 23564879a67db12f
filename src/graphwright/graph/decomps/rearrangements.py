"""Ops that put elements in another order, and sums of those that windows share: by views, copies and additions at known places.

In: nothing.   Out: `REARRANGEMENTS`, overload name → `Decomposition`.
Keeps: every element as it is; sums (of `col2im` and `unfold_backward`) are taken in eager's order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from graphwright.graph.decomps.emitter import Emitter, as_list, static_dims
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, tensor
from graphwright.ir.aten import Arg, AtenNode, ListArg, LiteralArg, Ref
from graphwright.ir.node_arguments import argument, integer_of, integers_of


def _pixel_shuffle(emit: Emitter, node: AtenNode) -> bool:
    """[…, C·f·f, H, W] → […, C, H, f, W, f] → […, C, H·f, W·f]."""
    x, factor = tensor(node, 0), integer_of(node, 1, "upscale_factor", 1)
    *outer, channels, _, _ = range(len(emit.shape(x)))
    count, rest = divmod(emit.shape(x)[channels], factor * factor)
    if rest:
        return False  # refused
    x = emit.split(x, channels, (count, factor * factor))
    x = emit.split(x, channels + 1, (factor, factor))
    down, across, height, width = range(channels + 1, channels + 5)
    _give_joined(emit, node, emit.permute(x, [*outer, channels, height, down, width, across]))
    return True


def _pixel_unshuffle(emit: Emitter, node: AtenNode) -> bool:
    """[…, C, H·f, W·f] → […, C, f, f, H, W] → […, C·f·f, H, W]."""
    x, factor = tensor(node, 0), integer_of(node, 1, "downscale_factor", 1)
    *outer, channels, height, width = range(len(emit.shape(x)))
    shape = emit.shape(x)
    if shape[height] % factor or shape[width] % factor:
        return False  # refused
    x = emit.split(x, width, (shape[width] // factor, factor))
    x = emit.split(x, height, (shape[height] // factor, factor))
    order = [*outer, channels, height + 1, height + 3, height, height + 2]
    _give_joined(emit, node, emit.permute(x, order))
    return True


def _channel_shuffle(emit: Emitter, node: AtenNode) -> bool:
    """[N, g·C, …] → [N, C, g, …] → [N, C·g, …]."""
    x, groups = tensor(node, 0), integer_of(node, 1, "groups", 1)
    x = emit.split(x, 1, (groups, emit.shape(x)[1] // groups))
    _give_joined(emit, node, emit.permute(x, [0, 2, 1, *range(3, len(emit.shape(x)))]))
    return True


def _give_joined(emit: Emitter, node: AtenNode, x: Ref) -> None:
    """Give `x`, whose neighbouring axes are one in the result."""
    shape = static_dims(result_meta(node).shape)
    give(emit, node, emit.view(emit.row_major(x), shape))


def _rot90(emit: Emitter, node: AtenNode) -> bool:
    """rot90(x, k, dims): flipped, with two axes exchanged for an odd number of quarters."""
    x, quarters = tensor(node, 0), integer_of(node, 1, "k", 1) % 4
    rank = len(emit.shape(x))
    first, second = (axis % rank for axis in integers_of(argument(node, 2, "dims")) or (0, 1))
    flipped = ((), (second,), (first, second), (first,))[quarters]
    if flipped:
        x = emit.fresh("aten.flip.default", [x, as_list(flipped)], emit.shape(x), x)
    if quarters % 2:
        order = list(range(rank))
        order[first], order[second] = second, first
        x = emit.permute(x, order)
    give(emit, node, x)
    return True


def _roll(emit: Emitter, node: AtenNode) -> bool:
    """roll(x, shift): of all elements, row by row."""
    x, shifts = tensor(node, 0), integers_of(node.args[1]) or ()
    if integers_of(argument(node, 2, "dims")) or len(shifts) != 1:
        return False
    shape = emit.shape(x)
    numel = math.prod(shape)
    line = emit.view(emit.row_major(x), (numel,))
    rolled = emit.fresh("aten.roll.default", [line, as_list(shifts), as_list([0])], (numel,), x)
    give(emit, node, emit.view(rolled, shape))
    return True


def _block_diag(emit: Emitter, node: AtenNode) -> bool:
    """block_diag(matrices): each beside zeros, one below the other."""
    given, meta = node.args[0], result_meta(node)
    assert isinstance(given, ListArg), "a list of matrices"
    _, width = static_dims(meta.shape)
    blocks: list[Ref] = []
    before = 0
    for item in given.items:
        assert isinstance(item, Ref), "a matrix"
        block = emit.cast(item, meta.dtype)
        shape = (1, 1, *emit.shape(block))[-2:]
        strides = (1, 1, *static_dims(emit.meta(block).strides))[-2:]
        block = emit.seen_as(block, shape, strides)
        pad: list[Arg] = [block, as_list([before, width - before - shape[1]]), LiteralArg(0)]
        blocks.append(emit.fresh("aten.constant_pad_nd.default", pad, (shape[0], width), block))
        before += shape[1]
    height = sum(emit.shape(block)[0] for block in blocks)
    listed: list[Arg] = [ListArg(tuple(blocks)), LiteralArg(0)]
    give(emit, node, emit.fresh("aten.cat.default", listed, (height, width), blocks[0]))
    return True


# Windows of images: […, C, H, W] ↔ […, C·kh·kw, their number]


class _Windows(msgspec.Struct, frozen=True):
    """Where windows lie along the two axes of an image with its padding."""

    kernel: tuple[int, ...]
    gaps: tuple[int, ...]
    """From one element of a window to the next."""
    pads: tuple[int, ...]
    """On both sides."""
    steps: tuple[int, ...]
    """From one window to the next."""
    image: tuple[int, ...]
    """The extents without padding."""

    @property
    def padded(self) -> tuple[int, int]:
        """The extents with padding."""
        first, second = (size + 2 * pad for size, pad in zip(self.image, self.pads, strict=True))
        return first, second

    @property
    def counts(self) -> tuple[int, int]:
        """How many windows there are along each axis."""
        parts = zip(self.padded, self.kernel, self.gaps, self.steps, strict=True)
        first, second = (
            (size - gap * (kernel - 1) - 1) // step + 1 for size, kernel, gap, step in parts
        )
        return first, second


def _windows(node: AtenNode, first: int, image: Sequence[int]) -> _Windows:
    """Read (kernel_size, dilation, padding, stride), which begin at argument `first`."""
    pairs = [integers_of(arg) or () for arg in node.args[first : first + 4]]
    kernel, gaps, pads, steps = (pair * 2 if len(pair) == 1 else pair for pair in pairs)
    return _Windows(kernel, gaps, pads, steps, tuple(image))


def _im2col(emit: Emitter, node: AtenNode) -> bool:
    x = tensor(node, 0)
    *outer, height, width = emit.shape(x)
    windows = _windows(node, 1, (height, width))
    if any(windows.pads):
        down, across = windows.pads
        pad: list[Arg] = [x, as_list([across, across, down, down]), LiteralArg(0)]
        shape = (*outer, *windows.padded)
        x = emit.fresh("aten.constant_pad_nd.default", pad, shape, x)
    *rest, down, across = static_dims(emit.meta(x).strides)
    shape = (*outer, *windows.kernel, *windows.counts)
    inner = (down * windows.gaps[0], across * windows.gaps[1])
    strides = (*rest, *inner, down * windows.steps[0], across * windows.steps[1])
    _give_joined(emit, node, emit.overlaid(x, shape, strides))
    return True


def _col2im(emit: Emitter, node: AtenNode) -> bool:
    """Add each window to the padded image, whose pixels lie in a line; then leave the padding out."""
    x, image = tensor(node, 0), integers_of(node.args[1]) or ()
    windows = _windows(node, 2, image)
    (height, width), kernel = windows.padded, windows.kernel
    outer = emit.shape(x)[:-2]
    channels = emit.shape(x)[-2] // math.prod(kernel)
    line = math.prod((*kernel, *windows.counts))
    columns = emit.view(emit.row_major(x), (*outer, channels, line))
    shape = (*kernel, *windows.counts)
    steps = (windows.gaps[0] * width, windows.gaps[1], windows.steps[0] * width, windows.steps[1])
    total = _sums(emit, columns, _places(emit, x, shape, steps), len(outer) + 1, height * width)
    total = emit.view(total, (*outer, channels, height, width))
    for axis, (pad, size) in enumerate(zip(windows.pads, image, strict=True), len(outer) + 1):
        total = emit.slice(total, axis, pad, size)
    give(emit, node, total)
    return True


def _unfold_backward(emit: Emitter, node: AtenNode) -> bool:
    """unfold_backward(grad, sizes, dim, size, step): grad is […, windows, …, size]."""
    grad = tensor(node, 0)
    shape = static_dims(result_meta(node).shape)
    size, step = (integer_of(node, place, "", 1) for place in (3, 4))
    if not shape:
        return False
    axis = integer_of(node, 2, "dim", 0) % len(shape)
    last = len(shape)
    lines = emit.permute(grad, [*range(axis + 1), last, *range(axis + 1, last)])
    count = emit.shape(grad)[axis]
    given = (*shape[:axis], count * size, *shape[axis + 1 :])
    lines = emit.view(emit.row_major(lines), given)
    places = _places(emit, grad, (count, size), (step, 1))
    give(emit, node, _sums(emit, lines, places, axis, shape[axis]))
    return True


def _places(emit: Emitter, like: Ref, shape: Sequence[int], steps: Sequence[int]) -> Ref:
    """Give the place that an index in `shape` leads to, each axis in `steps` of its own, as one list."""
    total: Ref | None = None
    for axis, (extent, step) in enumerate(zip(shape, steps, strict=True)):
        numbers = emit.pointwise("aten.mul.Tensor", emit.arange(0, extent, like), step)
        column = (extent, *[1] * (len(shape) - axis - 1))
        numbers = emit.seen_as(numbers, column, [1] * len(column))
        total = numbers if total is None else emit.pointwise("aten.add.Tensor", total, numbers)
    assert total is not None, "a window has axes"
    return emit.view(total, (math.prod(shape),))


def _sums(emit: Emitter, x: Ref, places: Ref, axis: int, extent: int) -> Ref:
    """Add what `x` holds along an axis, one after the other, at its places along one of `extent` zeros."""
    shape = (*emit.shape(x)[:axis], extent, *emit.shape(x)[axis + 1 :])
    indices = ListArg((*[LiteralArg(None)] * axis, places))
    args: list[Arg] = [emit.full(shape, 0, x), indices, x, LiteralArg(value=True)]
    return emit.fresh("aten.index_put.default", args, shape, x)


REARRANGEMENTS: Final[Mapping[str, Decomposition]] = rows(
    Decomposition("aten.pixel_shuffle.default", _pixel_shuffle),
    Decomposition("aten.pixel_unshuffle.default", _pixel_unshuffle),
    Decomposition("aten.channel_shuffle.default", _channel_shuffle),
    Decomposition("aten.rot90.default", _rot90),
    Decomposition("aten.roll.default", _roll),
    Decomposition("aten.block_diag.default", _block_diag),
    Decomposition("aten.im2col.default", _im2col),
    Decomposition("aten.col2im.default", _col2im),
    Decomposition("aten.unfold_backward.default", _unfold_backward),
)
