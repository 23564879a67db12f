"""Bessel functions of order 0 that oscillate: J0 and Y0.

In: nothing.   Out: `WAVES`, rows.
Does not: float64, where eager is off by 1e-8 and more between 5 and 8, so that results that are right would not be eager's; order 1,
where eager's float64 is so far off that right float32 results do not agree with it.

Below 8, polynomials in x², the roots of J divided out; above, J + i·Y = sqrt(2 / (pi·x))·(P + i·Q)·exp(i·(x - pi / 4)), with P
and Q·x polynomials in 1/x².
"""

from __future__ import annotations

import math
from typing import Final

from graphwright.ir.ops import ScalarOp
from graphwright.lower.expressions import (
    Expression,
    InDouble,
    absolute,
    function,
    log,
    polynomial,
    sqrt,
    where,
)
from graphwright.lower.rules.pointwise import x
from graphwright.lower.rules.rows import ChoiceRow
from graphwright.lower.rules.special.coefficients import J0_NEAR, P0_FAR, Q0_FAR, Y0_NEAR
from graphwright.lower.rules.special.dtypes import narrower_than_double

_FAR: Final = 8.0
_FIRST_ROOT, _SECOND_ROOT = 5.783185962946784, 30.471262343662087
"""Squares of the roots of J0 below."""
_TWO_OVER_PI: Final = 2.0 / math.pi


def _waves() -> tuple[Expression, Expression]:
    """Give J0 and Y0 far from 0."""
    inverse = 1.0 / absolute(x)
    square = inverse * inverse
    cosine_part, sine_part = polynomial(P0_FAR, square), inverse * polynomial(Q0_FAR, square)
    angle = absolute(x) - math.pi / 4
    sine, cosine = function(ScalarOp.SIN)(angle), function(ScalarOp.COS)(angle)
    height = sqrt(_TWO_OVER_PI * inverse)
    return (
        height * (cosine_part * cosine - sine_part * sine),
        height * (cosine_part * sine + sine_part * cosine),
    )


def _forms() -> tuple[Expression, Expression]:
    """There is no Y0 below 0."""
    square = x * x
    middle = square - 32.0
    j0 = (square - _FIRST_ROOT) * (square - _SECOND_ROOT) * polynomial(J0_NEAR, middle)
    y0 = polynomial(Y0_NEAR, middle) + _TWO_OVER_PI * log(x) * j0
    far_j0, far_y0 = _waves()
    return where(absolute(x) < _FAR, j0, far_j0), where(x < _FAR, y0, far_y0)


WAVES: Final[tuple[ChoiceRow, ...]] = tuple(
    narrower_than_double(f"aten.special_bessel_{name}.default", InDouble(form))
    for name, form in zip(("j0", "y0"), _forms(), strict=True)
)
