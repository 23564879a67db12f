"""What a call goes on with after a graph break.

In: the `Break` that a program ends with.   Out: the function that its entry calls with the state of the frame.

    program → one instruction in plain CPython → a continuation, compiled like any target → …

Keeps: pieces do not call each other: each gives back what comes next, so that a loop with a break in it needs no more of Python's
stack than without; a function that a break was met in runs as a target of its own; exceptions of the program carry the user's frames.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, final

import torch

from graphwright.capture import (
    Callee,
    Continuation,
    Exits,
    Foreseen,
    Place,
    call_foreseeing,
    disabled_alone,
    exits_of,
    is_compiled_alone,
    make_entry_code,
    make_redirecting_code,
    make_step_code,
)
from graphwright.ir.program import Break
from graphwright.pipeline.code_table import CODES
from graphwright.pipeline.own_frames import is_own_frame


class MakePiece(Protocol):
    """Compiles a piece of a program: a callable like the target."""

    def __call__(
        self, pieces: Pieces, target: Callable[..., Any], *, is_piece: bool
    ) -> Callable[..., Any]:
        """Give the compiled form; with `is_piece`, calls give a `Resumption` where there is more to come."""


class _Left(NamedTuple):
    """How a step ended: at which of its exits, with which values."""

    number: int
    values: tuple[Any, ...]


def _leave(number: int, *values: Any) -> _Left:
    return _Left(number, values)


class Resumption(NamedTuple):
    """What comes next."""

    piece: Callable[..., Any]
    values: tuple[Any, ...]
    raised: BaseException | None = None
    """The exception that goes to a handler, if one was raised."""


class _Piece(NamedTuple):
    """What is compiled as a target of its own."""

    target: Any
    compiled: Callable[..., Any]


@final
class Pieces:
    """The pieces of one target: its continuations, and the functions that are compiled on their own.

    Args:
        make: compiles one.
    """

    def __init__(self, make: MakePiece) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pieces: dict[object, _Piece] = {}
        self._redirecting_codes: dict[types.CodeType, types.CodeType] = {}

    def _piece(self, key: object, make_target: Callable[[], Any], *, is_piece: bool) -> _Piece:
        with self._lock:
            found = self._pieces.get(key)
            if found is None:
                target = make_target()
                compiled = self._make(self, target, is_piece=is_piece)
                found = self._pieces[key] = _Piece(target, compiled)
            return found

    def release(self) -> None:
        """Let go of all pieces: they hold what makes them."""
        self._pieces.clear()
        self._redirecting_codes.clear()

    def continuation(self, code: types.CodeType, place: Place) -> _Piece:
        """Give the piece that goes on at a place."""

        def make() -> Continuation:
            return Continuation(code, place, make_entry_code(code, place))

        return self._piece((code, place), make, is_piece=True)

    def alone(self, function: Any) -> Callable[..., Any]:
        """Give a user's function, method or module as a target of its own; of a disabled function, what it calls."""
        if isinstance(function, types.MethodType):
            return functools.partial(self.alone(function.__func__), function.__self__)
        original = disabled_alone(function)
        if original is not None:
            return _with_code(original, self._redirecting(original.__code__))
        is_module = isinstance(function, torch.nn.Module)
        key = type(function) if is_module else function.__code__
        name = key.__qualname__ if is_module else key.co_qualname
        piece = self._piece(key, functools.partial(Callee, name), is_piece=False)
        return functools.partial(piece.compiled, function)

    def _redirecting(self, code: types.CodeType) -> types.CodeType:
        """Give code that calls the compiled forms of what `code` calls."""
        with self._lock:
            found = self._redirecting_codes.get(code)
            if found is None:
                found = make_redirecting_code(code, self._compiled_if_alone)
                self._redirecting_codes[code] = found
            return found

    def _compiled_if_alone(self, function: Any) -> Any:
        is_redirected = disabled_alone(getattr(function, "__func__", function)) is not None
        is_target = is_redirected or is_compiled_alone(function)
        return self.alone(function) if is_target else function

    def make_go_on(
        self, ends_at: Break, code: types.CodeType, foreseen: Foreseen | None, *, is_piece: bool
    ) -> Callable[..., Any]:
        """Make what an entry calls with its function and the values, where its program ends at a break.

        Args:
            ends_at: the break.
            code: the code that it is in.
            foreseen: what is known of the call that the program ends before, if it was made for this one.
            is_piece: the entry is a piece's.
        """
        step = _Step(self, ends_at, code, foreseen)
        return step if is_piece else functools.partial(_run_all, step)


@final
class _Step:
    """Runs the one instruction at a break; gives the call's result, or what comes next."""

    def __init__(
        self, pieces: Pieces, ends_at: Break, code: types.CodeType, foreseen: Foreseen | None
    ) -> None:
        self._pieces = pieces
        self._code = code
        self._place = Place(ends_at.index, ends_at.stack, ends_at.names)
        self._callee = ends_at.callee
        self._foreseen = foreseen

    @functools.cached_property
    def _exits(self) -> Exits:
        return exits_of(CODES.info(self._code).decoded, self._place)

    @functools.cached_property
    def _step_code(self) -> types.CodeType:
        # Not before it runs: of the programs that may serve a call, only one goes on.
        leave = [functools.partial(_leave, number) for number in range(len(self._exits.places))]
        return make_step_code(self._code, self._place, self._exits, leave)

    def __call__(self, function: types.FunctionType, *values: Any) -> Any:
        step = _like(function, self._step_code)
        if self._callee is None:
            left = step(*values)
        else:
            foreseen, self._foreseen = self._foreseen, None  # it is of this call alone
            listed = list(values)
            listed[self._callee] = self._pieces.alone(listed[self._callee])
            left = call_foreseeing(foreseen, step, *listed)
        place = self._exits.places[left.number]
        piece = self._pieces.continuation(self._code, place)
        rest = _like(function, piece.target.entry_code)
        is_raised = place is self._exits.handler
        raised = left.values[place.num_values - 1] if is_raised else None
        return Resumption(piece.compiled, (rest, *left.values), raised)


def _like(function: types.FunctionType, code: types.CodeType) -> types.FunctionType:
    """Make a function with other code, and the globals and cells of `function`."""
    made = types.FunctionType(
        code, function.__globals__, function.__name__, None, function.__closure__
    )
    made.__qualname__ = function.__qualname__
    return made


def _with_code(function: types.FunctionType, code: types.CodeType) -> types.FunctionType:
    """Make a function that is like another in all but its code."""
    made = _like(function, code)
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made


def _run_all(step: _Step, *state: Any) -> Any:
    """Go on until there is nothing left."""
    outcome: Any = Resumption(step, state)
    del state
    try:
        while type(outcome) is Resumption:
            if outcome.raised is not None:
                _clear_own_frames(outcome.raised)
            outcome = outcome.piece(*outcome.values)
    except BaseException as error:  # noqa: BLE001  (raised again)
        del outcome  # it may hold the exception, whose traceback leads here
        _clear_own_frames(error)
        raise error.with_traceback(_users_part(error.__traceback__))  # noqa: B904  (it is the same one)
    return outcome


def _clear_own_frames(error: BaseException) -> None:
    """Clear the frames of this package that an exception leads to: they have ended, and would keep what they were called with alive."""
    traceback = error.__traceback__
    while traceback is not None:
        frame: types.FrameType | None = traceback.tb_frame
        if not is_own_frame(traceback.tb_frame):
            frame = traceback.tb_frame.f_back
        with contextlib.suppress(RuntimeError):  # the first one that has not ended
            while frame is not None and is_own_frame(frame):
                frame.clear()
                frame = frame.f_back
        traceback = traceback.tb_next


def _users_part(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """Leave the frames of this package, at the top, out of a traceback."""
    while traceback is not None and is_own_frame(traceback.tb_frame):
        traceback = traceback.tb_next
    return traceback
