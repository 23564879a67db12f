"""Run a lowered graph with its kernels compiled, and the plan followed by the plan interpreter."""

from __future__ import annotations

import ctypes

from plan_interpreter import PlanRun

from graphwright.codegen.llvm import compile_kernels, load_object

_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class CompiledKernels:
    """Machine code of the kernels of a lowered graph."""

    def __init__(self, lowered, num_threads=2):
        self.code = load_object(compile_kernels(lowered.kernels, num_threads=num_threads))
        self.functions = {
            kernel.name: _SIGNATURE(self.code.address(kernel.name)) for kernel in lowered.kernels
        }

    def __call__(self, kernel, tensors):
        pointers = (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors])
        self.functions[kernel.name](ctypes.cast(pointers, ctypes.c_void_p), None)


def run_compiled(lowered, inputs):
    """Run a lowered graph on inputs."""
    return PlanRun(lowered, inputs, CompiledKernels(lowered)).run()
