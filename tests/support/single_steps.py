"""Run a function one instruction at a time through the codes of `capture.entering`, and see what came of it.

In: a function and arguments.   Out: `Outcome`: what it returned or raised, with the lines and columns of the traceback.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from graphwright.base.errors import Unsupported
from graphwright.capture.decode import decode
from graphwright.capture.entering import make_entry_code, make_step_code
from graphwright.capture.instructions import Op
from graphwright.capture.liveness import live_slots
from graphwright.capture.places import Exits, Place, exits_of

CASE_FILE: Final = "<case>"
MAX_STEPS: Final = 5000
STARTS: Final = {Op.MAKE_CELL, Op.COPY_FREE_VARS}


class Left(NamedTuple):
    """A step ended at an exit."""

    way: int
    values: tuple[Any, ...]


LEAVE: Final[tuple[Callable[..., Left], ...]] = (
    lambda *values: Left(0, values),
    lambda *values: Left(1, values),
    lambda *values: Left(2, values),
)


class Raised(NamedTuple):
    """An exception, and where it went through the case."""

    kind: type
    text: str
    frames: tuple[Any, ...]
    context: Raised | None
    cause: Raised | None


class Outcome(NamedTuple):
    """What came of a run."""

    value: Any
    raised: Raised | None


def outcome_of(run: Callable[[], Any]) -> Outcome:
    """Give what comes of `run`."""
    try:
        return Outcome(run(), None)
    except Exception as error:  # noqa: BLE001  (what the case raises is what is looked at)
        return Outcome(None, _describe(error))


def _describe(error: BaseException | None) -> Raised | None:
    if error is None:
        return None
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == CASE_FILE:
            where = list(code.co_positions())[trace.tb_lasti // 2]
            frames.append((code.co_name, code.co_qualname, trace.tb_lineno, where))
        trace = trace.tb_next
    return Raised(
        type(error),
        str(error),
        tuple(frames),
        _describe(error.__context__),
        _describe(error.__cause__),
    )


class Stepper:
    """Steps through calls of functions that share one code object; the codes it made are kept."""

    def __init__(self, code: types.CodeType) -> None:
        self.code = code
        self.decoded = decode(code)
        self.places: set[Place] = set()
        self._exits: dict[Place, Exits | None] = {}
        self._steps: dict[Place, types.CodeType] = {}
        self._entries: dict[Place, types.CodeType] = {}

    def run(
        self, function: types.FunctionType, args: tuple[Any, ...], num_steps: int = MAX_STEPS
    ) -> tuple[Any, bool]:
        """Run so many single steps, then the rest at once.

        Returns:
            What the function returns, and whether it ended within the steps.
        """
        place, values, closure = self._start(function, args)
        for _ in range(num_steps):
            exits = self._exits_at(place)
            if exits is None:
                break
            step = types.FunctionType(
                self._steps[place], function.__globals__, function.__name__, None, closure
            )
            result = step(*values)
            if type(result) is not Left:
                return result, True
            place, values = exits.places[result.way], result.values
        if place not in self._entries:
            self._entries[place] = make_entry_code(self.code, place)
        entry = types.FunctionType(
            self._entries[place], function.__globals__, function.__name__, None, closure
        )
        return entry(*values), self._exits_at(place) is None

    def _start(
        self, function: types.FunctionType, args: tuple[Any, ...]
    ) -> tuple[Place, tuple[Any, ...], tuple[types.CellType, ...]]:
        bound = inspect.signature(function).bind(*args)
        bound.apply_defaults()
        given = bound.arguments
        cells = tuple(
            types.CellType(given[name]) if name in given else types.CellType()
            for name in self.code.co_cellvars
        )
        steps = self.decoded.instructions
        index = next(i for i, one in enumerate(steps) if one.op not in STARTS)
        live = live_slots(self.decoded, index)
        names = tuple(name for name in given if name in live and name not in self.code.co_cellvars)
        values = tuple(given[name] for name in names)
        return Place(index, (), names), values, cells + (function.__closure__ or ())

    def _exits_at(self, place: Place) -> Exits | None:
        if place not in self._exits:
            self.places.add(place)
            try:
                exits = self._exits[place] = exits_of(self.decoded, place)
            except Unsupported:
                self._exits[place] = None
                return None
            self._steps[place] = make_step_code(self.code, place, exits, LEAVE[: len(exits.places)])
        return self._exits[place]
