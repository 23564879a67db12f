"""A module of kernels: text in, machine code out.

In: kernels.   Out: LLVM IR text; optimised; object code, or assembly for people and tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import llvmlite.binding as llvm

from graphwright.codegen.llvm.builder import Declarations
from graphwright.codegen.llvm.functions import KernelEmitter
from graphwright.codegen.llvm.target import Target, initialize_llvm
from graphwright.codegen.llvm.unlocked import emit_to_memory, run_function_passes
from graphwright.ir.loops import Kernel

_METADATA: Final = '!0 = !{!"branch_weights", i32 1, i32 100000}\n!1 = !{i32 1}'


def render_module(kernels: Sequence[Kernel], target: Target, *, num_threads: int) -> str:
    """Give the LLVM IR of a module; each kernel's symbol is its name."""
    declarations = Declarations()
    functions = [
        KernelEmitter(kernel, target, declarations, num_threads).render() for kernel in kernels
    ]
    attributes = (
        f'attributes #0 = {{ nounwind "target-cpu"="{target.cpu}" "target-features"="{target.features}" '
        f'"prefer-vector-width"="{target.vector_bits}" "no-trapping-math"="true" }}'
    )
    return "\n".join(
        [
            f'target triple = "{target.triple}"',
            *functions,
            declarations.render(),
            attributes,
            _METADATA,
            "",
        ]
    )


def make_target_machine(target: Target) -> llvm.TargetMachine:
    """Make LLVM's code generator for a processor."""
    initialize_llvm()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="default", jit=True
    )


@contextmanager
def optimised(text: str, machine: llvm.TargetMachine) -> Iterator[llvm.ModuleRef]:
    """Give the module of an IR text, in a context of its own, with scratch in registers and its instructions combined.

    The text is already in the form that machine code is made from: vectors, loops in order, nothing to inline. The whole
    pipeline of LLVM (`-O2`) was measured to double the compile time of each kernel in `benchmarks/kernels.py`, and to make
    none of them faster. Scratch that is used at known places only (what a scan carries along a line) goes to registers: through
    memory, each element waits for the store of the one before.
    """
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context)
    module.data_layout = str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    run_function_passes(passes, module, builder)
    yield module


def emit_object(text: str, machine: llvm.TargetMachine) -> bytes:
    """Compile an IR text to object code."""
    with optimised(text, machine) as module:
        return emit_to_memory(machine, module)


def emit_assembly(text: str, machine: llvm.TargetMachine) -> str:
    """Compile an IR text to assembly, to be read."""
    with optimised(text, machine) as module:
        return emit_to_memory(machine, module, is_assembly=True).decode()
