"""Programs that write values with gradients into tensors of the caller's: the history is eager's, whatever is returned."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import graphwright as gw

ROWS = torch.tensor([2, 0])
CHOSEN = torch.tensor([True, False, True])
WRITES = {
    "add_": lambda into, values: into.add_(values),
    "mul_": lambda into, values: into.mul_(values),
    "copy_": lambda into, values: into.copy_(values),
    "setitem": lambda into, values: into.__setitem__(0, values[1]),
    "setitem of rows": lambda into, values: into.__setitem__(ROWS, values[:2]),
    "setitem by a mask": lambda into, values: into.__setitem__(CHOSEN, values[:2]),
    "index_add_": lambda into, values: into.index_add_(0, ROWS, values[:2]),
    "scatter_": lambda into, values: into.scatter_(0, ROWS[:, None].expand(2, 4), values[:2]),
    "addcmul_": lambda into, values: into.addcmul_(values, values),
    "masked_scatter_": lambda into, values: into.masked_scatter_(values > 0, values),
    "a row of it": lambda into, values: into[1].add_(values[0]),
    "its transpose": lambda into, values: into.t().add_(values.t()),
    "lerp_": lambda into, values: into.lerp_(values, 0.5),
}
INTO = {
    "a leaf without gradient": lambda weight: torch.ones(3, 4),
    "a value with a history": lambda weight: weight * 3,
    "a view without gradient": lambda weight: torch.ones(2, 3, 4)[1],
    "a view with a history": lambda weight: torch.stack([weight, weight])[1],
}
RESULTS = {
    "nothing": lambda into, values: None,
    "a number": lambda into, values: 3,
    "what was written": lambda into, values: values,
    "what was written to": lambda into, values: into,
    "a sum of it": lambda into, values: into.sum(),
    "something without a gradient": lambda into, values: values.detach() + into.shape[0],
}


def outcome(function, make_into):
    weight = torch.linspace(-1, 1, 12).reshape(3, 4).requires_grad_()
    into = make_into(weight)
    result = function(into, weight)
    loss = (into * torch.arange(12.0).reshape(3, 4)).sum()
    if isinstance(result, torch.Tensor) and result.requires_grad:
        loss = loss + result.sin().sum()
    if loss.requires_grad:
        loss.backward()
    has_history = isinstance(result, torch.Tensor) and result.requires_grad
    return into.detach(), into.requires_grad, into.is_leaf, weight.grad, has_history


@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("into", INTO)
@pytest.mark.parametrize("write", WRITES)
def test_writes_keep_the_history(write, into, result, breaks):
    def program(target, weight):
        values = weight * 2
        if breaks:
            gw.graph_break()
        WRITES[write](target, values)
        return RESULTS[result](target, values)

    expected = outcome(program, INTO[into])
    compiled = gw.compile(program, fullgraph=not breaks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            found = outcome(compiled, INTO[into])
            torch.testing.assert_close(found, expected)


def test_write_to_a_leaf_with_a_gradient_raises_what_eager_raises():
    def program(target, weight):
        target.add_(weight * 2)

    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        outcome(gw.compile(program), lambda weight: torch.ones(3, 4, requires_grad=True))


def test_write_without_gradients_is_compiled_and_changes_no_history():
    @gw.compile(fullgraph=True)
    @torch.no_grad()
    def program(target, weight):
        target.mul_(0.9).add_(weight, alpha=0.1)

    weight = torch.ones(3, 4, requires_grad=True)
    target = weight * 2
    history = target.grad_fn
    before = gw.counters["eager"]["history"]
    program(target, weight)
    program(leaf := torch.ones(3, 4, requires_grad=True), weight)

    assert target.grad_fn is history
    assert leaf.is_leaf
    assert gw.counters["eager"]["history"] == before
    torch.testing.assert_close(target.detach(), torch.full((3, 4), 1.9))


class Experts(nn.Module):
    """Each row goes to two of four networks; which rows a network gets is known at the call."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        weights, chosen = self.gate(x).softmax(-1).topk(2)
        result = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == number)
            if rows.numel():
                result.index_add_(0, rows, expert(x[rows]) * weights[rows, places, None])
        return result


def test_sums_over_experts_have_gradients():
    torch.manual_seed(0)
    model, x = Experts(), torch.randn(6, 8)
    model(x).sin().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    compiled = gw.compile(model)
    for _ in range(3):
        model.zero_grad()
        result = compiled(x)
        assert result.requires_grad
        result.sin().sum().backward()
        torch.testing.assert_close([p.grad for p in model.parameters()], expected)


def test_adaptive_softmax_adds_up_its_clusters_with_gradients():
    torch.manual_seed(0)
    model = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10])
    x, target = torch.randn(8, 16), torch.randint(0, 20, (8,))
    expected = model(x, target)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gw.compile(model)(x, target)
    torch.testing.assert_close(tuple(found), tuple(expected))
    assert found.loss.requires_grad
