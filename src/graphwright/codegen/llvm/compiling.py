"""Kernels to object code.

In: kernels.   Out: `ObjectCode`.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.machine_code import emit_object, make_target_machine
from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.objects import ObjectCode
from graphwright.codegen.llvm.target import host_target
from graphwright.ir.loops import Kernel
from graphwright.ir.loops_hash import hash_kernel
from graphwright.ir.loops_verify import verify_kernel


def compile_kernels(
    kernels: Sequence[Kernel], *, num_threads: int, verify: bool = False
) -> ObjectCode:
    """Compile kernels for the host.

    May be called on several threads at a time: the long parts run without the interpreter's lock.

    Args:
        kernels: named by what they do; of equal names, which must stand for equal kernels, one is compiled.
        num_threads: 1 leaves the parallel dispatch out; any other number leaves the choice to the run time.
        verify: check the kernels first.

    Returns:
        The object code; it holds no address of this process.

    Raises:
        InternalError: A kernel is malformed, or holds what this back end has no code for.
    """
    target = host_target()
    by_name: dict[str, Kernel] = {}
    for kernel in kernels:
        if verify:
            verify_kernel(kernel)
        first = by_name.setdefault(kernel.name, kernel)
        if first is not kernel and hash_kernel(first) != hash_kernel(kernel):
            msg = f"two kernels have the name {kernel.name}"
            raise InternalError(msg)
    text = render_module(list(by_name.values()), target, num_threads=num_threads)
    code = emit_object(text, make_target_machine(target))
    return ObjectCode((code,), tuple(by_name), target)
