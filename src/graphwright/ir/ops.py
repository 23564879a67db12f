"""The closed set of scalar operations and reductions, with their facts.

In: nothing.   Out: `ScalarOp` and `ReduceOp`, used by the loop IR, and `FACTS`.
A back end's table (`ScalarOp` → emitter) is its capability list.
"""

from __future__ import annotations

import enum
from typing import Final

from graphwright.ir.data import Data


class ScalarOp(enum.Enum):
    """An operation on scalars. Unless said otherwise, operands and result have one dtype."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    """Floating point only."""
    FLOOR_DIV = "floor_div"
    """As Python's `//`; integers (a zero divisor gives 0 for the lane) and floats."""
    TRUNC_DIV = "trunc_div"
    """Integers only, as C's `/`."""
    MOD = "mod"
    """As Python's `%` and `torch.remainder`: the sign of the divisor."""
    FMOD = "fmod"
    """As C's `fmod` and `%`: the sign of the dividend."""
    NEG = "neg"
    ABS = "abs"
    RECIPROCAL = "reciprocal"
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    EXP = "exp"
    EXP2 = "exp2"
    EXPM1 = "expm1"
    LOG = "log"
    LOG2 = "log2"
    LOG10 = "log10"
    LOG1P = "log1p"
    SIN = "sin"
    COS = "cos"
    TAN = "tan"
    ASIN = "asin"
    ACOS = "acos"
    ATAN = "atan"
    ATAN2 = "atan2"
    SINH = "sinh"
    COSH = "cosh"
    TANH = "tanh"
    ERF = "erf"
    ERFC = "erfc"
    NORMAL_CDF = "normal_cdf"
    """The share of a standard normal distribution below x, for factors of x: where it is under 1e-7, only its size is right."""
    SIGMOID = "sigmoid"
    POW = "pow"
    MAXIMUM = "maximum"
    """NaN if either is NaN."""
    MINIMUM = "minimum"
    FMAX = "fmax"
    """The other operand if one is NaN."""
    FMIN = "fmin"
    FLOOR = "floor"
    CEIL = "ceil"
    ROUND = "round"
    """Half to even."""
    TRUNC = "trunc"
    SIGN = "sign"
    """Of NaN: 0 for floats as `torch.sign` gives it."""
    COPYSIGN = "copysign"
    SIGNBIT = "signbit"
    """Any dtype → BOOL."""
    IS_NAN = "is_nan"
    """Float → BOOL."""
    IS_INF = "is_inf"
    """Float → BOOL."""
    EQ = "eq"
    """Comparisons: any dtype, both alike → BOOL."""
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    LOGICAL_NOT = "logical_not"
    """BOOL → BOOL."""
    BITWISE_AND = "bitwise_and"
    """Integers and BOOL."""
    BITWISE_OR = "bitwise_or"
    BITWISE_XOR = "bitwise_xor"
    BITWISE_NOT = "bitwise_not"
    SHIFT_LEFT = "shift_left"
    SHIFT_RIGHT = "shift_right"
    """Arithmetic for signed dtypes."""
    WHERE = "where"
    """(BOOL, a, b) → a or b."""
    CAST = "cast"
    """Any dtype → the result's dtype, as `Tensor.to` converts."""
    BITCAST = "bitcast"
    """Same size, same bits."""


class ReduceOp(enum.Enum):
    """How a reduction combines values; in brackets its identity."""

    SUM = "sum"
    """[0]"""
    PROD = "prod"
    """[1]"""
    MAX = "max"
    """[-inf or the least integer], NaN propagates"""
    MIN = "min"
    """[inf or the greatest integer], NaN propagates"""
    ANY = "any"
    """BOOL [false]"""
    ALL = "all"
    """BOOL [true]"""
    ARGMAX = "argmax"
    ARGMIN = "argmin"


class Facts(Data, frozen=True):
    """What is true of an operation, for whoever rewrites it."""

    arity: int
    is_commutative: bool = False
    is_associative: bool = False
    gives_bool: bool = False
    cost: int = 1
    """Rough cost in multiplications, for the schedule's cost model."""


_UNARY_CHEAP = (
    "neg",
    "abs",
    "floor",
    "ceil",
    "round",
    "trunc",
    "sign",
    "bitwise_not",
    "cast",
    "bitcast",
)
_UNARY_BOOL = ("signbit", "is_nan", "is_inf", "logical_not")
_UNARY_DEAR = (
    *("reciprocal", "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
    *(
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "erf",
        "erfc",
        "normal_cdf",
        "sigmoid",
    ),
)
_COMMUTATIVE = (
    "add",
    "mul",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
)
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
_BINARY = ("sub", "copysign", "shift_left", "shift_right")
_BINARY_DEAR = ("div", "floor_div", "trunc_div", "mod", "fmod", "atan2", "pow")

FACTS: Final[dict[ScalarOp, Facts]] = {
    **{ScalarOp(name): Facts(1) for name in _UNARY_CHEAP},
    **{ScalarOp(name): Facts(1, gives_bool=True) for name in _UNARY_BOOL},
    **{ScalarOp(name): Facts(1, cost=12) for name in _UNARY_DEAR},
    **{ScalarOp(name): Facts(2, is_commutative=True, is_associative=True) for name in _COMMUTATIVE},
    **{
        ScalarOp(name): Facts(2, gives_bool=True, is_commutative=name in ("eq", "ne"))
        for name in _COMPARE
    },
    **{ScalarOp(name): Facts(2) for name in _BINARY},
    **{ScalarOp(name): Facts(2, cost=12) for name in _BINARY_DEAR},
    ScalarOp.WHERE: Facts(3),
}
