"""Elementary functions from the C library, one call a lane: correct, slow, for what has no vector version.

In: values of kind F32 or F64.   Out: calls, declared as externs of the module.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.c_functions import ELEMENTARY
from graphwright.codegen.llvm.math.arithmetic import MathFunction
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp


def _call(name: str) -> MathFunction:
    def emit(builder: Builder, *args: Value) -> Value:
        kind = args[0].kind
        return builder.call_extern(name + ("f" if kind is Kind.F32 else ""), kind, args)

    return emit


LIBM: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (ScalarOp(name), kind): _call(name) for name in ELEMENTARY for kind in (Kind.F32, Kind.F64)
}
