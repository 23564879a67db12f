"""Compiled code as data, and loaded into the process.

In: `ObjectCode` (bytes that can be kept on disk).   Out: `LoadedCode` (addresses).
Keeps: object code names its externs (`gw_parallel_for`, `expf`) by symbol, so that it is valid in every process on the same
processor. `LoadedCode` owns the memory: addresses are valid for as long as it lives.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import itertools
import os
import threading
from collections.abc import Callable
from typing import final

import llvmlite.binding as llvm
import msgspec
import torch

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.c_functions import EXTERN_NAMES, EXTERN_PREFIX, LLVM_NAMES
from graphwright.codegen.llvm.machine_code import emit_object, make_target_machine
from graphwright.codegen.llvm.parallel import (
    ALONE_TEXT,
    PARALLEL_FOR,
    PARALLEL_TEXT,
    RUNTIME_FUNCTIONS,
)
from graphwright.codegen.llvm.target import Target, host_target, initialize_llvm


class ObjectCode(msgspec.Struct, frozen=True):
    """Machine code of some kernels."""

    objects: tuple[bytes, ...]
    """Relocatable object files."""
    symbols: tuple[str, ...]
    """The kernels' names, which are their symbols."""
    target: Target
    """The processor it was made for."""


class LoadedCode:
    """Machine code in this process, ready to be called; freed when the object goes."""

    def __init__(self, tracker: llvm.ResourceTracker, symbols: tuple[str, ...]) -> None:
        self._tracker = tracker
        self.symbols = symbols

    def address(self, symbol: str) -> int:
        """Give the address of a kernel's function.

        Raises:
            KeyError: No kernel of this name is in the code.
        """
        address: int = self._tracker[symbol]
        return address


Find = Callable[[str], bytes | None]
Keep = Callable[[str, bytes], None]


@final
class _Holder:
    """Holds the process's linker: one, however many threads ask for it first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._linker: _Linker | None = None

    def linker(self, find: Find, keep: Keep) -> _Linker:
        with self._lock:
            if self._linker is None:
                self._linker = _Linker(find, keep)
            return self._linker


@functools.cache
def _holder() -> _Holder:
    return _Holder()


def prepare_linker(find: Find = lambda _: None, keep: Keep = lambda _key, _data: None) -> _Linker:
    """Give what links object code into this process; it is made by the first call.

    Args:
        find: gives stored object code for a key, or None.
        keep: stores object code that was made.
    """
    return _holder().linker(find, keep)


@final
class _Linker:
    """Links object code into the process, with all that it may call; what is linked goes with its tracker."""

    def __init__(self, find: Find, keep: Keep) -> None:
        initialize_llvm()
        # JITLink lays the sections of an object side by side. LLVM's other linker maps each wherever there is room, and aborts the
        # process when two of them come to lie more than 2 GiB apart, as between the libraries of a torch with CUDA.
        self._engine = llvm.create_lljit_compiler(use_jit_link=True)
        self._numbers = itertools.count()
        openmp = _find_openmp()
        self._externs = openmp or {}
        key = "parallel loops" if openmp else "loops on one thread"
        code = find(key)
        if code is None:
            code = _compile_runtime(PARALLEL_TEXT if openmp else ALONE_TEXT)
            keep(key, code)
        self._parallel = self.link((code,), (PARALLEL_FOR,))
        self._externs = {PARALLEL_FOR: self._parallel[PARALLEL_FOR], **_c_functions()}

    def link(self, objects: tuple[bytes, ...], symbols: tuple[str, ...]) -> llvm.ResourceTracker:
        """Link object files; the tracker knows the addresses of `symbols`."""
        builder = llvm.JITLibraryBuilder()
        for data in objects:
            builder.add_object_img(data)
        for name, address in self._externs.items():
            builder.import_symbol(name, address)
        for symbol in symbols:
            builder.export_symbol(symbol)
        return builder.link(self._engine, f"kernels{next(self._numbers)}")


def _compile_runtime(text: str) -> bytes:
    target = host_target()
    return emit_object(f'target triple = "{target.triple}"\n{text}', make_target_machine(target))


def _c_functions() -> dict[str, int]:
    """Find the addresses of the C functions that generated code may call.

    Under their own names stand those that LLVM itself calls where a processor lacks an instruction.
    """
    try:
        libm = ctypes.CDLL("libm.so.6")
    except OSError:
        libm = ctypes.CDLL(None)
    named = {EXTERN_PREFIX + name: _address(libm, name) for name in EXTERN_NAMES}
    return named | {name: _address(libm, name) for name in LLVM_NAMES}


def _find_openmp() -> dict[str, int] | None:
    """Find the functions of the OpenMP runtime that torch itself uses, so that its threads are shared; None if there is none."""
    folder = os.path.join(os.path.dirname(torch.__file__), "lib")
    found = sorted(glob.glob(os.path.join(folder, "libgomp*.so*")))
    library = ctypes.CDLL(found[0]) if found else ctypes.CDLL(None)
    try:
        return {name: _address(library, function) for name, function in RUNTIME_FUNCTIONS.items()}
    except AttributeError:
        return None


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    if address is None:
        msg = f"no address for {name}"
        raise InternalError(msg)
    return address


def load_object(code: ObjectCode) -> LoadedCode:
    """Load object code into this process.

    Args:
        code: made for this host's processor.

    Returns:
        The loaded code.

    Raises:
        InternalError: The code was made for another processor.
    """
    if code.target != host_target():
        msg = f"code for {code.target.cpu} cannot run on {host_target().cpu}"
        raise InternalError(msg)
    return LoadedCode(prepare_linker().link(code.objects, code.symbols), code.symbols)
