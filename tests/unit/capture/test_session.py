"""A capture as a whole: guards for all that was read, no trace left behind, errors that say where."""

import contextlib
import enum
import time
import types

import pytest
import torch
from captured_calls import capture

import graphwright as gw
from graphwright.base.errors import Unsupported
from graphwright.capture import CaptureOptions, ProgramRaised, capture_call, is_compiling, session
from graphwright.ir.guards import GlobalStateKind
from graphwright.ir.recipes import FromBuilt, FromSource, SetGlobalStateEffect
from graphwright.runtime import read_global_state

FACTOR = 2
TABLE = {"a": [1, 2]}


class Scale:
    bias = 1

    def __init__(self, factor):
        self.factor = factor
        self.parts = [factor]

    @property
    def doubled(self):
        return self.factor * 2

    def apply(self, x):
        return x * self.factor + self.bias


def helper(x):
    return x + 1


def reads_much(x, scale, *, extra=0):
    y = helper(scale.apply(x)) * FACTOR + sum(TABLE["a"]) + scale.doubled + sum(scale.parts) + extra
    return y if hasattr(scale, "hidden") else y * len(TABLE)


@contextlib.contextmanager
def set_attr(holder, name, value):
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


def _other_helper(x):
    return x + 100


CHANGES = {
    "a global": lambda scale: pytest.MonkeyPatch().setitem(globals(), "FACTOR", 3),
    "a global's item": lambda scale: pytest.MonkeyPatch().setitem(TABLE, "a", [1, 3]),
    "a global's length": lambda scale: pytest.MonkeyPatch().setitem(TABLE, "b", 1),
    "a function's code": lambda scale: pytest.MonkeyPatch().setattr(
        helper, "__code__", _other_helper.__code__
    ),
    "a function": lambda scale: pytest.MonkeyPatch().setitem(globals(), "helper", _other_helper),
    "an attribute": lambda scale: setattr(scale, "factor", 5),
    "an attribute's type": lambda scale: setattr(scale, "factor", 2.0),
    "a list in an attribute": lambda scale: scale.parts.append(1),
    "a class attribute": lambda scale: pytest.MonkeyPatch().setattr(Scale, "bias", 7),
    "a class attribute shadowed": lambda scale: setattr(scale, "bias", 7),
    "a method": lambda scale: pytest.MonkeyPatch().setattr(Scale, "apply", lambda s, x: x),
    "a method shadowed": lambda scale: setattr(scale, "apply", lambda x: x),
    "a property": lambda scale: pytest.MonkeyPatch().setattr(
        Scale, "doubled", property(lambda s: 0)
    ),
    "an attribute that was missing": lambda scale: setattr(scale, "hidden", 1),
    "an attribute of the class that was missing": lambda scale: pytest.MonkeyPatch().setattr(
        Scale, "hidden", 1, raising=False
    ),
    "a builtin": lambda scale: pytest.MonkeyPatch().setitem(globals(), "sum", lambda v: 0),
    "a keyword default": lambda scale: pytest.MonkeyPatch().setitem(
        reads_much.__kwdefaults__, "extra", 1
    ),
    "the class": lambda scale: setattr(scale, "__class__", type("Other", (Scale,), {})),
    "grad mode": lambda scale: torch.set_grad_enabled(False),
    "the default dtype": lambda scale: torch.set_default_dtype(torch.float64),
}


@pytest.fixture
def undone(monkeypatch):
    """Undo what a change does to the module, its classes and PyTorch."""
    patches = []
    original = pytest.MonkeyPatch

    def make():
        patches.append(original())
        return patches[-1]

    monkeypatch.setattr(pytest, "MonkeyPatch", make)
    yield
    for patch in patches:
        patch.undo()
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.usefixtures("undone")
def test_change_of_what_was_read_fails_a_guard(name):
    x, scale = torch.ones(3), Scale(2)
    program = capture(reads_much, (x, scale))
    assert torch.equal(program(x, scale), reads_much(x, scale))

    CHANGES[name](scale)

    assert not program.serves(x, scale)


def test_change_of_what_was_not_read_fails_no_guard():
    x, scale = torch.ones(3), Scale(2)
    program = capture(reads_much, (x, scale))

    scale.unread = 5

    assert program.serves(x, scale)
    assert program.serves(torch.zeros(3), Scale(2))


@pytest.mark.parametrize(
    "other",
    [
        torch.ones(4),
        torch.ones(3, dtype=torch.float64),
        torch.ones(3, requires_grad=True),
        torch.ones(6)[::2],
        torch.nn.Parameter(torch.ones(3)),
        1.0,
        None,
    ],
    ids=repr,
)
def test_tensor_of_other_properties_fails_a_guard(other):
    program = capture(helper, (torch.ones(3),))

    assert not program.serves(other)


def state():
    return {kind: read_global_state(kind) for kind in GlobalStateKind}


@contextlib.contextmanager
def nested_modes():
    with torch.no_grad(), torch.autocast("cpu"), torch.inference_mode():
        yield


def prints_under_modes(x):
    with nested_modes():
        print(x)


def raises_under_modes(x):
    with nested_modes(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        raise ValueError(x.shape)


def changes_then_prints(x, scale):
    scale.factor = 9
    scale.parts.append(1)
    TABLE["new"] = x
    print(x)


@pytest.mark.parametrize("program", [prints_under_modes, raises_under_modes])
def test_capture_that_fails_leaves_the_state_of_pytorch_alone(program):
    before, random_state = state(), torch.get_rng_state()
    flash = torch.backends.cuda.flash_sdp_enabled()

    with pytest.raises((Unsupported, ProgramRaised)):
        capture_call(program, (torch.ones(2),), {})

    assert state() == before
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.backends.cuda.flash_sdp_enabled() == flash
    assert not is_compiling()


def test_capture_that_fails_leaves_the_users_objects_alone():
    scale = Scale(2)

    with pytest.raises(Unsupported):
        capture_call(changes_then_prints, (torch.ones(2), scale), {})

    assert vars(scale) == {"factor": 2, "parts": [2]}
    assert TABLE == {"a": [1, 2]}


def returns_its_class(x):
    class Made:
        pass

    return x, Made


def returns_an_instance_of_its_class(x):
    class Made:
        pass

    return x, Made()


def returns_a_member_of_its_enum(x):
    Made = enum.Enum("Made", ["ONE", "TWO"])
    return x, (1, Made.TWO)


def returns_a_nameless_flag_of_its_enum(x):
    Made = enum.Flag("Made", ["ONE", "TWO"])
    return x, Made.ONE | Made.TWO


@pytest.mark.parametrize(
    "program",
    [
        returns_its_class,
        returns_an_instance_of_its_class,
        returns_a_member_of_its_enum,
        returns_a_nameless_flag_of_its_enum,
    ],
)
def test_class_that_the_program_makes_is_never_kept_for_other_calls(program):
    with pytest.raises(Unsupported, match="Made"):
        capture_call(program, (torch.ones(2),), {})


def test_unsupported_says_where_why_and_what_to_do():
    with pytest.raises(Unsupported) as caught:
        capture_call(prints_under_modes, (torch.ones(2),), {})

    line = prints_under_modes.__code__.co_firstlineno + 2
    assert caught.value.location == f"{__file__}:{line} in prints_under_modes"
    assert caught.value.why
    assert caught.value.remedy


def test_exception_of_the_program_is_told_apart():
    with pytest.raises(ProgramRaised) as caught:
        capture_call(raises_under_modes, (torch.ones(2),), {})

    assert isinstance(caught.value.error, ValueError)


def test_handlers_of_the_program_do_not_see_unsupported():
    def swallows(x):
        try:
            print(x)
        except Exception:  # noqa: BLE001
            return x

    with pytest.raises(Unsupported):
        capture_call(swallows, (torch.ones(2),), {})


def test_lasting_change_of_global_state_is_an_effect_or_refused():
    def changes(x):
        torch.set_grad_enabled(False)
        return x

    def changes_more(x):
        torch.use_deterministic_algorithms(True)
        return x

    captured = capture_call(changes, (torch.ones(2),), {})
    assert captured.program.effects == (SetGlobalStateEffect(GlobalStateKind.GRAD_MODE, "off"),)
    assert torch.is_grad_enabled()
    with pytest.raises(Unsupported):
        capture_call(changes_more, (torch.ones(2),), {})
    assert not torch.are_deterministic_algorithms_enabled()


def test_write_to_overlapping_inputs_is_refused():
    base = torch.ones(4)

    with pytest.raises(Unsupported, match="shares memory with another input"):
        capture_call(lambda a, b: a.add_(1) + b, (base[:3], base[1:]), {})


def test_one_object_in_two_places_stays_one():
    def shares(x):
        part = [x + 1]
        return part, {"again": part}

    program = capture(shares, (torch.ones(2),))
    first, second = program(torch.ones(2))

    assert first is second["again"]
    assert isinstance(program.captured.program.result.items[0], FromBuilt)


def test_list_that_holds_itself_is_rebuilt():
    def loops(x):
        ring = [x]
        ring.append(ring)
        return ring

    ring = capture(loops, (torch.ones(2),))(torch.ones(2))

    assert ring[1] is ring


def test_argument_that_is_returned_comes_back_itself():
    program = capture(lambda x, box: (box, x), (torch.ones(2), []))
    x, box = torch.zeros(2), []

    result = program(x, box)

    assert result[0] is box
    assert result[1] is x
    assert all(isinstance(item, FromSource) for item in program.captured.program.result.items)


def test_effects_are_replayed_at_each_call():
    class Counter:
        count = 0

    def counts(x, counter, log, table):
        counter.count += 1
        log.append(counter.count)
        table["last"] = x * 2
        return x

    counter, log, table = Counter(), [], {}
    program = capture(counts, (torch.ones(2), counter, log, table))
    assert (vars(counter), log, table) == ({}, [], {})

    program(torch.ones(2), counter, log, table)

    assert vars(counter) == {"count": 1}
    assert log == [1]
    assert torch.equal(table["last"], torch.full((2,), 2.0))


def test_attribute_put_back_is_no_effect():
    class Flag:
        on = False

        def __init__(self):
            self.level = 1

    def flips(x, flag):
        flag.level = 2
        y = x * flag.level
        flag.level = 1
        return y

    program = capture(flips, (torch.ones(2), Flag()))

    assert program.captured.program.effects == ()
    changed = Flag()
    changed.level = 5
    assert not program.serves(torch.ones(2), changed)


def test_symbolic_dimension_serves_other_sizes():
    options = CaptureOptions(dynamic_dims=lambda tensor, source: {0: "s0"})
    program = capture(lambda x: x.reshape(-1) * x.shape[0], (torch.ones(3, 2),), options=options)

    for size in (3, 5, 8):
        x = torch.randn(size, 2)
        assert torch.equal(program(x), x.reshape(-1) * size)
    assert not program.serves(torch.ones(3, 3))


def test_torch_graph_is_runnable():
    captured = capture_call(lambda x: torch.relu(x) * 2, (torch.ones(2),), {})
    x = torch.randn(2)

    (result,) = captured.torch_graph(x)

    assert isinstance(captured.torch_graph, torch.fx.GraphModule)
    assert torch.equal(result, torch.relu(x) * 2)


def test_closure_made_inside_is_rebuilt_with_its_contents():
    def makes(x):
        y = x + 1

        def inner(z):
            return y * z

        return inner

    inner = capture(makes, (torch.ones(2),))(torch.ones(2))

    assert isinstance(inner, types.FunctionType)
    assert torch.equal(inner(3), torch.full((2,), 6.0))


@pytest.fixture
def attempts(monkeypatch):
    """Count the attempts to capture a call."""
    seen = []
    inner = session._capture_until

    def count(call, *args):
        seen.append(call.target)
        return inner(call, *args)

    monkeypatch.setattr(session, "_capture_until", count)
    return seen


def _prints(x):
    y = x + 1
    print("between")
    return y


def _branches(x):
    y = x + 1
    if y.sum() > 0:
        y = y * 2
    return y


def _calls_outside(x):
    y = x + 1
    gw.graph_break()
    return y


def _calls_unknown(x):
    y = x + 1
    return y, time.perf_counter() > 0


@pytest.mark.parametrize("program", [_prints, _branches, _calls_outside, _calls_unknown])
def test_a_call_that_breaks_at_once_is_captured_once(program, attempts):
    options = CaptureOptions(may_break=lambda: True)

    captured = capture_call(program, [torch.ones(2)], {}, options=options)

    assert captured.program.ends_at is not None
    assert [node.op for node in captured.program.graph.nodes][:1] == ["aten.add.Tensor"]
    assert len(attempts) == 1


def _prints_on_one_way(x):
    if x.dim() == 1:
        print("in")
    return x


@pytest.mark.parametrize(("inner", "count"), [(_prints, 1), (_prints_on_one_way, 2)])
def test_a_call_that_breaks_inside_of_a_function_is_captured_again_where_that_is_not_known(
    inner, count, attempts
):
    def program(x):
        return inner(x * 2)

    captured = capture_call(
        program, [torch.ones(2)], {}, options=CaptureOptions(may_break=lambda: True)
    )

    assert captured.program.ends_at.callee == 0
    assert (captured.foreseen is not None) == (count == 2)
    assert len(attempts) == count
