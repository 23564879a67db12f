"""Binding of arguments to the parameters of a Python function.

In: a function, its arguments as the interpreter holds them.   Out: the slots of a new frame.
Keeps: Python's rules and its error messages.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

from graphwright.capture.faults import natively
from graphwright.capture.frames import CodeInfo
from graphwright.capture.missing import ABSENT
from graphwright.capture.world import World
from graphwright.ir.guards import LengthGuard
from graphwright.ir.sources import AttrSource, DefaultSource, KwDefaultSource


def _default(world: World, function: types.FunctionType, index: int) -> Any:
    value = (function.__defaults__ or ())[index]
    source = world.source_of(function)
    if source is None:
        return value
    if world.guards.once(("defaults", id(function))):
        # defaults belong to the last parameters: with another number of them each would mean another one
        count = len(function.__defaults__ or ())
        place = AttrSource(source, "__defaults__")
        world.guards.add(LengthGuard(place, count, world.guards.locate()))
    return world.read(function, ("default", index), value, lambda: DefaultSource(source, index))


def _kw_default(world: World, function: types.FunctionType, name: str) -> Any:
    value = (function.__kwdefaults__ or {}).get(name, ABSENT)
    source = world.source_of(function)
    if value is ABSENT or source is None:
        return value
    return world.read(function, ("kw default", name), value, lambda: KwDefaultSource(source, name))


def _raise_native_error(
    function: types.FunctionType, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Let CPython word the error: a function of the same signature that does nothing is called with stand-ins."""
    code = function.__code__
    has_closure = function.__closure__ is not None
    source = compile("def f(): return None", "<signature>", "exec").co_consts[0]
    empty = source.replace(
        co_argcount=code.co_argcount,
        co_posonlyargcount=code.co_posonlyargcount,
        co_kwonlyargcount=code.co_kwonlyargcount,
        co_varnames=code.co_varnames,
        co_nlocals=len(code.co_varnames),
        co_flags=(source.co_flags & ~0x0C) | (code.co_flags & 0x0C),
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )
    twin = types.FunctionType(empty, {}, function.__name__, function.__defaults__)
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__qualname__ = function.__qualname__
    natively(twin, *(None for _ in args), **dict.fromkeys(kwargs))
    msg = f"{function.__qualname__}() was called with wrong arguments ({has_closure=})"
    raise TypeError(msg)


def bind(
    world: World,
    function: types.FunctionType,
    info: CodeInfo,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """Give the slots of a call.

    Raises:
        TypeError: the arguments do not fit; the text is CPython's.
    """
    if not kwargs and len(args) == info.plain_arity:
        return dict(zip(info.params, args, strict=True))
    binder = _Binder(world, function, info, args, kwargs)
    binder.place_positional()
    binder.place_keywords()
    binder.place_defaults()
    return binder.slots


class _Binder:
    """The binding of one call, when it is not a plain one."""

    def __init__(
        self,
        world: World,
        function: types.FunctionType,
        info: CodeInfo,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.world = world
        self.function = function
        self.info = info
        self.args = args
        self.kwargs = kwargs
        self.slots: dict[str, Any] = {}

    def fail(self) -> None:
        _raise_native_error(self.function, self.args, self.kwargs)

    def place_positional(self) -> None:
        info = self.info
        self.slots.update(zip(info.params, self.args, strict=False))
        extra = self.args[len(info.params) :]
        if info.has_varargs:
            self.slots[info.varargs_name] = tuple(extra)
        elif extra:
            self.fail()

    def place_keywords(self) -> None:
        info, slots = self.info, self.slots
        by_keyword = {*info.params[info.num_posonly :], *info.kwonly}
        rest: dict[str, Any] = {}
        for name, value in self.kwargs.items():
            if name in by_keyword:
                if name in slots:
                    self.fail()
                slots[name] = value
            elif info.has_varkw:
                rest[name] = value
            else:
                self.fail()
        if info.has_varkw:
            slots[info.varkw_name] = rest

    def place_defaults(self) -> None:
        params, slots, function = self.info.params, self.slots, self.function
        first_default = len(params) - len(function.__defaults__ or ())
        for i in range(min(len(self.args), len(params)), len(params)):
            if params[i] not in slots:
                if i < first_default:
                    self.fail()
                slots[params[i]] = _default(self.world, function, i - first_default)
        for name in self.info.kwonly:
            if name not in slots:
                value = _kw_default(self.world, function, name)
                if value is ABSENT:
                    self.fail()
                slots[name] = value
