"""Machine code for the CPU, through LLVM.

In: scheduled kernels of the loop IR.   Out: object code as data (`ObjectCode`), and loaded code with addresses.
Read first: `functions.py` (what a kernel becomes), `statements.py` (how loops become vectors).
"""

from typing import TYPE_CHECKING

from graphwright.base.loading import load_when_asked
from graphwright.codegen.llvm.objects import LoadedCode, ObjectCode, load_object, prepare_linker
from graphwright.codegen.llvm.target import Target, host_target

if TYPE_CHECKING:
    from graphwright.codegen.llvm.compiling import compile_kernels
else:
    __getattr__ = load_when_asked(
        __name__, {"graphwright.codegen.llvm.compiling": ("compile_kernels",)}
    )

__all__ = [
    "LoadedCode",
    "ObjectCode",
    "Target",
    "compile_kernels",
    "host_target",
    "load_object",
    "prepare_linker",
]
