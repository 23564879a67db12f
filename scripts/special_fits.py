"""Fit the polynomials of the special functions, and print the module that holds them.

In:  `FITS`: for each polynomial the function it stands for, its interval, and the relative error that is wanted.
Out: the text of `src/graphwright/lower/rules/special/coefficients.py`.

Method: interpolation at Chebyshev's nodes in 50 digits (mpmath), of the least degree that is good enough; these functions are so
smooth that the best polynomial would have hardly fewer terms. Coefficients are rounded to float64, and the error is measured with
the rounded ones.

Run: python scripts/special_fits.py > src/graphwright/lower/rules/special/coefficients.py
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import msgspec
from mpmath import mp, mpf

mp.dps = 50

Function = Callable[[mpf], mpf]
_DOUBLE = 1.5e-16
_SINGLE = 1e-10
"""Enough for results that are rounded to float32."""
_HEAD = '''"""Polynomials that the special functions are made of, lowest power first. Written by `scripts/special_fits.py`.

In: nothing.   Out: tuples of coefficients, with what they stand for and their largest error, relative where nothing else is said.
"""

from typing import Final
'''


class Fit(msgspec.Struct, frozen=True):
    """One polynomial: `Σ c[i] * t**i` close to `function(t)` on `[low, high]`."""

    meaning: str
    function: Function
    low: float
    high: float
    error: float = _DOUBLE
    is_absolute: bool = False
    """The error is absolute: the function has zeros, or is a part of a sum."""


def interpolate(fit: Fit, degree: int) -> tuple[list[float], float]:
    """Give the rounded coefficients, and their largest error."""
    low, high = mpf(fit.low), mpf(fit.high)
    nodes = [
        (low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (k + mpf(0.5)) / (degree + 1))
        for k in range(degree + 1)
    ]
    differences = [fit.function(node) for node in nodes]
    for order in range(1, degree + 1):
        for k in range(degree, order - 1, -1):
            span = nodes[k] - nodes[k - order]
            differences[k] = (differences[k] - differences[k - 1]) / span
    exact = [differences[-1]]
    for node, difference in zip(reversed(nodes[:-1]), reversed(differences[:-1]), strict=True):
        raised = [mpf(0), *exact]
        exact = [up - node * here for up, here in zip(raised, [*exact, mpf(0)], strict=True)]
        exact[0] += difference
    rounded = [float(coefficient) for coefficient in exact]
    reversed_ = [mpf(coefficient) for coefficient in reversed(rounded)]
    grid = [low + (high - low) * mpf(k) / 301 for k in range(302)]
    wanted = [fit.function(t) for t in grid]
    errors = [
        abs(mp.polyval(reversed_, t) - y) / (1 if fit.is_absolute else abs(y) or 1)
        for t, y in zip(grid, wanted, strict=True)
    ]
    return rounded, float(max(errors))


def _with_limit(at: float, limit: mpf, function: Function) -> Function:
    """Give the function, whose formula is not defined at `at`."""
    return lambda t: limit if abs(t - at) < mpf("1e-20") else function(t)


def _lgamma_far(t: mpf) -> mpf:
    """Lgamma(x) - (x - 1/2) * (log(x) - 1) for t = 1/x."""
    if t == 0:
        return (mp.log(2 * mp.pi) - 1) / 2
    return mp.loggamma(1 / t) - (1 / t - mpf(0.5)) * (mp.log(1 / t) - 1)


def _digamma_rest(t: mpf) -> mpf:
    """What remains of digamma(z) beside log(z) - 1 / (2 * z), times -z**2, for t = 1/z**2."""
    z = 1 / mp.sqrt(t)
    return (mp.log(z) - 1 / (2 * z) - mp.digamma(z)) * z * z


def _trigamma_rest(t: mpf) -> mpf:
    """What remains of trigamma(z) beside 1 / z + 1 / (2 * z**2), times z**3, for t = 1/z**2."""
    z = 1 / mp.sqrt(t)
    return (mp.psi(1, z) - 1 / z - 1 / (2 * z * z)) * z**3


def _erfcx(t: mpf) -> mpf:
    """Erfcx(s) * (1 + 2 * s) for t = (s - 3) / (s + 3)."""
    if t == 1:
        return 2 / mp.sqrt(mp.pi)
    s = 3 * (1 + t) / (1 - t)
    if s < 50:
        return mp.exp(s * s) * mp.erfc(s) * (1 + 2 * s)
    terms = ((-1) ** k * mp.fac2(2 * k - 1) / (2 * s * s) ** k for k in range(30))
    return mp.fsum(terms) / (s * mp.sqrt(mp.pi)) * (1 + 2 * s)


@functools.cache
def _erfinv(w: mpf) -> mpf:
    """Erfinv(x) / x for w = -log(1 - x**2)."""
    if w < mpf("1e-15"):
        return mp.sqrt(mp.pi) / 2
    rest = mp.exp(-w)
    x = mp.sqrt(1 - rest)
    if w < 1:
        return mp.erfinv(x) / x
    goal = mp.log(rest / (1 + x))
    y = mp.sqrt(w) * mpf(0.8)
    for _ in range(80):
        tail = mp.erfc(y)
        step = (mp.log(tail) - goal) * tail * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step
        if abs(step) < mpf("1e-35"):
            break
    return y / x


def _bessel_i_far(order: int) -> Function:
    """I(x) * exp(-x) * sqrt(x) for t = 1/x."""

    def function(t: mpf) -> mpf:
        if t == 0:
            return 1 / mp.sqrt(2 * mp.pi)
        return mp.besseli(order, 1 / t) * mp.exp(-1 / t) / mp.sqrt(t)

    return function


def _bessel_k_far(order: int) -> Function:
    """K(x) * exp(x) * sqrt(x) for t = (x - 2) / (x + 2)."""

    def function(t: mpf) -> mpf:
        if t == 1:
            return mp.sqrt(mp.pi / 2)
        x = 2 * (1 + t) / (1 - t)
        if x < 40:
            return mp.besselk(order, x) * mp.exp(x) * mp.sqrt(x)
        total, term = mpf(0), mp.sqrt(mp.pi / 2)
        for k in range(70):
            total += term
            term *= (4 * order * order - (2 * k + 1) ** 2) / (8 * (k + 1) * x)
        return total

    return function


def _bessel_k_near(order: int) -> Function:
    """What is added to the logarithm's part of K, as a series in t = (x / 2)**2 (see `FITS`)."""

    def function(t: mpf) -> mpf:
        if order == 0:
            return mp.fsum(
                mp.harmonic(k) * t ** (k - 1) / mp.factorial(k) ** 2 for k in range(1, 40)
            )
        return mp.fsum(
            (mp.harmonic(k) + mp.harmonic(k + 1)) * t**k / (mp.factorial(k) * mp.factorial(k + 1))
            for k in range(40)
        )

    return function


def _bessel_phase(*, is_cosine: bool) -> Function:
    """P(x), or Q(x) * x, for t = 1/x**2, of sqrt(pi * x / 2) * (J0 + i * Y0) = (P + i * Q) * exp(i * (x - pi / 4))."""

    def series(x: mpf) -> mpf:
        total, term = mpf(0), mpf(1)
        for k in range(60):
            if k % 2 == int(not is_cosine):
                total += (-1) ** (k // 2) * term
            term *= -((2 * k + 1) ** 2) / (8 * (k + 1) * x)
        return total

    def function(t: mpf) -> mpf:
        if t == 0:
            return mpf(1) if is_cosine else -mpf(1) / 8
        x = 1 / mp.sqrt(t)
        if x > 60:
            return series(x) if is_cosine else series(x) * x
        angle, size = x - mp.pi / 4, mp.sqrt(mp.pi * x / 2)
        j, y = mp.besselj(0, x), mp.bessely(0, x)
        if is_cosine:
            return size * (j * mp.cos(angle) + y * mp.sin(angle))
        return size * (y * mp.cos(angle) - j * mp.sin(angle)) * x

    return function


def _j0_near(t: mpf) -> mpf:
    """J0(x), divided by what vanishes at its roots below 8, for t = x**2 - 32."""
    square = t + 32
    roots = [mp.besseljzero(0, k) ** 2 for k in (1, 2)]
    return mp.besselj(0, mp.sqrt(square)) / ((square - roots[0]) * (square - roots[1]))


def _y0_near(t: mpf) -> mpf:
    """Y0(x) without the part of the logarithm, for t = x**2 - 32."""
    x = mp.sqrt(max(t + 32, mpf("1e-20")))
    return mp.bessely(0, x) - 2 / mp.pi * mp.log(x) * mp.besselj(0, x)


def _root(function: Function) -> Function:
    """Give `function(sqrt(t))`."""
    return lambda t: function(mp.sqrt(t))


DIGAMMA_ZERO = mp.findroot(mp.digamma, 1.46)
W_NEAR, S_MIDDLE, S_FAR, S_LAST = 3.125, 3.25, 7.125, 10.25
_SMALL = 1e-12
"""Stands for 0 where a formula is not defined there."""

FITS = {
    "LGAMMA_NEAR": Fit(
        "lgamma(2 + t) / t",
        _with_limit(0, 1 - mp.euler, lambda t: mp.loggamma(2 + t) / t),
        *(-0.5, 0.5, _SINGLE),
    ),
    "LGAMMA_FAR": Fit(
        "lgamma(x) - (x - 1/2) * (log(x) - 1), t = 1/x", _lgamma_far, 0, 0.4, _SINGLE
    ),
    "SIN_PI": Fit(
        "sin(pi * r) / r, t = r**2",
        _with_limit(0, mp.pi, _root(lambda r: mp.sinpi(r) / r)),
        *(0, 0.25),
    ),
    "SIN_PI_SINGLE": Fit(
        "the same, for results that are rounded to float32",
        _with_limit(0, mp.pi, _root(lambda r: mp.sinpi(r) / r)),
        *(0, 0.25, _SINGLE),
    ),
    "COS_PI": Fit(
        "cos(pi * r) / (1/4 - t), t = r**2",
        _with_limit(0.25, mp.pi, lambda t: mp.cospi(mp.sqrt(t)) / (mpf(0.25) - t)),
        *(0, 0.25),
    ),
    "DIGAMMA_ROOT": Fit(
        "digamma(1.5 + t) / (1.5 + t - root)",
        lambda t: mp.digamma(t + mpf(1.5)) / (t + mpf(1.5) - DIGAMMA_ZERO),
        *(-0.5, 0.5),
    ),
    "DIGAMMA_FAR": Fit(
        "(log(z) - 1 / (2 * z) - digamma(z)) * z**2, t = 1/z**2",
        *(_digamma_rest, _SMALL, 1 / 36, 1e-15),
    ),
    "TRIGAMMA_FAR": Fit(
        "(trigamma(z) - 1 / z - 1 / (2 * z**2)) * z**3, t = 1/z**2",
        *(_trigamma_rest, _SMALL, 1 / 36, 1e-15),
    ),
    "ERFCX": Fit("erfcx(s) * (1 + 2 * s), t = (s - 3) / (s + 3)", _erfcx, -1, 1),
    "ERFINV_NEAR": Fit(
        "erfinv(x) / x, t = w - 3.125, w = -log(1 - x**2)",
        *(lambda t: _erfinv(t + W_NEAR), -W_NEAR, W_NEAR, _SINGLE),
    ),
    "ERFINV_MIDDLE": Fit(
        "erfinv(x) / x, t = sqrt(w) - 3.25",
        *(lambda t: _erfinv((t + S_MIDDLE) ** 2), -0.75, 0.75, _SINGLE),
    ),
    "ERFINV_FAR": Fit(
        "erfinv(x) / x, t = sqrt(w) - 7.125",
        *(lambda t: _erfinv((t + S_FAR) ** 2), 4 - S_FAR, S_LAST - S_FAR, _SINGLE),
    ),
    "I0_NEAR": Fit("I0(x), t = (x / 2)**2", _root(lambda s: mp.besseli(0, 2 * s)), 0, 25),
    "I0_FAR": Fit("I0(x) * exp(-x) * sqrt(x), t = 1/x", _bessel_i_far(0), 0, 0.1),
    "I0_NEAR_SINGLE": Fit(
        "I0(x), t = (x / 2)**2", _root(lambda s: mp.besseli(0, 2 * s)), 0, 25, _SINGLE
    ),
    "I0_FAR_SINGLE": Fit("I0(x) * exp(-x) * sqrt(x), t = 1/x", _bessel_i_far(0), 0, 0.1, _SINGLE),
    "I1_NEAR": Fit(
        "I1(x) / x, t = (x / 2)**2",
        _with_limit(0, mpf(0.5), _root(lambda s: mp.besseli(1, 2 * s) / (2 * s))),
        *(0, 25),
    ),
    "I1_FAR": Fit("I1(x) * exp(-x) * sqrt(x), t = 1/x", _bessel_i_far(1), 0, 0.1),
    "I1_NEAR_SINGLE": Fit(
        "I1(x) / x, t = (x / 2)**2",
        _with_limit(0, mpf(0.5), _root(lambda s: mp.besseli(1, 2 * s) / (2 * s))),
        *(0, 25, _SINGLE),
    ),
    "I1_FAR_SINGLE": Fit("I1(x) * exp(-x) * sqrt(x), t = 1/x", _bessel_i_far(1), 0, 0.1, _SINGLE),
    "K0_NEAR": Fit(
        "(K0(x) + (log(x / 2) + euler) * I0(x)) / t, t = (x / 2)**2", _bessel_k_near(0), 0, 1
    ),
    "K0_FAR": Fit("K0(x) * exp(x) * sqrt(x), t = (x - 2) / (x + 2)", _bessel_k_far(0), 0, 1),
    "K1_NEAR": Fit(
        "(1 / x + (log(x / 2) + euler) * I1(x) - K1(x)) * 4 / x, t = (x / 2)**2",
        *(_bessel_k_near(1), 0, 1),
    ),
    "K1_FAR": Fit("K1(x) * exp(x) * sqrt(x), t = (x - 2) / (x + 2)", _bessel_k_far(1), 0, 1),
    "J0_NEAR": Fit(
        "J0(x) / ((x**2 - a**2) * (x**2 - b**2)), t = x**2 - 32", _j0_near, -32, 32, 1e-15
    ),
    "Y0_NEAR": Fit(
        "Y0(x) - 2 / pi * log(x) * J0(x), t = x**2 - 32; an absolute error",
        *(_y0_near, -32, 32, 2e-16, True),
    ),
    "P0_FAR": Fit("P0, t = 1/x**2", _bessel_phase(is_cosine=True), 0, 1 / 64),
    "Q0_FAR": Fit("Q0, t = 1/x**2", _bessel_phase(is_cosine=False), 0, 1 / 64),
}


def main() -> None:
    """Print the module."""
    print(_HEAD)
    for name, fit in FITS.items():
        for degree in range(4, 36):
            coefficients, error = interpolate(fit, degree)
            if error < fit.error:
                break
        else:
            message = f"{name} is not found: {error}"
            raise ValueError(message)
        lines = "".join(f"    {coefficient!r},\n" for coefficient in coefficients)
        low, high = f"{fit.low:g}", f"{fit.high:g}"
        print(f"{name}: Final = (\n{lines})")
        print(
            f'"""{fit.meaning}, on {low} … {high}; error {math.ceil(error * 1e18) / 1e18:.1e}."""'
        )


if __name__ == "__main__":
    main()
