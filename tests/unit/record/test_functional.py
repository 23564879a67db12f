"""In-place programs become functional graphs that give eager's values, strides, aliases and mutations."""

import importlib

import inplace_programs
import pytest
import torch

from graphwright.base.errors import Unsupported
from graphwright.graph import execute
from graphwright.ir.aten_verify import verify_graph
from graphwright.record import record_function

execution = importlib.import_module(
    "graphwright.graph.execute"
)  # the room exports a function of that name

LAYOUTS = {
    "contiguous": lambda base: base.clone(),
    "transposed": lambda base: base.t().contiguous().t(),
    "strided": lambda base: torch.stack([base, base], -1).reshape(3, 8)[:, ::2],
    "offset": lambda base: torch.cat([base, base])[3:],
}


def run(call, seed=7):
    """Give a call's outputs as a list, or the error it raises."""
    torch.manual_seed(seed)
    try:
        result = call()
    except RuntimeError as error:
        return error
    return list(result) if isinstance(result, (tuple, list)) else [result]


def alias_pattern(tensors):
    """Give, for each tensor, the first one that shares its memory."""
    pointers = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    return [pointers.index(pointer) for pointer in pointers]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("program", inplace_programs.PROGRAMS, ids=lambda program: program.__name__)
def test_recorded_program_equals_eager(program, layout):
    base = torch.randn(3, 4)
    eager_input, graph_input = LAYOUTS[layout](base), LAYOUTS[layout](base)
    expected = run(lambda: program(eager_input))

    if isinstance(expected, RuntimeError):
        with pytest.raises((RuntimeError, ValueError, Unsupported)):
            record_function(program, [LAYOUTS[layout](base)])
        return
    recorded = record_function(program, [LAYOUTS[layout](base)])
    verify_graph(recorded.graph)
    found = run(lambda: execute(recorded.graph, [graph_input, *recorded.extra_inputs]))

    assert len(found) == len(expected)
    for ours, eagers in zip(found, expected, strict=True):
        # A sum over a tensor with gaps takes eager another order than one over its functional value.
        torch.testing.assert_close(ours, eagers, rtol=1e-6, atol=1e-6)
        assert (ours.dtype, ours.stride()) == (eagers.dtype, eagers.stride())
    torch.testing.assert_close(graph_input, eager_input, rtol=1e-6, atol=1e-6)
    assert alias_pattern([*found, graph_input]) == alias_pattern([*expected, eager_input])
    is_input = [tensor is graph_input for tensor in found]
    assert is_input == [tensor is eager_input for tensor in expected]


def test_no_node_of_a_program_without_random_fills_writes_to_an_argument():
    for program in inplace_programs.PROGRAMS:
        if program is inplace_programs.draw_random_numbers:
            continue
        graph = record_function(program, [torch.randn(3, 4)]).graph

        ops = [node.op.split(".")[1] for node in graph.nodes]

        assert not [op for op in ops if op.endswith("_")], program.__name__


def test_write_to_an_expanded_tensor_is_refused():
    def program(x):
        x[0:1].expand(3, 4).add_(1)
        return x

    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        record_function(program, [torch.randn(3, 4)])


def test_write_to_a_part_of_an_expanded_input_is_refused():
    def program(x):
        x[0].add_(1)
        return x

    with pytest.raises(Unsupported, match="expanded"):
        record_function(program, [torch.randn(4).expand(3, 4)])


def test_write_of_another_shape_is_refused_with_both_shapes():
    def program(x):
        return x[0].add_(x + 1)

    with pytest.raises(RuntimeError, match=r"\[4\].*\[3, 4\]"):
        record_function(program, [torch.randn(3, 4)])


def test_graph_says_which_value_an_input_ends_with():
    def program(x, y):
        y.mul_(x)
        return x

    graph = record_function(program, [torch.randn(3), torch.randn(3)]).graph

    assert [mutation.input_index for mutation in graph.mutations] == [1]
    assert graph.mutations[0].value_id == graph.nodes[-1].results[0]


def test_mutation_undone_by_value_needs_no_write():
    def program(x):
        y = x.detach()
        return y + 1

    assert record_function(program, [torch.randn(3)]).graph.mutations == ()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("program", inplace_programs.PROGRAMS, ids=lambda program: program.__name__)
def test_metadata_of_every_value_is_what_aten_gives(program, layout):
    try:
        recorded = record_function(program, [LAYOUTS[layout](torch.randn(3, 4))])
    except (RuntimeError, ValueError):
        pytest.skip("eager refuses this layout too")
    graph = recorded.graph
    values = [LAYOUTS[layout](torch.randn(3, 4)), *recorded.extra_inputs]
    values += [execution.make_constant(constant) for constant in graph.constants]

    with torch.no_grad():
        for node in graph.nodes:
            results = execution._run_node(node, values, {})
            values += results

            for result, meta in zip(results, filter(None, node.metas), strict=True):
                found = (tuple(result.shape), result.stride(), result.dtype)
                assert found == (meta.shape, meta.strides, meta.dtype.torch_dtype), node.op
