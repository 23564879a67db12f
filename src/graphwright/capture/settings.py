"""Settings that the program asks for: what a function of PyTorch's tells without being given a tensor.

In: such a function, its arguments, and what it told while the program was captured.   Out: guards that ask again.
Keeps: what the program has set by itself before it asked is not from outside, and is not guarded.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch

from graphwright.capture.constants import is_constant
from graphwright.capture.guards import Guards
from graphwright.capture.policy import is_torch_module_name
from graphwright.ir.guards import ConstantGuard
from graphwright.ir.locations import Loc
from graphwright.ir.sources import AnswerSource, AttrSource, ImportSource, PinSource, Source

_ASKING: Final = ("is_", "are_", "get_", "_is_", "_are_", "_get_")
"""How the names of functions begin that take the setting's name, or a device, and tell what is set."""

_NEVER_CHANGE: Final = frozenset(
    {
        *("is_available", "is_built", "is_compiled", "_is_compiled", "device_count"),
        *("is_scripting", "is_tracing", "is_grad_enabled", "is_inference_mode_enabled"),
        *("get_default_dtype", "is_autocast_cache_enabled"),
    }
)
"""What a process tells alike for as long as it lives, or a guard of every program covers."""

_ANSWERS: Final = frozenset({bool, int, float, str, tuple, torch.dtype, torch.device})
"""The types that settings have."""


class _Asked(NamedTuple):
    ask: functools.partial[Any]
    make_source: Callable[[Guards], Source]
    told: Any
    loc: Loc | None


class Settings:
    """The settings that one program has asked for."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []

    def note_call(
        self,
        guards: Guards,
        function: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        told: Any,
    ) -> None:
        """Take note of a call, if it asked for a setting."""
        if type(told) not in _ANSWERS or kwargs:
            return
        if not (_asks(function, args) and is_constant(told)):
            return
        if not guards.once(("setting", id(function), *args)):
            return

        def make_source(guards: Guards) -> Source:
            return AnswerSource(PinSource(guards.pin(function)), tuple(map(guards.constant, args)))

        ask = functools.partial(function, *args)
        self._asked.append(_Asked(ask, make_source, told, guards.locate()))

    def note_attribute(
        self, guards: Guards, module: types.ModuleType, name: str, told: Any
    ) -> None:
        """Take note of an attribute that a module works out when it is read (`torch.backends.mkldnn.enabled`)."""
        if type(told) not in _ANSWERS or not guards.once(("setting", id(module), name)):
            return
        if sys.modules.get(module.__name__) is not module:
            return
        source = AttrSource(ImportSource(module.__name__), name)
        ask = functools.partial(getattr, module, name)
        self._asked.append(_Asked(ask, lambda _guards: source, told, guards.locate()))

    def guard(self, guards: Guards, *, are_modes_kept: bool) -> None:
        """Guard what was asked for, at the program's end; what is different then, the program has set.

        Args:
            guards: gets the guards.
            are_modes_kept: whether the program leaves PyTorch's modes as they were; else what is told of autocast may be its own.
        """
        for ask, make_source, told, loc in self._asked:
            if not are_modes_kept and "autocast" in str(getattr(ask.func, "__name__", "")):
                continue
            now = ask()
            if type(now) is type(told) and now == told:
                guards.add(ConstantGuard(make_source(guards), guards.constant(told), loc))


def _asks(function: Any, args: Sequence[Any]) -> bool:
    if not isinstance(function, types.FunctionType | types.BuiltinFunctionType):
        return False
    name = function.__name__
    module = function.__module__  # methods of objects have none
    if name in _NEVER_CHANGE or not is_torch_module_name(module):
        return False
    return not args or (name.startswith(_ASKING) and all(map(is_constant, args)))
