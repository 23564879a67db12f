"""A module of kernels, as text.

In: kernels.   Out: LLVM IR text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphwright.codegen.llvm.builder import Declarations
from graphwright.codegen.llvm.functions import KernelEmitter
from graphwright.codegen.llvm.target import Target
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
