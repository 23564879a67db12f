"""Whether tensors show places of memory in common.

In: specs of tensors on one storage.   Out: `Overlap`, as eager tells it before it writes; whether there really is one.

    x[1:], x[:-1]            PARTIAL: eager refuses to write one from the other
    m, m.t()                 PARTIAL: the same places in another order
    m[0], m[:, 1]            UNTOLD: one is not dense, so eager does not look; m[0, 1] is written and read
    m[:, 0], m[:, 1]         NONE
"""

from __future__ import annotations

import enum
from typing import Final

from graphwright.record.layout import is_dense
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec


class Overlap(enum.Enum):
    """What two tensors on one storage show in common."""

    NONE = "none"
    SAME = "same"
    """The same places in the same order."""
    PARTIAL = "partial"
    """Dense ones, whose places eager sees to be common."""
    UNTOLD = "untold"
    """Common places that eager does not see, so that it reads some of what it has written."""


def overlap_of(own: TensorSpec, other: TensorSpec) -> Overlap:
    """Tell what two tensors on one storage have in common; of sizes that are not known, as little as possible."""
    if own.numel == 0 or other.numel == 0:
        return Overlap.NONE
    is_alike = own.offset == other.offset and own.strides == other.strides
    if is_dense(own.shape, own.strides) and is_dense(other.shape, other.strides):
        if is_alike and own.numel == other.numel:
            return Overlap.SAME
        are_apart = (
            own.offset >= other.offset + other.numel or other.offset >= own.offset + own.numel
        )
        return Overlap.NONE if are_apart else Overlap.PARTIAL
    if is_alike and own.shape == other.shape:
        return Overlap.SAME
    digits = [*_digits(own, 1), *_digits(other, -1)]
    return Overlap.UNTOLD if _reaches(other.offset - own.offset, digits) else Overlap.NONE


def repeats_places(spec: TensorSpec) -> bool:
    """Tell whether two elements of a tensor lie in one place; of sizes that are not known, whether they surely do."""
    if is_dense(spec.shape, spec.strides):
        return False
    dims = [
        (stride, extent)
        for stride, extent in zip(spec.strides, spec.shape, strict=True)
        if not (isinstance(extent, int) and extent <= 1)
    ]
    if any(isinstance(stride, int) and stride == 0 for stride, _ in dims):
        return True
    digits = [(stride, 1 - extent, extent - 1) for stride, extent in dims]
    # Two different elements differ in some index; take the first dimension that they differ in, where one is further on.
    return any(
        _reaches(-stride, [(stride, 0, extent - 2), *digits[place + 1 :]])
        for place, (stride, extent) in enumerate(dims)
    )


_Digit = tuple[Extent, Extent, Extent]
"""A stride, and how often it can be gone at least and at most."""

_MAX_STEPS: Final = 10_000


def _digits(spec: TensorSpec, sign: int) -> list[_Digit]:
    pairs = zip(spec.strides, spec.shape, strict=True)
    if sign > 0:
        return [(stride, 0, extent - 1) for stride, extent in pairs]
    return [(stride, 1 - extent, 0) for stride, extent in pairs]


def _reaches(distance: Extent, digits: list[_Digit]) -> bool:
    """Tell whether whole numbers of strides make up a distance; also when that takes too long to find out.

    Sizes that are not known reach nothing: what the program does with them is what is asked for most.
    """
    known: dict[int, list[int]] = {}
    for stride, least, most in digits:
        if not (isinstance(stride, int) and isinstance(least, int) and isinstance(most, int)):
            return False
        span = known.setdefault(stride, [0, 0])
        span[0] += least
        span[1] += most
    if not isinstance(distance, int):
        return False
    ordered = sorted(((stride, *span) for stride, span in known.items() if stride), reverse=True)
    reach = [(0, 0)]
    for stride, least, most in reversed(ordered):
        low, high = reach[-1]
        reach.append((low + stride * least, high + stride * most))
    reach.reverse()
    steps = 0
    pending = [(distance, 0)]
    while pending:
        rest, place = pending.pop()
        low, high = reach[place]
        if not low <= rest <= high:
            continue
        if place == len(ordered):
            return True
        stride, least, most = ordered[place]
        low, high = reach[place + 1]
        first = max(least, -((high - rest) // stride))
        last = min(most, (rest - low) // stride)
        steps += last - first + 1
        if steps > _MAX_STEPS:
            return True
        pending += [(rest - stride * count, place + 1) for count in range(first, last + 1)]
    return False
