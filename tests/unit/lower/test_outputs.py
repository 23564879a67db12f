"""Mutations, aliases and what the caller gets: lowered graphs against the eager interpreter of graphs."""

import msgspec
import pytest
import torch
from eager_graphs import graph_of
from plan_interpreter import run_lowered

from graphwright.base.errors import InternalError
from graphwright.graph import execute
from graphwright.ir.plan import (
    ArenaPlace,
    CallExtern,
    InputOutput,
    RunKernel,
    ViewOfInput,
    ViewOfOutput,
)
from graphwright.ir.plan_text import verify_plan
from graphwright.lower import lower_graph


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def copies(inputs):
    """Copies with the same strides, each in memory of its own."""
    return [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x) for x in inputs]


def check(function, *inputs, mutated=None):
    graph = graph_of(function, *inputs, mutated=mutated)
    lowered = lower_graph(graph, num_threads=2)
    ours, theirs = copies(inputs), copies(inputs)
    actual, expected = run_lowered(lowered, ours), execute(graph, theirs)
    for got, wanted in zip([*actual, *ours], [*expected, *theirs], strict=True):
        torch.testing.assert_close(got, wanted, check_stride=True)
    return lowered, ours, actual


def num_steps(lowered):
    return [type(step) for step in lowered.plan.steps]


def test_update_in_place_needs_no_other_memory():
    lowered, _, _ = check(
        lambda x, y: (x * 2 + y, x.sum()), normal(4, 5), normal(4, 5), mutated={0: 0}
    )

    assert lowered.plan.mutated_inputs == (0,)
    assert lowered.plan.arena_bytes == 0


def test_update_that_reads_elsewhere_goes_through_memory():
    check(lambda x: (torch.ops.aten.flip(x, [0]),), normal(5, 3), mutated={0: 0})
    check(lambda x: (x.t() + 1,), normal(4, 4), mutated={0: 0})
    check(lambda x: (x.t(),), normal(4, 4), mutated={0: 0})
    check(lambda x: (torch.ops.aten.cat([x[2:], x[:2]], 0),), normal(4, 4), mutated={0: 0})


def test_inputs_that_swap_keep_both_values():
    check(lambda x, y: (y * 1, x * 1), normal(4), normal(4, seed=1), mutated={0: 0, 1: 1})
    check(lambda x, y: (y, x), normal(4), normal(4, seed=1), mutated={0: 0, 1: 1})
    check(
        lambda x, y, z: (y + 1, z * 2, x - 1),
        *(normal(4), normal(4, seed=1), normal(4, seed=2)),
        mutated={0: 0, 1: 1, 2: 2},
    )


def test_old_value_is_read_before_it_is_overwritten():
    check(
        lambda x, w: (x + 1, torch.mm(x, w), x.sum(0), x.exp()),
        *(normal(4, 4), normal(4, 4)),
        mutated={0: 0},
    )


def test_mutated_input_of_other_strides_keeps_them():
    check(lambda x, y: (x + y,), normal(4, 5).t(), normal(5, 4), mutated={0: 0})
    check(lambda x, y: (x + y,), normal(8, 5)[::2], normal(4, 5), mutated={0: 0})


def test_input_of_another_dtype_is_converted():
    x = torch.arange(6)
    graph = graph_of(
        lambda x: (torch.ops.aten._to_copy(x * 1.5, dtype=torch.int64),), x, mutated={0: 0}
    )

    run_lowered(lower_graph(graph, num_threads=2), [x])

    assert x.tolist() == [0, 1, 3, 4, 6, 7]


def test_complex_input_is_mutated_by_a_call():
    x = torch.complex(normal(3), normal(3, seed=1))
    lowered, _, _ = check(lambda x: (x * 2,), x, mutated={0: 0})

    assert any(isinstance(step, CallExtern) for step in lowered.plan.steps)


def test_slice_update_writes_the_slice_only():
    cache, new = normal(8, 4), normal(2, 4, seed=1)
    lowered, _, _ = check(
        lambda cache, new: (torch.ops.aten.slice_scatter(cache, new * 2, 0, 3, 5),),
        *(cache, new),
        mutated={0: 0},
    )

    assert lowered.plan.arena_bytes == 0
    (kernel,) = lowered.kernels
    assert kernel.bytes_moved < 8 * 4 * 4 * 2 + 2 * 4 * 4


def test_output_that_is_an_input_is_the_input():
    lowered, ours, actual = check(lambda x: (x, x[1:], x + 1), normal(4, 5))

    assert actual[0] is ours[0]
    assert isinstance(lowered.plan.outputs[0], InputOutput)
    assert isinstance(lowered.plan.outputs[1], ViewOfInput)
    assert actual[1].data_ptr() == ours[0][1:].data_ptr()


def test_outputs_that_alias_share_memory():
    def program(x):
        y = x + 1
        return y[1:3], y, y.t()

    lowered, _, actual = check(program, normal(4, 5))

    assert isinstance(lowered.plan.outputs[2], ViewOfOutput)
    actual[1][1, 0] = 7.0
    assert actual[0][0, 0] == 7.0
    assert actual[2][0, 1] == 7.0


def test_equal_outputs_that_eager_made_apart_stay_apart():
    x = normal(4)
    graph = graph_of(lambda x: (x + 1, x + 1), x)
    first = graph.outputs[0]
    merged = type(graph)(
        inputs=graph.inputs, symbols=(), nodes=graph.nodes[:1], outputs=(first, first)
    )

    one, two = run_lowered(lower_graph(merged, num_threads=2), [x])

    assert one.data_ptr() != two.data_ptr()
    assert torch.equal(one, two)


def test_output_of_a_call_is_given_as_it_is():
    check(lambda x: (torch.ops.aten.sort(x)[0], torch.ops.aten.sort(x)[1]), normal(4, 5))


def test_constant_output_is_a_copy():
    table = torch.arange(4.0)
    check(lambda x: (torch.ops.aten.clone(table), x + table), normal(4))


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_tensors_without_elements_or_dimensions(shape):
    check(lambda x: (x + 1, x.sum(), x.exp() * 2), normal(*shape))


def test_dead_buffers_share_the_arena():
    def program(x, w):
        for _ in range(6):
            x = torch.mm(x, w).relu()
        return x

    lowered, _, _ = check(program, normal(8, 8), normal(8, 8))

    in_arena = [buffer for buffer in lowered.plan.buffers if isinstance(buffer.place, ArenaPlace)]
    assert len(in_arena) > 6
    assert lowered.plan.arena_bytes <= 3 * 8 * 8 * 4


def test_equal_kernels_are_made_once():
    def program(x, w):
        for _ in range(4):
            x = torch.mm(x, w).tanh() + x
        return x

    lowered, _, _ = check(program, normal(4, 4), normal(4, 4))

    assert num_steps(lowered).count(RunKernel) == 4
    assert len(lowered.kernels) == 1


def test_random_calls_keep_their_order_and_run_though_unused():
    def program(x):
        torch.ops.aten.rand_like(x)
        noise = torch.ops.aten.rand_like(x)
        return x + noise

    graph = graph_of(program, normal(5))
    torch.manual_seed(3)
    expected = program(normal(5))
    torch.manual_seed(3)
    (actual,) = run_lowered(lower_graph(graph, num_threads=2), [normal(5)])

    assert torch.equal(actual, expected)


def test_kernel_writes_where_it_reads_for_the_last_time():
    def program(x, w):
        for _ in range(3):
            x = torch.mm(torch.mm(x, w).tanh(), w)
        return x

    lowered, _, _ = check(program, normal(8, 8), normal(8, 8))

    (kernel,) = lowered.kernels
    assert [param.aliases for param in kernel.params] == [None, "p0"]
    assert lowered.plan.arena_bytes == 2 * 8 * 8 * 4


def test_kernel_that_reads_elsewhere_writes_elsewhere():
    def program(x, w):
        y = torch.mm(x, w)
        return torch.mm(y + torch.ops.aten.flip(y, [0]), w)

    lowered, _, _ = check(program, normal(8, 8), normal(8, 8))

    assert all(param.aliases is None for kernel in lowered.kernels for param in kernel.params)


def test_plan_whose_step_reads_what_nobody_wrote_is_refused():
    graph = graph_of(
        lambda x, y: torch.linalg.matrix_exp(x.sin() @ y).cos(), normal(4, 4), normal(4, 4)
    )
    lowered = lower_graph(graph, num_threads=1)
    steps = lowered.plan.steps
    verify_plan(lowered.plan, lowered.kernels)

    for number, step in enumerate(steps):
        if isinstance(step, RunKernel | CallExtern):
            short = msgspec.structs.replace(
                lowered.plan, steps=(*steps[:number], *steps[number + 1 :])
            )
            with pytest.raises(InternalError, match="not there yet"):
                verify_plan(short, lowered.kernels)
