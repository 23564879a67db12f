"""Opcodes of generators.

A generator of the program is a real generator object, so that native code can drive it; its body resumes the interpreter's frame.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any, Final

from graphwright.base.errors import GraphwrightError
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
            given = [machine.run_frame(frame)]
        else:
            caught, thrown = [thrown], None  # see Note [No cycles through exceptions]
            given = [_throw(machine, frame, caught)]
        sent = thrown = None
        if not frame.is_generator:
            return given.pop()
        try:
            sent = yield given.pop()  # while it waits, it holds nothing but its frame
        except BaseException as error:
            if machine.is_over:
                raise
            thrown = error


def _throw(machine: Machine, frame: Frame, caught: list[BaseException]) -> Any:
    """Raise the exception in `caught` where the generator stands, and give what it yields or returns.

    One that delegates passes it on first, as `yield from` does.
    """
    if not _is_delegating(frame):
        return machine.run_frame(frame, caught.pop())
    try:
        return _throw_into(machine, frame.stack[-1], caught)
    except StopIteration as stop:
        frame.stack[-1] = stop.value
        frame.resume_at = frame.info.args[frame.index - 1]
        return machine.run_frame(frame)
    except GraphwrightError:
        raise
    except BaseException as raised:  # noqa: BLE001  (the program decides what it catches)
        return machine.run_frame(frame, raised)


def _is_delegating(frame: Frame) -> bool:
    """Tell whether a suspended frame stands in a `yield from`: only there a yield follows a SEND."""
    steps = frame.info.decoded.instructions
    return steps[frame.index].op is Op.YIELD_VALUE and steps[frame.index - 1].op is Op.SEND


def _throw_into(machine: Machine, receiver: Any, caught: list[BaseException]) -> Any:
    """Do what a `yield from` does with an exception that is thrown in: gives what the receiver yields next."""
    name = "close" if isinstance(caught[0], GeneratorExit) else "throw"
    try:
        method = machine.load_attr(receiver, name)
    except AttributeError:
        method = None
    if method is not None and name == "throw":
        return machine.call(method, caught, {})
    if method is not None:
        machine.call(method, [], {})
    raise caught.pop()


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
