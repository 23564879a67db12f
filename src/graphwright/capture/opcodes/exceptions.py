"""Opcodes that raise, catch and clean up."""

from __future__ import annotations

from typing import Any, Final

from graphwright.capture.frames import Frame, Opcode
from graphwright.capture.instructions import Op
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, Handled


def raise_(machine: Machine, frame: Frame, arg: int) -> None:
    """RAISE."""
    if arg == 0:
        if machine.handled is None:
            msg = "No active exception to reraise"
            raise RuntimeError(msg)
        machine.note_raised(machine.handled, is_new=False)
        raise machine.handled
    cause = frame.stack.pop() if arg == 2 else ABSENT
    error = _make_exception(machine, frame.stack.pop())
    machine.note_raised(error, is_new=True)
    if cause is not ABSENT:
        error.__cause__ = _make_cause(machine, cause)
    try:
        raise error
    finally:
        del error, cause  # see Note [No cycles through exceptions]


def _make_cause(machine: Machine, cause: Any) -> BaseException | None:
    if isinstance(cause, type) and issubclass(cause, BaseException):
        cause = machine.call(cause, [], {})
    if cause is not None and not isinstance(cause, BaseException):
        msg = "exception causes must derive from BaseException"
        raise TypeError(msg)
    return cause


def _make_exception(machine: Machine, value: Any) -> BaseException:
    if isinstance(value, type) and issubclass(value, BaseException):
        value = machine.call(value, [], {})
    if not isinstance(value, BaseException):
        msg = "exceptions must derive from BaseException"
        raise TypeError(msg)
    return value


def reraise(machine: Machine, frame: Frame, arg: int) -> None:
    """RERAISE."""
    error = frame.stack.pop()
    machine.note_raised(error, is_new=False)
    try:
        raise error
    finally:
        del error  # see Note [No cycles through exceptions]


def push_exc_info(machine: Machine, frame: Frame, arg: Any) -> None:
    """PUSH_EXC_INFO."""
    error = frame.stack.pop()
    frame.stack.append(Handled(machine.handled))
    frame.stack.append(error)
    machine.handled = error


def pop_except(machine: Machine, frame: Frame, arg: Any) -> None:
    """POP_EXCEPT."""
    machine.handled = frame.stack.pop().before


def check_exc_match(machine: Machine, frame: Frame, arg: Any) -> None:
    """CHECK_EXC_MATCH."""
    kinds = frame.stack.pop()
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            msg = "catching classes that do not inherit from BaseException is not allowed"
            raise TypeError(msg)
    frame.stack.append(isinstance(frame.stack[-1], kinds))


def check_eg_match(machine: Machine, frame: Frame, arg: Any) -> None:
    """CHECK_EG_MATCH."""
    msg = "an except* clause"
    raise machine.unsupported(
        msg,
        why="exception groups are not captured",
        remedy="catch the group with except, or outside the compiled function",
    )


def with_except_start(machine: Machine, frame: Frame, arg: int) -> None:
    """WITH_EXCEPT_START."""
    stack = frame.stack
    error = stack[-1]
    details = [type(error), error, error.__traceback__]
    if arg == 1:
        result = machine.call(stack[-4], details, {})
    else:
        first, second = stack[-5], stack[-4]
        if first is ABSENT:
            result = machine.call(second, details, {})
        elif second is ABSENT:
            result = machine.call(first, details, {})
        else:
            result = machine.call(first, [second, *details], {})
    stack.append(result)


OPCODES: Final[dict[Op, Opcode]] = {
    Op.RAISE: raise_,
    Op.RERAISE: reraise,
    Op.PUSH_EXC_INFO: push_exc_info,
    Op.POP_EXCEPT: pop_except,
    Op.CHECK_EXC_MATCH: check_exc_match,
    Op.CHECK_EG_MATCH: check_eg_match,
    Op.WITH_EXCEPT_START: with_except_start,
}
