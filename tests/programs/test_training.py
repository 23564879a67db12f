"""Steps of training in one compiled function: what is compiled, where it breaks, and how often."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import graphwright as gw


def make_model() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
    "adam": lambda params: torch.optim.Adam(params, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_breaks_three_times_and_compiles_once(name: str) -> None:
    gw.counters.clear()
    models = make_model(), make_model()
    optimizers = [OPTIMIZERS[name](model.parameters()) for model in models]
    compiled = gw.compile(step)
    captured = []

    for _ in range(5):
        x, y = torch.randn(6, 4), torch.randn(6, 1)
        expected = step(models[0], optimizers[0], x, y)
        found = compiled(models[1], optimizers[1], x, y)
        captured.append(gw.counters["capture"]["frames"] + gw.counters["program_cache"]["hit"])

        torch.testing.assert_close(found, expected)
        assert found.requires_grad
        for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(one, other)
            torch.testing.assert_close(one.grad, other.grad)

    assert sum(gw.counters["graph_break"].values()) == 3
    assert gw.counters["graph_break"]["a call of backward()"] == 1
    assert captured[1:] == captured[:1] * 4


def test_loss_that_was_sent_back_cannot_be_sent_back_again() -> None:
    model = make_model()

    def program(x):
        loss = model(x).sum()
        loss.backward()
        return loss

    loss = gw.compile(program)(torch.randn(3, 4))

    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_backward_in_one_graph_is_refused() -> None:
    model = make_model()

    def program(x):
        model(x).sum().backward()

    with pytest.raises(gw.errors.Unsupported, match="backward"):
        gw.compile(program, fullgraph=True)(torch.randn(3, 4))


def test_gradient_taken_as_a_value_is_part_of_the_graph() -> None:
    def program(w, x):
        (gradient,) = torch.autograd.grad((w * x).pow(2).sum(), w)
        return w.detach() - 0.1 * gradient

    w, x = torch.randn(4, requires_grad=True), torch.randn(4)

    found = gw.compile(program, fullgraph=True)(w, x)

    torch.testing.assert_close(found, program(w, x))


def test_hook_put_on_a_parameter_later_makes_the_program_end_before_its_gradient() -> None:
    w = torch.ones(4, requires_grad=True)

    def program(x):
        return torch.autograd.grad((w * x).sum(), w)[0]

    compiled = gw.compile(program)
    compiled(torch.ones(4))
    w.register_hook(lambda gradient: gradient * 10)

    found = compiled(torch.ones(4))

    assert found.tolist() == [10.0] * 4


def test_gradient_of_a_gradient_is_part_of_the_graph() -> None:
    def program(w, x):
        loss = (w * x).pow(2).sum()
        (gradient,) = torch.autograd.grad(loss, w, create_graph=True)
        return gradient.square().sum() + loss

    ours, theirs = (torch.arange(4.0, requires_grad=True) for _ in range(2))
    x = torch.randn(4)

    gw.compile(program, fullgraph=True)(ours, x).backward()
    program(theirs, x).backward()

    torch.testing.assert_close(ours.grad, theirs.grad)


def test_penalty_on_a_gradient_is_sent_back() -> None:
    models = make_model(), make_model()

    def program(model, real, fake):
        mixed = (0.3 * real + 0.7 * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(model(mixed).sum(), mixed, create_graph=True)
        penalty = (gradient.norm(2, dim=1) - 1).pow(2).mean()
        (model(real).mean() + penalty).backward()
        return penalty.detach()

    compiled = gw.compile(program)

    for _ in range(2):
        real, fake = torch.randn(3, 4), torch.randn(3, 4)
        torch.testing.assert_close(compiled(models[1], real, fake), program(models[0], real, fake))
        for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad)


def test_loss_that_depends_on_the_phases_of_singular_vectors_is_refused_backward():
    def loss(x):
        u, _, v = torch.linalg.svd(x)
        return u.real.sum() + v.abs().sum()

    def outcome(function):
        torch.manual_seed(0)
        x = torch.randn(4, 4, dtype=torch.complex64, requires_grad=True)
        with pytest.raises(RuntimeError) as caught:
            function(x).backward()
        return str(caught.value)

    assert outcome(gw.compile(loss, fullgraph=True)) == outcome(loss)


def test_losses_with_histories_of_their_own_are_sent_back_one_by_one() -> None:
    def program(a, b, x):
        shared = x + 1
        return (a * shared).square().sum(), (b * shared).exp().sum(), (a * 2).sum() + b.sum()

    ours, theirs = ([torch.ones(3, requires_grad=True) for _ in range(2)] for _ in range(2))
    x = torch.randn(3)
    found, expected = gw.compile(program, fullgraph=True)(*ours, x), program(*theirs, x)

    for mine, eagers in zip(found, expected, strict=True):
        mine.backward()
        eagers.backward()

        for one, other in zip(ours, theirs, strict=True):
            assert (one.grad is None) == (other.grad is None)
            torch.testing.assert_close(one.grad, other.grad)


def test_losses_that_share_saved_values_are_sent_back_once() -> None:
    def program(a, b):
        hidden = a.exp()
        return hidden.sum(), (hidden * b).sum()

    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    first, second = gw.compile(program, fullgraph=True)(a, b)

    first.backward()

    assert b.grad is None  # nothing came in for it
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        second.backward()


def test_step_of_two_networks_against_each_other() -> None:
    def make():
        torch.manual_seed(7)
        maker, judge = (
            nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, width)) for width in (4, 1)
        )
        both = [torch.optim.Adam(one.parameters(), lr=0.01) for one in (maker, judge)]

        def program(real):
            maker_optimizer, judge_optimizer = both
            ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            fake = maker(real.flip(0))
            judge_optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(judge(real), ones)
            loss = loss + F.binary_cross_entropy_with_logits(judge(fake.detach()), zeros)
            loss.backward()
            judge_optimizer.step()
            for p in judge.parameters():
                p.requires_grad = False
            maker_optimizer.zero_grad()
            maker_loss = F.binary_cross_entropy_with_logits(judge(fake), ones)
            maker_loss.backward()
            maker_optimizer.step()
            for p in judge.parameters():
                p.requires_grad = True
            return loss.item(), maker_loss.item()

        return program, [*maker.parameters(), *judge.parameters()]

    (plain, expected), (program, found) = make(), make()
    compiled = gw.compile(program)

    for _ in range(4):
        real = torch.randn(5, 4)
        torch.testing.assert_close(compiled(real), plain(real))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_part_that_sends_nothing_back_has_a_history() -> None:
    def program(a, b):
        return (a * a).sum(), b.sgn()

    a, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    first, second = gw.compile(program, fullgraph=True)(a, b)

    assert first.grad_fn is not None
    assert second.grad_fn is not None
    second.sum().backward()
    first.backward()
    assert a.grad.tolist() == [2.0] * 3
    assert b.grad.tolist() == [0.0] * 3


def test_step_of_an_optimizer_whose_class_inherits_it_is_one_break(recwarn) -> None:
    class Own(torch.optim.Adam):
        """Its `step` is made when the first one is: no import leads to it."""

    model = make_model()
    optimizer = Own(model.parameters())

    def program(x):
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    gw.counters.clear()
    gw.compile(program)(torch.randn(3, 4))

    assert gw.counters["graph_break"] == {"a call of backward()": 1, "a call of Adam.step": 1}
    assert not recwarn


def test_method_of_a_generator_of_numpy_is_one_break(recwarn) -> None:
    random = numpy.random.RandomState(0)

    def program(x):
        share = float(random.beta(2.0, 2.0))
        return share * x

    found = gw.compile(program)(torch.ones(3))

    assert found.tolist() == pytest.approx([numpy.random.RandomState(0).beta(2.0, 2.0)] * 3)
    assert not recwarn


def test_weights_that_a_parametrization_makes_are_read_at_each_call() -> None:
    def make():
        torch.manual_seed(3)
        return nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))

    def loss(model, x):
        return model(x).square().mean()

    models = make(), make()
    compiled = gw.compile(loss, fullgraph=True)

    for _ in range(2):
        x = torch.randn(3, 4)
        compiled(models[0], x).backward()
        loss(models[1], x).backward()
        for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)
            one.data.mul_(0.5)
            other.data.mul_(0.5)


def writes_over_what_is_saved(x):
    y = (x * 2).relu_()
    y += x
    return y


def has_no_derivative(x):
    return torch.heaviside(x, x) + x


@pytest.mark.parametrize("program", [writes_over_what_is_saved, has_no_derivative])
def test_gradients_that_pytorch_refuses_are_refused_when_they_are_asked_for(program):
    x = torch.rand(3, requires_grad=True)
    with pytest.warns(gw.errors.GraphwrightWarning, match="gradient PyTorch refuses"):
        result = gw.compile(program)(x)

    torch.testing.assert_close(result, program(x))
    with pytest.raises(RuntimeError) as expected:
        program(x).sum().backward()
    with pytest.raises(RuntimeError) as found:
        result.sum().backward()
    assert str(found.value) == str(expected.value)
    with pytest.raises(gw.errors.Unsupported, match="gradient PyTorch refuses"):
        gw.compile(program, fullgraph=True)(x)
    with torch.no_grad():
        torch.testing.assert_close(gw.compile(program, fullgraph=True)(x), program(x))


def test_results_that_follow_from_one_history_are_differentiated_one_by_one() -> None:
    """What the caller's tensors came from is not the program's: that two results follow from it does not tie them together."""

    def program(x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x * w

    def gradients(run: Callable[..., Any]) -> list[torch.Tensor]:
        leaf = torch.arange(3.0, requires_grad=True)
        w = torch.ones(3, requires_grad=True)
        one, other = run(leaf * 1, w)
        (of_w,) = torch.autograd.grad(other.sum(), w)
        (of_leaf,) = torch.autograd.grad(one.sum(), leaf)
        return [of_w, of_leaf]

    torch.testing.assert_close(gradients(gw.compile(program)), gradients(program))
