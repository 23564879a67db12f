"""Transforms of `torch.func` in a program, of functions that use numbers and tensors which the transform knows nothing of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import graphwright as gw

X = torch.linspace(-1, 1, 12).reshape(3, 4)
TEXTS = [
    # numbers, which the transform makes tensors of
    "vmap(lambda t: torch.add(t, 0.5))(x[0])",
    "vmap(lambda t: torch.add(t, 1, alpha=2) * 3)(x[0].long())",
    "vmap(lambda t: t.clone().add_(0.5) * 2)(x[0])",
    "vmap(vmap(lambda t: t * 2 + 0.5))(x)",
    "vmap(lambda t: torch.where(t > 0, t, 0.0) / 3)(x[0])",
    # tensors from outside, which are read first inside the transform
    "vmap(lambda t: t + y)(x)",
    "vmap(lambda t: (t * y).sum())(x)",
    "vmap(vmap(lambda t: t * y.sum() + 0.5))(x)",
    "vmap(lambda t: t * 2 + y[:3], in_dims=1)(x)",
    "grad(lambda t: (t.sin() + y).sum())(x)",
    "grad(lambda t: (t.sin() * y).sum())(x)",
    "vmap(grad(lambda t: (t * y).sin().sum()))(x)",
    "grad(lambda t: vmap(lambda one: one * y + 0.5)(t).sum())(x)",
    "grad(lambda t: grad(lambda s: (s**3 * y).sum())(t).sum())(x)",
    "vjp(lambda t: t * y, x)[1](torch.ones_like(x))[0]",
    "jvp(lambda t: t * y, (x,), (torch.ones_like(x),))",
    "jacrev(lambda t: t * y)(x[0])",
    "jacfwd(lambda t: t * y)(x[0])",
]
PROGRAM = """
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vjp, vmap

def program({parameters}):
    return {text}
"""


def _told(text: str, is_argument: bool, requires_grad: bool, is_compiled: bool) -> Any:
    y = torch.tensor([1.0, -2.0, 0.5, 3.0], requires_grad=requires_grad)
    names: dict[str, Any] = {"y": y}
    exec(PROGRAM.format(parameters="x, y" if is_argument else "x", text=text), names)
    run: Callable[..., Any] = names["program"]
    if is_compiled:
        run = gw.compile(run, fullgraph=True)
    results = [run(X, y) if is_argument else run(X) for _ in range(2)]
    parts = [one if isinstance(one, tuple) else (one,) for one in results]
    total = sum(one.sum() for one in parts[0] if one.requires_grad)
    if isinstance(total, torch.Tensor):
        total.backward()
    return parts, [one.requires_grad for one in parts[0]], y.grad


@pytest.mark.filterwarnings(
    "ignore"
)  # forward mode loads parts of PyTorch that it calls deprecated
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("is_argument", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_transforms(text: str, is_argument: bool, requires_grad: bool) -> None:
    expected = _told(text, is_argument, requires_grad, is_compiled=False)
    with gw.config.patch(strict=True):
        found = _told(text, is_argument, requires_grad, is_compiled=True)
    torch.testing.assert_close(found, expected)
