"""Rules for making classes inside a program: class statements, `type(...)`, named tuples, dataclasses.

In: a class's body or parts.   Out: the class, known to be the program's own.
Keeps: what Python runs of itself when a class is made (`__init_subclass__`, `__set_name__`) is not code of the user's from before
the call; metaclasses written in Python are interpreted.
"""

from __future__ import annotations

import builtins
import collections
import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.frames import Frame
from graphwright.capture.lookup import is_fixed_class, peek
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.policy import is_native_function

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def build_class(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """A class statement: its body is interpreted, and the class made by its metaclass."""
    body, name, *bases = args
    for base in bases:
        if not isinstance(base, type):
            raise machine.unsupported(
                f"a class with the base {base!r}",
                why="a base that is no class (list[int], Generic[T]) gives the real ones by __mro_entries__",
                remedy="define the class outside the compiled function",
            )
    rest = {key: value for key, value in kwargs.items() if key != "metaclass"}
    meta = most_derived(kwargs.get("metaclass", type), bases)
    space: Any = machine.call(machine.load_attr(meta, "__prepare__"), [name, tuple(bases)], rest)
    info = machine.codes.info(body.__code__)
    frame = Frame(info, {}, body.__globals__, body)
    frame.namespace = space
    machine.run_frame(frame)
    return make_class(machine, meta, name, tuple(bases), space, rest)


def most_derived(meta: Any, bases: Sequence[Any]) -> Any:
    """Give the most derived of a metaclass and those of some bases."""
    for base in bases:
        if issubclass(type(base), meta):
            meta = type(base)
    return meta


def make_class(
    machine: Machine, meta: Any, name: str, bases: tuple[type, ...], space: Any, rest: Kwargs
) -> Any:
    """Make a class, by interpreting its metaclass where that is the user's."""
    _check_hooks(machine, bases, space)
    maker = peek(meta, "__new__")
    maker = maker.__func__ if isinstance(maker, staticmethod) else maker
    parts = [peek(meta, "__init__"), peek(type(meta), "__call__"), maker]
    is_user_meta = any(
        isinstance(part, types.FunctionType) and not is_native_function(part) for part in parts
    )
    parts_of_class = (name, bases, space)
    make = functools.partial(machine.construct, meta) if is_user_meta else _make_natively(meta)
    made = make(parts_of_class, rest)
    machine.own_classes.add(made)
    return made


def _make_natively(meta: Any) -> Callable[[Any, Kwargs], Any]:
    return lambda parts, rest: natively(meta, *parts, **rest)


def _check_hooks(machine: Machine, bases: tuple[type, ...], space: Mapping[str, Any]) -> None:
    """Refuse code of the user's that Python itself would run while it makes the class."""
    for base in bases:
        hook = peek(base, "__init_subclass__")
        hook = getattr(hook, "__func__", hook)
        is_user_hook = isinstance(hook, types.FunctionType) and not is_native_function(hook)
        if is_user_hook and base not in machine.own_classes:
            raise machine.unsupported(
                f"a subclass of {base.__qualname__} that is made in the program",
                why="its __init_subclass__ is Python code that Python itself would run",
                remedy="define the class outside the compiled function",
            )
    for value in list(space.values()):
        kind = type(value)
        is_trusted = kind.__module__.partition(".")[0] in sys.stdlib_module_names
        is_own = kind in machine.own_classes or is_fixed_class(kind) or is_trusted
        if not is_own and machine.special(value, "__set_name__") is not None:
            raise machine.unsupported(
                f"a class with a descriptor of type {type(value).__qualname__} that is made in the program",
                why="its __set_name__ is Python code that Python itself would run",
                remedy="define the class outside the compiled function",
            )


def named_tuple(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`collections.namedtuple(name, fields)`."""
    plain = [machine.materialise(value) for value in args]
    maker: Any = collections.namedtuple
    made = natively(maker, *plain, **{"module": machine.module_name(), **kwargs})
    machine.own_classes.add(made)
    return made


def process_dataclass(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """What `@dataclass` does to a class of the program's own."""
    if args[0] not in machine.own_classes:
        raise machine.unsupported(
            f"@dataclass on {args[0].__qualname__}, a class from outside the program",
            why="it changes the class",
            remedy="decorate the class where it is defined",
        )
    made = natively(dataclasses._process_class, *args, **kwargs)  # type: ignore[attr-defined]  # noqa: SLF001
    machine.own_classes.add(made)
    return made


RULES: Final[dict[Any, Rule]] = {
    builtins.__build_class__: build_class,
    collections.namedtuple: named_tuple,
    dataclasses._process_class: process_dataclass,  # type: ignore[attr-defined]  # noqa: SLF001
}
