"""Inverse hyperbolic functions, lengths and angles.

In: nothing.   Out: `HYPERBOLIC`, rows.
Keeps: `atanh` of float32 is within twice eager's 1.0 ulp (1.9); in float64 it would be exact, and slower than eager's.
"""

from __future__ import annotations

import math
from typing import Final

from graphwright.ir.ops import ScalarOp
from graphwright.lower.expressions import (
    NAN,
    Expression,
    InDouble,
    absolute,
    copysign,
    function,
    is_inf,
    is_nan,
    log1p,
    maximum,
    minimum,
    sqrt,
    where,
)
from graphwright.lower.rules.pointwise import x, y
from graphwright.lower.rules.rows import ChoiceRow, PointwiseRow
from graphwright.lower.rules.special.dtypes import by_dtype

_HUGE: Final = 2.0**60
"""From here on, x² + 1 is x² and log1p(x) is log(x); squares of float32 are finite in float64, infinity's roots are not used."""
_either: Final = function(ScalarOp.BITWISE_OR)


def _log_of_double(value: Expression, rest: Expression) -> Expression:
    """Give log(1 + value + rest), rest being nearly value where this is huge."""
    is_huge = value > _HUGE
    return log1p(where(is_huge, value, value + rest)) + where(is_huge, math.log(2.0), 0.0)


def _asinh() -> Expression:
    """With a = |x|: log(a + sqrt(a² + 1)) = log1p(a + a² / (1 + sqrt(a² + 1)))."""
    size = absolute(x)
    square = size * size
    return copysign(_log_of_double(size, square / (1.0 + sqrt(square + 1.0))), x)


def _acosh() -> Expression:
    """With t = x - 1: log(x + sqrt(x² - 1)) = log1p(t + sqrt(t·(t + 2)))."""
    above = x - 1.0
    return where(x < 1.0, NAN, _log_of_double(above, sqrt(above * (above + 2.0))))


def _atanh() -> Expression:
    """With a = |x|: log((1 + a) / (1 - a)) / 2 = log1p(2·a / (1 - a)) / 2."""
    size = absolute(x)
    return copysign(0.5 * log1p(2.0 * size / (1.0 - size)), x)


def _hypot(length: Expression) -> Expression:
    """Infinite where either side is, even beside NaN."""
    return where(_either(is_inf(x), is_inf(y)), math.inf, length)


def _length() -> Expression:
    """Squares of float64 may overflow: the longer side is set apart."""
    longer, shorter = maximum(absolute(x), absolute(y)), minimum(absolute(x), absolute(y))
    ratio = shorter / longer
    return where(longer.equals(0.0), 0.0, longer * sqrt(ratio * ratio + 1.0))


LENGTHS: Final[tuple[ChoiceRow, ...]] = (
    by_dtype("aten.hypot.default", InDouble(_hypot(sqrt(x * x + y * y))), _hypot(_length())),
)
HYPERBOLIC: Final[tuple[PointwiseRow, ...]] = (
    PointwiseRow("aten.asinh.default", InDouble(_asinh())),
    PointwiseRow("aten.acosh.default", InDouble(_acosh())),
    PointwiseRow("aten.atanh.default", _atanh()),
    PointwiseRow("aten.angle.default", where(is_nan(x), x, where(x < 0, math.pi, 0))),
)
