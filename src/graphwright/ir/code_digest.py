"""What a code object does, and what a class is derived from, as a hash.

In: a code object or a class.   Out: a text that is equal for equal code or bases, in every process of one Python version.
Keeps: where the code stands (file, lines) plays no part; nested code does; order of sets and addresses play none.
"""

from __future__ import annotations

import hashlib
import types
from typing import Final

_OPEN: Final = b"("
_CLOSE: Final = b")"


def code_digest(code: types.CodeType) -> str:
    """Hash what `code` does: its instructions without inline caches, constants, names, flags and exception table."""
    state = hashlib.blake2b(digest_size=16)
    _feed_code(state, code)
    return state.hexdigest()


def bases_digest(cls: type) -> str:
    """Hash what a class is derived from, along the method resolution order, and its metaclass; what is in them plays no part."""
    read = type.__getattribute__
    state = hashlib.blake2b(digest_size=16)
    for base in (*read(cls, "__mro__")[1:], type(cls)):
        _feed(state, (str(read(base, "__module__")), str(read(base, "__qualname__"))))
    return state.hexdigest()


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
