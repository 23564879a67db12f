from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import weakref

import pytest
import torch

from graphwright.base.counters import counters
from graphwright.base.errors import OverwrittenOutputError
from graphwright.graph_trees import (
    PathState,
    RepeatRecorder,
    ReplayOptions,
    Warmup,
    get_manager,
    graphify,
    live_block_count,
    mark_step_begin,
    segments,
)

NUMBERS = itertools.count()
COLD = ReplayOptions(warmup=Warmup.SKIP)


@pytest.fixture
def device() -> str:
    """A device key of this test's own."""
    return f"cpu:{next(NUMBERS)}"


@pytest.fixture(scope="module", autouse=True)
def _older_objects_are_no_garbage():
    """Each test collects garbage: to search what thousands of tests before have left would take seconds every time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _fresh_counts():
    counters.clear("graph_trees")
    yield
    gc.collect()
    counters.clear("graph_trees")


def counted() -> dict[str, int]:
    return counters.snapshot().get("graph_trees", {})


class Counted:
    """A function of a list that counts how often its Python runs."""

    def __init__(self, function) -> None:
        self.function = function
        self.runs = 0

    def __call__(self, inputs):
        self.runs += 1
        values = list(inputs)
        inputs.clear()
        return self.function(*values)


def cube(x):
    return [x * x * x]


def make(function, device, num_inputs=1, **rest):
    counted_function = Counted(function)
    examples = [torch.zeros(1)] * num_inputs
    return graphify(counted_function, examples, device=device, **rest), counted_function


def test_first_call_warms_up_second_records_third_replays(device) -> None:
    run, body = make(cube, device)

    for step in range(4):
        x = torch.randn(4, 4)
        assert torch.equal(run([x])[0], cube(x)[0]), step

    assert body.runs == 2
    assert counted() == {"warmups": 1, "recordings": 1, "replays": 2}
    assert [root.num_descendants() for root in get_manager(device).roots] == [0]


def test_inputs_are_emptied(device) -> None:
    run, _ = make(cube, device)

    for _ in range(3):
        inputs = [torch.ones(2)]
        run(inputs)
        assert inputs == []


def test_outputs_of_replays_have_one_address(device) -> None:
    run, _ = make(cube, device, options=COLD)

    addresses = {run([torch.ones(100)])[0].data_ptr() for _ in range(4)}

    assert len(addresses) == 1
    assert len(segments(device)) == 1


def test_other_layouts_and_plain_values_get_recordings_of_their_own(device) -> None:
    run, body = make(lambda n, x: [x * n], device, 2)

    for n, x in [(2, torch.ones(3)), (3, torch.ones(3)), (2, torch.ones(4)), (2, torch.ones(3, 1))]:
        for _ in range(3):
            assert torch.equal(run([n, x])[0], x * n)

    assert body.runs == 8
    assert counted()["recordings"] == 4
    assert len(get_manager(device).roots) == 4


def test_call_on_a_held_output_becomes_a_child(device) -> None:
    first, _ = make(cube, device)
    second, _ = make(lambda y: [y + 1], device)

    states = []
    for _ in range(3):
        x = torch.randn(5)
        y = first([x])[0]
        z = second([y])[0]
        states.append(get_manager(device).path_state)
        assert torch.equal(z, x * x * x + 1)
        del y, z

    assert states == [PathState.WARMUP, PathState.RECORDING, PathState.EXECUTION]
    assert [root.num_descendants() for root in get_manager(device).roots] == [1]


def test_call_after_all_outputs_died_begins_a_new_path(device) -> None:
    first, _ = make(cube, device, options=COLD)
    second, _ = make(lambda y: [y + 1], device, options=COLD)

    first([torch.ones(5)])
    second([torch.ones(5)])

    assert [root.num_descendants() for root in get_manager(device).roots] == [0, 0]


def test_recording_goes_on_from_a_replayed_path(device) -> None:
    """Roots and checkpoints as in a tree that grows a second branch."""
    first, _ = make(lambda x: [x + 1, x + 2], device, options=COLD)
    second, _ = make(cube, device, options=COLD)
    for _ in range(3):
        one, two = first([torch.ones(5)])
        del one, two
    assert counted().get("checkpoints", 0) == 0

    one, two = first([torch.ones(5)])
    del two
    result = second([one])[0]

    assert torch.equal(result, torch.full((5,), 8.0))
    assert counted()["checkpoints"] == 1
    assert live_block_count(device) == 1
    del result
    assert live_block_count(device) == 0


def test_memory_of_a_dead_output_is_used_again_and_guarded(device) -> None:
    first, _ = make(lambda x: [x + 1, x + 2], device, options=COLD)
    second, _ = make(lambda y: [y * 10], device, options=COLD)
    one, two = first([torch.zeros(5)])
    del two
    result = second([one])[0]
    (root,) = get_manager(device).roots
    (child,) = root.children
    assert child.expected_dead_indices_before_graph == [(0, 1)]
    assert len(segments(device)) == 2
    del one, result

    one, two = first([torch.zeros(5)])
    result = second([one])[0]

    assert torch.equal(two, torch.full((5,), 2.0))
    assert torch.equal(result, torch.full((5,), 10.0))
    assert len(root.children) == 2
    assert counted()["recordings"] == 3


def test_output_that_dies_during_the_child_is_noted(device) -> None:
    first, _ = make(cube, device, options=COLD)
    second, _ = make(lambda y: [y + 1], device, options=COLD)

    result = second(first([torch.ones(3)]))

    (root,) = get_manager(device).roots
    assert root.children[0].expected_dead_indices_before_graph == []
    assert root.children[0].expected_dead_indices_after_graph == [(0, 0)]
    assert len(list(root.children[0].path_live_weakrefs())) == 1
    del result


@pytest.mark.parametrize("held_from", ["warmup", "recording", "replay"])
def test_output_of_an_older_iteration_raises_when_used(device, held_from) -> None:
    run, _ = make(cube, device, options=ReplayOptions(origins=("model.py:7 in f: x * x * x",)))
    for _ in range(["warmup", "recording", "replay"].index(held_from)):
        run([torch.ones(4)])
    old = run([torch.ones(4)])[0]

    mark_step_begin()
    new = run([torch.full((4,), 2.0)])[0]

    assert torch.equal(new, torch.full((4,), 8.0))
    for use in [
        lambda: old + old,
        lambda: old.shape,
        lambda: torch.stack([old]),
        lambda: old.tolist(),
    ]:
        with pytest.raises(OverwrittenOutputError, match=r"overwritten by a subsequent") as error:
            use()
        assert "x * x * x" in str(error.value)
        assert ".clone()" in str(error.value)


def test_view_of_an_older_output_keeps_its_data(device) -> None:
    run, _ = make(cube, device, options=COLD)
    old = run([torch.full((4,), 3.0)])[0]
    view, alias = old[1:3], old.detach()

    mark_step_begin()
    new = [run([torch.full((4,), float(n))])[0].clone() for n in (1, 2)]

    assert torch.equal(view, torch.full((2,), 27.0))
    assert torch.equal(alias, torch.full((4,), 27.0))
    assert [tensor[0].item() for tensor in new] == [1.0, 8.0]
    assert counted()["kept_views"] == 1


def test_output_is_not_overwritten_by_a_call_that_takes_it(device) -> None:
    first, _ = make(cube, device, options=COLD)
    second, _ = make(lambda y: [y + 1], device, options=COLD)

    out = first([torch.ones(3)])[0]
    mark_step_begin()
    result = second([out])[0]

    assert torch.equal(result, torch.full((3,), 2.0))
    assert torch.equal(out, torch.ones(3))


def test_input_and_views_of_it_come_back_as_eager_gives_them(device) -> None:
    run, _ = make(lambda x: [x, x[1], x.t(), x + 1, x + 1], device)

    for _ in range(3):
        x = torch.randn(3, 3)
        same, row, transposed, *_ = run([x])
        assert same is x
        assert row.data_ptr() == x[1].data_ptr()
        assert transposed.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


def test_outputs_that_share_memory_share_it_after_a_replay_too(device) -> None:
    def function(x):
        y = x * 2
        return [y[1], y, y.view(torch.int32), y.t()]

    run, _ = make(function, device)
    for step in range(3):
        x = torch.randn(4, 4)
        row, whole, bits, transposed = run([x])
        assert torch.equal(whole, x * 2)
        assert torch.equal(row, x[1] * 2)
        assert torch.equal(bits, (x * 2).view(torch.int32))
        assert torch.equal(transposed, (x * 2).t()), step
        whole[1, 0] = 100
        assert row[0] == 100
        assert transposed[0, 1] == 100
        del row, whole, bits, transposed
    assert len(segments(device)) == 1


def test_captured_tensor_is_read_again_and_comes_back_itself(device) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    run, _ = make(lambda x: [x + weight, weight, weight[1:]], device)

    for step in range(4):
        with torch.no_grad():
            weight.fill_(step)
        total, same, part = run([torch.zeros(3)])
        assert torch.equal(total, torch.full((3,), float(step)))
        assert part.data_ptr() == weight[1:].data_ptr()
        assert same.data_ptr() == weight.data_ptr()
        mark_step_begin()
    assert torch.equal(weight, torch.full((3,), 3.0))


def test_random_ops_draw_anew_at_each_replay(device) -> None:
    run, _ = make(lambda: [torch.rand(20)], device, 0)

    torch.manual_seed(0)
    expected = [torch.rand(20) for _ in range(4)]
    torch.manual_seed(0)
    found = [run([])[0].clone() for _ in range(4)]

    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)


def test_expanded_empty_and_sparse_outputs_are_right(device) -> None:
    def function(x):
        return [(x + 1).expand(4, 3), x[:0] + 1, (x * 2).to_sparse(), 7, None]

    run, _ = make(function, device)
    for step in range(3):
        x = torch.randn(3)
        expanded, empty, sparse, *plain = run([x])
        assert torch.equal(expanded, (x + 1).expand(4, 3))
        assert expanded.stride() == (0, 1)
        assert empty.shape == (0,)
        assert torch.equal(sparse.to_dense(), x * 2), step
        assert plain == [7, None]


def test_mutated_input_is_skipped_with_a_message_and_counted_once(device, caplog) -> None:
    run, body = make(lambda x: [x.add_(2)], device)

    for _ in range(3):
        x = torch.zeros(3)
        assert run([x])[0] is x
        assert torch.equal(x, torch.full((3,), 2.0))

    assert body.runs == 3
    assert counted() == {"skips": 1}
    assert get_manager(device).roots == []
    assert "skipping cudagraphs due to mutated inputs (1 instances). Found from" in caplog.text
    assert "add_" in caplog.text


def test_mutated_static_input_and_output_of_the_path_are_recorded(device) -> None:
    buffer = torch.zeros(3)
    first, _ = make(lambda x, b: [b.add_(1) * x], device, 2, static_input_idxs=[1])
    second, _ = make(lambda y: [y.mul_(2)], device)

    for step in range(1, 4):
        y = first([torch.ones(3), buffer])[0]
        z = second([y])[0]
        assert torch.equal(z, torch.full((3,), 2.0 * step))
        assert torch.equal(y, z)
        del y, z
    assert torch.equal(buffer, torch.full((3,), 3.0))
    assert counted()["recordings"] == 2
    assert "skips" not in counted()


def test_static_input_elsewhere_is_recorded_again_and_found_again(device) -> None:
    run, body = make(lambda x, w: [x * w], device, 2, static_input_idxs=[1])
    weights = [torch.full((3,), float(n)) for n in (2, 3)]

    for weight in [*weights, *weights, *weights]:
        assert torch.equal(run([torch.ones(3), weight])[0], weight)

    assert counted() == {"warmups": 1, "recordings": 2, "replays": 3}
    assert body.runs == 3


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: [x * x.sum().item()], "aten._local_scalar_dense.default"),
        (lambda x: [x.nonzero()], "aten.nonzero.default"),
    ],
)
def test_op_that_depends_on_values_is_skipped(device, caplog, function, op) -> None:
    run, _ = make(function, device)

    for x in [torch.ones(3), torch.tensor([0.0, 1.0, 0.0])]:
        assert torch.equal(run([x])[0], function(x)[0])

    assert counted() == {"skips": 1}
    assert f"incompatible op {op}" in caplog.text


def test_index_by_numbers_is_recorded_and_by_a_mask_is_not(device) -> None:
    by_numbers, _ = make(lambda x, i: [x[i], x[:, i]], device, 2)
    by_mask, _ = make(lambda x: [x[x > 0]], device)

    for _ in range(3):
        x = torch.randn(4, 4)
        assert torch.equal(by_numbers([x, torch.tensor([1, 3])])[1], x[:, [1, 3]])
        assert torch.equal(by_mask([x])[0], x[x > 0])
    assert counted()["replays"] == 1
    assert counted()["skips"] == 1


def test_output_that_no_op_made_is_skipped(device) -> None:
    made = [torch.zeros(2), torch.ones(2)]
    run, _ = make(lambda _: [made.pop()], device)

    assert torch.equal(run([torch.ones(1)])[0], torch.ones(2))
    assert torch.equal(run([torch.ones(1)])[0], torch.zeros(2))
    assert counted() == {"skips": 1}


def test_repeat_recorder_runs_the_function_each_time_into_the_same_memory(device) -> None:
    run, body = make(
        lambda x: [torch.from_numpy(x.numpy() * 3)],
        device,
        options=ReplayOptions(recorder=RepeatRecorder()),
    )

    addresses = set()
    for n in range(4):
        result = run([torch.full((3,), float(n))])[0]
        assert torch.equal(result, torch.full((3,), 3.0 * n))
        if n > 0:
            addresses.add(result.data_ptr())
        del result
    assert len(addresses) == 1
    assert body.runs == 4


def test_error_of_the_function_comes_out_and_leaves_the_path(device) -> None:
    run, _ = make(lambda x: [x @ x], device, options=COLD)
    good = run([torch.ones(2, 2)])[0]

    with pytest.raises(RuntimeError, match=r"mat|size|shape"):
        run([torch.ones(2, 3)])

    assert torch.equal(good, torch.full((2, 2), 2.0))
    assert get_manager(device).current_node is get_manager(device).roots[0]


def test_replay_that_fails_raises_and_can_be_repeated(device) -> None:
    table = torch.arange(5.0)
    run, _ = make(lambda i: [table[i]], device, options=COLD)
    run([torch.tensor([1])])

    with pytest.raises(IndexError, match="out of"):
        run([torch.tensor([7])])
    assert run([torch.tensor([2])])[0].item() == 2.0


def test_managers_of_two_devices_do_not_meet(device) -> None:
    other = f"{device}0"
    run, _ = make(cube, device)

    run([torch.ones(2)])

    assert get_manager(other) is None
    assert get_manager(device) is not None


def test_manager_and_memory_go_with_the_last_function_and_outputs_stay(device) -> None:
    run, _ = make(cube, device, options=COLD)
    out = run([torch.ones(3)])[0]
    manager = weakref.ref(get_manager(device))

    del run, _
    gc.collect()

    assert manager() is None
    assert get_manager(device) is None
    assert (live_block_count(device), segments(device)) == (0, ())
    assert torch.equal(out, torch.ones(3))


def test_live_blocks_count_warmups_and_recordings_while_they_are_held(device) -> None:
    """A replayed output does not count."""
    run, _ = make(cube, device)

    out = run([torch.ones(3)])[0]
    assert live_block_count(device) == 1
    del out
    assert live_block_count(device) == 0
    out = run([torch.ones(3)])[0]
    assert live_block_count(device) == 1
    del out
    out = run([torch.ones(3)])[0]
    assert live_block_count(device) == 0
    del out


def test_path_may_be_longer_than_the_stack_is_deep(device) -> None:
    run, _ = make(lambda x: [x + 1], device, options=COLD)
    held = [torch.zeros(1)]

    for _ in range(1100):
        held.append(run([held[-1]])[0])

    assert held[-1].item() == 1100
    assert get_manager(device).roots[0].num_descendants() == 1099


def test_graph_ids_count_recordings(device) -> None:
    run, _ = make(cube, device, options=COLD)

    for size in (1, 2, 3, 1):
        run([torch.ones(size)])

    assert [root.id.id for root in get_manager(device).roots] == [0, 1, 2]
    assert get_manager(device).new_graph_id().id == 3


def test_static_input_out_of_range_is_refused(device) -> None:
    with pytest.raises(IndexError, match=r"static inputs \[3\] of a function of 1 inputs"):
        make(cube, device, static_input_idxs=[3])


IMPORTS = """
import sys
import torch
from graphwright.graph_trees import graphify
run = graphify(lambda inputs: [inputs.pop() * 2], [torch.ones(2)], device="cpu")
for _ in range(3):
    run([torch.ones(2)])
banned = ("torch._dynamo", "torch._inductor", "torch._functorch.aot_autograd", "sympy")
print([name for name in sys.modules if name.startswith(banned)])
"""


def test_recording_does_not_import_torchs_compile_stack() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"


def test_many_calls_in_any_order_give_what_eager_gives(device) -> None:
    """A random program over three functions, some outputs held for a while, steps marked now and then."""
    functions = [lambda x: [x * 2, x + 1], lambda x: [x.sin(), x[:2]], lambda x: [x.flip(0) - 1]]
    recorded = [make(function, device)[0] for function in functions]
    generator = torch.Generator().manual_seed(0)
    held = []
    for step in range(300):
        choice, drop = torch.randint(0, 100, (2,), generator=generator).tolist()
        x = torch.randn(4, generator=generator)
        if held and choice % 2:
            x = held[-1][0]
        expected = functions[choice % 3](x.clone())
        found = recorded[choice % 3]([x])
        for a, b in zip(expected, found, strict=True):
            assert torch.equal(a, b), step
        if found[0].numel() == 4:
            held.append((found[0], expected[0]))
        for a, b in held:
            assert torch.equal(a, b), step
        if drop % 3 == 0:
            held.clear()
        if drop % 7 == 0:
            held.clear()
            mark_step_begin()
        del found, x
    assert counted()["replays"] > 50
