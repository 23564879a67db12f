"""What users say of functions: that programs must not capture a call of them, or must take it as it is.

In: functions, as `gw.disable`, `gw.allow_in_graph` and their like are given them.   Out: what a capture finds out about a callable; the
region in which nothing is compiled. What a capture makes of it is said in `rules/controls.py`.
Keeps: a mark belongs to the very function that was marked; a wrapper that takes over its attributes has none.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar, final

from graphwright.capture.policy import is_torch_module_name

P = ParamSpec("P")
R = TypeVar("R")

_MARK: Final = "__graphwright_outside__"
_OF_PYTORCH: Final = {
    "torch._compile": "PyTorch says that it is not to be compiled",
    "torch.optim.optimizer": "it changes the state that an optimizer keeps",
    "torch.optim.lr_scheduler": "it changes the state of a scheduler and its optimizer",
    "torch.amp.grad_scaler": "it changes the state of a gradient scaler, by the values of gradients",
}
"""Modules of PyTorch's whose functions run in plain Python, and why."""
_COMPILING: Final = frozenset({"cond", "while_loop", "map", "scan", "flex_attention"})
_OF_COMPILING: Final = ("torch._higher_order_ops.", "torch.nn.attention.flex_attention")
"""Functions of PyTorch's that compile what they are given, and where they are."""

_CHANGES_COMPILING: Final = "it changes how later calls compile, so it has no place in a program"


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """Why programs do not capture a call of a function."""

    function: object
    """The function that was marked."""
    why: str
    original: object = None
    """What a disabled function was made from."""
    is_recursive: bool = True
    """Whether nothing that it calls is compiled either."""


def mark_outside(function: Callable[P, R], why: str = _CHANGES_COMPILING) -> Callable[P, R]:
    """Mark a function whose calls end a program; gives it back."""
    vars(function)[_MARK] = Outside(function, why)
    return function


def why_outside(function: types.FunctionType) -> str | None:
    """Give why programs must not capture a call of a function; None where they may."""
    module = function.__globals__.get("__name__", "")
    why = _OF_PYTORCH.get(module)
    if why is not None:
        return why
    if function.__name__ in _COMPILING and module.startswith(_OF_COMPILING):
        return "it hands the functions that it is given to PyTorch's own compiler"
    own = function.__dict__
    if not own:
        return None
    mark = own.get(_MARK)
    if isinstance(mark, Outside) and mark.function is function:
        return mark.why
    if own.get("_torchdynamo_disable") and not is_torch_module_name(function.__module__):
        return own.get("_torchdynamo_disable_msg") or "it is marked with torch.compiler.disable"
    return None


CAPTURING: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("capturing", default=False)
"""Whether this thread is inside a capture."""


def is_compiling() -> bool:
    """Tell whether this code runs while a program is captured, rather than eagerly."""
    return CAPTURING.get()


_IS_EAGER: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar("is_eager", default=False)


def is_eager_region() -> bool:
    """Tell whether this thread runs a disabled function, so that nothing new is compiled."""
    return _IS_EAGER.get()


def make_disabled(
    function: Callable[P, R], *, is_recursive: bool, reason: str | None
) -> Callable[P, R]:
    """Make the form of a function that programs do not capture.

    Args:
        function: the function.
        is_recursive: whether nothing that it calls is compiled either.
        reason: why, for people.
    """
    has_own_name = isinstance(function, types.FunctionType)

    @functools.wraps(function, updated=functools.WRAPPER_UPDATES if has_own_name else ())
    def disabled(*args: P.args, **kwargs: P.kwargs) -> R:
        if not is_recursive:
            return function(*args, **kwargs)
        token = _IS_EAGER.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _IS_EAGER.reset(token)

    if not hasattr(function, "__qualname__"):
        disabled.__qualname__ = disabled.__name__ = type(function).__name__
    why = reason or "it is marked with gw.disable"
    vars(disabled)[_MARK] = Outside(disabled, why, function, is_recursive)
    return disabled


def original_of_disabled(function: Any) -> Any:
    """Give what a disabled function was made from; anything else as it is."""
    mark = getattr(function, _MARK, None)
    if isinstance(mark, Outside) and mark.function is function and mark.original is not None:
        return mark.original
    return function


def disabled_alone(function: object) -> types.FunctionType | None:
    """Give the function that `function` was made from, if that is disabled and what it calls is not; else None."""
    mark = getattr(function, _MARK, None)
    if not isinstance(mark, Outside) or mark.function is not function or mark.is_recursive:
        return None
    return mark.original if isinstance(mark.original, types.FunctionType) else None


@final
class AllowedFunctions:
    """The callables that users allowed in the graph, kept alive."""

    def __init__(self) -> None:
        self._by_id: dict[int, Any] = {}

    def add(self, function: Any) -> None:
        """Allow a callable; of a bound method, the function."""
        function = getattr(function, "__func__", function)
        self._by_id[id(function)] = function

    def __iter__(self) -> Iterator[Any]:
        return iter(tuple(self._by_id.values()))


ALLOWED: Final = AllowedFunctions()
"""Those of this process."""


def graph_break(msg: str = "") -> None:
    """End the graph here; outside a compiled function, do nothing.

    Args:
        msg: why, for people.
    """
