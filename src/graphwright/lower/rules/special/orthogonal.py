"""Orthogonal polynomials of a degree that is a number.

In: nothing.   Out: `ORTHOGONAL`, rows.
Keeps: eager's recurrences, each from the two polynomials before. At a NaN it stops there, with what memory holds; here the result
is NaN.
Does not: degrees above the limits below, where eager takes trigonometric formulas, or many steps; degrees that are tensors, which
would need a loop of as many steps as the highest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from graphwright.ir.aten import AtenNode
from graphwright.ir.node_arguments import argument, number_of
from graphwright.lower.expressions import Expression, where
from graphwright.lower.rules.pointwise import x
from graphwright.lower.rules.rows import ChoiceRow

Step = Callable[[Expression, Expression, Expression, int], Expression]
"""(x, polynomial k, polynomial k - 1, k) → polynomial k + 1."""


def _chebyshev(at: Expression, last: Expression, before: Expression, _k: int) -> Expression:
    return (at + at) * last - before


def _hermite(at: Expression, last: Expression, before: Expression, k: int) -> Expression:
    return (at + at) * last - 2.0 * k * before


def _hermite_e(at: Expression, last: Expression, before: Expression, k: int) -> Expression:
    return at * last - float(k) * before


def _laguerre(at: Expression, last: Expression, before: Expression, k: int) -> Expression:
    return ((2.0 * k + (1.0 - at)) * last - float(k) * before) / float(k + 1)


def _legendre(at: Expression, last: Expression, before: Expression, k: int) -> Expression:
    return ((2.0 * k + 1.0) * at * last - float(k) * before) / float(k + 1)


def _family(
    name: str,
    first: Callable[[Expression], Expression],
    step: Step,
    most: int,
    at: Expression = x,
) -> ChoiceRow:
    """Give the row of the polynomials that begin with 1 and `first(x)`."""

    def choose(node: AtenNode) -> Expression | None:
        degree = int(number_of(argument(node, 1, "n")))
        if not 0 <= degree <= most:
            return None
        before: Expression = where(at.equals(at), 1.0, 1.0)
        if degree == 0:
            return before
        last = first(at)
        for k in range(1, degree):
            before, last = last, step(at, last, before, k)
        return last

    return ChoiceRow(f"aten.special_{name}.n_scalar", choose)


_CHEBYSHEV_FIRSTS: Final[dict[str, Callable[[Expression], Expression]]] = {
    "t": lambda at: at,
    "u": lambda at: at + at,
    "v": lambda at: at + at - 1.0,
    "w": lambda at: at + at + 1.0,
}
_MOST_CHEBYSHEV: Final = {
    "t": 6,
    "u": 8,
    "v": 8,
    "w": 8,
    "shifted_t": 6,
    "shifted_u": 6,
    "shifted_v": 6,
    "shifted_w": 4,
}
"""The last degrees of Chebyshev's polynomials before eager takes angles."""
_MOST: Final = 12

ORTHOGONAL: Final[tuple[ChoiceRow, ...]] = (
    *(
        _family(
            f"{prefix}chebyshev_polynomial_{kind}",
            *(first, _chebyshev, _MOST_CHEBYSHEV[prefix + kind], at),
        )
        for prefix, at in (("", x), ("shifted_", x + x - 1.0))
        for kind, first in _CHEBYSHEV_FIRSTS.items()
    ),
    _family("hermite_polynomial_h", lambda at: at + at, _hermite, _MOST),
    _family("hermite_polynomial_he", lambda at: at, _hermite_e, _MOST),
    _family("laguerre_polynomial_l", lambda at: 1.0 - at, _laguerre, _MOST),
    _family("legendre_polynomial_p", lambda at: at, _legendre, _MOST),
)
