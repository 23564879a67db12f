"""What autograd makes of results that share memory with inputs or each other: a later write must do what it does in eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import graphwright as gw


def _detached(x: torch.Tensor) -> Any:
    return x, x.detach()


def _viewed(x: torch.Tensor) -> Any:
    return x, x.view(16)


def _part(x: torch.Tensor) -> Any:
    return x, x[1:, ::2]


def _view_of_detached(x: torch.Tensor) -> Any:
    return x, x.detach().view(16)


def _detached_view(x: torch.Tensor) -> Any:
    return x, x.view(16).detach()


def _split(x: torch.Tensor) -> Any:
    return x, x.split(2)[1]


def _unbound(x: torch.Tensor) -> Any:
    return x, x.unbind()[1]


def _without_gradients(x: torch.Tensor) -> Any:
    with torch.no_grad():
        return x, x.view(16)


def _with_gradients(x: torch.Tensor) -> Any:
    with torch.enable_grad():
        return x, x.view(16)


def _in_inference_mode(x: torch.Tensor) -> Any:
    with torch.inference_mode():
        return x, x.view(16)


def _result_and_detached(x: torch.Tensor) -> Any:
    y = x + 1
    return y, y.detach()


def _result_and_view(x: torch.Tensor) -> Any:
    y = x + 1
    return y, y[1]


def _result_and_view_without_gradients(x: torch.Tensor) -> Any:
    y = x + 1
    with torch.no_grad():
        return y, y[1]


def _result_and_split(x: torch.Tensor) -> Any:
    y = x + 1
    return y, y.split(2)[1]


_PROGRAMS = [
    _detached,
    _viewed,
    _part,
    _view_of_detached,
    _detached_view,
    _split,
    _unbound,
    _without_gradients,
    _with_gradients,
    _in_inference_mode,
    _result_and_detached,
    _result_and_view,
    _result_and_view_without_gradients,
    _result_and_split,
]


def _write_with_gradient(
    program: Callable[[torch.Tensor], Any], *, requires_grad: bool, is_enabled: bool
) -> list[Any]:
    """Write what has a gradient to the program's second result; tell what became of it and of the first."""
    x = torch.arange(16.0).view(4, 4).requires_grad_(requires_grad)
    with torch.set_grad_enabled(is_enabled):
        base, result = program(x)
    told: list[Any] = [result.requires_grad, result._is_view(), result.is_leaf]
    try:
        result.mul_(torch.full((), 2.0, requires_grad=True))
    except RuntimeError:  # its words name the function or the mode that made the view
        told.append("refused")
    told += [base.requires_grad, base.is_leaf, base._version, result._version, base.tolist()]
    return told


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("program", _PROGRAMS, ids=lambda program: program.__name__.strip("_"))
def test_a_write_to_a_result_does_what_it_does_in_eager(
    program: Callable[[torch.Tensor], Any], requires_grad: bool, is_enabled: bool
) -> None:
    compiled = gw.compile(program, fullgraph=True)
    modes = {"requires_grad": requires_grad, "is_enabled": is_enabled}
    expected = _write_with_gradient(program, **modes)
    for _ in range(2):
        assert _write_with_gradient(compiled, **modes) == expected
