"""Losses of numbers, and their gradients: eager's values, its roundings in narrow floats, and what it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw
from graphwright.base.counters import counters
from graphwright.cache import fresh

NARROW = (torch.bfloat16, torch.float16)
REDUCTIONS = ("none", "mean", "sum")
LOSSES = {
    "mse": F.mse_loss,
    "smooth l1": F.smooth_l1_loss,
    "smooth l1, beta": lambda x, t, **kind: F.smooth_l1_loss(x, t, beta=0.7, **kind),
    "huber": F.huber_loss,
    "huber, delta": lambda x, t, **kind: F.huber_loss(x, t, delta=0.75, **kind),
    "soft margin": lambda x, t, **kind: F.soft_margin_loss(x, t.sub(0.5).sign(), **kind),
    "cross entropy": lambda x, t, **kind: F.binary_cross_entropy(x.clamp(0, 1), t, **kind),
    "cross entropy, weighted": lambda x, t, **kind: F.binary_cross_entropy(
        x.clamp(0.01, 0.99), t, weight=t + 1, **kind
    ),
    "cross entropy of logits": F.binary_cross_entropy_with_logits,
    "cross entropy of logits, weighted": lambda x, t, **kind: F.binary_cross_entropy_with_logits(
        x, t, weight=t * 2, pos_weight=t + 1, **kind
    ),
    "log sigmoid": lambda x, t, reduction: F.logsigmoid(x) * t,
    "mish": lambda x, t, reduction: F.mish(x) * t,
    "celu": lambda x, t, reduction: F.celu(x, 0.7) * t,
}
REFUSED = ((1.5, 0.5), (float("nan"), 0.5), (-0.1, 0.5), (0.5, 2.0), (0.5, float("nan")))


@pytest.fixture(autouse=True)
def strict():
    with fresh(), gw.config.patch(strict=True):
        yield


def results(function, x, target, **kind):
    x = x.detach().requires_grad_()
    loss = function(x, target, **kind)
    loss.sum().mul(1.5).backward()
    return loss.detach(), x.grad


def samples(dtype, shape=(13, 7)):
    torch.manual_seed(0)
    return torch.randn(shape).mul(2).to(dtype), torch.rand(shape).to(dtype)


@pytest.mark.parametrize(
    ("dtype", "reduction"),
    [*((torch.float32, kind) for kind in REDUCTIONS), (torch.float64, "mean")],
)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_gradients_are_eagers(name, dtype, reduction):
    function, before = LOSSES[name], counters["codegen"]["extern_calls"]
    compiled = gw.compile(function, fullgraph=True)
    for shape in ((13, 7), (), (0, 4)):
        args = samples(dtype, shape)
        actual = results(compiled, *args, reduction=reduction)
        expected = results(function, *args, reduction=reduction)
        torch.testing.assert_close(actual, expected, equal_nan=True)
        if shape == (13, 7):
            assert counters["codegen"]["extern_calls"] == before


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", LOSSES)
def test_narrow_floats_are_rounded_where_eager_rounds_them(name, dtype, reduction):
    function, before = LOSSES[name], counters["codegen"]["extern_calls"]
    args = samples(dtype)

    actual = results(gw.compile(function, fullgraph=True), *args, reduction=reduction)

    for mine, eagers in zip(actual, results(function, *args, reduction=reduction), strict=True):
        num_unlike = int((mine != eagers).logical_and(~eagers.isnan()).sum())
        assert num_unlike <= eagers.numel() // 20, "a rounding that others do elsewhere"
        torch.testing.assert_close(mine, eagers, equal_nan=True)
    assert counters["codegen"]["extern_calls"] == before


@pytest.mark.parametrize("dtype", [torch.float32, *NARROW])
def test_edges_of_probabilities(dtype):
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, 1e-30, 0.5], dtype=dtype)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.25], dtype=dtype)

    for mine, eagers in zip(
        results(gw.compile(F.binary_cross_entropy), x, target, reduction="none"),
        results(F.binary_cross_entropy, x, target, reduction="none"),
        strict=True,
    ):
        torch.testing.assert_close(mine, eagers, equal_nan=True)
        assert torch.equal(mine.signbit() | mine.isnan(), eagers.signbit() | eagers.isnan())


def outcome(function, *args):
    try:
        return round(function(*args).item(), 5)
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_no_probabilities_are_refused(with_gradients):
    compiled = gw.compile(F.binary_cross_entropy, fullgraph=True)
    for wrong in ((0.25, 0.5), *REFUSED):
        x, target = torch.full((3, 5), 0.5), torch.full((3, 5), 0.5)
        x[2, 1], target[2, 1] = wrong
        x.requires_grad_(with_gradients)
        assert outcome(compiled, x, target) == outcome(F.binary_cross_entropy, x, target)


def test_nothing_to_refuse_is_not_refused():
    x, target = torch.empty(0, 3), torch.empty(0, 3)
    assert torch.isnan(gw.compile(F.binary_cross_entropy)(x, target))
