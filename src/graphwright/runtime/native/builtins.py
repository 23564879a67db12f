"""Builtin functions made at run time.

In: the address of machine code, a record.   Out: a function that CPython calls without packing its arguments.
Keeps: the function holds the record. Definitions are never freed: CPython reads a function's definition when it frees the function,
and where a function is freed in a cycle of garbage, whatever the cycle held may be gone before it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any, Final

from graphwright.runtime.native.records import DispatcherRecord

_METH_FASTCALL: Final = 0x0080
_METH_KEYWORDS: Final = 0x0002


class MethodDef(ctypes.Structure):
    """CPython's definition of a builtin function."""

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


@functools.cache
def _definition(address: int) -> MethodDef:
    flags = _METH_FASTCALL | _METH_KEYWORDS
    return MethodDef(b"compiled", address, flags, b"A compiled program.")


def make_builtin(address: int, record: Record) -> Callable[..., Any]:
    """Make a builtin function of machine code `PyObject *(record, args, nargs, names)`."""
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )
    made: Callable[..., Any] = make(ctypes.addressof(_definition(address)), record, None)
    return made
