"""Opcodes that call, return, and make functions and classes."""

from __future__ import annotations

import builtins
import sys
import types
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.frames import LEAVE, Frame, Opcode
from graphwright.capture.instructions import CallShape, FunctionPart, Intrinsic, Op
from graphwright.capture.items import read_mapping
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.opcodes.containers import function_text

_NO_KEYWORDS: Final[dict[str, Any]] = {}


def call(machine: Machine, frame: Frame, arg: CallShape) -> None:
    """CALL."""
    stack = frame.stack
    count, keywords = arg
    args = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    second = stack.pop()
    first = stack.pop()
    if first is ABSENT:
        function = second
    else:
        function = first
        if second is not ABSENT:
            args.insert(0, second)
    if keywords:
        split = len(args) - len(keywords)
        kwargs = dict(zip(keywords, args[split:], strict=True))
        del args[split:]
        stack.append(machine.call(function, args, kwargs))
    else:
        stack.append(machine.call(function, args, _NO_KEYWORDS))


def call_ex(machine: Machine, frame: Frame, arg: bool) -> None:  # noqa: FBT001
    """CALL_EX."""
    stack = frame.stack
    mapping = stack.pop() if arg else ABSENT
    sequence = stack.pop()
    second = stack.pop()
    first = stack.pop()
    function = second if first is ABSENT else first
    args = _spread(machine, function, sequence)
    if first is not ABSENT and second is not ABSENT:
        args.insert(0, second)
    kwargs = {} if mapping is ABSENT else read_mapping(machine, mapping)
    if not all(isinstance(name, str) for name in kwargs):
        msg = "keywords must be strings"
        raise TypeError(msg)
    stack.append(machine.call(function, args, kwargs))


def _spread(machine: Machine, function: Any, sequence: Any) -> list[Any]:
    """Give the positional arguments of `function(*sequence)`."""
    items = machine.native_iterable(sequence)
    try:
        iterator = natively(iter, items)
    except TypeError:
        if hasattr(type(sequence), "__iter__") or hasattr(type(sequence), "__getitem__"):
            raise
        kind = type(sequence).__name__
        msg = f"{function_text(function)} argument after * must be an iterable, not {kind}"
        raise TypeError(msg) from None
    return natively(list, iterator)


def make_function(machine: Machine, frame: Frame, arg: Any) -> None:
    """MAKE_FUNCTION."""
    code = frame.stack.pop()
    closure = tuple(types.CellType() for _ in code.co_freevars) or None
    function = types.FunctionType(code, frame.globals, code.co_name, None, closure)
    function.__qualname__ = code.co_qualname
    function.__module__ = frame.globals.get("__name__", "")
    frame.stack.append(function)


def set_function_part(machine: Machine, frame: Frame, arg: FunctionPart) -> None:
    """SET_FUNCTION_PART."""
    function = frame.stack.pop()
    value = frame.stack.pop()
    if machine.world.source_of(function) is not None:
        msg = "a function that an earlier piece of the program made, and this one completes"
        raise machine.unsupported(
            msg,
            why="it exists already, and what is stored in it would be stored while capturing",
            remedy="move what breaks the program away from the definition of the function",
        )
    match arg:
        case FunctionPart.DEFAULTS:
            function.__defaults__ = value
        case FunctionPart.KW_DEFAULTS:
            function.__kwdefaults__ = value
        case FunctionPart.ANNOTATIONS:
            pairs = (
                value
                if isinstance(value, dict)
                else dict(zip(value[::2], value[1::2], strict=True))
            )
            function.__annotations__ = pairs
        case FunctionPart.CLOSURE:
            function = _with_closure(function, value)
        case FunctionPart.ANNOTATE:
            function.__annotate__ = value
    frame.stack.append(function)


def _with_closure(function: types.FunctionType, cells: tuple[types.CellType, ...]) -> Any:
    made = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__module__ = function.__module__
    made.__annotations__ = function.__annotations__
    return made


def return_value(machine: Machine, frame: Frame, arg: Any) -> int:
    """RETURN_VALUE."""
    frame.value = frame.stack.pop()
    return LEAVE


def load_build_class(machine: Machine, frame: Frame, arg: Any) -> None:
    """LOAD_BUILD_CLASS."""
    frame.stack.append(builtins.__build_class__)


def setup_annotations(machine: Machine, frame: Frame, arg: Any) -> None:
    """SETUP_ANNOTATIONS."""
    assert frame.namespace is not None, "SETUP_ANNOTATIONS outside a class body"
    frame.namespace.setdefault("__annotations__", {})


def intrinsic_1(machine: Machine, frame: Frame, arg: Intrinsic) -> None:
    """INTRINSIC_1."""
    value = frame.stack[-1]
    if arg is Intrinsic.STOPITERATION_ERROR:
        frame.stack[-1] = _without_stop_iteration(value)
        return
    raise _rare(machine, arg)


def _without_stop_iteration(error: BaseException) -> BaseException:
    if not isinstance(error, StopIteration):
        return error
    made = RuntimeError("generator raised StopIteration")
    made.__cause__ = made.__context__ = error
    return made


def intrinsic_2(machine: Machine, frame: Frame, arg: Intrinsic) -> None:
    """INTRINSIC_2."""
    raise _rare(machine, arg)


def _rare(machine: Machine, arg: Intrinsic) -> Exception:
    return machine.unsupported(
        f"the instruction {arg.value} of CPython {sys.version_info.major}.{sys.version_info.minor}",
        why="generic functions, type aliases and exception groups made inside a program are not captured",
        remedy="define them at module level",
    )


OPCODES: Final[dict[Op, Opcode]] = {
    Op.CALL: call,
    Op.CALL_EX: call_ex,
    Op.MAKE_FUNCTION: make_function,
    Op.SET_FUNCTION_PART: set_function_part,
    Op.RETURN_VALUE: return_value,
    Op.LOAD_BUILD_CLASS: load_build_class,
    Op.SETUP_ANNOTATIONS: setup_annotations,
    Op.INTRINSIC_1: intrinsic_1,
    Op.INTRINSIC_2: intrinsic_2,
}
