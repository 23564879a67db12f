"""Modified Bessel functions: those that grow, and those that fall.

In: nothing.   Out: `GROWING` and `FALLING`, rows.
Does not: `special_i0e` of bfloat16 and float16, which eager computes with their own few digits where there are no whole vectors: its
gradient is a difference in which these digits are all that is left; those that fall, of float64, which lose more digits below 2 than
eager's.
"""

from __future__ import annotations

import math
from typing import Final

from graphwright.lower.expressions import (
    Expression,
    InDouble,
    absolute,
    exp,
    log,
    polynomial,
    sqrt,
    where,
)
from graphwright.lower.rules.pointwise import x
from graphwright.lower.rules.rows import ChoiceRow
from graphwright.lower.rules.special.coefficients import (
    I0_FAR,
    I0_FAR_SINGLE,
    I0_NEAR,
    I0_NEAR_SINGLE,
    I1_FAR,
    I1_FAR_SINGLE,
    I1_NEAR,
    I1_NEAR_SINGLE,
    K0_FAR,
    K0_NEAR,
    K1_FAR,
    K1_NEAR,
)
from graphwright.lower.rules.special.dtypes import by_dtype, narrower_than_double

_FAR: Final = 10.0
"""The polynomials in 1 / x hold from here on."""
_EULER: Final = 0.5772156649015329
Coefficients = tuple[float, ...]


def _i0(near: Coefficients, far: Coefficients, *, is_scaled: bool) -> InDouble:
    size = absolute(x)
    half = 0.5 * size
    below = polynomial(near, half * half)
    above = polynomial(far, 1.0 / size) / sqrt(size)
    return InDouble(_combine(size, below, above, is_scaled=is_scaled))


def _i1(near: Coefficients, far: Coefficients, *, is_scaled: bool) -> InDouble:
    """Zero has no sign, as eager's has none."""
    size = absolute(x)
    half = 0.5 * size
    below = size * polynomial(near, half * half)
    above = polynomial(far, 1.0 / size) / sqrt(size)
    value = _combine(size, below, above, is_scaled=is_scaled)
    return InDouble(where(x < 0.0, -value, value))


def _combine(size: Expression, near: Expression, far: Expression, *, is_scaled: bool) -> Expression:
    """Scaled by exp(-|x|), or not: then half of the exponent goes to each side of what would overflow early."""
    if is_scaled:
        return where(size < _FAR, near * exp(-size), far)
    growth = exp(0.5 * size)
    return where(size < _FAR, near, far * growth * growth)


def _order_0(op: str, *, is_scaled: bool, serves_narrow: bool = True) -> ChoiceRow:
    single = _i0(I0_NEAR_SINGLE, I0_FAR_SINGLE, is_scaled=is_scaled)
    double = _i0(I0_NEAR, I0_FAR, is_scaled=is_scaled)
    return by_dtype(op, single, double, serves_narrow=serves_narrow)


def _order_1(op: str, *, is_scaled: bool) -> ChoiceRow:
    single = _i1(I1_NEAR_SINGLE, I1_FAR_SINGLE, is_scaled=is_scaled)
    return by_dtype(op, single, _i1(I1_NEAR, I1_FAR, is_scaled=is_scaled))


def _falling(order: int, *, is_scaled: bool) -> Expression:
    """K0 or K1: up to 2 its series, with the logarithm times I0 or I1; above, what exp(-x) / sqrt(x) is multiplied with."""
    half = 0.5 * x
    square = half * half
    logarithm = log(half) + _EULER
    if order:
        growing = x * polynomial(I1_NEAR, square)
        below = 1.0 / x + logarithm * growing - 0.5 * half * polynomial(K1_NEAR, square)
    else:
        below = square * polynomial(K0_NEAR, square) - logarithm * polynomial(I0_NEAR, square)
    place = 1.0 - 4.0 / (x + 2.0)
    above = polynomial(K1_FAR if order else K0_FAR, place) / sqrt(x)
    scaled = where(x <= 2.0, below * exp(x), above)
    value = scaled if is_scaled else where(x <= 2.0, below, above * exp(-x))
    return InDouble(where(x.equals(0.0), math.inf, value))


GROWING: Final[tuple[ChoiceRow, ...]] = (
    _order_0("aten.i0.default", is_scaled=False),
    _order_0("aten.special_i0e.default", is_scaled=True, serves_narrow=False),
    _order_0("aten.special_modified_bessel_i0.default", is_scaled=False),
    _order_1("aten.special_i1.default", is_scaled=False),
    _order_1("aten.special_i1e.default", is_scaled=True),
    _order_1("aten.special_modified_bessel_i1.default", is_scaled=False),
)
FALLING: Final[tuple[ChoiceRow, ...]] = tuple(
    narrower_than_double(
        f"aten.special_{name}_k{order}.default", _falling(order, is_scaled=is_scaled)
    )
    for name, is_scaled in (("modified_bessel", False), ("scaled_modified_bessel", True))
    for order in (0, 1)
)
