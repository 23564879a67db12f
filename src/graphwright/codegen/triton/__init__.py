"""Triton: kernels of the loop IR as Triton source, and compiled for CUDA without a GPU.

In: loop IR `Kernel`.   Out: `TritonCode` (source and launches, as data) and `CompiledLaunch` (device images).
Read first: `render.py` (what becomes what), `stages.py` (how loops are spread over a grid).
"""

from graphwright.codegen.triton.code import GlobalScratch, Launch, Pointer, TritonCode
from graphwright.codegen.triton.compile import (
    HOPPER,
    CompiledLaunch,
    GpuTarget,
    compile_code,
    is_triton_installed,
    load_source,
)
from graphwright.codegen.triton.elements import NotExpressible
from graphwright.codegen.triton.render import render_kernel

__all__ = [
    "HOPPER",
    "CompiledLaunch",
    "GlobalScratch",
    "GpuTarget",
    "Launch",
    "NotExpressible",
    "Pointer",
    "TritonCode",
    "compile_code",
    "is_triton_installed",
    "load_source",
    "render_kernel",
]
