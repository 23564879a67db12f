"""Special functions: digits, edge values, dtypes, layouts, and that they are kernels.

`EXACT` is from mpmath, in 40 digits.
"""

from __future__ import annotations

import math

import pytest
import torch
from compiled_plans import run_compiled
from eager_graphs import graph_of

from graphwright.graph.decompositions import decompositions
from graphwright.ir.plan import CallExtern
from graphwright.lower import lower_graph

S = torch.special
FUNCTIONS = {
    "asinh": torch.asinh,
    "acosh": torch.acosh,
    "atanh": torch.atanh,
    "digamma": torch.digamma,
    "trigamma": lambda x: torch.polygamma(1, x),
    "i0": torch.i0,
    "i0e": S.i0e,
    "i1": S.i1,
    "i1e": S.i1e,
    "entr": S.entr,
    "log_ndtr": S.log_ndtr,
    "erfcx": S.erfcx,
}
WAVES = {"j0": S.bessel_j0, "y0": S.bessel_y0}
FALLING = {
    "k0": S.modified_bessel_k0,
    "k1": S.modified_bessel_k1,
    "scaled k0": S.scaled_modified_bessel_k0,
    "scaled k1": S.scaled_modified_bessel_k1,
}
POLYNOMIALS = {name: getattr(S, name) for name in sorted(vars(S)) if "_polynomial_" in name}
SINGLE_ONLY = {"lgamma": torch.lgamma, "ndtri": S.ndtri, "mvlgamma": lambda x: torch.mvlgamma(x, 2)}
EXACT = {
    "asinh": {
        1e-09: 1e-09,
        0.75: 0.6931471805599453,
        -3.5: -1.9657204716496515,
        1e200: 461.2101657793691,
    },
    "acosh": {
        1.0000001: 0.0004472135919037347,
        1.5: 0.9624236501192069,
        7.25: 2.669358110903154,
        1e200: 461.2101657793691,
    },
    "atanh": {
        1e-09: 1e-09,
        -0.5: -0.5493061443340549,
        0.999: 3.8002011672501994,
    },
    "digamma": {
        1e-09: -1000000000.5772156,
        0.3: -3.502524222200133,
        1.4616: -3.110625123034165e-05,
        1.75: 0.24747245354686118,
        4.25: 1.3246832187604867,
        9.5: 2.1977378764029494,
        1000000.0: 13.815510057964191,
        -0.3: 2.113309779635399,
        -7.75: -1.0307688328309315,
    },
    "trigamma": {
        1e-09: 9.999999999999999e17,
        0.3: 12.245364546107732,
        1.75: 0.7641018698938287,
        4.25: 0.26512373409656215,
        9.5: 0.11099728846909904,
        1000000.0: 1.0000005000001667e-06,
        -0.3: 13.945160267805722,
        -7.75: 19.61814433435229,
    },
    "i0": {
        0.5: 1.0634833707413236,
        -6.75: 133.816310734236,
        9.5: 1753.4809905273228,
        30.0: 781672297823.9775,
        700.0: 1.5295933476718737e302,
    },
    "i0e": {
        0.5: 0.6450352704491501,
        -6.75: 0.1566827911681762,
        9.5: 0.13125126081426788,
        30.0: 0.0731459464822373,
        100000.0: 0.0012615678379767768,
    },
    "i1": {
        1e-09: 5e-10,
        0.5: 0.2578943053908963,
        -6.75: -123.46285601136242,
        9.5: 1658.4530777821342,
        30.0: 768532038938.957,
        700.0: 1.5285003902339006e302,
    },
    "i1e": {
        1e-09: 4.999999995000001e-10,
        0.5: 0.1564208031848717,
        -6.75: -0.14456014202837938,
        9.5: 0.12413824765488178,
        30.0: 0.07191633059864755,
        100000.0: 0.0012615615301218171,
    },
    "entr": {
        1e-09: 2.072326583694641e-08,
        0.3: 0.3611918412977808,
        0.9: 0.09482446409204365,
        7.0: -13.621371043387192,
    },
    "log_ndtr": {
        -300.0: -45006.62273211866,
        -20.5: -214.0667289632638,
        -1.25: -2.247625677214318,
        -0.125: -0.7979261427530241,
        0.5: -0.3689464152886564,
        3.25: -0.0005771915854099501,
        9.5: -1.0494515075362608e-21,
        30.0: -4.906713927148187e-198,
    },
    "erfcx": {
        -3.5: 417962.4224457703,
        -0.25: 1.358642370104722,
        0.125: 0.8732218450821508,
        2.5: 0.2108063640611436,
        30.0: 0.01879588886141675,
        1000000.0: 5.641895835474742e-07,
    },
}
EDGES = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.5, -3.0, 2.5, 6.0, 10.0, -17.5, 80.0, -80.0),
    *(math.inf, -math.inf, math.nan, 1e-30, -1e-30, 1e30, -1e30),
]
POLES = {"trigamma": [-1.0, -3.0, -80.0, -1e30]}
"""Where eager gives a large number that rounding made, and not infinity."""


def run(function, *args, externs=0):
    lowered = lower_graph(decompositions(graph_of(function, *args)), num_threads=2)
    calls = [step for step in lowered.plan.steps if isinstance(step, CallExtern)]
    assert len(calls) == externs, calls
    (actual,) = run_compiled(lowered, list(args))
    return actual


def ulps(values, exact):
    """Give the largest error in units of the last place; 0 where both are infinite, or no numbers."""
    _, exponent = torch.frexp(exact.abs().clamp(min=torch.finfo(values.dtype).smallest_normal))
    unit = torch.ldexp(torch.ones_like(exact), exponent - 1) * torch.finfo(values.dtype).eps
    error = (values.double() - exact).abs() / unit
    return error.nan_to_num(0.0, math.inf).max().item()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", EXACT)
def test_digits(name, dtype):
    places = torch.tensor(list(EXACT[name]), dtype=torch.float64)
    exact = torch.tensor(list(EXACT[name].values()), dtype=torch.float64)
    is_kept = (places == places.to(dtype)) & (exact.abs() < torch.finfo(dtype).max)

    actual = run(FUNCTIONS[name], places[is_kept].to(dtype))

    assert ulps(actual, exact[is_kept]) < (2.0 if dtype is torch.float32 else 6.0)


@pytest.mark.parametrize("name", [*FUNCTIONS, *SINGLE_ONLY])
def test_float32_is_rounded_once(name):
    function = FUNCTIONS.get(name) or SINGLE_ONLY[name]
    drawn = torch.rand(4000, generator=torch.Generator().manual_seed(1)) * 24 - 12
    if name in ("ndtri", "atanh"):
        drawn = drawn / 12
    exact = function(drawn.double())
    is_number = (exact.abs() > 1e-3) & (exact.abs() < torch.finfo(torch.float32).max)

    actual = run(function, drawn)

    assert ulps(actual[is_number], exact[is_number]) < (2.0 if name in ("atanh", "entr") else 0.6)
    assert torch.equal(actual.isnan(), exact.isnan())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [*FUNCTIONS, *SINGLE_ONLY])
def test_edges(name, dtype):
    function = FUNCTIONS.get(name) or SINGLE_ONLY[name]
    values = torch.tensor([edge for edge in EDGES if edge not in POLES.get(name, ())], dtype=dtype)
    try:
        expected = function(values)
    except RuntimeError:
        pytest.skip(f"eager has no {name} of {dtype}")
    is_called = (name in SINGLE_ONLY and dtype is torch.float64) or (
        name == "i0e" and dtype is torch.bfloat16
    )

    actual = run(function, values, externs=int(is_called))

    torch.testing.assert_close(
        actual, expected, equal_nan=True, rtol=1e-2 if dtype is torch.bfloat16 else 1e-5, atol=0
    )
    is_number = ~expected.isnan()
    assert torch.equal(actual.signbit()[is_number], expected.signbit()[is_number])


@pytest.mark.parametrize("name", ["asinh", "lgamma", "digamma", "i0", "entr", "log_ndtr"])
def test_integers_give_float32(name):
    function = FUNCTIONS.get(name) or SINGLE_ONLY[name]
    values = torch.arange(-4, 12).view(4, 4).t()

    actual, expected = run(function, values), function(values)

    assert actual.stride() == expected.stride()
    torch.testing.assert_close(actual, expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_hypot(dtype):
    x = torch.tensor(EDGES, dtype=dtype)
    largest = torch.finfo(dtype).max / 2
    x = torch.cat([x, torch.tensor([largest, -largest / 3, torch.finfo(dtype).tiny], dtype=dtype)])

    actual, expected = run(torch.hypot, x[:, None], x), torch.hypot(x[:, None], x)

    torch.testing.assert_close(
        actual, expected, equal_nan=True, atol=0, rtol=2 * torch.finfo(dtype).eps
    )


def test_angle():
    x = torch.tensor(EDGES)
    assert run(torch.angle, x).nan_to_num(9).tolist() == torch.angle(x).nan_to_num(9).tolist()
    assert torch.equal(run(torch.angle, x.nan_to_num().int()), torch.angle(x.nan_to_num().int()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_ldexp(dtype):
    x = torch.tensor([1e-30, 1e-7, 3e4, 1e-30, 2.0, 3.3e-38, -0.0, math.inf, math.nan]).to(dtype)
    exponents = torch.tensor([150, 200, -270, 1000, -(2**40), -5, 7, -1, 3])

    actual, expected = run(torch.ldexp, x, exponents), torch.ldexp(x, exponents)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)

    halves = exponents.clamp(-30, 30) / 2 + 0.25
    actual, expected = run(torch.ldexp, x, halves), torch.ldexp(x, halves)
    torch.testing.assert_close(actual, expected, equal_nan=True)


def test_ldexp_that_stays_a_call():
    run(torch.ldexp, torch.ones(3, dtype=torch.float64), torch.tensor([1, 2, 3]), externs=1)
    run(torch.ldexp, torch.arange(3), torch.tensor([1, 2, 3]), externs=1)


@pytest.mark.parametrize("decimals", [0, 1, 3, -2, 6])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
def test_round_to_decimals(dtype, decimals):
    x = (torch.randn(300, generator=torch.Generator().manual_seed(3)) * 50).to(dtype)
    x = torch.cat([x, torch.tensor(EDGES).to(dtype)])

    def function(values):
        return torch.round(values, decimals=decimals)

    actual = run(function, x, externs=int(decimals == 6))
    torch.testing.assert_close(actual, function(x), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("eps", [None, 0.01])
def test_logit_rounds_each_step(dtype, eps):
    x = torch.cat(
        [torch.rand(3000, generator=torch.Generator().manual_seed(3)), torch.tensor(EDGES)]
    )

    def function(values):
        return torch.logit(values, eps=eps)

    actual, expected = run(function, x.to(dtype)), function(x.to(dtype))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


BESSEL_EXACT = {
    "j0": {
        0.5: 0.9384698072408129,
        5.25: -0.09308098963931788,
        7.5: 0.2663396578803784,
        30.0: -0.08636798358104021,
    },
    "y0": {
        0.5: -0.44451873350670656,
        5.25: -0.33477723515498115,
        7.5: 0.11731328614820863,
        30.0: -0.11729573168666403,
    },
}


@pytest.mark.parametrize("name", WAVES)
def test_waves(name):
    places, exact = zip(*BESSEL_EXACT[name].items(), strict=True)

    actual = run(WAVES[name], torch.tensor(places))
    assert torch.equal(actual, torch.tensor(exact))

    edges = torch.tensor(EDGES)
    actual, expected = run(WAVES[name], edges), WAVES[name](edges)
    torch.testing.assert_close(actual, expected, equal_nan=True, rtol=1e-5, atol=1e-7)
    run(WAVES[name], edges.double(), externs=1)


@pytest.mark.parametrize("name", FALLING)
def test_what_falls(name):
    values = torch.tensor([*EDGES, 0.125, 1.75, 2.25, 30.0])
    actual, expected = run(FALLING[name], values), FALLING[name](values)
    torch.testing.assert_close(actual, expected, equal_nan=True, rtol=2e-6, atol=0)
    run(FALLING[name], values.double(), externs=1)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_of_a_number(name):
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)

    def function(values):
        degrees = (0, 1, 2, 3, 4)
        return torch.stack([POLYNOMIALS[name](values, degree) for degree in degrees])

    torch.testing.assert_close(run(function, x), function(x), rtol=1e-14, atol=1e-14)


def test_polynomials_of_many_degrees_are_called():
    x = torch.linspace(-1, 1, 9)
    run(lambda values: S.chebyshev_polynomial_t(values, 7), x, externs=1)
    run(lambda values: S.hermite_polynomial_h(values, 40), x, externs=1)
    run(lambda values: S.legendre_polynomial_p(values, values.int()), x, externs=1)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.uint8], ids=str)
def test_powers_of_integers(dtype):
    info = torch.iinfo(dtype)
    numbers = [info.min, info.max, 0, 1, 2, 3, 5, 7, 11, 31, info.max - 1]
    numbers += [-1, -2, -3] if info.min else []
    x = torch.tensor(numbers, dtype=dtype)

    for function in (
        lambda x: torch.pow(x[:, None], x),
        lambda x: torch.pow(x, 5),
        lambda x: torch.pow(x, 0),
        lambda x: torch.pow(3, x),
    ):
        assert torch.equal(run(function, x), function(x))


def test_they_fuse_with_their_neighbours():
    def log_beta(a, b):
        return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)

    a, b = torch.rand(2, 64, 33).unbind()
    lowered = lower_graph(graph_of(log_beta, a, b), num_threads=1)

    assert len(lowered.kernels) == 1
    (actual,) = run_compiled(lowered, [a, b])
    torch.testing.assert_close(actual, log_beta(a, b))
