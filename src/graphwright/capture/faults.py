"""Whose fault an exception is: the program's, or the interpreter's own.

In: an exception that comes out of an opcode, a rule or an operation.   Out: nothing when it is the program's, else `InternalError`.

An interpreter raises for two reasons. It stands in for CPython and raises what CPython would, or it has a bug. The second kind must
not reach the program's handlers, where it would silently choose another path. The traceback tells them apart by its innermost frame:

- a frame of the program's libraries, or a `raise` statement of ours: the exception was meant;
- the frame of `natively`, through which every operation that CPython itself does for the program goes: it is the program's;
- any other instruction of this room's that failed (a missing attribute, a wrong call, an assertion): it is ours.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture.machine import Machine
from graphwright.capture.tables.rules import COMMON_CONSTANTS

R = TypeVar("R")


def natively(function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    """Let CPython do `function(*args, **kwargs)` for the program: what it raises is the program's."""
    return function(*args, **kwargs)


_ROOM: Final = str(Path(__file__).parent)
"""The interpreter's own code."""

_RECORD: Final = str(Path(__file__).parents[1] / "record")
"""Code below that runs when the program calls operations: what C functions raise there is about the program's arguments."""

_CALLS: Final = ("CALL", "CALL_FUNCTION_EX", "CALL_KW", "PRECALL")

_MEANT: Final = (
    "RAISE_VARARGS",
    "RERAISE",
    "GET_ITER",
    "FOR_ITER",
    "SEND",
    "YIELD_VALUE",
    "RESUME",
    "RETURN_GENERATOR",
    "POP_TOP",
    "CLEANUP_THROW",
)
"""Instructions at which an exception passes on what the program, or an iterator of its own, raised."""

_ASSERTION: Final = "LOAD_ASSERTION_ERROR"
_COMMON_CONSTANT: Final = "LOAD_COMMON_CONSTANT"
"""Where 3.14 has the class from, by number."""


class TooDeep(Unsupported):
    """A recursion; compiled piece by piece, it would need still more of the stack than the interpreter does."""


def check_fault(machine: Machine, error: BaseException) -> None:
    """Tell apart what the program raised and what went wrong in the interpreter.

    Raises:
        InternalError: the interpreter itself failed.
        TooDeep: the interpreter ran out of stack, of which it needs more than the program does.
    """
    tail = _innermost(error)
    if tail is None:
        return
    if isinstance(error, RecursionError) and not _is_meant(tail):
        msg = "a recursion this deep"
        raise machine.unsupported(
            msg,
            why="the interpreter needs more of Python's stack than the program itself does",
            remedy="raise sys.setrecursionlimit, or use a loop",
            kind=TooDeep,
        ) from error
    if _is_ours(tail):
        raise InternalError(_report(machine, error, tail)) from error


def _innermost(error: BaseException) -> types.TracebackType | None:
    tail = error.__traceback__
    while tail is not None and tail.tb_next is not None:
        tail = tail.tb_next
    return tail


def _is_ours(tail: types.TracebackType) -> bool:
    code = tail.tb_frame.f_code
    if code is natively.__code__:
        return False
    if code.co_filename.startswith(_ROOM):
        return not _is_meant(tail)
    if code.co_filename.startswith(_RECORD):
        return not _is_meant(tail) and _instruction(code, tail.tb_lasti) not in _CALLS
    return False


def _is_meant(tail: types.TracebackType) -> bool:
    code, place = tail.tb_frame.f_code, tail.tb_lasti
    return _instruction(code, place) in _MEANT and place not in _assertions(code)


@functools.cache
def _instructions(code: types.CodeType) -> dict[int, str]:
    return {step.offset: step.opname for step in dis.get_instructions(code)}


def _instruction(code: types.CodeType, offset: int) -> str:
    return _instructions(code).get(offset, "")


@functools.cache
def _assertions(code: types.CodeType) -> frozenset[int]:
    """Give the offsets of the raises that `assert` statements are made of."""
    found = set()
    is_assertion = False
    for step in dis.get_instructions(code):
        if step.opname == _ASSERTION:
            is_assertion = True
        elif step.opname == _COMMON_CONSTANT:
            is_assertion = COMMON_CONSTANTS[step.arg or 0] is AssertionError
        elif step.opname == "RAISE_VARARGS":
            if is_assertion:
                found.add(step.offset)
            is_assertion = False
    return frozenset(found)


def _report(machine: Machine, error: BaseException, tail: types.TracebackType) -> str:
    code = tail.tb_frame.f_code
    where = f"{Path(code.co_filename).name}:{tail.tb_lineno} in {code.co_qualname}"
    loc = machine.loc()
    met = f" while it captured {loc.render()}" if loc is not None else ""
    return f"the interpreter failed{met}: {type(error).__name__}: {error} ({where})"
