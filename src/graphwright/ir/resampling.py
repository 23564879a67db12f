"""How calls say how much larger an image became.

In: the gradient of an interpolation.   Out: how much larger each axis became, where neighbours of the result lie between the same elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import (
    argument,
    flag_of,
    integers_of,
    is_given,
    is_number,
    number_of,
)

RANKS: Final[Mapping[str, int]] = MappingProxyType(
    {"upsample_linear1d": 1, "upsample_bilinear2d": 2, "upsample_trilinear3d": 3}
)
"""Linear interpolations, and of how many axes each is."""
_FACTORS: Final = (1, 2, 4)
_FEWEST: Final = 3
"""Elements of an axis whose first two and last are elements of their own."""


class Enlargement(msgspec.Struct, frozen=True):
    """How an axis of the image became one of the result."""

    extent: int
    """Of the image."""
    factor: int


def enlargements(node: AtenNode, sizes: Sequence[int]) -> list[Enlargement] | None:
    """Give how much larger each axis became; None where an axis became so by another factor.

    Args:
        node: upsample_bilinear2d_backward(grad, output_size, input_size, align_corners, scales_h, scales_w).
        sizes: the extents of `grad` along these axes.
    """
    extents = (integers_of(argument(node, 2, "input_size")) or ())[-len(sizes) :]
    if len(extents) != len(sizes) or flag_of(node, 3, "align_corners"):
        return None
    found = []
    for place, (extent, size) in enumerate(zip(extents, sizes, strict=True)):
        scale = argument(node, 4 + place, "")
        factor, rest = divmod(size, extent) if extent else (0, 0)
        is_plain = not is_given(node, 4 + place, "") or (
            is_number(scale) and float(number_of(scale)) in (factor, 0.0)
        )
        if rest or not is_plain or factor not in _FACTORS or (factor > 1 and extent < _FEWEST):
            return None
        found.append(Enlargement(extent, factor))
    return found
