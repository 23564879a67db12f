"""Short ways to write loop kernels in tests, and to run them compiled."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import torch

from graphwright.codegen.llvm import LoadedCode, compile_kernels, load_object
from graphwright.ir.dtypes import FROM_TORCH, DType
from graphwright.ir.loops import (
    Access,
    Compute,
    Index,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Param,
    Scratch,
    Stmt,
    Store,
    Term,
)
from graphwright.ir.ops import ScalarOp
from graphwright.ir.symint import Dim


def at(*terms: str | tuple[str, Dim], const: Dim = 0) -> Index:
    """Give the index `const + Σ name * coeff`; a bare name has coefficient 1."""
    return Index(
        tuple(Term(term, 1) if isinstance(term, str) else Term(*term) for term in terms), const
    )


def reads(name: str, dtype: DType = DType.FLOAT32) -> Param:
    """Give a param that is read."""
    return Param(name, dtype, Access.READ)


def writes(name: str, dtype: DType = DType.FLOAT32) -> Param:
    """Give a param that is written."""
    return Param(name, dtype, Access.WRITE)


def kernel(
    name: str,
    params: Sequence[Param],
    *body: Stmt,
    scratch: Sequence[Scratch] = (),
    symbols: Sequence[str] = (),
) -> Kernel:
    """Give a kernel."""
    return Kernel(name, tuple(params), tuple(scratch), tuple(symbols), tuple(body))


def load(*kernels: Kernel, num_threads: int = 2) -> LoadedCode:
    """Compile and load kernels."""
    return load_object(compile_kernels(kernels, num_threads=num_threads))


def call(
    code: LoadedCode, name: str, buffers: Sequence[torch.Tensor], symbols: Sequence[int] = ()
) -> None:
    """Call a loaded kernel on tensors."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address(name))
    params = (ctypes.c_void_p * max(1, len(buffers)))(*[buffer.data_ptr() for buffer in buffers])
    sizes = (ctypes.c_int64 * max(1, len(symbols)))(*symbols)
    function(params, sizes)


def run(
    kernel: Kernel,
    buffers: Sequence[torch.Tensor],
    symbols: Mapping[str, int] | None = None,
    *,
    num_threads: int = 2,
) -> None:
    """Compile a kernel and run it once."""
    values = [(symbols or {})[symbol] for symbol in kernel.symbols]
    call(load(kernel, num_threads=num_threads), kernel.name, buffers, values)


def elementwise(op: ScalarOp, dtypes: Sequence[DType], result: DType, numel: int) -> Kernel:
    """Give the kernel that applies one operation to `numel` elements of each input."""
    names = [f"v{number}" for number in range(len(dtypes))]
    loads = [Load(name, f"in{number}", at("i0")) for number, name in enumerate(names)]
    body = (*loads, Compute("y", op, tuple(names), result), Store("out0", at("i0"), "y"))
    loop = Loop("i0", at(), (at(const=numel),), LoopKind.PARALLEL, body, grain=1 << 14)
    params = [reads(f"in{number}", dtype) for number, dtype in enumerate(dtypes)]
    return kernel(f"apply_{op.value}", [*params, writes("out0", result)], loop)


def apply_compiled(op: ScalarOp, *inputs: torch.Tensor, dtype: DType) -> torch.Tensor:
    """Apply one operation to tensors of one shape, compiled; give a result of `dtype`."""
    dtypes = [FROM_TORCH[tensor.dtype] for tensor in inputs]
    output = torch.empty_like(inputs[0], dtype=dtype.torch_dtype)
    run(elementwise(op, dtypes, dtype, inputs[0].numel()), [*inputs, output])
    return output
