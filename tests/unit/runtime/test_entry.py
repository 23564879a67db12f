"""An entry serves the calls it was made for, and says why it does not serve others."""

import pytest
import torch
from runtime_programs import double_case, round_trip

from graphwright.runtime import MISSING, Dispatcher, make_backend_entry, make_entry


def test_call_gives_the_graph_output():
    x = torch.randn(4, 4)
    program, live, plan, code = double_case(x)
    entry = make_entry(program, plan, code, target=None, live_pins=live)

    result = entry.try_call((x,), {})

    assert torch.equal(result, x * 2)


def test_call_of_another_shape_is_not_served():
    x = torch.randn(4, 4)
    program, live, plan, code = double_case(x)
    entry = make_entry(program, plan, code, target=None, live_pins=live)

    failure = entry.explain_failure((torch.randn(4, 5),), {})

    assert entry.try_call((torch.randn(4, 5),), {}) is MISSING
    assert failure.index == 0
    assert "(4, 5)" in failure.actual


def test_entry_from_decoded_data_behaves_alike():
    x = torch.randn(4, 4)
    program, _, plan, code = double_case(x)
    program, plan = round_trip(program, plan)
    entry = make_entry(program, plan, code, target=None)

    assert torch.equal(entry.try_call((x,), {}), x * 2)
    assert entry.failed_guard((torch.nn.Parameter(x),), {}) == 0
    assert entry.failed_guard((3,), {}) == 0


def test_backend_function_runs_the_graph():
    x = torch.randn(4, 4)
    program, live, _, _ = double_case(x)
    entry = make_backend_entry(
        program, lambda inputs, _: [inputs[0] + 1], target=None, live_pins=live
    )

    assert torch.equal(entry.try_call((x,), {}), x + 1)


def test_dispatcher_asks_on_miss_and_then_uses_the_new_entry():
    x = torch.randn(4, 4)
    program, live, plan, code = double_case(x)
    missed = []

    def on_miss(args, kwargs):
        missed.append(args)
        entry = make_entry(program, plan, code, target=None, live_pins=live)
        dispatcher.add(entry)
        return entry.try_call(args, kwargs)

    dispatcher = Dispatcher(on_miss)

    first, second = dispatcher.function(x), dispatcher.function(x)

    assert torch.equal(first, second)
    assert len(missed) == 1


def test_source_is_readable():
    x = torch.randn(4, 4)
    program, live, plan, code = double_case(x)
    entry = make_entry(
        program, plan, code, target=None, live_pins=live, kernel_texts=["kernel double(in0, out0)"]
    )

    assert "def guards(args, kwargs):" in entry.source
    assert "kernel0([b0, b1])" in entry.source
    assert "kernel double(in0, out0)" in entry.source


@pytest.mark.parametrize("args", [(), (1, 2)])
def test_call_of_another_pattern_is_not_served(args):
    x = torch.randn(4, 4)
    program, live, plan, code = double_case(x)
    entry = make_entry(program, plan, code, target=None, live_pins=live)

    assert entry.try_call(args, {}) is MISSING
    assert "positional" in entry.explain_failure(args, {}).actual


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupted_call_is_not_made_again(kind):
    x = torch.randn(4, 4)
    program, live, plan, code = double_case(x)
    entry = make_entry(program, plan, code, target=None, live_pins=live)
    calls = []
    entry.on_failure = lambda *call: calls.append(call)

    entry.run_again(RuntimeError(), (x,), {})
    with pytest.raises(kind):
        entry.run_again(kind(), (x,), {})

    assert [type(error) for error, *_ in calls] == [RuntimeError]
