"""Instructions that are refused before they have done anything.

In: the outermost frame, an instruction of it that could not be captured, and the stack before it.   Out: whether the capture stands where
it stood before the instruction, so that it can end there as it is.
Does not: know more than the commonest (a call of `print`, of a disabled or unknown function; a branch on a tensor; a step of an iterator
that existed before). Of any other instruction, a part may have been done: the call is captured again, up to there.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import torch

from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture.controls import graph_break, why_outside
from graphwright.capture.frames import Frame
from graphwright.capture.instructions import CallShape, Op
from graphwright.capture.lookup import peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.natives import may_run_natively
from graphwright.capture.rules.autograd import BACKWARD
from graphwright.capture.sure_breaks import SureCall, constant_arguments, find_sure_break
from graphwright.capture.targets import is_compiled_alone
from graphwright.record import NeedsValues

_NEVER_CAPTURED: Final = (print, graph_break, *BACKWARD)

_BRANCHES: Final = frozenset({Op.POP_JUMP_IF_TRUE, Op.POP_JUMP_IF_FALSE, Op.TO_BOOL})


def is_refused_at_once(
    machine: Machine, frame: Frame, before: Sequence[Any], error: Unsupported
) -> bool:
    """Tell whether the instruction that a frame stands at was refused before it had done anything.

    Args:
        machine: the machine.
        frame: the outermost frame; no other has begun since.
        before: the stack before the instruction.
        error: what was met.
    """
    step = frame.info.decoded.instructions[frame.index]
    if not frame.info.starts[frame.index]:
        return False
    if step.op is Op.CALL:
        return _is_refused(machine, _callable(before, step.arg))
    if step.op is Op.FOR_ITER:
        return machine.world.source_of(before[-1]) is not None
    is_branch = step.op in _BRANCHES and type(before[-1]) is machine.tensor_type
    return is_branch and isinstance(error, NeedsValues)


def check_goes_on(machine: Machine, frame: Frame, function: types.FunctionType) -> None:
    """Check that the function which the outermost frame is about to call may be captured with it.

    Raises:
        Unsupported: this call breaks the graph; the frame is to end before it, as nothing of it has been done.
    """
    outermost = machine.outermost
    if not outermost.may_stop():
        return
    step = frame.info.decoded.instructions[frame.index]
    if step.op is not Op.CALL or not frame.info.starts[frame.index]:
        return
    if not _is_call_of(_callable(outermost.stack_before, step.arg), function):
        return
    foreseen = outermost.foreseen
    if foreseen is not None and foreseen.calls[:-1] and foreseen.calls[0] == frame.call_place:
        outermost.is_before_callee = True
        raise _met_again(frame, foreseen.error)
    calls = find_sure_break(function, machine.codes, _is_never_captured)
    if calls:
        outermost.is_before_callee = True
        _meet(machine, frame, calls)


def _is_call_of(called: Any, function: types.FunctionType) -> bool:
    """Tell whether a call of something that can be a target of its own begins with a function, and ends with it."""
    if isinstance(called, torch.nn.Module):
        return peek(type(called), "forward") is function
    return getattr(called, "__func__", called) is function and is_compiled_alone(called)


def _met_again(frame: Frame, met: Unsupported) -> Unsupported:
    """Make the error for what was met in a function that a frame calls, as told from that frame on."""
    error = met.at(met.location)
    own = frame.loc().render()
    error.frames = met.frames[met.frames.index(own) :] if own in met.frames else (own,)
    return error


def _meet(machine: Machine, outer: Frame, calls: Sequence[SureCall]) -> NoReturn:
    """Meet what is refused where the calls lead to.

    Args:
        machine: the machine.
        outer: the frame that makes the first call.
        calls: the calls.

    Raises:
        Unsupported: as though they had been captured.
    """
    num_callers = len(machine.callers)
    *between, last = [_frame_at(machine, call) for call in calls]
    refused = calls[-1].called
    try:
        machine.callers += [outer, *between]
        machine.frame = last
        if refused is ABSENT:
            raise last.info.met[last.index].at(last.loc().render())
        machine.call(refused, *constant_arguments(last.info.decoded, last.index))
    except Unsupported as error:
        machine.locate(error)
        raise
    finally:
        machine.frame = outer
        del machine.callers[num_callers:]
    message = f"{refused} is refused at each call"
    raise InternalError(message)


def _frame_at(machine: Machine, call: SureCall) -> Frame:
    """Make a frame that stands at a call, for what is told of it."""
    function, at, _ = call
    info = machine.codes.info(function.__code__)
    frame = Frame(info, {}, function.__globals__, function)
    frame.index = at
    return frame


def _callable(stack: Sequence[Any], shape: CallShape) -> Any:
    """Give what a CALL is about to call."""
    first, second = stack[-shape.num_args - 2 : len(stack) - shape.num_args]
    return second if first is ABSENT else first


def _is_never_captured(function: Any) -> bool:
    """Tell whether every call of a callable is refused, whatever its arguments."""
    if any(function is one for one in _NEVER_CAPTURED):
        return True
    return type(function) is types.FunctionType and why_outside(function) is not None


def _is_refused(machine: Machine, function: Any) -> bool:
    """Tell whether a callable that was refused is refused before its arguments are looked at."""
    if type(function) is types.MethodType:
        function = function.__func__
    if _is_never_captured(function):
        return True
    if type(function) is not types.BuiltinFunctionType:
        return False
    is_free = function.__self__ is None or isinstance(function.__self__, types.ModuleType)
    is_known = id(function) in machine.rules or may_run_natively(machine, function)
    return is_free and not is_known
