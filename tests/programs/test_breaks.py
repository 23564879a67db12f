"""Graph breaks keep the meaning of a program: every program of the suite, broken again and again at places that nobody chose.

Each piece ends after a given number of CPython's instructions, whatever they are; the next instruction runs in plain CPython, and the
rest is captured from the middle of the frame, and broken again.
"""

import itertools
import warnings
import zlib

import pytest
from program_cases import Case, check_case
from program_suite import all_cases

import graphwright as gw
from graphwright.base.errors import Unsupported
from graphwright.capture import capture_call, session
from graphwright.capture.breaks import Stops, can_break
from graphwright.capture.comptime import Blocks
from graphwright.pipeline import stages

CASES = all_cases()
STRIDES = (0, 1, 2, 3, 5, 8, 13, 21)
"""Numbers of instructions between breaks, from which each program gets two."""


def strides_of(name: str) -> list[int]:
    """Choose for a program, the same in every run."""
    number = zlib.crc32(name.encode())
    return sorted({STRIDES[number % 4], STRIDES[4 + number // 4 % 4]})


PAIRS = list(
    itertools.chain.from_iterable(
        [(name, case, stride) for stride in strides_of(name)] for name, case in CASES
    )
)


@pytest.fixture
def broken_every(monkeypatch):
    def put_in(stride: int) -> list[int]:
        stopped: list[int] = []

        def capture(target, args, kwargs, *, options):
            if not (options.may_break() and can_break(target)):
                return capture_call(target, args, kwargs, options=options)
            call = session._Call(target, args, kwargs, Blocks())
            for stop in (stride, stride + 1, stride + 2):
                error = Unsupported("a break of the test", why="the test wants one", remedy="none")
                reason = session._Reason(error, was_nested=False)
                captured = session.capture_until(call, options, Stops(stop), reason)
                if captured is None:
                    continue
                if captured.program.ends_at is not None:
                    stopped.append(captured.program.ends_at.index)
                return captured
            return capture_call(target, args, kwargs, options=options)

        monkeypatch.setattr(stages, "capture_call", capture)
        return stopped

    return put_in


@pytest.mark.parametrize(
    ("case", "stride"),
    [(case, stride) for _, case, stride in PAIRS],
    ids=[f"{name}-{stride}" for name, _, stride in PAIRS],
)
def test_program_broken_anywhere_does_what_eager_does(
    case: Case, stride: int, broken_every
) -> None:
    broken_every(stride)
    with warnings.catch_warnings(), gw.config.patch(recompile_limit=1000):
        warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        check_case(case, lambda function, _: gw.compile(function, backend="aten"))


def test_breaks_of_the_test_happen(broken_every) -> None:
    stopped = broken_every(2)

    def program(x):
        y = x + 1
        return y * 2

    import torch

    result = gw.compile(program, backend="aten")(torch.ones(2))
    assert torch.equal(result, torch.full((2,), 4.0))
    assert len(stopped) > 1


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in CASES if name.startswith("handed_over-")]
)
def test_state_is_handed_over_and_nothing_runs_eagerly(case: Case) -> None:
    before = dict(gw.counters["eager"])

    with warnings.catch_warnings(), gw.config.patch(strict=True):
        warnings.simplefilter("error")
        check_case(case, lambda function, _: gw.compile(function))

    assert dict(gw.counters["eager"]) == before
