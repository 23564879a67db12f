"""What a capture that is thrown away hands to the capture of the function that it was in.

    def f(x):                  The capture of `f` goes on into `g` and `h`, where it meets a graph break. It is made again up to the call
        return g(x * 2)        of `g`, which is then captured on its own, in the same call of `f`: that ends before the call of `h` without
                               going into it, and comptime code that has run in `g` does not run again.
    def g(x):
        return h(x + 1)

In: the calls that led to the break.   Out: `Foreseen`, for one capture.
Keeps: it is no more than where a capture ends; one that takes another way does not come by that place, and goes on.
"""

from __future__ import annotations

import contextvars
import types
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from graphwright.base.errors import Unsupported


class CallPlace(NamedTuple):
    """A call that a frame makes."""

    code: types.CodeType
    """The frame's."""
    at: int
    """Number of the instruction."""
    number: int
    """How many calls of Python functions the frame has made, this one included."""


class Foreseen(NamedTuple):
    """What is known of a call before it is captured."""

    calls: tuple[CallPlace, ...]
    """The calls that lead to the break, the function's own first, and the instruction that was met, in the frame that it is in."""
    outcomes: tuple[Any, ...]
    """What comptime code gave there (see `comptime/blocks.py`)."""
    error: Unsupported
    """What was met."""


_FORESEEN: Final[contextvars.ContextVar[Foreseen | None]] = contextvars.ContextVar(
    "foreseen", default=None
)
"""Of the call that this thread makes."""


def call_foreseeing(foreseen: Foreseen | None, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function, for whose capture something is known, or nothing: what is known of a call around it is not of this one."""
    token = _FORESEEN.set(foreseen)
    try:
        return function(*args)
    finally:
        _FORESEEN.reset(token)


def take_foreseen(code: types.CodeType | None) -> Foreseen | None:
    """Give what is known of the call of code that is about to be captured, once."""
    foreseen = _FORESEEN.get()
    if foreseen is None or foreseen.calls[0].code is not code:
        return None
    _FORESEEN.set(None)
    return foreseen
