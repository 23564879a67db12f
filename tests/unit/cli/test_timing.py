"""Timing in turns: who is called when, and how ratios are taken."""

import pytest

from graphwright.cli import timing
from graphwright.cli.timing import Timings, time_in_turns


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when a measured call moves it."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", clock.perf_counter)
    return clock


def test_per_call_time_is_a_samples_time_over_its_calls(clock):
    def call():
        clock.now += 0.001

    times = time_in_turns({"one": call}, num_rounds=3)["one"]

    assert times.samples == pytest.approx((0.001, 0.001, 0.001))


def test_callables_take_turns_and_the_order_rotates(clock):
    calls = []

    def make(name):
        def call():
            clock.now += 1.0
            calls.append(name)

        return call

    time_in_turns({name: make(name) for name in "abc"}, num_rounds=3)

    assert "".join(calls[-9:]) == "abcbcacab"


def test_ratio_is_taken_round_by_round():
    own = Timings((1.0, 10.0, 2.0))
    other = Timings((2.0, 20.0, 4.0))

    assert own.median == 2.0
    assert own.ratio_to(other) == 0.5
