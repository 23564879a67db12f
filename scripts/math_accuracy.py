"""Measure the errors of the vector math functions, and of eager's, against float64.

In:  `--stride N`: every N-th of all float32 bit patterns (1: all of them, an hour and more); names of functions.
Out: a table: largest error in ulp (units in the last place of the correctly rounded result, that of the least normal number for
denormals), where it is met, and how many special values (NaN, infinities, overflow) differ.

The docstrings in `codegen/llvm/math` give these figures; `tests/unit/codegen_llvm/test_math.py` holds them.

Run: python scripts/math_accuracy.py [--stride 251] [name …]
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable, Iterator

import msgspec
import torch

from graphwright.codegen.llvm import compile_kernels, load_object
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Access,
    Compute,
    Index,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Param,
    Store,
    Term,
)
from graphwright.ir.ops import ScalarOp
from graphwright.ir.symint_algebra import symbol

CHUNK = 1 << 22
LEAST_NORMAL_EXPONENT = -126
MANTISSA_BITS = 23

FUNCTIONS: dict[ScalarOp, Callable[[torch.Tensor], torch.Tensor]] = {
    ScalarOp.SQRT: torch.sqrt,
    ScalarOp.RSQRT: torch.rsqrt,
    ScalarOp.EXP: torch.exp,
    ScalarOp.EXP2: torch.exp2,
    ScalarOp.EXPM1: torch.expm1,
    ScalarOp.LOG: torch.log,
    ScalarOp.LOG2: torch.log2,
    ScalarOp.LOG10: torch.log10,
    ScalarOp.LOG1P: torch.log1p,
    ScalarOp.SIN: torch.sin,
    ScalarOp.COS: torch.cos,
    ScalarOp.TAN: torch.tan,
    ScalarOp.ASIN: torch.asin,
    ScalarOp.ACOS: torch.acos,
    ScalarOp.ATAN: torch.atan,
    ScalarOp.SINH: torch.sinh,
    ScalarOp.COSH: torch.cosh,
    ScalarOp.TANH: torch.tanh,
    ScalarOp.ERF: torch.erf,
    ScalarOp.ERFC: torch.erfc,
    ScalarOp.NORMAL_CDF: torch.special.ndtr,
    ScalarOp.SIGMOID: torch.sigmoid,
}


class Errors(msgspec.Struct):
    """The worst that was met of one implementation."""

    largest: float = 0.0
    at: float = 0.0
    special: int = 0


def unit_in_last_place(reference: torch.Tensor) -> torch.Tensor:
    """Give the distance of float32 numbers next to float64 values."""
    _, exponent = torch.frexp(reference)
    exponent = (exponent - 1).clamp(min=LEAST_NORMAL_EXPONENT)
    return torch.ldexp(torch.ones_like(reference), exponent - MANTISSA_BITS)


def update(errors: Errors, x: torch.Tensor, result: torch.Tensor, reference: torch.Tensor) -> None:
    """Take the errors of one chunk in."""
    rounded = reference.float()
    is_plain = rounded.isfinite() & result.isfinite()
    same = (result == rounded) | (result.isnan() & rounded.isnan())
    errors.special += int((~is_plain & ~same).sum())
    distance = (result.double() - reference).abs() / unit_in_last_place(reference)
    distance = torch.where(is_plain, distance, 0.0)
    worst = int(distance.argmax())
    if float(distance[worst]) > errors.largest:
        errors.largest, errors.at = float(distance[worst]), float(x[worst])


def iter_chunks(stride: int) -> Iterator[torch.Tensor]:
    """Give float32 values: every `stride`-th bit pattern."""
    for first in range(0, 1 << 32, stride * CHUNK):
        patterns = torch.arange(first, min(1 << 32, first + stride * CHUNK), stride)
        yield (
            torch.where(patterns >= 1 << 31, patterns - (1 << 32), patterns)
            .int()
            .view(torch.float32)
        )


def make_kernel(op: ScalarOp) -> Kernel:
    """Give the kernel that applies a function to `s0` elements."""
    index = Index((Term("i0", 1),))
    body = (
        Load("x", "in0", index),
        Compute("y", op, ("x",), DType.FLOAT32),
        Store("out0", index, "y"),
    )
    loop = Loop("i0", Index(), (Index((), symbol("s0")),), LoopKind.PARALLEL, body, grain=4096)
    params = (
        Param("in0", DType.FLOAT32, Access.READ),
        Param("out0", DType.FLOAT32, Access.WRITE),
    )
    return Kernel(op.value, params, (), ("s0",), (loop,))


def measure(op: ScalarOp, stride: int) -> tuple[Errors, Errors]:
    """Give the errors of the compiled function and of eager's."""
    code = load_object(compile_kernels([make_kernel(op)], num_threads=2))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address(op.value))
    own, eager = Errors(), Errors()
    for x in iter_chunks(stride):
        result = torch.empty_like(x)
        function(
            (ctypes.c_void_p * 2)(x.data_ptr(), result.data_ptr()), (ctypes.c_int64 * 1)(x.numel())
        )
        reference = FUNCTIONS[op](x.double())
        update(own, x, result, reference)
        update(eager, x, FUNCTIONS[op](x), reference)
    return own, eager


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=251)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    ops = [ScalarOp(name) for name in options.names] or list(FUNCTIONS)
    print(f"{'function':10}{'ulp':>8}{'at':>18}{'special':>9}{'eager ulp':>12}{'special':>9}")
    for op in ops:
        own, eager = measure(op, options.stride)
        print(
            f"{op.value:10}{own.largest:8.3f}{own.at:18.9g}{own.special:9}"
            f"{eager.largest:12.3f}{eager.special:9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
