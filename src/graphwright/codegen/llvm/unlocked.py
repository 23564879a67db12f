"""The long calls of LLVM without llvmlite's lock, so that modules are compiled side by side.

In: a module in a context of its own, and a target machine of its own.   Out: the optimised module; machine code.

llvmlite holds one lock around every call of its library, although LLVM asks only that a context be used by one thread at a time.
These calls go to the same functions of the same library, past the lock; ctypes lets go of the interpreter's lock meanwhile.
Does not: touch anything that is shared between contexts. Everything short stays with llvmlite and its lock.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi


def _function(name: str) -> Any:
    """Give a function of llvmlite's library, with the types that llvmlite declared for it."""
    getattr(ffi.lib, name)
    return getattr(ffi.lib._lib, name)  # noqa: SLF001  (llvmlite has no public way past its lock)


def run_function_passes(
    passes: llvm.FunctionPassManager, module: llvm.ModuleRef, builder: llvm.PassBuilder
) -> None:
    """Run passes over each function that the module defines."""
    run = _function("LLVMPY_RunNewFunctionPassManager")
    for function in module.functions:
        if not function.is_declaration:
            run(passes, function, builder)


def emit_to_memory(
    machine: llvm.TargetMachine, module: llvm.ModuleRef, *, is_assembly: bool = False
) -> bytes:
    """Give the module's machine code, as an object file or as assembly.

    Raises:
        RuntimeError: LLVM cannot emit it.
    """
    with ffi.OutputString() as error:
        emit = _function("LLVMPY_TargetMachineEmitToMemory")
        buffer = emit(machine, module, 0 if is_assembly else 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        start = ffi.lib.LLVMPY_GetBufferStart(buffer)
        return ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
