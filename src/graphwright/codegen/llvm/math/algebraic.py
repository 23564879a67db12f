"""Functions that the processor's own instructions give: square root and what is made of it.

In: values of kind F32 or F64.   Out: instructions.
"""

from __future__ import annotations

from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.arithmetic import MathFunction
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp


def emit_sqrt(builder: Builder, x: Value) -> Value:
    """Write the square root, correctly rounded (0.50 ulp; eager 0.75 in float32)."""
    return builder.intrinsic("sqrt", x)


def emit_rsqrt(builder: Builder, x: Value) -> Value:
    """Write `1 / sqrt(x)`, both correctly rounded, as eager does it: bit-equal to eager (1.49 ulp)."""
    return builder.binary("fdiv", builder.const(1, x.kind), builder.intrinsic("sqrt", x))


ALGEBRAIC: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    (op, kind): emit
    for op, emit in ((ScalarOp.SQRT, emit_sqrt), (ScalarOp.RSQRT, emit_rsqrt))
    for kind in (Kind.F32, Kind.F64)
}
