"""Ops that change a tensor's own shape (`t_`, `squeeze_`), and writes whose dtype does not fit."""

import pytest
import torch

from graphwright.base.errors import Unsupported
from graphwright.graph import execute
from graphwright.record import Recorder, record_function


def shape_methods(x):
    y = x.clone()
    y.unsqueeze_(0).transpose_(0, 2).squeeze_()
    y.t_().add_(1)
    return y, y.sum(0)


def view_of_an_input_is_reshaped(x):
    y = x[1:]
    y.t_()
    y.mul_(2)
    return y, x.sum()


def vector_times_matrix(x):
    return torch.ones(3) @ x, x @ torch.ones(4)


@pytest.mark.parametrize(
    "program",
    [shape_methods, view_of_an_input_is_reshaped, vector_times_matrix],
    ids=lambda program: program.__name__,
)
def test_recorded_program_equals_eager(program):
    x = torch.randn(3, 4)
    own = x.clone()

    graph = record_function(program, [own]).graph
    outputs = execute(graph, [own])

    expected = program(x)
    for one, other in zip(expected, outputs, strict=True):
        assert one.shape == other.shape
        assert one.stride() == other.stride()
        torch.testing.assert_close(other, one)
    torch.testing.assert_close(own, x)


def test_symbolic_sizes_survive_a_change_of_shape():
    recorder = Recorder(location=lambda: None, on_real_tensor=lambda _: None)
    with recorder:
        x = recorder.add_input(torch.randn(5, 3), name="x", dynamic_dims={0: "s0"})
        y = x * 2
        y.unsqueeze_(0).transpose_(1, 2)

        assert str(y.shape[2]) == "s0"
        assert y.shape[:2] == (1, 3)


def test_shape_of_an_input_cannot_be_changed():
    with pytest.raises(Unsupported, match="t_"):
        record_function(lambda x: x.t_(), [torch.randn(2, 3)])


@pytest.mark.parametrize("method", ["add_", "div_", "mul_"])
def test_result_that_does_not_fit_raises_as_eager_does(method):
    integers = torch.tensor([1, 2])
    with pytest.raises(RuntimeError) as expected:
        getattr(integers, method)(1.5)

    with pytest.raises(RuntimeError) as found:
        record_function(lambda x: getattr(x, method)(1.5), [integers])

    assert str(found.value) == str(expected.value)
