"""Machine code for the CPU, through LLVM.

In: scheduled kernels of the loop IR.   Out: object code as data (`ObjectCode`), and loaded code with addresses.
Read first: `functions.py` (what a kernel becomes), `statements.py` (how loops become vectors).
"""

from graphwright.codegen.llvm.objects import LoadedCode, ObjectCode, compile_kernels, load_object
from graphwright.codegen.llvm.target import Target, host_target

__all__ = ["LoadedCode", "ObjectCode", "Target", "compile_kernels", "host_target", "load_object"]
