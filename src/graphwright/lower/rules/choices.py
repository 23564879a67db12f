"""Pointwise ops whose expression depends on arguments that are no tensors.

In: nothing.   Out: `CHOICES`, overload name → `ChoiceRow`.
Keeps: what `pointwise.py` keeps. A choice that gives None leaves the node to an extern call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import Arg, AtenNode, FloatArg, LiteralArg
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, is_given, is_number, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.lower.expressions import (
    Expression,
    Operand,
    Parameter,
    Rounded,
    exp,
    function,
    maximum,
    minimum,
    normal_cdf,
    power,
    sigmoid,
    sqrt,
    tanh,
    where,
)
from graphwright.lower.rules.rows import ChoiceRow, rows

x: Final = Operand(0, "self")
y: Final = Operand(1)
_trunc = function(ScalarOp.TRUNC)
_round = function(ScalarOp.ROUND)
_floor_div = function(ScalarOp.FLOOR_DIV)
_rsqrt = function(ScalarOp.RSQRT)


def _approximation(node: AtenNode, position: int) -> str:
    given = argument(node, position, "approximate")
    return str(given.value) if isinstance(given, LiteralArg) else "none"


_INNER: Final = math.sqrt(2.0) * (2.0 / math.sqrt(math.pi)) * 0.5


def _gelu(node: AtenNode) -> Expression:
    if _approximation(node, 1) == "tanh":
        # (1 + tanh(u)) / 2 = sigmoid(2u), which is quicker, and loses nothing where tanh(u) is near -1.
        return x * sigmoid(2.0 * _INNER * (x + 0.044715 * (x * x * x)))
    return x * normal_cdf(x)


def _gelu_backward(node: AtenNode) -> Expression:
    if _approximation(node, 2) == "tanh":
        inner = tanh(_INNER * (y + 0.044715 * (y * y * y)))
        slope = 0.5 * y * (1.0 - inner * inner) * (_INNER * (1.0 + 3.0 * 0.044715 * (y * y)))
        return x * (0.5 * (1.0 + inner) + slope)
    density = exp(y * y * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
    return x * (normal_cdf(y) + y * density)


def _clamp(limit: Callable[..., Operand | Parameter]) -> Callable[[AtenNode], Expression | None]:
    def choose(node: AtenNode) -> Expression | None:
        value: Expression = x
        if is_given(node, 1, "min"):
            value = maximum(value, limit(1, "min"))
        if is_given(node, 2, "max"):
            value = minimum(value, limit(2, "max"))
        return value

    return choose


def _power(node: AtenNode) -> Expression | None:
    """A number as exponent: eager's kernels have exact forms for the common ones."""
    exponent = number_of(argument(node, 1, "exponent"))
    result = node.metas[0]
    assert result is not None, "pow has a result"
    square = Rounded(x * x) if result.dtype is DType.BFLOAT16 else x * x  # as eager's kernel has it
    forms: dict[float, Expression] = {0: x * 0 + 1, 1: x, 2: x * x, 3: square * x}
    if result.dtype is DType.BOOL:
        return None
    if not result.dtype.is_float:
        # A negative one is an error in eager.
        return forms.get(exponent, power(x, Operand(1, "exponent"))) if exponent >= 0 else None
    forms |= {0.5: sqrt(x), -0.5: _rsqrt(x), -1: 1 / x, -2: 1 / square}
    if exponent == 0:
        return where(x.equals(x), 1, 1)
    if not result.dtype.held(exponent):
        return None  # less than the dtype holds: eager's kernel does not take it for 0
    return forms.get(exponent, power(x, Operand(1, "exponent")))


def _power_of_number(node: AtenNode) -> Expression | None:
    result = node.metas[0]
    if result is None or result.dtype is DType.BOOL:
        return None
    if number_of(argument(node, 0, "self")) == 2 and result.dtype.is_float:
        return function(ScalarOp.EXP2)(Operand(1, "exponent"))
    return power(x, Operand(1, "exponent"))


def _power_of_tensors(node: AtenNode) -> Expression | None:
    result = node.metas[0]
    if result is None or result.dtype is DType.BOOL:
        return None
    return power(x, Operand(1, "exponent"))


def _divide(node: AtenNode) -> Expression | None:
    mode = argument(node, 2, "rounding_mode")
    name = mode.value if isinstance(mode, LiteralArg) else None
    result = node.metas[0]
    if name is None:
        return x / y
    if result is None or not result.dtype.is_float:
        return _divide_integers(node, str(name))
    return _floor_div(x, y) if name == "floor" else _trunc(x / y)


def _divide_integers(node: AtenNode, mode: str) -> Expression | None:
    """The number zero is left to eager, which refuses it; tensors are checked (`checks.py`)."""
    divisor = argument(node, 1, "other")
    if is_number(divisor) and number_of(divisor) == 0:
        return None
    return _floor_div(x, y) if mode == "floor" else function(ScalarOp.TRUNC_DIV)(x, y)


def _sigmoid_backward(node: AtenNode) -> Expression:
    """sigmoid_backward(g, y): g·(1 - y)·y. Eager rounds it at each step in float16, and once in bfloat16."""
    result = node.metas[0]
    if result is not None and result.dtype is DType.FLOAT16:
        return Rounded(x * Rounded(1 - y)) * y
    return x * (1 - y) * y


def _elu_backward(node: AtenNode) -> Expression | None:
    """elu_backward(grad, alpha, scale, input_scale, is_result, self_or_result)."""
    alpha, scale = Parameter(1, "alpha"), Parameter(2, "scale")
    input_scale, value = Parameter(3, "input_scale"), Operand(5, "self_or_result")
    if argument(node, 4, "is_result") == LiteralArg(value=True):
        return where(value > 0, x * scale, x * input_scale * (value + alpha * scale))
    negative = x * input_scale * (alpha * scale) * exp(value * input_scale)
    return where(value > 0, x * scale, negative)


def _nan_to_num(node: AtenNode) -> Expression | None:
    result = node.metas[0]
    if result is None or not result.dtype.is_float:
        return x
    largest = _largest_of(result.dtype.value)
    nan = _number_or(argument(node, 1, "nan"), 0.0)
    positive = _number_or(argument(node, 2, "posinf"), largest)
    negative = _number_or(argument(node, 3, "neginf"), -largest)
    finite = where(x.equals(math.inf), positive, where(x.equals(-math.inf), negative, x))
    return where(function(ScalarOp.IS_NAN)(x), nan, finite)


def _number_or(given: Arg | None, default: float) -> float:
    is_number = isinstance(given, FloatArg) or (
        isinstance(given, LiteralArg) and given.value is not None
    )
    return float(number_of(given)) if is_number else default


def _logit(node: AtenNode) -> Expression:
    """logit(x, eps): log(x / (1 - x)), x clamped to eps..1 - eps where that is given; each step rounded, as eager's."""
    value: Expression = x
    eps = _number_or(argument(node, 1, "eps"), -1.0)
    if eps >= 0:
        low = Rounded(eps)
        high = Rounded(1.0 - low)
        value = where(x < low, low, where(x > high, high, x))
    return function(ScalarOp.LOG)(Rounded(value / Rounded(1 - value)))


def _round_to_decimals(node: AtenNode) -> Expression | None:
    """round(x, decimals=n): the power of ten that is multiplied with, or divided by, is a whole number."""
    decimals = int(number_of(argument(node, 1, "decimals")))
    if abs(decimals) > _MOST_DECIMALS:
        return None
    scale = 10.0 ** abs(decimals)
    return _round(x / scale) * scale if decimals < 0 else _round(x * scale) / scale


_MOST_DECIMALS: Final = 4
"""The powers beyond are more than float16 holds, and more than one kernel of eager's makes of them."""


_LARGEST: Final = {
    "float64": float.fromhex("0x1.fffffffffffffp+1023"),
    "float32": float.fromhex("0x1.fffffep+127"),
    "float16": 65504.0,
    "bfloat16": float.fromhex("0x1.fep+127"),
}


def _largest_of(dtype: str) -> float:
    return _LARGEST[dtype]


def _shift(op: ScalarOp) -> Callable[[AtenNode], Expression | None]:
    def choose(node: AtenNode) -> Expression | None:
        result = node.metas[0]
        if result is None or result.dtype.is_float or result.dtype is DType.BOOL:
            return None
        return function(op)(x, y)

    return choose


CHOICES: Final[Mapping[str, ChoiceRow]] = rows(
    ChoiceRow("aten.gelu.default", _gelu),
    ChoiceRow("aten.gelu_backward.default", _gelu_backward),
    ChoiceRow("aten.clamp.default", _clamp(Parameter)),
    ChoiceRow("aten.clamp.Tensor", _clamp(Operand)),
    ChoiceRow("aten.pow.Tensor_Scalar", _power),
    ChoiceRow("aten.pow.Scalar", _power_of_number),
    ChoiceRow("aten.pow.Tensor_Tensor", _power_of_tensors),
    ChoiceRow("aten.div.Tensor_mode", _divide, divides=True),
    ChoiceRow("aten.div.Scalar_mode", _divide, divides=True),
    ChoiceRow("aten.elu_backward.default", _elu_backward),
    ChoiceRow("aten.sigmoid_backward.default", _sigmoid_backward),
    ChoiceRow("aten.nan_to_num.default", _nan_to_num),
    ChoiceRow("aten.logit.default", _logit),
    ChoiceRow("aten.round.decimals", _round_to_decimals),
    *(
        ChoiceRow(f"aten.bitwise_{side}_shift.{overload}", _shift(op))
        for side, op in (("left", ScalarOp.SHIFT_LEFT), ("right", ScalarOp.SHIFT_RIGHT))
        for overload in ("Tensor", "Tensor_Scalar")
    ),
)
