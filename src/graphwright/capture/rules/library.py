"""Rules for functions of the standard library that do more than compute: warnings, logging, caches, context."""

from __future__ import annotations

import copy
import functools
import logging
import os
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.rules.copying import copy_, deepcopy

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}

_OF_FRAMES: Final = (
    traceback.extract_stack,
    traceback.format_exc,
    traceback.format_stack,
    traceback.print_exc,
    traceback.print_exception,
    traceback.print_stack,
    traceback.print_tb,
)
"""Functions that ask Python for its frames, or for the exception that it handles."""


def _log_at(name: str, level: int) -> Rule:
    """Make the rule of a logger's method."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> None:
        if args[0].isEnabledFor(level):
            msg = f"a call of Logger.{name}"
            raise machine.unsupported(
                msg,
                why="the message would have to be written again at each call",
                remedy="raise the logger's level, or log outside the compiled function",
            )

    rule.__doc__ = f"`Logger.{name}(...)`: nothing, when the level is off."
    return rule


def warn(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    """`warnings.warn(message, category)`: shown once, while the program is captured, for the user's line."""
    message = args[0] if args else kwargs["message"]
    category = args[1] if len(args) > 1 else kwargs.get("category")
    if isinstance(message, Warning):
        category = type(message)
    loc = machine.loc()
    assert loc is not None, "a warning without a frame"
    warnings.warn_explicit(message, category or UserWarning, loc.file, loc.line)


def exc_info(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`sys.exc_info()`."""
    error = machine.handled
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)


def current_exception(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`sys.exception()`."""
    return machine.handled


def make_weak_reference(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`weakref.ref(x[, callback])`, of an object of the program's own."""
    if machine.world.source_of(args[0]) is not None:
        raise machine.unsupported(
            "a weak reference to an object that existed before",
            why="it would outlive the call",
            remedy="make the reference outside the compiled function",
        )
    return natively(weakref.ref, *args)


def wraps_update(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`functools.update_wrapper(wrapper, wrapped)`."""
    return natively(functools.update_wrapper, *args, **kwargs)


def _print(machine: Machine, args: Args, kwargs: Kwargs) -> None:
    msg = "a call of print()"
    raise machine.unsupported(
        msg,
        why="the text would have to be printed again at each call",
        remedy="print outside the compiled function",
    )


def _of_frames(function: Callable[..., Any]) -> Rule:
    """Make the rule of a function of `traceback` that asks Python for its frames, or for what it handles."""

    def rule(machine: Machine, args: Args, kwargs: Kwargs) -> None:
        msg = f"a call of traceback.{function.__name__}"
        raise machine.unsupported(
            msg,
            why="it is about the frames that Python itself runs, and the exception that it handles",
            remedy="call it outside the compiled function, or give the exception to traceback.format_exception",
        )

    rule.__doc__ = f"`traceback.{function.__name__}(...)`."
    return rule


def make_rules() -> dict[Any, Rule]:
    """Give the rules."""
    rules: dict[Any, Rule] = {
        print: _print,
        warnings.warn: warn,
        sys.exc_info: exc_info,
        sys.exception: current_exception,
        copy.copy: copy_,
        copy.deepcopy: deepcopy,
        functools.update_wrapper: wraps_update,
        weakref.ref: make_weak_reference,
        os.fspath: lambda machine, args, kwargs: natively(os.fspath, machine.materialise(args[0])),
        sys.intern: lambda machine, args, kwargs: args[0],
        **{function: _of_frames(function) for function in _OF_FRAMES},
        **{getattr(logging.Logger, name): _log_at(name, level) for name, level in _LEVELS.items()},
    }
    return rules
