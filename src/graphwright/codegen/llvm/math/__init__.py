"""Elementary functions as straight-line vector code.

In: an operation and the kind of its operands.   Out: `FUNCTIONS`, a table of emitters.
Read first: `exponential.py`, `polynomial.py`.
"""

from typing import Final

from graphwright.codegen.llvm.builder import Builder
from graphwright.codegen.llvm.math.algebraic import ALGEBRAIC
from graphwright.codegen.llvm.math.libm import EXTERN_NAMES, LIBM, MathFunction
from graphwright.codegen.llvm.types import Kind, Value
from graphwright.ir.ops import ScalarOp


def _sigmoid(builder: Builder, x: Value) -> Value:
    one = builder.const(1, x.kind)
    power = LIBM[ScalarOp.EXP, x.kind](builder, builder.unary("fneg", x))
    return builder.binary("fdiv", one, builder.binary("fadd", one, power))


FUNCTIONS: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    **LIBM,
    **{(ScalarOp.SIGMOID, kind): _sigmoid for kind in (Kind.F32, Kind.F64)},
    **ALGEBRAIC,
}
"""(Operation, kind) → emitter; later tables replace earlier ones."""

__all__ = ["EXTERN_NAMES", "FUNCTIONS"]
