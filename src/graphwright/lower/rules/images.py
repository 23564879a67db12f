"""Padding by an image's own elements, and images at another size by their nearest elements. One row an overload.

In: nothing.   Out: `IMAGES`, overload name → `ElementRow`.
Keeps: where a place reaches past the image the kernel is built in sections, so that the inner part has no computed indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from ctypes import c_float
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integers_of, is_given, is_number, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.joining import Piece, join_nonempty
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values

_MOST_PLACES: Final = 1 << 14
"""Along longer axes it is not looked at what all places are."""
_MOST_EXACT: Final = 1 << 22
"""Smaller indices, and those halfway between, are numbers in float32, and so are their quotients by powers of two."""


def _padded(
    beyond: Callable[[Reader, Affine, int], tuple[Affine, Affine]],
) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    """Read at the index itself inside of the image, at what `beyond` gives (before it, after it) outside."""

    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        pad = integers_of(node.args[1]) or ()
        return _pad_axis(reader, node, indices, list(pad), beyond)

    return element


def _pad_axis(
    reader: Reader,
    node: AtenNode,
    indices: Indices,
    pad: list[int],
    beyond: Callable[[Reader, Affine, int], tuple[Affine, Affine]],
) -> Scalar:
    """Settle one axis (the last pair of `pad`), then the rest."""
    if not pad:
        return reader.operand(node, 0, indices)
    before, after = pad[-2:]
    shape = shape_of(reader.values, node)
    axis = len(shape) - len(pad) // 2
    extent = shape[axis]

    def element_at(place: Callable[[Affine], Affine]) -> Callable[[Affine], Scalar]:
        def element(index: Affine) -> Scalar:
            inner = (*indices[:axis], place(index.shifted(-before)), *indices[axis + 1 :])
            return _pad_axis(reader, node, inner, pad[:-2], beyond)

        return element

    pieces = [
        Piece(before, element_at(lambda index: beyond(reader, index, extent)[0])),
        Piece(before + extent, element_at(lambda index: index)),
        Piece(before + extent + after, element_at(lambda index: beyond(reader, index, extent)[1])),
    ]
    return join_nonempty(reader, indices[axis], pieces, reader.values.dtype(ref_of(node.args[0])))


def _reflected(_reader: Reader, index: Affine, extent: int) -> tuple[Affine, Affine]:
    return index.times(-1), index.times(-1).shifted(2 * (extent - 1))


def _nearest(_reader: Reader, _index: Affine, extent: int) -> tuple[Affine, Affine]:
    return Affine(), Affine((), extent - 1)


def _pads_something(values: Values, node: AtenNode) -> bool:
    return 0 not in shape_of(values, node) and integers_of(node.args[1]) is not None


class _Axis(msgspec.Struct, frozen=True):
    """Where elements of the result are along one axis of the image: at `floor((index + shift) * scale)`."""

    extent: int
    size: int
    """Of the result."""
    scale: float
    shift: float
    dtype: DType
    """In which the product is taken, before it is rounded to float32."""

    def place(self, index: int) -> int:
        """Give the place for one index, as eager computes it."""
        if self.dtype is DType.FLOAT64:
            product = (index + self.shift) * self.scale
        else:
            product = c_float(index + self.shift).value * c_float(self.scale).value
        return min(math.floor(c_float(product).value), self.extent - 1)

    def factor(self) -> int:
        """Give how often each element is repeated; 0 where it is not a whole number of times."""
        factor, rest = divmod(self.size, self.extent)
        if factor & (factor - 1) == 0 and self.scale * factor == 1 and self.size < _MOST_EXACT:
            return 0 if rest else factor
        if rest or self.size > _MOST_PLACES:
            return 0
        starts = range(0, self.size, factor)
        is_whole = all(
            self.place(start) == number == self.place(start + factor - 1)
            for number, start in enumerate(starts)
        )
        return factor if is_whole else 0

    def step(self) -> tuple[int, int] | None:
        """Give a and b where all places are `a * index + b`."""
        step, rest = divmod(self.extent, self.size)
        if rest or self.size > _MOST_PLACES:
            return None
        first = self.place(0)
        is_even = all(self.place(index) == first + index * step for index in range(self.size))
        return (step, first) if is_even else None

    def is_sure(self) -> bool:
        """Tell whether places are what eager's kernels agree on: some take the same size, or twice the size, as it is."""
        if self.shift or self.size not in (self.extent, 2 * self.extent):
            return True
        return self.factor() > 0


def _axes(values: Values, node: AtenNode, rank: int, shift: float) -> list[_Axis] | None:
    """upsample_nearest2d(x, output_size, scales_h, scales_w): None where these are not known, or there are no elements."""
    sizes = integers_of(argument(node, 1, "output_size"))
    extents = shape_of(values, node)[-rank:]
    if sizes is None or len(sizes) != rank or 0 in (*extents, *sizes):
        return None
    dtype = computation_dtype(values.dtype(ref_of(node.args[0])))
    axes = []
    for place, (size, extent) in enumerate(zip(sizes, extents, strict=True)):
        given = argument(node, 2 + place, "")
        if not is_number(given) and is_given(node, 2 + place, ""):
            return None
        is_scaled = is_number(given) and number_of(given) > 0
        scale = 1.0 / float(number_of(given)) if is_scaled else extent / size
        axes.append(_Axis(extent, size, scale, shift, dtype))
    return axes


def _serves_nearest(rank: int, shift: float) -> Callable[[Values, AtenNode], bool]:
    def serves(values: Values, node: AtenNode) -> bool:
        axes = _axes(values, node, rank, shift)
        return axes is not None and all(
            axis.is_sure() and (axis.dtype.is_float or axis.factor()) for axis in axes
        )

    return serves


def _nearest_element(rank: int, shift: float) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        axes = _axes(reader.values, node, rank, shift)
        assert axes is not None, "checked when the node was classified"
        first = len(indices) - rank
        own = [
            _source(reader, axis, index) for axis, index in zip(axes, indices[first:], strict=True)
        ]
        return reader.operand(node, 0, (*indices[:first], *own))

    return element


def _source(reader: Reader, axis: _Axis, index: Affine) -> Affine:
    """Give the place on the image for an index of the result: affine where all places are."""
    factor = axis.factor()
    if factor:
        return reader.divide(index, factor, axis.extent)[0] if factor > 1 else index
    step = axis.step()
    if step is not None:
        return index.times(step[0]).shifted(step[1])
    builder, dtype = reader.builder, axis.dtype
    position = builder.cast(builder.index(index), dtype)
    if axis.shift:
        shift = builder.const(axis.shift, dtype)
        position = builder.compute(ScalarOp.ADD, (position, shift), dtype)
    product = builder.compute(ScalarOp.MUL, (position, builder.const(axis.scale, dtype)), dtype)
    single = builder.cast(product, DType.FLOAT32)
    whole = builder.compute(ScalarOp.FLOOR, (single,), DType.FLOAT32)
    last = builder.const(axis.extent - 1, DType.INT64)
    operands = (builder.cast(whole, DType.INT64), last)
    inside = builder.compute(ScalarOp.MINIMUM, operands, DType.INT64)
    return builder.dynamic_index(inside, axis.extent)


def _nearest_row(name: str, rank: int, shift: float) -> ElementRow:
    element, serves = _nearest_element(rank, shift), _serves_nearest(rank, shift)
    return ElementRow(f"aten.{name}{rank}d.default", element, serves)


def _rows_of_rank(rank: int) -> tuple[ElementRow, ...]:
    """Give the rows of ops on images of `rank` axes."""
    return (
        ElementRow(f"aten.reflection_pad{rank}d.default", _padded(_reflected), _pads_something),
        ElementRow(f"aten.replication_pad{rank}d.default", _padded(_nearest), _pads_something),
        _nearest_row("upsample_nearest", rank, 0.0),
        _nearest_row("_upsample_nearest_exact", rank, 0.5),
    )


IMAGES: Final[Mapping[str, ElementRow]] = rows(
    *(row for rank in (1, 2, 3) for row in _rows_of_rank(rank))
)
