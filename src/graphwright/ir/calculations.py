"""What is calculated of a call's floats before its graph runs.

In: nothing.   Out: `Operation`, and Python's own function for each (`FUNCTIONS`).
Keeps: an operation depends on its operands alone, and gives a float or a truth of floats and ints; where it raises, or gives
anything else, no program that needs it serves the call.
"""

from __future__ import annotations

import builtins
import enum
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final


class Operation(enum.Enum):
    """An operation, by the name of Python's function."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    TRUEDIV = "truediv"
    FLOORDIV = "floordiv"
    MOD = "mod"
    POW = "pow"
    NEG = "neg"
    ABS = "abs"
    LT = "lt"
    LE = "le"
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GE = "ge"
    TRUTH = "truth"
    FLOAT = "float"
    MIN = "min"
    MAX = "max"
    SQRT = "sqrt"
    EXP = "exp"
    EXPM1 = "expm1"
    LOG = "log"
    LOG2 = "log2"
    LOG10 = "log10"
    LOG1P = "log1p"
    SIN = "sin"
    COS = "cos"
    TAN = "tan"
    TANH = "tanh"
    ATAN = "atan"
    ATAN2 = "atan2"
    HYPOT = "hypot"
    FABS = "fabs"
    FMOD = "fmod"
    COPYSIGN = "copysign"
    ISNAN = "isnan"
    ISINF = "isinf"
    ISFINITE = "isfinite"


def _function_of(operation: Operation) -> Callable[..., Any]:
    modules = (operator, math, builtins)
    found: Callable[..., Any] = next(
        getattr(module, operation.value) for module in modules if hasattr(module, operation.value)
    )
    return found


FUNCTIONS: Final[Mapping[Operation, Callable[..., Any]]] = {
    operation: _function_of(operation) for operation in Operation
}
"""The function of each operation. Functions of `math` go by the C library, as they do in eager."""
