"""The interpreter's loop: runs a frame until it returns, yields or raises.

In: a frame.   Out: its value; user exceptions as themselves; `Unsupported` for what cannot be captured.
Keeps: the exception table is followed as CPython does; `Unsupported` is never seen by the program, so that a handler of the user's
cannot swallow it.
"""

from __future__ import annotations

from typing import Any

from graphwright.base.errors import GraphwrightError, InternalError, Unsupported
from graphwright.capture.faults import check_fault
from graphwright.capture.frames import LEAVE, STOP, Frame, Outermost
from graphwright.capture.machine import Machine
from graphwright.capture.missing import UNUSED
from graphwright.capture.refusals import is_refused_at_once
from graphwright.record import NeedsValues


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
    outermost = machine.outermost
    if outermost.frame is None:
        outermost.frame = frame
    if outer_frame is not None:
        machine.callers.append(outer_frame)
    machine.frame = frame
    if frame.handled is not None:
        machine.handled = frame.handled
    try:
        i = frame.resume_at if thrown is None else _unwind(machine, frame, thrown)
        status = (_loop if frame is not outermost.frame else _loop_outermost)(machine, frame, i)
    except BaseException as error:
        frame.is_generator = False
        machine.note_left(error)
        _note_end(outermost, frame, error)
        raise
    finally:
        del thrown  # see Note [No cycles through exceptions]
        machine.frame = outer_frame
        if outer_frame is not None:
            machine.callers.pop()
        inner_handled, machine.handled = machine.handled, outer_handled
    if status == LEAVE:
        frame.is_generator = False
        if frame is outermost.frame:
            outermost.is_over = True
    else:
        outermost.is_stopped |= status == STOP
        frame.resume_at = frame.index + 1
        frame.handled = inner_handled if frame.is_handling else None
    value = frame.value
    frame.value = None  # a generator, and what it holds, would be a cycle with its frame
    return value


def _note_end(outermost: Outermost, frame: Frame, error: BaseException) -> None:
    """Note that an exception has left a frame."""
    is_refused = isinstance(error, Unsupported | InternalError)
    if frame is outermost.frame:
        outermost.is_over = not is_refused
    elif is_refused:
        if isinstance(error, NeedsValues) and not outermost.was_nested:
            frame.info.met[frame.index] = error.at(error.location)
        outermost.was_nested = True
        outermost.met_in.append(frame.call_place)


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
        except Unsupported as error:
            machine.locate(error)
            raise
        except GraphwrightError:
            raise
        except BaseException as error:  # noqa: BLE001  (the program decides what it catches)
            check_fault(machine, error)
            i = _unwind(machine, frame, error)


def _loop_outermost(machine: Machine, frame: Frame, i: int) -> int:
    """Do as `_loop` does, keeping account of the steps, and stopping where the outermost frame is to stop."""
    outermost, info = machine.outermost, frame.info
    opcodes, args, starts, makes = info.opcodes, info.args, info.starts, info.makes
    while True:
        try:
            while True:
                frame.index = i
                if starts[i] and outermost.begin_step(frame.stack):
                    return STOP
                target = opcodes[i](machine, frame, args[i])
                if target is None:
                    if makes[i]:
                        outermost.note_made(frame.stack[-1])
                    i += 1
                elif target >= 0:
                    i = target
                else:
                    return target
        except GraphwrightError as error:
            if _stops(machine, frame, error):
                return STOP
            raise
        except BaseException as error:  # noqa: BLE001  (the program decides what it catches)
            check_fault(machine, error)
            i = _unwind(machine, frame, error)
            outermost.note_raised(error)


def _stops(machine: Machine, frame: Frame, error: GraphwrightError) -> bool:
    """Stop the outermost frame before the instruction that it is at, which could not be captured; tell whether that is possible."""
    if not isinstance(error, Unsupported):
        return False
    machine.locate(error)
    outermost = machine.outermost
    if outermost.was_nested or not outermost.may_stop():
        return False
    before = outermost.stack_before
    if not (outermost.is_before_callee or is_refused_at_once(machine, frame, before, error)):
        return False
    outermost.stop(frame, error)
    return True


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
    if machine.raised:
        _check_caught(machine)
    del frame.stack[handler.depth :]
    if handler.pushes_position:
        frame.stack.append(UNUSED)
    frame.stack.append(error)
    return handler.target


def _check_caught(machine: Machine) -> None:
    """Refuse, where it is caught, an exception from before the call that has another traceback now."""
    try:
        machine.check_raised()
    except Unsupported as error:
        machine.locate(error)
        raise
