"""Load Triton source and compile it; the only module that imports Triton, which is optional.

In: `TritonCode` and the GPU to compile for, which need not be there.   Out: `CompiledLaunch`es: device images as data.
Keeps: no C compiler is used, and no driver is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import types
from typing import Any, Final

import msgspec

from graphwright.codegen.triton.code import Launch, TritonCode
from graphwright.codegen.triton.elements import pointer_type


class GpuTarget(msgspec.Struct, frozen=True):
    """A kind of NVIDIA GPU."""

    compute_capability: int
    """Ten times the version: 90 is 9.0."""
    warp_size: int = 32


class CompiledLaunch(msgspec.Struct, frozen=True):
    """One launch, ready to load."""

    launch: Launch
    symbol: str
    """Name of the function in the image."""
    image: bytes
    """A cubin."""
    shared_bytes: int
    """Shared memory of a program."""
    scratch_bytes: int
    """Global memory of a program that Triton itself asks for; its pointer is the last argument but one."""


HOPPER: Final = GpuTarget(90)


def is_triton_installed() -> bool:
    """Tell whether Triton can be imported, without importing it."""
    return importlib.util.find_spec("triton") is not None


def load_source(code: TritonCode, name: str) -> types.ModuleType:
    """Run the source as a module, which is not entered into `sys.modules`.

    Triton reads the text of its functions back from their file; there is none, so the text is kept in `linecache`.
    """
    path = f"<graphwright {name}>"
    linecache.cache[path] = (len(code.text), None, code.text.splitlines(keepends=True), path)
    module = types.ModuleType(name)
    module.__file__ = path
    exec(compile(code.text, path, "exec"), module.__dict__)  # the text is ours
    return module


def compile_code(
    code: TritonCode, name: str, target: GpuTarget = HOPPER
) -> tuple[CompiledLaunch, ...]:
    """Compile each launch of `code` for `target`."""
    module = load_source(code, name)
    signature = {pointer.name: pointer_type(pointer.dtype) for pointer in code.pointers}
    signature |= {scratch.name: pointer_type(scratch.dtype) for scratch in code.scratch}
    signature |= {f"size_{number}": "i64" for number in range(len(code.sizes))}
    return tuple(
        _compile_launch(getattr(module, launch.function), launch, code, signature, target)
        for launch in code.launches
    )


def _compile_launch(
    function: Any,
    launch: Launch,
    code: TritonCode,
    signature: dict[str, str],
    target: GpuTarget,
) -> CompiledLaunch:
    triton = _load_triton()
    compiler = importlib.import_module("triton.compiler")
    backends = importlib.import_module("triton.backends.compiler")
    source = compiler.ASTSource(fn=function, signature=signature, constexprs={}, attrs={})
    gpu = backends.GPUTarget("cuda", target.compute_capability, target.warp_size)
    options = {"num_warps": launch.num_warps, "enable_fp_fusion": code.can_contract}
    compiled = triton.compile(source, target=gpu, options=options)
    metadata = compiled.metadata
    return CompiledLaunch(
        launch=launch,
        symbol=metadata.name,
        image=compiled.asm["cubin"],
        shared_bytes=metadata.shared,
        scratch_bytes=getattr(metadata, "global_scratch_size", 0),
    )


def _load_triton() -> types.ModuleType:
    return importlib.import_module("triton")
