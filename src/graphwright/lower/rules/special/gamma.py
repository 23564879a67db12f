"""The gamma function's logarithm and the derivatives of that.

In: nothing.   Out: `GAMMA`, rows.

Does not: float64 for the logarithm, where this way loses digits near its zeros between negative integers, which eager's keeps.

All go by the same way. Far from zero there is a short series in 1 / z. Below, the recurrence leads up to where that holds: the
terms that it adds are one logarithm, or one fraction. Negative arguments are reflected, with sines and cosines of pi·x that know
the distance from the next integer exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import argument, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.lower.expressions import (
    NAN,
    Expression,
    InDouble,
    Operand,
    absolute,
    function,
    is_inf,
    log,
    polynomial,
    where,
)
from graphwright.lower.rules.rows import ChoiceRow
from graphwright.lower.rules.special.coefficients import (
    COS_PI,
    DIGAMMA_FAR,
    DIGAMMA_ROOT,
    LGAMMA_FAR,
    LGAMMA_NEAR,
    SIN_PI,
    SIN_PI_SINGLE,
    TRIGAMMA_FAR,
)
from graphwright.lower.rules.special.dtypes import by_dtype, is_double, narrower_than_double

x: Final = Operand(0, "self")
_both: Final = function(ScalarOp.BITWISE_AND)
_FAR: Final = 2.5
"""The logarithm's series holds from here on."""
_SHIFT: Final = 6
"""The derivatives' series holds from here on."""
_ROOT: Final = 1.4616321449683622
_ROOT_REST: Final = 9.549995429965697e-17
"""Where digamma is 0: what float64 holds of it, and the next digits."""


def _from_integer(value: Expression) -> Expression:
    """Give the signed distance from the nearest integer."""
    return value - function(ScalarOp.ROUND)(value)


def _sin_pi(distance: Expression, coefficients: Sequence[float] = SIN_PI) -> Expression:
    return distance * polynomial(coefficients, distance * distance)


def _cos_pi(distance: Expression) -> Expression:
    size = absolute(distance)
    return (0.5 - size) * (0.5 + size) * polynomial(COS_PI, distance * distance)


def _lgamma(value: Expression) -> Expression:
    """log|Γ(value)|; below -1/2, Γ(-a)·Γ(a) = -pi / (a·sin(pi·a))."""
    is_reflected = value < -0.5
    size = where(is_reflected, -value, value)
    is_far, is_small, is_middle = size >= _FAR, size < 0.5, size < 1.5
    raised = where(is_middle, absolute(size), 1.0) * where(is_small, size + 1.0, 1.0)
    logarithm = log(where(is_far, size, raised))
    offset = where(is_small, size, where(is_middle, size - 1.0, size - 2.0))
    near = offset * polynomial(LGAMMA_NEAR, offset) - logarithm
    far = (size - 0.5) * (logarithm - 1.0) + polynomial(LGAMMA_FAR, 1.0 / size)
    positive = where(is_far, far, near)
    sine = absolute(_sin_pi(_from_integer(size), SIN_PI_SINGLE))
    reflected = where(is_inf(size), math.inf, math.log(math.pi) - log(size * sine) - positive)
    return where(is_reflected, reflected, positive)


def _product(roots: int) -> list[int]:
    """Give the coefficients of x·(x + 1)·…·(x + roots - 1)."""
    coefficients = [1]
    for root in range(roots):
        raised = [0, *coefficients]
        scaled = [root * coefficient for coefficient in coefficients] + [0]
        coefficients = [up + here for up, here in zip(raised, scaled, strict=True)]
    return coefficients


def _derivative(coefficients: list[int]) -> list[int]:
    return [power * value for power, value in enumerate(coefficients)][1:]


def _times(left: list[int], right: list[int]) -> list[int]:
    result = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            result[i + j] += a * b
    return result


_RAISED: Final = _product(_SHIFT)
_SLOPE: Final = _derivative(_RAISED)
_CURVE: Final = [
    a - b
    for a, b in zip(_times(_SLOPE, _SLOPE), [*_times(_RAISED, _derivative(_SLOPE))], strict=True)
]
"""(p')² - p·p'': with p = x·(x + 1)·…, Σ 1 / (x + k) = p' / p, and Σ 1 / (x + k)² = (p'² - p·p'') / p²."""


def _raised(value: Expression) -> Expression:
    """Zero keeps its sign."""
    return value * polynomial([float(number) for number in _RAISED[1:]], value)


def _digamma(value: Expression, *, is_near_root_exact: bool = False) -> Expression:
    """Below 0, ψ(1 - x) - pi·cot(pi·x). Between 1 and 2 the terms cancel, which takes digits that float32 has not."""
    is_negative = value < 0.0
    size = where(is_negative, 1.0 - value, value)
    is_near = size < _SHIFT
    inverse = 1.0 / where(is_near, size + _SHIFT, size)
    square = inverse * inverse
    series = -log(inverse) - 0.5 * inverse - square * polynomial(DIGAMMA_FAR, square)
    steps = polynomial([float(number) for number in _SLOPE], size) / _raised(size)
    positive: Expression = series - where(is_near, steps, 0.0)
    if is_near_root_exact:
        middle = (size - _ROOT - _ROOT_REST) * polynomial(DIGAMMA_ROOT, size - 1.5)
        positive = where(_both(size >= 1.0, size < 2.0), middle, positive)
    distance = _from_integer(value)
    cotangent = math.pi * _cos_pi(distance) / _sin_pi(distance)
    negative = where(distance.equals(0.0), NAN, positive - cotangent)
    return where(is_negative, negative, positive)


def _trigamma(value: Expression) -> Expression:
    """Below 1/2, (pi / sin(pi·x))² - ψ'(1 - x)."""
    is_reflected = value < 0.5
    size = where(is_reflected, 1.0 - value, value)
    is_near = size < _SHIFT
    inverse = 1.0 / where(is_near, size + _SHIFT, size)
    square = inverse * inverse
    tail = square * inverse * polynomial(TRIGAMMA_FAR, square)
    raised = _raised(size)
    steps = polynomial([float(number) for number in _CURVE], size) / (raised * raised)
    positive = inverse + 0.5 * square + tail + where(is_near, steps, 0.0)
    ratio = math.pi / _sin_pi(_from_integer(value))
    return where(is_reflected, ratio * ratio - positive, positive)


def _polygamma(node: AtenNode) -> Expression | None:
    """polygamma(n, x); from n = 2 on eager sums up a zeta function, element by element, and so it stays."""
    order, value = int(number_of(argument(node, 0, "n"))), Operand(1, "self")
    if order == 0:
        return InDouble(_digamma(value, is_near_root_exact=is_double(node)))
    return InDouble(_trigamma(value)) if order == 1 else None


def _mvlgamma(node: AtenNode) -> Expression | None:
    """mvlgamma(x, p): Σ lgamma(x - j / 2) + p·(p - 1) / 4·log(pi), j below p."""
    count = int(number_of(argument(node, 1, "p")))
    if not 1 <= count <= _MOST_TERMS or is_double(node):
        return None
    constant = count * (count - 1) / 4 * math.log(math.pi)
    total: Expression = _lgamma(x)
    for number in range(1, count):
        total = total + _lgamma(x - 0.5 * number)
    return InDouble(total + constant)


_MOST_TERMS: Final = 4

GAMMA: Final[tuple[ChoiceRow, ...]] = (
    narrower_than_double("aten.lgamma.default", InDouble(_lgamma(x))),
    by_dtype(
        "aten.digamma.default",
        InDouble(_digamma(x)),
        InDouble(_digamma(x, is_near_root_exact=True)),
    ),
    ChoiceRow("aten.polygamma.default", _polygamma),
    ChoiceRow("aten.mvlgamma.default", _mvlgamma),
)
