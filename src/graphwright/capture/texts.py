"""The text of any object.

In: an object as the interpreter holds it, and how its text is asked for.   Out: the text. User-written special methods are
interpreted; everything else is done by CPython itself.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any, Final

import torch

from graphwright.capture import symbolic_ints
from graphwright.capture.faults import natively
from graphwright.capture.items import special
from graphwright.capture.late_texts import join, late_text
from graphwright.capture.lookup import peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.natives import original_function
from graphwright.capture.operators import stand_in
from graphwright.capture.process_bound import in_order, keep_in_process, note_text
from graphwright.record import REFUSED

_TEXT_METHODS: Final[dict[Any, tuple[str, ...]]] = {
    str: ("__str__", "__repr__"),
    repr: ("__repr__",),
    ascii: ("__repr__",),
    format: ("__format__", "__str__", "__repr__"),
}
"""The methods that each function asks, in this order, going on where a class has no more than `object` has."""


def text(machine: Machine, function: Callable[..., str], args: Sequence[Any]) -> Any:
    """Give `function(*args)` for `str`, `repr`, `ascii` or `format`: a string, or a late result."""
    value, *rest = args
    late = late_text(machine, function, value, rest)
    if late is not None:
        return late
    for name in _TEXT_METHODS[function]:
        hook = special(machine, value, name)
        if hook is not None:
            return _hooked_text(machine, function, (name, hook), args)
        if peek(type(value), name) is not object.__dict__.get(name, ABSENT):
            break
    if isinstance(value, torch.Tensor):
        if function is format and _is_formatted_as_number(machine, value):
            return text(machine, format, [machine.call(value.item, [], {}), *rest])
        msg = "the text of a tensor"
        raise machine.unsupported(
            msg,
            why="its values are not known while the program is captured",
            remedy="format tensors outside the compiled function",
        )
    if type(value) in _OWN_TEXTS and function is not ascii and not any(rest):
        return _OWN_TEXTS[type(value)](machine, value)
    return _native_text(machine, function, value, rest)


def _native_text(
    machine: Machine, function: Callable[..., str], value: Any, rest: Sequence[Any]
) -> str:
    """Give the text that CPython makes.

    Raises:
        Unsupported: a tensor is in it.
    """
    if machine.has_symbols:
        value = symbolic_ints.plain_throughout(value)
    shown = machine.materialise(value)
    if machine.has_symbols:  # what containers of the caller's hold is known only now
        shown = symbolic_ints.plain_throughout(shown)
    in_order(machine, value)
    refused = REFUSED.count
    made = natively(function, shown, *rest)
    error = REFUSED.since(refused)
    if error is not None:  # a tensor is in it
        raise error
    note_text(machine, made)
    return made


def _is_formatted_as_number(machine: Machine, tensor: torch.Tensor) -> bool:
    """Tell whether PyTorch formats a tensor as the number in it."""
    is_tensor_alone = machine.call(type, [tensor], {}) is torch.Tensor
    return is_tensor_alone and tensor.dim() == 0 and not tensor.is_meta


def _hooked_text(
    machine: Machine, function: Any, method: tuple[str, Any], args: Sequence[Any]
) -> str:
    """Give the text that a method in Python makes, with what the function adds to it."""
    (name, hook), (value, *rest) = method, args
    if name == "__format__":
        made = machine.call(hook, [value, *rest], {})
        if not isinstance(made, str):
            msg = f"__format__ must return a str, not {type(made).__name__}"
            raise TypeError(msg)
        return made
    if any(rest):
        msg = f"unsupported format string passed to {type(value).__name__}.__format__"
        raise TypeError(msg)
    made = machine.call(hook, [value], {})
    if not isinstance(made, str):
        asked = "__repr__" if function in (repr, ascii) else "__str__"
        msg = f"{asked} returned non-string (type {type(made).__name__})"
        raise TypeError(msg)
    return made.encode("ascii", "backslashreplace").decode() if function is ascii else made


def _container_text(machine: Machine, value: Any) -> Any:
    """Give the `repr` of a list, tuple or dict, with that of its parts interpreted."""
    brackets = repr(type(value)())
    left, right = brackets[0], brackets[1]
    if id(value) in machine.rendering:
        return f"{left}...{right}"
    machine.rendering.add(id(value))
    try:
        contents = machine.world.contents(value)
        if isinstance(contents, dict):
            pairs = [
                join(machine, ": ", [_part(machine, k), _part(machine, v)])
                for k, v in contents.items()
            ]
            return join(machine, "", [left, join(machine, ", ", pairs), right])
        parts = join(machine, ", ", [_part(machine, item) for item in contents])
        comma = "," if type(value) is tuple and len(contents) == 1 else ""
        return join(machine, "", [left, parts, comma, right])
    finally:
        machine.rendering.discard(id(value))


def _function_text(machine: Machine, function: types.FunctionType) -> str:
    """Give the `repr` of a function; native code would be shown a callback in its place."""
    machine.load_attr(function, "__qualname__")
    keep_in_process(machine)  # which address it shows
    return natively(repr, original_function(function))


def _method_text(machine: Machine, method: types.MethodType) -> Any:
    """Give the `repr` of a method, with that of the object it is bound to interpreted."""
    function = method.__func__
    named = next((name for name in ("__qualname__", "__name__") if hasattr(function, name)), None)
    shown = "?" if named is None else machine.load_attr(function, named)
    return join(machine, "", [f"<bound method {shown} of ", _part(machine, method.__self__), ">"])


def _part(machine: Machine, value: Any) -> Any:
    return text(machine, repr, [value])


def show(machine: Machine, value: Any) -> Any:
    """Give the right side of a `%` of strings, with objects whose text is Python code replaced by ones that have the text."""
    if isinstance(value, tuple):
        return tuple(_show_one(machine, item) for item in value)
    if isinstance(value, dict):
        contents = machine.world.contents(value)
        return {key: _show_one(machine, item) for key, item in contents.items()}
    return _show_one(machine, value)


def _show_one(machine: Machine, value: Any) -> Any:
    if type(value) in machine.plain_types:
        return value
    has_hook = any(special(machine, value, name) for name in ("__str__", "__repr__"))
    if isinstance(value, Number) and not has_hook:
        return machine.materialise(value)
    methods = {
        "__str__": lambda self: text(machine, str, [value]),
        "__repr__": lambda self: text(machine, repr, [value]),
    }
    for name, function in _NUMBERS.items():
        if peek(type(value), name) is not ABSENT:
            methods[name] = functools.partial(_as_number, machine, function, value)
    return stand_in(machine, value, methods)


def _as_number(machine: Machine, function: Callable[..., Any], value: Any) -> Any:
    return symbolic_ints.plain(machine.call(function, [value], {}))


_NUMBERS: Final[dict[str, Callable[..., Any]]] = {
    "__float__": float,
    "__int__": int,
    "__index__": operator.index,
}
"""What `%f`, `%d` and `%x` ask an object for."""


_OWN_TEXTS: Final[dict[Any, Callable[[Machine, Any], Any]]] = {
    **dict.fromkeys((list, tuple, dict), _container_text),
    types.FunctionType: _function_text,
    types.MethodType: _method_text,
}
"""Types whose text is made here: it is made of their parts', or native code would not be shown the object itself."""
