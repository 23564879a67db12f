"""What a code object does, and what a class is derived from, as a hash.

In: a code object or a class.   Out: a text that is equal for equal code, bases or members, in every process of one Python version.
Keeps: where the code stands (file, lines) plays no part; nested code does; order of sets and addresses play none.
"""

from __future__ import annotations

import enum
import hashlib
import types
from collections.abc import Mapping
from typing import Final

_OPEN: Final = b"("
_CLOSE: Final = b")"


def code_digest(code: types.CodeType) -> str:
    """Hash what `code` does: its instructions without inline caches, constants, names, flags and exception table."""
    state = hashlib.blake2b(digest_size=16)
    _feed_code(state, code)
    return state.hexdigest()


def class_digest(cls: type) -> str:
    """Hash what a class is derived from, along the method resolution order, and its metaclass.

    What is in them plays no part, as a program is guarded by what it reads of it, but for enumerations: their members are constants, and
    with them all that they hold and what their methods do.
    """
    read = type.__getattribute__
    state = hashlib.blake2b(digest_size=16)
    for base in (*read(cls, "__mro__")[1:], type(cls)):
        _feed(state, (str(read(base, "__module__")), str(read(base, "__qualname__"))))
    if isinstance(cls, enum.EnumMeta):
        _feed_enumeration(state, cls)
    return state.hexdigest()


def _feed_enumeration(state: hashlib.blake2b, cls: enum.EnumMeta) -> None:
    members: Mapping[str, enum.Enum] = cls.__members__
    for name, member in members.items():
        held = sorted((key, value) for key, value in vars(member).items() if key != "__objclass__")
        _feed(state, (name, *held))
    for name, value in vars(cls).items():
        function = getattr(value, "fget", getattr(value, "__func__", value))
        if isinstance(function, types.FunctionType):
            _feed(state, (name, function.__code__))


def _feed_code(state: hashlib.blake2b, code: types.CodeType) -> None:
    parts: tuple[object, ...] = (
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_flags,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_exceptiontable,
        code.co_qualname,
    )
    state.update(b"code" + _OPEN)
    for part in parts:
        _feed(state, part)
    state.update(_CLOSE)


def _feed(state: hashlib.blake2b, value: object) -> None:
    match value:
        case types.CodeType():
            _feed_code(state, value)
        case tuple():
            state.update(b"tuple%d" % len(value) + _OPEN)
            for item in value:
                _feed(state, item)
            state.update(_CLOSE)
        case frozenset():
            _feed(state, ("frozenset", *sorted(map(_digest, value))))
        case bytes():
            state.update(b"bytes%d" % len(value) + _OPEN + value + _CLOSE)
        case float() | complex():
            _feed(state, (type(value).__name__, repr(value)))
        case _:
            text = f"{type(value).__name__}:{value!r}".encode("utf-8", "surrogatepass")
            state.update(b"%d" % len(text) + _OPEN + text + _CLOSE)


def _digest(value: object) -> str:
    state = hashlib.blake2b(digest_size=16)
    _feed(state, value)
    return state.hexdigest()
