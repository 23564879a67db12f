"""What is compiled: whatever a user calls, and the pieces of it that graph breaks leave.

In: a callable.   Out: the code that a call of it runs first; whether it can be a target of its own.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, final

import torch

from graphwright.base.errors import GraphwrightError
from graphwright.capture.policy import is_native_function

if TYPE_CHECKING:
    from graphwright.capture.places import Place

WITHOUT_CALL: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Flags of code whose call does not run it."""


@final
class Continuation:
    """The rest of a function, from the middle of it on; called with a function that holds the frame's globals and cells, and the values.

    Args:
        code: the whole function's code.
        place: where it goes on.
        entry_code: the code of the functions that it is called with.
    """

    def __init__(self, code: types.CodeType, place: Place, entry_code: types.CodeType) -> None:
        self.code: Final = code
        self.place: Final = place
        self.entry_code: Final = entry_code
        self.__qualname__ = f"{code.co_qualname} (after a graph break)"

    def __call__(self, function: Callable[..., Any], *values: Any) -> Any:
        """Run the rest in plain CPython."""
        return function(*values)


@final
class Callee:
    """A function that a break was met in, compiled on its own; called with the function, and its arguments.

    Args:
        name: what to call it.
    """

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it in plain CPython."""
        return function(*args, **kwargs)


def code_of_target(target: object, args: Sequence[object]) -> types.CodeType | None:
    """Give the code that a call of `target` runs first, as far as can be told without the call.

    Args:
        target: what is compiled.
        args: the call's positional arguments.
    """
    match target:
        case Continuation():
            return target.code
        case Callee():
            return code_of_target(args[0], args[1:])
        case functools.partial():
            return code_of_target(target.func, args)
        case torch.nn.Module():
            function: object = type(target).forward
        case types.FunctionType() | types.MethodType() | type():
            function = target
        case _:
            function = getattr(type(target), "__call__", None)  # noqa: B004  (the function itself)
    while isinstance(function, types.MethodType):
        function = function.__func__
    return function.__code__ if isinstance(function, types.FunctionType) else None


def is_compiled_alone(function: object) -> bool:
    """Tell whether a callable is a function, method or module of the user's, which can be a target of its own."""
    if isinstance(function, types.MethodType):
        function = function.__func__
    if isinstance(function, torch.nn.Module):
        return True
    return (
        type(function) is types.FunctionType
        and not is_native_function(function)
        and not function.__code__.co_flags & WITHOUT_CALL
    )


class ProgramRaised(GraphwrightError):  # noqa: N818  (it is no error of ours)
    """The program raised an exception while it was captured; run eagerly, it will raise it again.

    Args:
        error: the program's exception.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the program raised {type(error).__name__}: {error}")
        self.error = error
