"""Modified Bessel functions of the first kind.

In: nothing.   Out: `BESSEL`, rows.
Does not: `special_i0e` of bfloat16 and float16, which eager computes with their own few digits where there are no whole vectors: its
gradient is a difference in which these digits are all that is left.
"""

from __future__ import annotations

from typing import Final

from graphwright.lower.expressions import (
    Expression,
    InDouble,
    absolute,
    exp,
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
)
from graphwright.lower.rules.special.dtypes import by_dtype

_FAR: Final = 10.0
"""The polynomials in 1 / x hold from here on."""
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


BESSEL: Final[tuple[ChoiceRow, ...]] = (
    _order_0("aten.i0.default", is_scaled=False),
    _order_0("aten.special_i0e.default", is_scaled=True, serves_narrow=False),
    _order_0("aten.special_modified_bessel_i0.default", is_scaled=False),
    _order_1("aten.special_i1.default", is_scaled=False),
    _order_1("aten.special_i1e.default", is_scaled=True),
    _order_1("aten.special_modified_bessel_i1.default", is_scaled=False),
)
