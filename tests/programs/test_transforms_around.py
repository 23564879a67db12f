"""Compiled programs called from inside PyTorch's transforms and modes give what eager gives there, the first call of a process too."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.autograd import forward_ad

import graphwright as gw

X = torch.linspace(-1, 1, 12).reshape(3, 4)
WEIGHT = torch.linspace(-2, 1, 20).reshape(4, 5)


def program(x, weight):
    return (x @ weight).tanh().sum(-1) * 2


def tangent_of(function):
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(X, torch.ones_like(X))
        return forward_ad.unpack_dual(function(dual, WEIGHT)).tangent


TRANSFORMS = {
    "vmap": lambda f: torch.vmap(f, (0, None))(X, WEIGHT),
    "grad": lambda f: torch.func.grad(lambda w: f(X, w).sum())(WEIGHT),
    "vjp": lambda f: torch.func.vjp(lambda w: f(X, w), WEIGHT)[1](torch.ones(3)),
    "jvp": lambda f: torch.func.jvp(lambda w: f(X, w), (WEIGHT,), (WEIGHT,)),
    "jacrev": lambda f: torch.func.jacrev(lambda w: f(X, w))(WEIGHT),
    "jacfwd": lambda f: torch.func.jacfwd(lambda w: f(X, w))(WEIGHT),
    "hessian": lambda f: torch.func.hessian(lambda w: f(X, w).sum())(WEIGHT),
    "dual tensors": tangent_of,
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.filterwarnings(
    "ignore"
)  # we tell of eager runs; forward mode loads parts of PyTorch that it calls deprecated
def test_transforms_of_a_compiled_program_are_eagers(name):
    transform = TRANSFORMS[name]
    expected = transform(program)
    compiled = gw.compile(program)

    for _ in range(2):  # before there is a variant, and when there is one
        torch.testing.assert_close(transform(compiled), expected)
        torch.testing.assert_close(compiled(X, WEIGHT), program(X, WEIGHT))


FIRST_CALL = """
import warnings
import torch
import graphwright as gw
warnings.simplefilter("ignore")
compiled = gw.compile(lambda x: x.sin() * 2)
x = torch.linspace(0, 1, 6).reshape(2, 3)
transformed = {transform}
torch.testing.assert_close(transformed(x), {expected})
torch.testing.assert_close(compiled(x), x.sin() * 2)
"""


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("torch.vmap(compiled)", "x.sin() * 2"),
        ("torch.func.grad(lambda x: compiled(x).sum())", "x.cos() * 2"),
    ],
)
def test_first_call_of_a_process_may_come_from_a_transform(transform, expected):
    text = FIRST_CALL.format(transform=transform, expected=expected)
    subprocess.run([sys.executable, "-c", text], check=True)


def test_gradients_of_gradients_raise_and_are_not_lost():
    compiled = gw.compile(program, fullgraph=True)
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(compiled(x, WEIGHT).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(program(x, WEIGHT).sum(), x)

    torch.testing.assert_close(gradient.detach(), expected)
    assert gradient.requires_grad
    with pytest.raises(RuntimeError, match="cannot be differentiated once more"):
        (gradient.norm() - 1).pow(2).backward()


def test_gradients_that_depend_on_nothing_have_none_of_their_own():
    compiled = gw.compile(lambda x: (x * 3).sum(), fullgraph=True)
    x = X.clone().requires_grad_()

    (gradient,) = torch.autograd.grad(compiled(x), x, create_graph=True)

    assert not gradient.requires_grad
