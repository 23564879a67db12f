import pytest
import torch
from eager_graphs import graph_of

import graphwright as gw
from graphwright.graph.execute import execute, make_constant
from graphwright.ir.aten import ConstantTensor, TensorMeta
from graphwright.ir.dtypes import DType


def test_execute_gives_what_eager_gives():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, generator=generator)
    table = torch.arange(4.0)

    def program(x):
        y = (x * 2 + table).transpose(0, 1)
        return torch.split(y, 2)[1].sum(1), y.to(torch.float64)

    graph = graph_of(program, x)
    total, wide = execute(graph, [x])

    torch.testing.assert_close((total, wide), program(x), rtol=0, atol=0)
    assert wide.stride() == program(x)[1].stride()


def test_mutated_inputs_get_their_last_value_after_all_reads():
    x, y = torch.ones(3), torch.full((3,), 2.0)
    graph = graph_of(lambda x, y: (y * 1, x * 1, x + y), x, y, mutated={0: 0, 1: 1})

    (total,) = execute(graph, [x, y])

    assert total.tolist() == [3.0, 3.0, 3.0]
    assert (x.tolist(), y.tolist()) == ([2.0] * 3, [1.0] * 3)


def test_outputs_that_alias_an_input_are_views_of_it():
    x = torch.arange(12.0)[2:].view(2, 5)
    graph = graph_of(lambda x: (x[1, 2:], x), x)
    other = torch.zeros(20)[7:17].view(2, 5)

    view, itself = execute(graph, [other])

    assert itself is other
    other[1, 3] = 5.0
    assert view.tolist() == [0.0, 5.0, 0.0]


@pytest.mark.parametrize("backend", ["aten", "native"])
@pytest.mark.parametrize("needs_grad", [False, True])
def test_detached_output_is_an_object_of_its_own_beside_the_one_with_a_history(backend, needs_grad):
    def program(x):
        y = x + 1
        return y, y.detach(), y

    compiled = gw.compile(program, fullgraph=True, backend=backend)
    made, detached, again = compiled(torch.ones(3, requires_grad=needs_grad))

    assert made is again
    assert made is not detached
    assert (made.requires_grad, detached.requires_grad) == (needs_grad, False)
    assert made.data_ptr() == detached.data_ptr()


def test_outputs_that_alias_each_other_share_memory():
    x = torch.ones(4)

    def program(x):
        y = x + 1
        return y, y.view(2, 2), x * 3

    base, view, other = execute(graph_of(program, x), [x])

    base[3] = 9.0
    assert view.tolist() == [[2.0, 2.0], [2.0, 9.0]]
    assert other.tolist() == [3.0] * 4


def test_outputs_without_alias_do_not_share_memory_with_inputs():
    x = torch.ones(2)
    graph = graph_of(lambda x: x.clone(), x)
    renamed = type(graph)(
        inputs=graph.inputs,
        symbols=(),
        nodes=(),
        outputs=(type(graph.outputs[0])(value_id=0, meta=graph.outputs[0].meta),),
    )

    (copy,) = execute(renamed, [x])

    assert copy.data_ptr() != x.data_ptr()
    assert copy.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.int64])
def test_constant_tensors_keep_their_elements(dtype):
    tensor = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
    meta = TensorMeta(DType(str(dtype).removeprefix("torch.")), (2, 3), (3, 1))
    constant = ConstantTensor(meta, bytes(tensor.reshape(-1).view(torch.uint8).numpy()))

    assert torch.equal(make_constant(constant), tensor)


def test_outputs_are_views_that_autograd_lets_be_written():
    def function(x):
        y = x * 3
        return y.t(), (x + 1).t(), y

    outputs = execute(graph_of(function, torch.ones(2, 3)), [torch.ones(2, 3)])
    weight = torch.full((3, 2), 2.0, requires_grad=True)
    expected = function(torch.ones(2, 3))

    for made in (outputs, expected):
        made[0].mul_(weight)
        made[1].mul_(weight)

    for found, wanted in zip(outputs, expected, strict=True):
        assert torch.equal(found, wanted)
    assert outputs[1].requires_grad
