"""Gradients of losses and of shrinking activations: pointwise ops, whose scale depends on how the loss was reduced.

In: nothing.   Out: `LOSSES`, overload name → `ChoiceRow`.
Keeps: what `pointwise.py` keeps. Where eager rounds narrow floats after each operation, so do the rows, in its order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import AtenNode, LiteralArg, TensorMeta
from graphwright.ir.node_arguments import argument, integer_of, is_given, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.lower.expressions import (
    Expression,
    Operand,
    Parameter,
    exp,
    function,
    maximum,
    sigmoid,
    tanh,
    where,
)
from graphwright.lower.rules.rows import ChoiceRow, rows

gradient: Final = Operand(0)
x: Final = Operand(1)
target: Final = Operand(2)
_MEAN: Final = 1
"""ATen's `Reduction` argument."""
_SMALLEST: Final = 1e-12
"""What eager divides by at least in the gradient of a cross entropy."""


def _result(node: AtenNode) -> TensorMeta:
    result = node.metas[0]
    assert result is not None, f"{node.op} has a result"
    return result


def _count(node: AtenNode, position: int) -> int:
    """Give n where the loss was a mean, else 1."""
    shape = _result(node).shape
    extents = [dim for dim in shape if isinstance(dim, int)]
    assert len(extents) == len(shape), "only graphs of static shapes are lowered"
    is_mean = integer_of(node, position, "reduction", _MEAN) == _MEAN
    return max(math.prod(extents), 1) if is_mean else 1


def _held(node: AtenNode, number: float) -> float:
    """Give a number as eager's kernel holds it: in the dtype of the result."""
    return _result(node).dtype.held(number)


def _of_floats(
    expression: Callable[[AtenNode], Expression | None],
) -> Callable[[AtenNode], Expression | None]:
    """Leave integers, which eager divides and rounds in its own way, to eager."""
    return lambda node: expression(node) if _result(node).dtype.is_float else None


def _mse_backward(node: AtenNode) -> Expression:
    """Give 2·(x - target)·g / n."""
    return _held(node, 2.0 / _count(node, 3)) * (x - target) * gradient


def _smooth_l1_backward(node: AtenNode) -> Expression:
    """Give ±g where |x - target| ≥ beta, else (x - target)·g / beta."""
    distance, beta = x - target, Parameter(4, "beta")
    scaled = 1.0 / _count(node, 3)
    inside = scaled * distance * gradient / beta
    above = where(distance >= beta, scaled * gradient, inside)
    return where(distance <= -beta, -scaled * gradient, above)


def _huber_backward(node: AtenNode) -> Expression:
    """Give ±g·delta where |x - target| ≥ delta, else (x - target)·g."""
    distance, delta = x - target, _held(node, float(number_of(argument(node, 4, "delta"))))
    scaled = _held(node, 1.0 / _count(node, 3))
    above = where(distance >= delta, scaled * gradient * delta, scaled * distance * gradient)
    return where(distance <= -delta, -scaled * gradient * delta, above)


def _cross_entropy_backward(node: AtenNode) -> Expression:
    """binary_cross_entropy_backward(g, x, target, weight, reduction): g·(x - target) / max((1 - x)·x, 1e-12) / n."""
    slope = gradient * (x - target) / maximum((1 - x) * x, _held(node, _SMALLEST))
    if is_given(node, 3, "weight"):
        slope = slope * Operand(3, "weight")
    count = _count(node, 4)
    return slope if count == 1 else slope / count


def _soft_margin_backward(node: AtenNode) -> Expression:
    """Give -target·z / (1 + z)·g / n, z = exp(-target·x)."""
    z = exp(-target * x)
    return target * z * _held(node, -1.0 / _count(node, 3)) / (1 + z) * gradient


def _log_sigmoid_backward(_node: AtenNode) -> Expression:
    """log_sigmoid_backward(g, x, z), z = exp(-|x|)."""
    z = Operand(2)
    below = 1 - z / (1 + z)
    return where(x < 0, below, z / (1 + z)) * gradient


def _mish_backward(_node: AtenNode) -> Expression:
    """Give g·(t + x·sigmoid(x)·(1 - t²)), t = tanh(softplus(x))."""
    t = tanh(function(ScalarOp.LOG1P)(exp(x)))
    return gradient * (t + x * sigmoid(x) * (1 - t * t))


def _shrink_backward(_node: AtenNode) -> Expression:
    """Give g where |x| > lambd, else (also where x is NaN) 0."""
    lambd = Parameter(2, "lambd")
    is_outside = function(ScalarOp.BITWISE_OR)(x < -lambd, x > lambd)
    return where(is_outside, gradient, 0)


def _celu(node: AtenNode) -> Expression | None:
    """Give x where it is positive, else alpha·(exp(x / alpha) - 1)."""
    given = argument(node, 1, "alpha")
    if given == LiteralArg(0):
        return None
    own, alpha = Operand(0), Parameter(1, "alpha", 1)
    return where(own < 0, function(ScalarOp.EXPM1)(own * (1 / alpha)) * alpha, own)


LOSSES: Final[Mapping[str, ChoiceRow]] = rows(
    ChoiceRow("aten.mse_loss_backward.default", _of_floats(_mse_backward), rounds_each=True),
    ChoiceRow("aten.smooth_l1_loss_backward.default", _of_floats(_smooth_l1_backward)),
    ChoiceRow("aten.huber_loss_backward.default", _of_floats(_huber_backward), rounds_each=True),
    ChoiceRow(
        "aten.binary_cross_entropy_backward.default",
        _of_floats(_cross_entropy_backward),
        rounds_each=True,
    ),
    ChoiceRow(
        "aten.soft_margin_loss_backward.default",
        _of_floats(_soft_margin_backward),
        rounds_each=True,
    ),
    ChoiceRow("aten.log_sigmoid_backward.default", _of_floats(_log_sigmoid_backward)),
    ChoiceRow("aten.mish_backward.default", _of_floats(_mish_backward)),
    ChoiceRow("aten.softshrink_backward.default", _shrink_backward),
    ChoiceRow("aten.hardshrink_backward.default", _shrink_backward),
    ChoiceRow("aten.celu.default", _celu),
)
