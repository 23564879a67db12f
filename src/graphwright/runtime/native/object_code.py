"""Native functions as object code.

In: nothing.   Out: `ModuleCode`, which is data; LLVM, made ready for the host.
"""

from __future__ import annotations

import functools

import llvmlite.binding as llvm
import msgspec


class ModuleCode(msgspec.Struct, frozen=True):
    """The object code of some native functions."""

    object_code: bytes
    table: str
    """The name of the words that the addresses of `externals` go to."""
    exports: tuple[str, ...]
    externals: tuple[str, ...]
    """What the functions use of the process."""


@functools.cache
def initialize_llvm() -> None:
    """Make LLVM know the host's instruction set; doing so again does nothing."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
