"""Opcodes of generators.

A generator of the program is a real generator object, so that native code can drive it; its body resumes the interpreter's frame.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any, Final

from graphwright.capture.frames import SUSPEND, Frame, Opcode
from graphwright.capture.instructions import Op
from graphwright.capture.machine import Machine


def return_generator(machine: Machine, frame: Frame, arg: Any) -> int:
    """RETURN_GENERATOR."""
    frame.is_generator = True
    made: Any = drive(machine, frame)
    made.__name__ = frame.function.__name__
    made.__qualname__ = frame.function.__qualname__
    frame.value = made
    return SUSPEND


def drive(machine: Machine, frame: Frame) -> Generator[Any, Any, Any]:
    """Run a generator's frame from yield to yield, starting after its `RETURN_GENERATOR`."""
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        if thrown is None:
            frame.stack.append(sent)
        machine.run_frame(frame, thrown)
        if not frame.is_generator:
            return frame.value
        sent = thrown = None
        try:
            sent = yield frame.value
        except BaseException as error:
            if machine.is_over:
                raise
            thrown = error


def yield_value(machine: Machine, frame: Frame, arg: Any) -> int:
    """YIELD_VALUE."""
    frame.value = frame.stack.pop()
    return SUSPEND


def get_yield_from_iter(machine: Machine, frame: Frame, arg: Any) -> None:
    """GET_YIELD_FROM_ITER."""
    value = frame.stack[-1]
    if type(value) is not types.GeneratorType:
        frame.stack[-1] = machine.iterate(value)


def send(machine: Machine, frame: Frame, arg: int) -> int | None:
    """SEND."""
    receiver, value = frame.stack[-2:]
    try:
        result = (
            machine.next_item(receiver)
            if value is None
            else machine.call(machine.load_attr(receiver, "send"), [value], {})
        )
    except StopIteration as stop:
        frame.stack[-2:] = [stop.value]
        return arg
    frame.stack[-1] = result
    return None


def end_send(machine: Machine, frame: Frame, arg: Any) -> None:
    """END_SEND."""
    value = frame.stack.pop()
    frame.stack[-1] = value


def cleanup_throw(machine: Machine, frame: Frame, arg: Any) -> None:
    """CLEANUP_THROW."""
    error = frame.stack[-1]
    if not isinstance(error, StopIteration):
        raise error
    del frame.stack[-3:]
    frame.stack.extend((None, error.value))


def asynchronous(machine: Machine, frame: Frame, arg: Any) -> None:
    """The opcodes of asynchronous code."""
    msg = "asynchronous code"
    raise machine.unsupported(
        msg,
        why="coroutines run outside the call that makes them",
        remedy="compile the synchronous parts",
    )


OPCODES: Final[dict[Op, Opcode]] = {
    Op.RETURN_GENERATOR: return_generator,
    Op.YIELD_VALUE: yield_value,
    Op.GET_YIELD_FROM_ITER: get_yield_from_iter,
    Op.SEND: send,
    Op.END_SEND: end_send,
    Op.CLEANUP_THROW: cleanup_throw,
    Op.GET_AWAITABLE: asynchronous,
    Op.GET_AITER: asynchronous,
    Op.GET_ANEXT: asynchronous,
    Op.END_ASYNC_FOR: asynchronous,
}
