"""Elementary functions as straight-line vector code.

In: an operation and the kind of its operands.   Out: `FUNCTIONS`, a table of emitters.
Read first: `arithmetic.py` (the language they are written in), `exponential.py`.

The docstrings give each function's largest error, and eager's, in ulp (units in the last place of the correctly rounded result).
For float32 that is over every 37th of all float32 numbers, against float64 (`scripts/math_accuracy.py`; torch 2.13 on an AMD
Zen 4, AVX-512). For float64 it is over 24,000 numbers of all magnitudes up to 1e5, against 40 digits. Special values (NaN,
infinities, zeros with their signs, overflow) are right for all; results are denormal where they should be.
"""

from typing import Final

from graphwright.codegen.llvm.math.algebraic import ALGEBRAIC
from graphwright.codegen.llvm.math.arithmetic import MathFunction
from graphwright.codegen.llvm.math.error_function import ERROR_FUNCTION
from graphwright.codegen.llvm.math.exponential import EXPONENTIAL
from graphwright.codegen.llvm.math.inverse_trigonometric import INVERSE_TRIGONOMETRIC
from graphwright.codegen.llvm.math.libm import LIBM
from graphwright.codegen.llvm.math.logarithm import LOGARITHM
from graphwright.codegen.llvm.math.power import POWER
from graphwright.codegen.llvm.math.trigonometric import TRIGONOMETRIC
from graphwright.codegen.llvm.types import Kind
from graphwright.ir.ops import ScalarOp

FUNCTIONS: Final[dict[tuple[ScalarOp, Kind], MathFunction]] = {
    **LIBM,
    **ALGEBRAIC,
    **EXPONENTIAL,
    **LOGARITHM,
    **TRIGONOMETRIC,
    **INVERSE_TRIGONOMETRIC,
    **ERROR_FUNCTION,
    **POWER,
}
"""(Operation, kind) → emitter; the C library stands in where there is no vector version."""

__all__ = ["FUNCTIONS", "LIBM"]
