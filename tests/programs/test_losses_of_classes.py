"""Cross entropies of classes in compiled programs: values, gradients, and what targets out of bounds raise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw
from graphwright.base.config import Wrapper
from graphwright.base.counters import counters
from graphwright.cache import fresh

REDUCTIONS = ("none", "mean", "sum")
IGNORED = {"none": -100, "one class": 0, "all": 1}


@pytest.fixture(autouse=True)
def strict():
    with fresh(), gw.config.patch(strict=True):
        yield


def logits(name):
    torch.manual_seed(0)
    return {
        "rows": lambda: torch.randn(7, 5),
        "columns": lambda: torch.randn(5, 7).t(),
        "one row": lambda: torch.randn(1, 5),
        "one class": lambda: torch.randn(3, 1),
        "many classes": lambda: torch.randn(3, 5000),
        "no batch": lambda: torch.randn(5),
        "no rows": lambda: torch.randn(0, 5),
        "sequences": lambda: torch.randn(2, 5, 6),
        "images": lambda: torch.randn(2, 5, 3, 4),
        "channels last": lambda: torch.randn(2, 3, 4, 5).permute(0, 3, 1, 2),
        "volumes": lambda: torch.randn(2, 3, 2, 2, 2),
    }[name]()


NAMES = ("rows", "columns", "one row", "one class", "many classes", "no batch", "no rows")
NAMES += ("sequences", "images", "channels last", "volumes")


def targets_of(x):
    axis = min(x.ndim - 1, 1)
    return torch.randint(x.shape[axis], (*x.shape[:axis], *x.shape[axis + 1 :]))


def cross_entropies(x, target, weight, ignored):
    return tuple(
        F.cross_entropy(x, target, weight, ignore_index=ignored, reduction=reduction)
        for reduction in REDUCTIONS
    )


def likelihoods(x, target, weight, ignored):
    return tuple(
        F.nll_loss(x.contiguous() * 2, target, weight, ignore_index=ignored, reduction=reduction)
        for reduction in REDUCTIONS
    )


def results(function, x, *rest):
    """Give the losses, and the gradient of a mixture of them."""
    x = x.detach().requires_grad_()
    losses = function(x, *rest)
    factors = (1.5, 2.0, -0.5)
    sum(loss.sum() * factor for loss, factor in zip(losses, factors, strict=True)).backward()
    return [*losses, x.grad]


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("function", [cross_entropies, likelihoods])
@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_are_eagers(name, function, is_weighted):
    x = logits(name)
    target = targets_of(x)
    weight = torch.rand(x.shape[min(x.ndim - 1, 1)]) if is_weighted else None
    compiled = gw.compile(function, fullgraph=True, dynamic=False)
    ignored = list(IGNORED) if name in ("rows", "images", "no batch") else ["none"]

    for kind in ignored:
        own = torch.full_like(target, 1) if kind == "all" else target
        args = (x, own, weight, IGNORED[kind])
        expected = results(function, *args)
        actual = results(compiled, *args)
        torch.testing.assert_close(actual, expected, equal_nan=True, check_stride=True)
        with torch.no_grad():
            losses = compiled(*args)
        torch.testing.assert_close(losses, tuple(expected[:-1]), equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["rows", "images"])
def test_other_dtypes_are_eagers(name, dtype):
    x, weight = logits(name).to(dtype), torch.rand(5).to(dtype)
    args = (x, targets_of(x), weight, 2)

    actual = results(gw.compile(likelihoods, fullgraph=True), *args)

    torch.testing.assert_close(actual, results(likelihoods, *args))


def test_gradient_fuses_with_what_reads_it():
    x, target = logits("rows").requires_grad_(), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    before = counters["codegen"]["extern_calls"]

    gw.compile(F.cross_entropy)(x, target).backward()

    assert counters["codegen"]["extern_calls"] == before


def test_sizes_may_change():
    compiled = gw.compile(cross_entropies, fullgraph=True, dynamic=True)
    for rows, columns in ((3, 4), (7, 9), (1, 2), (0, 3), (64, 33)):
        x = torch.randn(rows, columns)
        args = (x, targets_of(x), None, 1)

        expected = results(cross_entropies, *args)

        torch.testing.assert_close(results(compiled, *args), expected, equal_nan=True)


def test_strictly_eagers_numbers():
    x = logits("rows")
    args = (x, targets_of(x), None, 1)
    with gw.config.patch(strict_numerics=True):
        actual = results(gw.compile(likelihoods, fullgraph=True), *args)

    assert all(map(torch.equal, actual, results(likelihoods, *args)))


def outcome(function, x, target, *, with_gradients):
    """Give nothing, or the exception."""
    try:
        loss = function(x.detach().requires_grad_(with_gradients), target)
        if with_gradients:
            loss.sum().backward()
    except Exception as error:  # noqa: BLE001  (whatever the operator raises)
        return type(error), str(error)
    return None


@pytest.mark.parametrize("wrapper", [Wrapper.NATIVE, Wrapper.PYTHON])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["rows", "no batch", "sequences", "images"])
def test_targets_out_of_bounds_raise_what_eager_raises(name, reduction, wrapper):
    x = logits(name)
    target = targets_of(x)
    with gw.config.patch(wrapper=wrapper):
        compiled = gw.compile(
            lambda x, target: F.cross_entropy(x, target, ignore_index=7, reduction=reduction)
        )

        for number in (5, -1, -100, 2**40, 7, 0):
            target.view(-1)[-1] = number
            wrong = (IndexError, f"Target {number} is out of bounds.")
            expected = wrong if number not in (0, 7) else None
            assert outcome(compiled, x, target, with_gradients=True) == expected
            assert outcome(compiled, x, target, with_gradients=False) == expected
