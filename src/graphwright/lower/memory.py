"""Place buffers in the arena so that those which never live together share bytes.

In: sizes and lifetimes.   Out: offsets (64-byte aligned) and the arena's size.
Keeps: two buffers overlap only where one's last use comes before the other's first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

ALIGNMENT: Final = 64


class Lifetime(msgspec.Struct, frozen=True):
    """A buffer's bytes, and the first and last step that use it."""

    size_bytes: int
    first: int
    last: int


class ArenaLayout(msgspec.Struct, frozen=True):
    """Where each buffer lies."""

    offsets_bytes: tuple[int, ...]
    size_bytes: int


class _Gap(msgspec.Struct):
    """A free piece: `start..stop`; the last one has no end."""

    start: int
    stop: int


_NO_END: Final = 1 << 62


def lay_out(lifetimes: Sequence[Lifetime]) -> ArenaLayout:
    """Place buffers by best fit, in the order of their first use."""
    gaps = [_Gap(0, _NO_END)]
    offsets = [0] * len(lifetimes)
    living: list[int] = []
    top = 0
    order = sorted(
        range(len(lifetimes)),
        key=lambda number: (lifetimes[number].first, -lifetimes[number].size_bytes),
    )
    for number in order:
        lifetime = lifetimes[number]
        ended = [other for other in living if lifetimes[other].last < lifetime.first]
        for other in ended:
            living.remove(other)
            _give_back(gaps, offsets[other], _rounded(lifetimes[other].size_bytes))
        size = _rounded(lifetime.size_bytes)
        offsets[number] = _take(gaps, size)
        top = max(top, offsets[number] + size)
        living.append(number)
    return ArenaLayout(tuple(offsets), top)


def _rounded(size: int) -> int:
    return max(-(-size // ALIGNMENT), 1) * ALIGNMENT


def _take(gaps: list[_Gap], size: int) -> int:
    """Take `size` bytes from the smallest gap that holds them."""
    best = min(
        (gap for gap in gaps if gap.stop - gap.start >= size), key=lambda gap: gap.stop - gap.start
    )
    start = best.start
    best.start += size
    if best.start == best.stop:
        gaps.remove(best)
    return start


def _give_back(gaps: list[_Gap], start: int, size: int) -> None:
    """Return bytes, joining them with neighbouring gaps."""
    freed = _Gap(start, start + size)
    for gap in list(gaps):
        if gap.stop == freed.start:
            freed.start = gap.start
            gaps.remove(gap)
        elif gap.start == freed.stop:
            freed.stop = gap.stop
            gaps.remove(gap)
    gaps.append(freed)
