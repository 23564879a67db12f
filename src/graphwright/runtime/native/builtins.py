"""Builtin functions made at run time.

In: the address of machine code, a record.   Out: a function that CPython calls without packing its arguments.
Keeps: the function holds the record, the record holds the function's definition.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from graphwright.runtime.native.records import DispatcherRecord

_METH_FASTCALL: Final = 0x0080
_METH_KEYWORDS: Final = 0x0002


class MethodDef(ctypes.Structure):
    """CPython's definition of a builtin function; who changes `function` changes what a call does."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Record(ctypes.Structure):
    """A dispatcher's record, as the object that the builtin function holds."""

    _fields_ = tuple(
        (field.name.lower(), ctypes.c_int64) for field in DispatcherRecord if field.name != "SIZE"
    )

    def __init__(self) -> None:
        super().__init__()
        self.keeps: list[Any] = []


BuiltinCall = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p
)
"""The C type of a builtin function: record, arguments, number of positional ones, keyword names."""


def make_builtin(address: int, record: Record) -> tuple[Callable[..., Any], MethodDef]:
    """Make a builtin function `PyObject *(record, args, nargs, names)`; gives it with its definition."""
    flags = _METH_FASTCALL | _METH_KEYWORDS
    definition = MethodDef(b"compiled", address, flags, b"A compiled program.")
    record.keeps.append(definition)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )
    return make(ctypes.addressof(definition), record, None), definition


def unpack_call(
    args: int | None, nargs: int, names: int | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give the arguments of a builtin function's call as Python objects."""
    keywords: tuple[str, ...] = ()
    if names:
        keywords = ctypes.cast(names, ctypes.py_object).value
    count = nargs + len(keywords)
    objects: tuple[Any, ...] = ()
    if args and count:
        objects = tuple((ctypes.py_object * count).from_address(args))
    return objects[:nargs], dict(zip(keywords, objects[nargs:], strict=True))
