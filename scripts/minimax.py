"""Fit the polynomials of the vector math functions, and print them as the source has them.

In:  `FITS`: for each polynomial the function it stands for, its powers, its interval and the weight of the error.
Out: coefficients, rounded to the precision they are used in, with the largest weighted error that is left.

Method: the exchange algorithm of Remez on a linear basis, in 40 digits (mpmath). Coefficients are then rounded one
after the other, from the lowest power up; after each, the remaining ones are fitted again, so that they make up for the
rounding of those before them.

Run: python scripts/minimax.py [name …]
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence

import msgspec
from mpmath import mp, mpf

mp.dps = 40

Function = Callable[[mpf], mpf]


class Fit(msgspec.Struct, frozen=True):
    """One polynomial: `Σ c[i] * t**powers[i]` close to `function(t)` on `[low, high]`."""

    function: Function
    powers: tuple[int, ...]
    low: float
    high: float
    is_double: bool = False
    weight: Function | None = None
    """What the error is multiplied with; 1 if None."""
    fixed: tuple[float, ...] = ()
    """Values of the first coefficients that are not to be fitted."""


def to_single(value: mpf) -> mpf:
    """Round to float32."""
    return mpf(struct.unpack("<f", struct.pack("<f", float(value)))[0])


def to_double(value: mpf) -> mpf:
    """Round to float64."""
    return mpf(float(value))


class Problem:
    """A fit with its function evaluated on a grid that is dense towards the ends."""

    def __init__(self, fit: Fit, size: int = 1500) -> None:
        self.fit = fit
        middle, radius = (mpf(fit.low) + mpf(fit.high)) / 2, (mpf(fit.high) - mpf(fit.low)) / 2
        self.grid = [middle - radius * mp.cos(mp.pi * k / (size - 1)) for k in range(size)]
        self.values = [fit.function(t) for t in self.grid]
        weights = [mpf(1) if fit.weight is None else abs(fit.weight(t)) for t in self.grid]
        least = max(weights) * mpf("1e-12")
        self.weights = [max(weight, least) for weight in weights]

    def residuals(
        self, coefficients: Sequence[mpf], powers: Sequence[int], targets: Sequence[mpf]
    ) -> list[mpf]:
        """Give the weighted errors on the grid."""
        return [
            (sum((c * t**p for c, p in zip(coefficients, powers, strict=True)), mpf(0)) - target)
            * weight
            for t, target, weight in zip(self.grid, targets, self.weights, strict=True)
        ]

    def solve(self, powers: Sequence[int], targets: Sequence[mpf]) -> list[mpf]:
        """Give the best coefficients for `powers` that Remez exchange meets.

        Powers without the lowest ones are no Chebyshev system where the interval holds 0, and the exchange may then go
        round in circles: the best set on the way is as good as what convergence would give, to within a factor of 2.
        """
        count = len(powers) + 1
        size = len(self.grid)
        nodes = [round((size - 1) * (k + 0.5) / count) for k in range(count)]
        best: list[mpf] = []
        least = mp.inf
        for _ in range(12):
            matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
            for row, node in enumerate(nodes):
                for col, power in enumerate(powers):
                    matrix[row, col] = self.grid[node] ** power
                matrix[row, count - 1] = (-1) ** row / self.weights[node]
                right[row] = targets[node]
            solution = mp.lu_solve(matrix, right)
            coefficients = list(solution)[:-1]
            errors = self.residuals(coefficients, powers, targets)
            if max(map(abs, errors)) < least:
                best, least = coefficients, max(map(abs, errors))
            following = _alternating_extrema(errors, count)
            if following is None or following == nodes:
                break
            nodes = following
        return best


def _alternating_extrema(errors: Sequence[mpf], count: int) -> list[int] | None:
    """Give the positions of `count` extrema of alternating sign, the largest such run."""
    best: list[int] = []
    for position, error in enumerate(errors):
        if best and (errors[best[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[best[-1]]):
                best[-1] = position
        else:
            best.append(position)
    while len(best) > count:
        drop = 0 if abs(errors[best[0]]) < abs(errors[best[-1]]) else len(best) - 1
        del best[drop]
    return best if len(best) == count else None


def fit_rounded(fit: Fit) -> tuple[list[mpf], mpf]:
    """Give rounded coefficients and the largest weighted error."""
    problem = Problem(fit)
    round_to = to_double if fit.is_double else to_single
    done = [mpf(value) for value in fit.fixed]
    while len(done) < len(fit.powers):
        targets = [
            value - sum((c * t**p for c, p in zip(done, fit.powers, strict=False)), mpf(0))
            for t, value in zip(problem.grid, problem.values, strict=True)
        ]
        rest = problem.solve(fit.powers[len(done) :], targets)
        done.append(round_to(rest[0]))
    errors = problem.residuals(done, fit.powers, problem.values)
    return done, max(map(abs, errors))


def _log1p_rest(t: mpf) -> mpf:
    """(log(1 + t) - t + t**2 / 2) / t**3."""
    if abs(t) < mpf("1e-9"):
        return mpf(1) / 3 - t / 4
    return (mp.log1p(t) - t + t * t / 2) / t**3


def _odd(function: Function, third: mpf) -> Function:
    """Give `(f(s) - s) / s**3` as a function of `s**2`."""

    def rest(square: mpf) -> mpf:
        s = mp.sqrt(square)
        return third if s < mpf("1e-9") else (function(s) - s) / s**3

    return rest


def _cos_rest(square: mpf) -> mpf:
    """(cos(s) - 1 + s**2 / 2) / s**4."""
    s = mp.sqrt(square)
    return mpf(1) / 24 if s < mpf("1e-6") else (mp.cos(s) - 1 + square / 2) / square**2


def _exp_rest(t: mpf) -> mpf:
    """(exp(t) - 1 - t) / t**2."""
    return mpf(1) / 2 + t / 6 if abs(t) < mpf("1e-9") else (mp.expm1(t) - t) / t**2


def _erf_small(square: mpf) -> mpf:
    """Erf(s) / s - 1."""
    s = mp.sqrt(square)
    return 2 / mp.sqrt(mp.pi) - 1 if s < mpf("1e-15") else mp.erf(s) / s - 1


def _log_erfc(t: mpf) -> mpf:
    """log2(erfc(t)) / t."""
    return mp.log(mp.erfc(t), 2) / t


def _log_normal_cdf(u: mpf) -> mpf:
    """log2(2 * Φ(-u)) / u, Φ being the distribution function of normal numbers."""
    slope = -mp.sqrt(2 / mp.pi) / mp.log(2)
    return slope if u < mpf("1e-12") else mp.log(mp.erfc(u / mp.sqrt(2)), 2) / u


def _erfcx_of(shift: float) -> Function:
    """exp(s**2) * erfc(s) * (1 + 2 * s) for `t = (s - shift) / (s + shift)`."""

    def function(t: mpf) -> mpf:
        s = shift * (1 + t) / (1 - t)
        return mp.exp(s * s) * mp.erfc(s) * (1 + 2 * s)

    return function


def _atanh_rest(square: mpf) -> mpf:
    """(2 * atanh(s) - 2 * s) / s**3."""
    s = mp.sqrt(square)
    return mpf(2) / 3 if s < mpf("1e-12") else 2 * (mp.atanh(s) - s) / s**3


HALF_LOG2 = 0.34657359027997264
QUARTER_PI_SQUARED = 0.6168502750680849
SQRT_LOW, SQRT_HIGH = -0.2928932188134524, 0.41421356237309515

FITS = {
    "exp": Fit(
        _exp_rest, (0, 1, 2, 3, 4), -HALF_LOG2, HALF_LOG2, weight=lambda t: t * t / mp.exp(t)
    ),
    "expm1": Fit(
        _exp_rest,
        tuple(range(6)),
        -HALF_LOG2,
        HALF_LOG2,
        weight=lambda t: t * t / _nonzero(mp.expm1(t)),
    ),
    "log": Fit(
        _log1p_rest,
        tuple(range(9)),
        SQRT_LOW,
        SQRT_HIGH,
        weight=lambda t: t**3 / _nonzero(mp.log1p(t)),
    ),
    "sin": Fit(
        _odd(mp.sin, mpf(-1) / 6), tuple(range(4)), 0, QUARTER_PI_SQUARED, weight=lambda u: u
    ),
    "cos": Fit(_cos_rest, tuple(range(3)), 0, QUARTER_PI_SQUARED, weight=lambda u: u * u),
    "tanh": Fit(_odd(mp.tanh, mpf(-1) / 3), tuple(range(8)), 0, 1.0, weight=lambda u: u),
    "tan_wide": Fit(
        _odd(mp.tan, mpf(1) / 3),
        tuple(range(8)),
        0,
        QUARTER_PI_SQUARED,
        is_double=True,
        weight=lambda u: u,
    ),
    "asin_wide": Fit(
        _odd(mp.asin, mpf(1) / 6), tuple(range(6)), 0, 0.25, is_double=True, weight=lambda u: u
    ),
    "atan": Fit(_odd(mp.atan, mpf(-1) / 3), tuple(range(9)), 0, 1, weight=lambda u: u),
    "erf_small": Fit(_erf_small, tuple(range(7)), 0, 1.0),
    "erf_large": Fit(_log_erfc, tuple(range(8)), 0.9, 4.0, weight=lambda t: t * mp.erfc(t)),
    "normal": Fit(
        _log_normal_cdf,
        tuple(range(10)),
        0,
        5.4,
        weight=lambda u: u / max(1, -u * _log_normal_cdf(u)),
    ),
    "erfcx_wide": Fit(_erfcx_of(2.0), tuple(range(13)), -1.0, 0.7, is_double=True),
    "exp_double": Fit(
        _exp_rest,
        tuple(range(10)),
        -HALF_LOG2,
        HALF_LOG2,
        is_double=True,
        weight=lambda t: t * t / mp.exp(t),
    ),
    "expm1_double": Fit(
        _exp_rest,
        tuple(range(11)),
        -HALF_LOG2,
        HALF_LOG2,
        is_double=True,
        weight=lambda t: t * t / _nonzero(mp.expm1(t)),
    ),
    "log_double": Fit(
        _atanh_rest, tuple(range(7)), 0, 0.029437251522859434, is_double=True, weight=lambda u: u
    ),
    "sin_double": Fit(
        _odd(mp.sin, mpf(-1) / 6),
        tuple(range(7)),
        0,
        QUARTER_PI_SQUARED,
        is_double=True,
        weight=lambda u: u,
    ),
    "cos_double": Fit(
        _cos_rest, tuple(range(6)), 0, QUARTER_PI_SQUARED, is_double=True, weight=lambda u: u * u
    ),
}
"""The polynomials of the functions of `math/`; `_wide` ones serve float32 functions that are computed in float64."""


def _nonzero(value: mpf) -> mpf:
    return value if value != 0 else mpf("1e-30")


def main(names: Sequence[str]) -> None:
    """Print the chosen fits, or all."""
    for name in names or FITS:
        coefficients, error = fit_rounded(FITS[name])
        print(
            f"{name}: largest weighted error {mp.nstr(error, 3)} = 2**{mp.nstr(mp.log(error, 2), 4)}"
        )
        digits = 17 if FITS[name].is_double else 9
        print("    " + ", ".join(f"{float(c):.{digits}g}" for c in coefficients))


if __name__ == "__main__":
    main(sys.argv[1:])
