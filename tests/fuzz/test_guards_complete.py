"""Guards are complete: after a capture, any one change of what the program could have read fails a guard or changes nothing.

For each program of the suite: capture its first call; then, one at a time, change a closure cell, a global, a default, code, an
attribute, a class attribute, a container, a module flag, an argument, or PyTorch's global state; and demand that either the guards
fail or the captured program still gives what eager gives now. The same with native shortcuts, which are made anew before each change.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import torch
from program_cases import Call, Case, TensorSpec, _compare_outcomes, _materialise, _run, under
from program_suite import all_cases
from state_changes import GLOBAL_STATES, iter_changes, variants_of_argument

from graphwright.base.config import Wrapper
from graphwright.base.errors import Unsupported
from graphwright.capture import CaptureOptions, ProgramRaised, capture_call
from graphwright.graph import execute
from graphwright.ir.guards import ConstantGuard
from graphwright.pipeline.dynamic import SymbolChoice
from graphwright.runtime import Dispatcher, Entry, make_backend_entry
from graphwright.runtime.native import NativeEntry, learning
from graphwright.runtime.native.learning import CALLS_BEFORE

CASES = all_cases()
OPEN = [pair for pair in CASES if pair[0].startswith("symbolic_")]
MOST_CHANGES = int(os.environ.get("FUZZ_CHANGES", "40"))
"""Of each program, for shortcuts: making one takes longer than checking all guards. 0: all of them."""


class GuardsFailed(Exception):
    """The captured program does not serve this call."""


def captured_entry(
    function: Callable[..., Any],
    step: Call,
    wrapper: Wrapper = Wrapper.PYTHON,
    options: CaptureOptions | None = None,
) -> Entry | None:
    """Capture a call without effects or gradients, to be run by eager kernels; None when it has any, or cannot be captured."""
    torch.manual_seed(1000)
    args, kwargs = _materialise(step.args, {}), _materialise(dict(step.kwargs), {})
    try:
        with step.under():
            captured = capture_call(function, args, kwargs, options=options)
    except (ProgramRaised, Unsupported):
        return None
    program = captured.program
    graph = program.graph
    metas = [*graph.inputs, *(output.meta for output in graph.outputs)]
    has_effects = program.effects or graph.mutations or graph.versioned_inputs
    if has_effects or any(meta.requires_grad for meta in metas):
        return None

    names = [binding.symbol for binding in program.symbols]

    def run(inputs: Any, symbols: tuple[int, ...]) -> Any:
        return execute(graph, inputs, dict(zip(names, symbols, strict=True)))

    return make_backend_entry(
        program, run, target=function, live_pins=captured.live_pins, wrapper=wrapper
    )


def serve(entry: Entry) -> Callable[..., Any]:
    """Give the function that runs `entry`, or raises `GuardsFailed`."""

    def on_miss(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        raise GuardsFailed

    dispatcher = Dispatcher(on_miss)
    dispatcher.add(entry)
    return dispatcher.function


def demand_same(
    function: Callable[..., Any], served: Callable[..., Any], step: Call, what: str
) -> bool:
    """Compare the captured program with eager; True when it served the call."""
    found = _run(served, step, 0)
    if isinstance(found.error, GuardsFailed):
        return False
    _compare_outcomes(_run(function, step, 0), found, what)
    return True


def iter_changed_calls(step: Call) -> Iterator[tuple[str, Call]]:
    """Give calls with one other argument, and the same call under other global state."""
    for index, value in enumerate(step.args):
        for label, other in variants_of_argument(value):
            args = (*step.args[:index], other, *step.args[index + 1 :])
            yield f"argument {index} {label}", dataclasses.replace(step, args=args)
    for index in range(1, len(step.args)):
        first = step.args[0]
        if isinstance(first, TensorSpec):
            args = (*step.args[:index], first, *step.args[index + 1 :])
            yield f"argument {index} the first one again", dataclasses.replace(step, args=args)
    for label, context in GLOBAL_STATES.items():
        yield label, under(context, step)


def demand_changes_are_seen(
    function: Callable[..., Any],
    served: Callable[..., Any],
    step: Call,
    *,
    prepare: Callable[[], object] = lambda: None,
    most: int = 0,
) -> None:
    """Change the places that can be reached from the function, one at a time, each after a call of `prepare`.

    All of them where `most` is 0, else about so many.
    """
    changes = list(iter_changes({"f": function}))
    for change in changes[:: max(len(changes) // most, 1) if most else 1]:
        prepare()
        try:
            change.apply()
        except (LookupError, TypeError, ValueError, AttributeError):
            continue  # the place cannot take such a value
        try:
            if can_make_arguments(step):
                demand_same(function, served, step, change.name)
        finally:
            change.undo()


def can_make_arguments(step: Call) -> bool:
    """Tell whether the arguments can be made in this state: where a global that their own class needs is hidden, there is no call."""
    try:
        _materialise((step.args, dict(step.kwargs)), {})
    except Exception:  # noqa: BLE001  (code of a program's class, in a state that it is not written for)
        return False
    return True


@pytest.mark.parametrize("wrapper", list(Wrapper), ids=lambda wrapper: wrapper.value)
@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_no_change_of_state_goes_unseen(case: Case, wrapper: Wrapper) -> None:
    prove(case, wrapper)


@pytest.mark.parametrize("wrapper", list(Wrapper), ids=lambda wrapper: wrapper.value)
@pytest.mark.parametrize("case", [case for _, case in OPEN], ids=[name for name, _ in OPEN])
def test_no_change_goes_unseen_where_numbers_are_open(case: Case, wrapper: Wrapper) -> None:
    choice = SymbolChoice(dynamic=True, earlier=())
    options = CaptureOptions(
        dynamic_dims=choice.dims_of, dynamic_ints=choice.int_symbol, is_open=choice.is_open
    )
    prove(case, wrapper, options)


def prove(case: Case, wrapper: Wrapper, options: CaptureOptions | None = None) -> None:
    """Demand of each change, one at a time, that the guards of the captured call see it or the result is eager's."""
    function, _ = case.make()
    step = case.calls[0]
    entry = captured_entry(function, step, wrapper, options)
    if entry is None:
        pytest.skip("has effects or gradients, raises, or breaks")
    served = serve(entry)

    assert demand_same(function, served, step, "no change"), "the guards fail on their own call"
    demand_changes_are_seen(function, served, step)
    for label, other in iter_changed_calls(step):
        demand_same(function, served, other, label)
    for number, other in enumerate(case.calls):
        demand_same(function, served, other, f"call {number}")
    assert demand_same(function, served, step, "all undone"), "a change was not undone"


def learn_shortcut(entry: Entry, step: Call) -> bool:
    """Check the guards of the call until a shortcut stands for most of them; False where none comes to that."""
    args, kwargs = _materialise(step.args, {}), _materialise(dict(step.kwargs), {})
    assert isinstance(entry.native, NativeEntry)
    with step.under():
        for _ in range(CALLS_BEFORE + 3):
            before = entry.native.num_shortcut_calls
            assert entry.native.failed_guard(args, kwargs) is None
            if entry.native.num_shortcut_calls > before > 0:
                break
    return entry.native.num_shortcut_calls > 0 and entry.native.num_skipped_guards > 0


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_no_change_of_state_goes_unseen_by_a_shortcut(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "FEWEST_STEPS", 0)
    monkeypatch.setattr(learning, "_LASTING_CALLS", 0)
    function, _ = case.make()
    step = case.calls[0]
    entry = captured_entry(function, step, Wrapper.NATIVE)
    if entry is None or not isinstance(entry.native, NativeEntry):
        pytest.skip("has effects or gradients, raises, or breaks")
    if not learn_shortcut(entry, step):
        pytest.skip("every guard is checked at each call")
    served = serve(entry)

    demand_changes_are_seen(
        function, served, step, prepare=lambda: learn_shortcut(entry, step), most=MOST_CHANGES
    )

    assert learn_shortcut(entry, step), "the shortcut was given up"
    assert demand_same(function, served, step, "all undone"), "a change was not undone"


def test_missing_guard_is_found_out() -> None:
    case = dict(CASES)["closures-reads_a_number_of_its_closure"]
    function, _ = case.make()
    step = case.calls[0]
    entry = captured_entry(function, step)
    assert entry is not None
    kept = tuple(guard for guard in entry.program.guards if not isinstance(guard, ConstantGuard))
    program = msgspec.structs.replace(entry.program, guards=kept)
    pins = entry.pins.objects
    unguarded = make_backend_entry(program, entry.call, target=function, live_pins=pins)

    with pytest.raises(AssertionError, match="scale"):
        demand_changes_are_seen(function, serve(unguarded), step)
