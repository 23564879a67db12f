"""The torch-level graph shows the public calls of the program, and runs."""

import operator

import pytest
import torch
from torch import fx
from torch.nn import functional

from graphwright.record import Recorder


def record(program, *inputs, dynamic_dims=None):
    recorder = Recorder()
    with recorder:
        stand_ins = [
            recorder.add_input(tensor, name=f"l_{name}_", dynamic_dims=dynamic_dims)
            for name, tensor in zip("xyz", inputs, strict=False)
        ]
        outputs = program(*stand_ins)
        recorder.finish(outputs if isinstance(outputs, (list, tuple)) else [outputs])
    return recorder


def nodes_of(recorder):
    return [(node.op, node.target) for node in recorder.torch_graph.nodes]


def run(recorder, *inputs):
    return fx.GraphModule(recorder.trace.constants, recorder.torch_graph)(*inputs)


def test_operators_functions_and_methods_appear_as_written():
    x = torch.randn(3, 4)
    recorder = record(lambda x: functional.relu(x * 2 + 1).sum(dim=0)[1:], x)

    assert nodes_of(recorder) == [
        ("placeholder", "l_x_"),
        ("call_function", operator.mul),
        ("call_function", operator.add),
        ("call_function", functional.relu),
        ("call_method", "sum"),
        ("call_function", operator.getitem),
        ("output", "output"),
    ]


def test_only_the_outermost_call_is_shown():
    layer = torch.nn.LayerNorm(4, elementwise_affine=False)

    recorder = record(layer, torch.randn(3, 4))

    assert [target for op, target in nodes_of(recorder) if op == "call_function"] == [
        functional.layer_norm
    ]


def test_reflected_operator_has_its_operands_in_order():
    recorder = record(lambda x: 1 - x, torch.randn(3))
    node = list(recorder.torch_graph.nodes)[1]

    assert node.target is operator.sub
    assert node.args[0] == 1


def test_properties_appear_as_attributes():
    recorder = record(lambda x: x.T.shape and x.mT, torch.randn(3, 4))

    assert [node.args[1] for node in recorder.torch_graph.nodes if node.target is getattr] == [
        "T",
        "mT",
    ]


def test_results_of_a_tuple_are_taken_apart_where_used():
    recorder = record(lambda x: x.max(dim=0)[0] + 1, torch.randn(3, 4))

    assert [target for _, target in nodes_of(recorder)][2:4] == [operator.getitem, operator.add]


def test_graph_runs_and_equals_the_program():
    def program(x, y):
        parts = torch.cat([x, y]).chunk(2)
        z = torch.stack([part.softmax(-1) for part in parts])
        z[0] = torch.tensor([1.0, 2.0, 3.0, 4.0])
        z.mul_(torch.arange(4))
        return z, z.max(dim=0).values

    x, y = torch.randn(3, 4), torch.randn(3, 4)
    recorder = record(program, x, y)

    for found, expected in zip(run(recorder, x, y), program(x, y), strict=True):
        torch.testing.assert_close(found, expected)


def test_symbolic_size_is_read_off_the_input():
    def program(x):
        return x.view(x.shape[0] // 2, 8), torch.zeros(x.shape[0] * 3 + 1)

    recorder = record(program, torch.randn(6, 4), dynamic_dims={0: "s0"})

    for rows in (2, 8):
        x = torch.randn(rows, 4)
        for found, expected in zip(run(recorder, x), program(x), strict=True):
            torch.testing.assert_close(found, expected)


def test_renamed_value_keeps_its_first_name():
    recorder = Recorder()
    x = torch.randn(3)
    with recorder:
        y = recorder.add_input(x, name="l_x_") * 2
        recorder.trace.rename(y, "y")
        recorder.trace.rename(y, "other")
        recorder.finish([y])

    assert [node.name for node in recorder.torch_graph.nodes] == ["l_x_", "y", "output"]


def test_call_is_shown_as_one_node():
    def composed(x):
        return x.sin() + x.cos()

    recorder = Recorder()
    x = torch.randn(3)
    with recorder:
        recorder.finish([recorder.call(composed, recorder.add_input(x))])

    assert [target for op, target in nodes_of(recorder) if op == "call_function"] == [composed]


def test_recorder_without_a_torch_graph_says_so():
    with Recorder(has_torch_graph=False) as recorder:
        pass

    with pytest.raises(ValueError, match="no torch-level graph"):
        recorder.torch_graph  # noqa: B018
