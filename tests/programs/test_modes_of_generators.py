"""Generator functions under decorators that set a mode: the mode holds while their body runs, and not between."""

from __future__ import annotations

import pytest
import torch

import graphwright as gw


@torch.no_grad()
def from_before(count):
    for _ in range(count):
        yield torch.is_grad_enabled()


def decorated_before(x):
    return [(inside, torch.is_grad_enabled()) for inside in from_before(2)], x * 2


def decorated_in_the_program(x):
    @torch.no_grad()
    def made():
        for _ in range(2):
            yield torch.is_grad_enabled(), (x * 2).requires_grad

    return [(inside, torch.is_grad_enabled()) for inside in made()]


def enabled_inside_of_disabled(x):
    @torch.enable_grad()
    def made():
        yield (x * 2).requires_grad
        yield torch.is_grad_enabled()

    with torch.no_grad():
        steps = made()
        return next(steps), torch.is_grad_enabled(), next(steps)


def sent_and_thrown_into(x):
    @torch.no_grad()
    def made():
        got = yield torch.is_grad_enabled()
        try:
            yield got, torch.is_grad_enabled()
        except ValueError:
            yield torch.is_grad_enabled()

    steps = made()
    return next(steps), steps.send(x), steps.throw(ValueError()), torch.is_grad_enabled()


def functions_under_decorators(x):
    @torch.no_grad()
    def without(y):
        return torch.is_grad_enabled(), (y * 2).requires_grad

    @torch.autocast("cpu")
    def narrow(y):
        return (y @ y).dtype

    @torch.set_grad_enabled(False)
    def off(y):
        return y * 2, torch.is_grad_enabled()

    return without(x), narrow(x), off(x)[1], without.__name__, torch.is_grad_enabled()


@pytest.mark.parametrize(
    "program",
    [
        decorated_before,
        decorated_in_the_program,
        enabled_inside_of_disabled,
        sent_and_thrown_into,
        functions_under_decorators,
    ],
)
@pytest.mark.parametrize("is_on", [True, False])
def test_modes_are_those_of_eager(program, is_on) -> None:
    x = torch.ones(2, requires_grad=True)
    with gw.config.patch(strict=True), torch.set_grad_enabled(is_on):
        expected = repr(program(x)).replace("MulBackward0", "_ProgramBackward")
        compiled = gw.compile(program)
        for _ in range(2):
            assert repr(compiled(x)).replace("MulBackward0", "_ProgramBackward") == expected
