"""The native functions of the runtime, written for a layout and compiled.

In: a `Layout`.   Out: object code, as `ModuleCode`.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import llvmlite.binding as llvm

from graphwright.runtime.native.call_functions import write_call_functions
from graphwright.runtime.native.check_functions import write_check_functions
from graphwright.runtime.native.dict_watching import write_watching
from graphwright.runtime.native.emitter import Module
from graphwright.runtime.native.hot_functions import write_hot_functions, write_needs_grad
from graphwright.runtime.native.layout import Layout
from graphwright.runtime.native.object_code import ModuleCode, initialize_llvm
from graphwright.runtime.native.run_functions import write_run_functions
from graphwright.runtime.native.source_functions import write_source_functions

_OPTIMISATION: Final = (2, 0)
"""LLVM's level for the code of each module. What a first call waits for is mostly this; the hot functions are few."""


def compile_modules(layout: Layout) -> tuple[ModuleCode, ...]:
    """Compile the native functions for a layout; LLVM works on several modules at once."""
    modules = _write_modules(layout)

    def compile_one(module: Module, opt: int) -> ModuleCode:
        data = compile_text(module.render(), make_machine(opt))
        return ModuleCode(data, module.table, tuple(module.exports), tuple(module.externals))

    with ThreadPoolExecutor(max_workers=len(modules)) as pool:
        return tuple(pool.map(compile_one, modules, _OPTIMISATION))


def _write_modules(layout: Layout) -> tuple[Module, Module]:
    """Write the modules for a layout: what is worth optimising, and the rest."""
    hot, rest = Module("hot"), Module("rest")
    write_hot_functions(hot, layout)
    write_needs_grad(rest, layout)
    write_source_functions(rest, layout)
    write_check_functions(rest, layout)
    write_call_functions(rest, layout)
    write_run_functions(rest, layout)
    write_watching(rest)
    return hot, rest


@functools.cache
def make_machine(opt: int = 0) -> llvm.TargetMachine:
    """Make LLVM's code generator for this processor; without optimisation it is ten times as quick."""
    initialize_llvm()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=opt,
        reloc="pic",
        codemodel="default",
        jit=True,
    )


def compile_text(text: str, machine: llvm.TargetMachine) -> bytes:
    """Compile IR text to object code."""
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.run(module, llvm.create_pass_builder(machine, options))
    data: bytes = machine.emit_object(module)
    return data
