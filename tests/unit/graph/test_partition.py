"""Forward and backward graphs cut from a joint graph."""

from __future__ import annotations

import pytest
import torch

from graphwright.graph import execute, partition
from graphwright.ir.overloads import find_overload, gives_view
from graphwright.record import record_joint


def make_block():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.LayerNorm(8), torch.nn.Linear(8, 3)
    )


def cut(module, x):
    joint = record_joint(module, [x])
    halves = partition(joint.graph, joint.parts, num_outputs=joint.num_forward_outputs)
    return joint, halves


def run(joint, halves, x, tangents):
    inputs = [x, *joint.extra_inputs]
    results = execute(halves.forward, inputs)
    num_outputs = joint.num_forward_outputs
    outputs, saved = results[:num_outputs], results[num_outputs:]
    (half,) = halves.halves
    kept = [inputs[index] for index in half.saved_inputs]
    return outputs, execute(half.graph, [*kept, *saved, *tangents])


@pytest.mark.parametrize(
    "module",
    [
        make_block(),
        torch.nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, dropout=0.0),
        torch.nn.Sequential(torch.nn.Conv1d(5, 4, 3), torch.nn.BatchNorm1d(4), torch.nn.ReLU()),
    ],
    ids=["block", "transformer", "convolution"],
)
def test_the_two_halves_give_eager_gradients(module):
    x = torch.randn(4, 5, 6, requires_grad=True)
    joint, halves = cut(module, x)
    buffers = {name: value.clone() for name, value in module.named_buffers()}

    expected = module(x)
    tangent = torch.randn_like(expected)
    wanted = [([x, *joint.extra_inputs])[index] for index in joint.gradient_inputs]
    eager = torch.autograd.grad(expected, wanted, tangent)
    module.load_state_dict(buffers, strict=False)
    outputs, gradients = run(joint, halves, x, [tangent])

    torch.testing.assert_close(outputs[0], expected.detach())
    for mine, theirs in zip(gradients, eager, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_views_are_taken_again_and_never_saved():
    x = torch.randn(4, 6, requires_grad=True)
    joint, halves = cut(make_block(), x)
    makers = {value: node for node in halves.forward.nodes for value in node.results}

    saved = [output.value_id for output in halves.forward.outputs[joint.num_forward_outputs :]]

    assert saved
    assert not any(
        value in makers and gives_view(find_overload(makers[value].op)) for value in saved
    )


def test_the_forward_half_runs_no_node_of_the_backward_half():
    x = torch.randn(4, 6, requires_grad=True)
    joint, halves = cut(make_block(), x)

    assert len(halves.forward.nodes) < len(joint.graph.nodes)
    assert not any("backward" in node.op for node in halves.forward.nodes)


def test_random_nodes_are_drawn_once():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.Dropout(0.5))
    x = torch.randn(4, 6, requires_grad=True)

    _, halves = cut(module, x)
    drawn = [
        torch.Tag.nondeterministic_seeded in find_overload(node.op).tags
        for graph in (halves.forward, halves.halves[0].graph)
        for node in graph.nodes
    ]

    assert sum(drawn) == 1
