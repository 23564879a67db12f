"""LLVM IR text to machine code.

In: the text of a module.   Out: it, optimised; object code, or assembly for people and tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import llvmlite.binding as llvm

from graphwright.codegen.llvm.single_lanes import may_store_single_lanes, write_out_single_lanes
from graphwright.codegen.llvm.target import Target, initialize_llvm
from graphwright.codegen.llvm.unlocked import emit_to_memory, run_function_passes


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
    if may_store_single_lanes(text):
        written = write_out_single_lanes(str(module))
        if written is not None:
            module = llvm.parse_assembly(written, context)
    yield module


def emit_object(text: str, machine: llvm.TargetMachine) -> bytes:
    """Compile an IR text to object code."""
    with optimised(text, machine) as module:
        return emit_to_memory(machine, module)


def emit_assembly(text: str, machine: llvm.TargetMachine) -> str:
    """Compile an IR text to assembly, to be read."""
    with optimised(text, machine) as module:
        return emit_to_memory(machine, module, is_assembly=True).decode()
