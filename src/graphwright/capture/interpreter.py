"""The interpreter's loop: runs a frame until it returns, yields or raises.

In: a frame.   Out: its value; user exceptions as themselves; `Unsupported` for what cannot be captured.
Keeps: the exception table is followed as CPython does; `Unsupported` is never seen by the program, so that a handler of the user's
cannot swallow it.
"""

from __future__ import annotations

from typing import Any

from graphwright.base.errors import GraphwrightError, Unsupported
from graphwright.capture.faults import check_fault
from graphwright.capture.frames import LEAVE, Frame
from graphwright.capture.machine import Machine


def run_frame(machine: Machine, frame: Frame, thrown: BaseException | None = None) -> Any:
    """Run a frame from `resume_at`; give the value that it returns or yields (`is_generator` is unset when it is done).

    Args:
        machine: the machine.
        frame: the frame.
        thrown: raised at the instruction that the frame stands at, instead of going on.

    Raises:
        Unsupported: something cannot be captured.
        BaseException: what the program raises.
    """
    outer_frame, outer_handled = machine.frame, machine.handled
    if outer_frame is not None:
        machine.callers.append(outer_frame)
    machine.frame = frame
    if frame.handled is not None:
        machine.handled = frame.handled
    try:
        i = frame.resume_at if thrown is None else _unwind(machine, frame, thrown)
        status = _loop(machine, frame, i)
    except BaseException:
        frame.is_generator = False
        raise
    finally:
        del thrown  # see Note [No cycles through exceptions]
        machine.frame = outer_frame
        if outer_frame is not None:
            machine.callers.pop()
        inner_handled, machine.handled = machine.handled, outer_handled
    if status == LEAVE:
        frame.is_generator = False
    else:
        frame.resume_at = frame.index + 1
        frame.handled = inner_handled if inner_handled is not outer_handled else None
    return frame.value


def _loop(machine: Machine, frame: Frame, i: int) -> int:
    opcodes, args = frame.info.opcodes, frame.info.args
    while True:
        try:
            while True:
                frame.index = i
                target = opcodes[i](machine, frame, args[i])
                if target is None:
                    i += 1
                elif target >= 0:
                    i = target
                else:
                    return target
        except GraphwrightError as error:
            if isinstance(error, Unsupported) and not error.location:
                loc = machine.loc()
                error.location = loc.render() if loc is not None else ""
            raise
        except BaseException as error:  # noqa: BLE001  (the program decides what it catches)
            check_fault(machine, error)
            i = _unwind(machine, frame, error)


# Note [No cycles through exceptions]
#
# A function that raises an exception which it holds in a variable is part of that exception's traceback, and so of a cycle. The frames
# of the program would live on until the garbage is collected: a generator that the program dropped would not run its `finally` blocks
# when CPython does. Such functions therefore let go of their variable before they are left.


def _unwind(machine: Machine, frame: Frame, error: BaseException) -> int:
    """Prepare the stack for the handler of an exception and give its index; raise it again when there is none."""
    handled = machine.handled
    if handled is not None and error.__context__ is None and error is not handled:
        error.__context__ = handled
    handler = frame.info.decoded.handler_at(frame.index)
    if handler is None:
        try:
            raise error
        finally:
            del error, handled  # see Note [No cycles through exceptions]
    del frame.stack[handler.depth :]
    if handler.pushes_position:
        frame.stack.append(frame.index)
    frame.stack.append(error)
    return handler.target
