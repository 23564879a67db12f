"""Padding by an image's own elements, and repetition to a larger size. One row an overload.

In: nothing.   Out: `IMAGES`, overload name → `ElementRow`.
Keeps: where a place reaches past the image the kernel is built in sections, so that the inner part has no computed indices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import argument, integers_of, is_given, is_number, number_of
from graphwright.lower.affine import Affine
from graphwright.lower.reader import Indices, Reader, ref_of, shape_of
from graphwright.lower.rules.joining import Piece, join_nonempty
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Scalar
from graphwright.lower.values import Values


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


def _factors(values: Values, node: AtenNode, rank: int) -> list[int] | None:
    """Give how often each element is repeated along each axis; None where it is not a whole number of times."""
    sizes = integers_of(argument(node, 1, "output_size"))
    extents = shape_of(values, node)[-rank:]
    if sizes is None or len(sizes) != rank or 0 in extents:
        return None
    factors = []
    for place, (size, extent) in enumerate(zip(sizes, extents, strict=True)):
        scale = argument(node, 2 + place, "")
        if size % extent or not size:
            return None
        if is_given(node, 2 + place, "") and (
            not is_number(scale) or float(number_of(scale)) * extent != size
        ):
            return None
        factors.append(size // extent)
    return factors


def _repeats(rank: int) -> Callable[[Values, AtenNode], bool]:
    return lambda values, node: _factors(values, node, rank) is not None


def _repeated(rank: int) -> Callable[[Reader, AtenNode, Indices], Scalar]:
    def element(reader: Reader, node: AtenNode, indices: Indices) -> Scalar:
        factors = _factors(reader.values, node, rank)
        assert factors is not None, "checked when the node was classified"
        shape = shape_of(reader.values, node)
        first = len(indices) - rank
        own = [
            reader.divide(index, factor, extent)[0] if factor > 1 else index
            for index, factor, extent in zip(indices[first:], factors, shape[first:], strict=True)
        ]
        return reader.operand(node, 0, (*indices[:first], *own))

    return element


def _rows_of_rank(rank: int) -> tuple[ElementRow, ...]:
    """Give the rows of ops on images of `rank` axes."""
    return (
        ElementRow(f"aten.reflection_pad{rank}d.default", _padded(_reflected), _pads_something),
        ElementRow(f"aten.replication_pad{rank}d.default", _padded(_nearest), _pads_something),
        ElementRow(f"aten.upsample_nearest{rank}d.default", _repeated(rank), _repeats(rank)),
        ElementRow(f"aten._upsample_nearest_exact{rank}d.default", _repeated(rank), _repeats(rank)),
    )


IMAGES: Final[Mapping[str, ElementRow]] = rows(
    *(row for rank in (1, 2, 3) for row in _rows_of_rank(rank))
)
