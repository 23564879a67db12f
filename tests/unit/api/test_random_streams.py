"""Random numbers of compiled programs: eager's, and with `fast_random` others that follow from the same seed."""

import math

import pytest
import torch

import graphwright as gw

COUNT = 100_000
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
DRAWS = {
    "rand": (lambda x: torch.rand(x.shape, dtype=x.dtype), 0.5, 1 / 12),
    "rand_like": (torch.rand_like, 0.5, 1 / 12),
    "randn": (lambda x: torch.randn(x.shape, dtype=x.dtype), 0.0, 1.0),
    "randn_like": (torch.randn_like, 0.0, 1.0),
    "uniform": (lambda x: torch.empty_like(x).uniform_(-1, 3), 1.0, 16 / 12),
    "normal": (lambda x: torch.empty_like(x).normal_(2, 0.5), 2.0, 0.25),
    "bernoulli": (lambda x: torch.empty_like(x).bernoulli_(0.3), 0.3, 0.21),
    "bernoulli of a tensor": (lambda x: torch.bernoulli(torch.full_like(x, 0.75)), 0.75, 0.1875),
    "dropout": (lambda x: torch.nn.functional.dropout(torch.ones_like(x), 0.2), 1.0, 0.25),
}


def compiled(program):
    return gw.compile(program, fullgraph=True, options={"fast_random": True})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_fast_numbers_have_the_distribution(name, dtype):
    program, mean, variance = DRAWS[name]
    torch.manual_seed(0)

    drawn = compiled(program)(torch.empty(COUNT, dtype=dtype))
    values = drawn.double()

    assert drawn.dtype is dtype
    # Five standard errors, and what a narrow dtype's uniform numbers are below their mean.
    step = 2.0**-8 if dtype is torch.bfloat16 else 2.0**-11
    assert abs(values.mean() - mean) < 5 * math.sqrt(variance / COUNT) + 4 * step
    assert abs(values.var() - variance) < 0.03 * variance + 0.001
    centred = values - values.mean()
    for lag in (1, 2, 7, 64):
        correlation = (centred[lag:] * centred[:-lag]).mean() / centred.square().mean()
        assert abs(correlation) < 6 / math.sqrt(COUNT)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fast_uniform_numbers_are_below_one_and_fill_the_range(dtype):
    torch.manual_seed(0)

    drawn = compiled(torch.rand_like)(torch.empty(COUNT, dtype=dtype))

    assert 0 <= drawn.min() < 0.01
    assert 0.99 < drawn.max() < 1
    shares = torch.histc(drawn.double(), 16, 0, 1) / COUNT
    assert (shares - 1 / 16).abs().max() < 0.006


def test_fast_normal_numbers_have_tails():
    torch.manual_seed(0)

    drawn = compiled(torch.randn_like)(torch.empty(COUNT)).double()

    assert drawn.isfinite().all()
    for bound in (1.0, 2.0, 3.0):
        share = (drawn.abs() > bound).double().mean()
        assert abs(share - math.erfc(bound / math.sqrt(2))) < 0.006


@pytest.mark.parametrize("name", DRAWS)
def test_fast_numbers_follow_from_the_seed(name):
    program, _, _ = DRAWS[name]
    run = compiled(program)
    x = torch.empty(1000)

    torch.manual_seed(3)
    first, second = run(x), run(x)
    torch.manual_seed(3)
    again = run(x)

    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_fast_draws_of_one_program_differ():
    torch.manual_seed(0)

    first, second = compiled(lambda x: (torch.rand_like(x), torch.rand_like(x)))(torch.empty(999))

    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.2
    assert not torch.equal(first, second)


def test_fast_dropout_is_one_kernel_and_one_call():
    before = gw.counters.snapshot().get("codegen", {})

    compiled(lambda x: torch.nn.functional.dropout(x * 2, 0.5) + 1)(torch.ones(64, 64))

    after = gw.counters.snapshot()["codegen"]
    assert after["kernels"] - before.get("kernels", 0) == 1
    assert after["extern_calls"] - before.get("extern_calls", 0) == 1


def test_fast_dropout_has_the_gradient_of_what_it_kept():
    torch.manual_seed(0)
    x = torch.ones(500, requires_grad=True)

    y = compiled(lambda x: torch.nn.functional.dropout(x, 0.2))(x)
    y.sum().backward()

    assert set(y.unique().tolist()) == {0.0, 1.25}
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_fast_dropout_of_none_and_of_all(p):
    x = torch.randn(100)

    result = compiled(lambda x: torch.nn.functional.dropout(x, p))(x)

    assert torch.equal(result, x * (1 - p))


def test_wrong_probability_raises_what_eager_raises():
    def program(x):
        return x.bernoulli(2.0)

    with pytest.raises(RuntimeError) as expected:
        program(torch.ones(3))
    with pytest.raises(RuntimeError) as found:
        compiled(program)(torch.ones(3))

    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("name", DRAWS)
def test_default_numbers_are_those_of_eager_when_both_alternate(name):
    program, _, _ = DRAWS[name]
    run = gw.compile(program, fullgraph=True)
    x = torch.empty(37)

    torch.manual_seed(5)
    expected = [program(x), torch.rand(3), program(x), program(x), torch.randn(5)]
    torch.manual_seed(5)
    result = [run(x), torch.rand(3), program(x), run(x), torch.randn(5)]

    assert all(map(torch.equal, result, expected))
