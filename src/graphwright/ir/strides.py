"""Strides of static shapes: how the elements of a tensor lie in memory.

In: extents and strides, in elements.   Out: strides, and what they say. Extents of 1 may have any stride.
"""

from __future__ import annotations

from collections.abc import Sequence


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Give the strides of a row-major tensor."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)


def is_row_major(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Tell whether a tensor is row-major."""
    return all(
        extent == 1 or stride == wanted
        for extent, stride, wanted in zip(shape, strides, row_major(shape), strict=True)
    )


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Tell whether the elements fill one piece of memory, each place once."""
    expected = 1
    for stride, extent in sorted(zip(strides, shape, strict=True)):
        if extent != 1:
            if stride != expected:
                return False
            expected = stride * extent
    return True
