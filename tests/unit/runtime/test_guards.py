"""Every guard passes and fails in both forms, from live objects and from decoded data."""

import contextlib

import pytest
import torch
from guard_cases import all_cases, state_guard
from runtime_programs import round_trip
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from graphwright.base.config import Wrapper
from graphwright.ir.guards import GlobalStateKind
from graphwright.runtime import make_backend_entry, read_global_state
from graphwright.runtime.reading import MISSING

FORMS = list(Wrapper)
CASES = all_cases()


def run_nothing(inputs, symbols):
    return ()


def make_entries(case):
    program, live, target = case.make()
    decoded, _ = round_trip(program)
    return [
        make_backend_entry(program, run_nothing, target=target, live_pins=live, wrapper=form)
        for form in FORMS
    ] + [make_backend_entry(decoded, run_nothing, target=target, wrapper=form) for form in FORMS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_guard_holds_or_fails_alike_in_every_form(case):
    for entry in make_entries(case):
        for args, expected in case.calls:
            assert entry.failed_guard(args, {}) == expected, (entry.native, args)
            served = entry.try_call(args, {})
            assert (served == "served") if expected is None else (served is MISSING)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_failure_is_explained(case):
    program, live, target = case.make()
    entry = make_backend_entry(program, run_nothing, target=target, live_pins=live)
    for args, expected in case.calls:
        failure = entry.explain_failure(args, {})
        if expected is None:
            assert failure is None
        else:
            assert failure.index == expected
            assert failure.guard is program.guards[expected]
            assert failure.expected
            assert failure.actual
            assert failure.render()


def test_first_decoded_guard_binds_its_pin_for_good():
    case = next(case for case in CASES if case.name == "code")
    program, _ = round_trip(case.make()[0])
    (served, _), (refused, number) = case.calls[0], case.calls[1]
    entry = make_backend_entry(program, run_nothing, target=None)

    assert entry.failed_guard(refused, {}) == number
    assert entry.failed_guard(served, {}) is None
    assert entry.pins.objects[0] is served[0].__code__
    assert entry.failed_guard(refused, {}) == number


class Nothing(TorchFunctionMode):
    pass


class NothingDispatched(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def changed(setter, value, restore):
    setter(value)
    try:
        yield
    finally:
        setter(restore)


@contextlib.contextmanager
def global_hook():
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        yield
    finally:
        handle.remove()


CHANGES = {
    GlobalStateKind.GRAD_MODE: torch.no_grad,
    GlobalStateKind.INFERENCE_MODE: torch.inference_mode,
    GlobalStateKind.DEFAULT_DTYPE: lambda: changed(
        torch.set_default_dtype, torch.float64, torch.float32
    ),
    GlobalStateKind.DEFAULT_DEVICE: lambda: torch.device("meta"),
    GlobalStateKind.AUTOCAST_CPU: lambda: torch.autocast("cpu", torch.bfloat16),
    GlobalStateKind.AUTOCAST_CACHE: lambda: changed(torch.set_autocast_cache_enabled, False, True),
    GlobalStateKind.DETERMINISTIC_ALGORITHMS: lambda: changed(
        torch.use_deterministic_algorithms, True, False
    ),
    GlobalStateKind.TORCH_FUNCTION_MODES: Nothing,
    GlobalStateKind.DISPATCH_MODES: NothingDispatched,
    GlobalStateKind.SAVED_TENSORS_HOOKS: lambda: torch.autograd.graph.saved_tensors_hooks(
        lambda x: x, lambda x: x
    ),
    GlobalStateKind.FLOAT32_MATMUL_PRECISION: lambda: changed(
        torch.set_float32_matmul_precision, "high", "highest"
    ),
    GlobalStateKind.GLOBAL_MODULE_HOOKS: global_hook,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.name)
def test_global_state_guard_sees_a_change_and_its_end(kind, form):
    program, live = state_guard(kind, read_global_state(kind))
    entry = make_backend_entry(program, run_nothing, target=None, live_pins=live, wrapper=form)

    before = entry.failed_guard((), {})
    with CHANGES[kind]():
        within = entry.failed_guard((), {})
    after = entry.failed_guard((), {})

    assert (before, within, after) == (None, 0, None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.name)
def test_global_state_guard_holds_for_an_unusual_value(kind, form):
    with CHANGES[kind]():
        program, live = state_guard(kind, read_global_state(kind))
        entry = make_backend_entry(program, run_nothing, target=None, live_pins=live, wrapper=form)
        within = entry.failed_guard((), {})
    after = entry.failed_guard((), {})

    assert (within, after) == (None, 0)


def test_every_kind_of_global_state_has_text():
    assert all(isinstance(read_global_state(kind), str) for kind in GlobalStateKind)
