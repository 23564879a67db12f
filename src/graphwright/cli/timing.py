"""Times of calls, taken so that a noisy machine does as little harm as can be.

In: callables.   Out: seconds per call. Callables that are compared are run in turns, round by round, so that whatever else the
machine does meets all of them; a ratio is the median of the ratios of single rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

Name = TypeVar("Name", bound=str)

_SAMPLE_S: Final = 0.02
"""A sample lasts about this long, so that the clock's own cost and grain (about 50 ns) do not show."""


class Timings(msgspec.Struct, frozen=True):
    """The samples of one callable: seconds per call, one for each round."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, in seconds per call."""
        return statistics.median(self.samples)

    def ratio_to(self, base: Timings) -> float:
        """How many times as long a call takes as one of `base`, which was measured in the same rounds."""
        pairs = zip(self.samples, base.samples, strict=True)
        return statistics.median(own / other for own, other in pairs)


def time_once(call: Callable[[], object]) -> float:
    """Give the seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_in_turns(
    calls: Mapping[Name, Callable[[], object]], *, num_rounds: int
) -> dict[Name, Timings]:
    """Run every callable in each of `num_rounds` rounds, in an order that turns from round to round.

    Args:
        calls: the callables by name, warmed up.
        num_rounds: at least 1.
    """
    repeats = {name: _repeats(call) for name, call in calls.items()}
    samples: dict[Name, list[float]] = {name: [] for name in calls}
    order: Sequence[Name] = list(calls)
    for _ in range(num_rounds):
        for name in order:
            samples[name].append(_sample(calls[name], repeats[name]))
        order = [*order[1:], order[0]]
    return {name: Timings(tuple(taken)) for name, taken in samples.items()}


def _repeats(call: Callable[[], object]) -> int:
    """Find how many calls make up one sample."""
    call()
    single = min(time_once(call) for _ in range(3))
    return max(1, min(20_000, int(_SAMPLE_S / max(single, 1e-7))))


def _sample(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
