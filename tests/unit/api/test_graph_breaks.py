"""Graph breaks as a user meets them: how many graphs there are, what is printed, what a traceback shows."""

import functools
import sys
import traceback
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import graphwright as gw


@pytest.fixture
def counter():
    return gw.testing.CompileCounter()


def frames_of(error):
    """Give name and line of the user's frames."""
    found = traceback.extract_tb(error.__traceback__)
    return [(frame.name, frame.lineno) for frame in found if frame.filename == __file__]


def test_each_piece_is_one_graph(counter, capsys):
    def program(x):
        y = x * 2
        print("one")
        z = y + 1
        print("two")
        return z - x

    compiled = gw.compile(program, backend=counter)
    x = torch.randn(3)
    gw.counters.clear()

    for _ in range(3):
        assert torch.equal(compiled(x), program(x))
    assert counter.frame_count == 3
    assert capsys.readouterr().out == "one\ntwo\n" * 6
    assert gw.counters["capture"]["graph_breaks"] == 2


def test_branch_on_a_value_compiles_both_ways(counter):
    def program(x):
        y = x * 2
        if y.sum() > 0:
            return y + 1
        return y - 1

    compiled = gw.compile(program, backend=counter)
    for x in (torch.ones(2), -torch.ones(2), torch.ones(2)):
        assert torch.equal(compiled(x), program(x))
    assert counter.frame_count == 3


def test_loop_compiles_its_rounds_once(counter):
    def program(x, tensors):
        total = x
        for tensor in tensors:
            total = total + tensor
            gw.graph_break()
            total = total * 2
        return total

    compiled = gw.compile(program, backend=counter)
    tensors = [torch.full((3,), float(i)) for i in range(20)]
    with gw.config.patch(recompile_limit=4), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compiled(torch.zeros(3), tensors)
    assert torch.equal(found, program(torch.zeros(3), tensors))
    assert counter.frame_count <= 4


def test_long_loops_need_no_more_of_the_stack():
    def program(x):
        for _ in range(3 * sys.getrecursionlimit()):
            x = x + 1
            gw.graph_break()
        return x

    found = gw.compile(program, backend="eager")(torch.zeros(1))
    assert found.item() == 3 * sys.getrecursionlimit()


def test_break_in_a_called_function_compiles_it_on_its_own(counter, capsys):
    def inner(x):
        y = x + 1
        print("inner")
        return y * 3

    def program(x):
        return inner(x * 2) - 1

    compiled = gw.compile(program, backend=counter)
    x = torch.randn(2)
    assert torch.equal(compiled(x), program(x))
    assert torch.equal(compiled(x), program(x))
    assert counter.frame_count == 4
    assert capsys.readouterr().out == "inner\n" * 4


def test_break_in_a_submodule(counter, capsys):
    class Talking(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            y = self.layer(x)
            print("talk")
            return y.relu()

    model = nn.Sequential(nn.Linear(3, 3), Talking(), Talking(), nn.Linear(3, 3))
    compiled = gw.compile(model, backend=counter)
    x = torch.randn(2, 3)
    for _ in range(2):
        torch.testing.assert_close(compiled(x), model(x))
    assert capsys.readouterr().out == "talk\n" * 8


def test_gradients_flow_through_breaks(capsys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def program(x):
        y = model[0](x)
        print("forward")
        return model[2](model[1](y)).sum()

    x = torch.randn(3, 4)
    program(x).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    gw.compile(program)(x).backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_break_inside_a_grad_mode(context, capsys):
    def program(x):
        with context():
            y = x * 2
            print("inside", torch.is_grad_enabled())
            z = y + 1
        return z, z.requires_grad, torch.is_grad_enabled()

    x = torch.ones(2, requires_grad=True)
    expected = program(x)
    found = gw.compile(program)(x)
    assert torch.equal(found[0], expected[0])
    assert found[1:] == expected[1:]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1]
    assert torch.is_grad_enabled()


def test_break_where_state_cannot_be_handed_over_is_told_of(capsys):
    def make():
        return {"made in C": types.SimpleNamespace(factor=3)}

    def program(x):
        held = make()
        y = x * 2
        print("inside")
        return y * held["made in C"].factor

    with pytest.warns(gw.errors.GraphwrightWarning, match="nor can the graph be broken there"):
        found = gw.compile(program)(torch.ones(2))
    assert torch.equal(found, torch.full((2,), 6.0))


def test_break_inside_autocast(capsys):
    layer = nn.Linear(4, 4)

    def program(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = layer(x)
            print(y.dtype, torch.is_autocast_enabled("cpu"))
            z = layer(y)
        return z, layer(x)

    x = torch.randn(2, 4)
    expected = program(x)
    found = gw.compile(program)(x)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype is other.dtype
        torch.testing.assert_close(one, other)
    assert not torch.is_autocast_enabled("cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1]


def test_lasting_change_of_grad_mode_is_made():
    def program(x):
        torch.set_grad_enabled(False)
        return x * 2

    try:
        found = gw.compile(program, fullgraph=True)(torch.ones(2, requires_grad=True))
        assert not found.requires_grad
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)


def failing(x):
    y = x + 1
    print("before")
    return y.reshape(
        7,
    )


def calling(x):
    x = x * 2
    return failing(
        x,
    )


@pytest.mark.parametrize("program", [failing, calling])
def test_tracebacks_show_the_users_frames_and_lines(program, capsys):
    x = torch.ones(3)
    with pytest.raises(RuntimeError) as expected:
        program(x)
    compiled = gw.compile(program)
    for _ in range(2):
        with pytest.raises(RuntimeError) as found:
            compiled(x)
        assert str(found.value) == str(expected.value)
        assert frames_of(found.value)[1:] == frames_of(expected.value)[1:]


def test_exception_of_the_broken_instruction_is_handled_in_the_function():
    class Failing:
        def __str__(self):
            raise LookupError("no text")

    def program(x, thing):
        y = x + 1
        try:
            print(thing)
        except LookupError as error:
            return y * 2, str(error)
        finally:
            y = y + 5
        return y

    found = gw.compile(program)(torch.ones(2), Failing())
    assert torch.equal(found[0], torch.full((2,), 4.0))
    assert found[1] == "no text"


def test_state_survives_breaks(capsys):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0
            self.seen = []

        def forward(self, x):
            self.calls += 1
            self.seen.append(x.sum())
            print(self.calls, len(self.seen))
            self.calls += 10
            return x + self.calls

    plain, made = Model(), Model()
    compiled = gw.compile(made)
    for step in range(3):
        x = torch.full((2,), float(step))
        assert torch.equal(compiled(x), plain(x))
        assert (made.calls, made.seen) == (plain.calls, plain.seen)


def test_closures_share_their_variables_across_breaks(capsys):
    def program(x):
        total = 0

        def add(amount):
            nonlocal total
            total += amount
            return x + total

        first = add(1)
        print(total)
        second = add(2)
        print(total)
        total = 100
        return first, second, add

    found, expected = gw.compile(program)(torch.zeros(2)), program(torch.zeros(2))
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    assert torch.equal(found[2](5), expected[2](5))
    assert capsys.readouterr().out == "1\n3\n1\n3\n"


def test_fullgraph_refuses_a_break():
    def program(x):
        gw.graph_break("for the test")
        return x

    with pytest.raises(gw.errors.Unsupported, match="for the test"):
        gw.compile(program, fullgraph=True)(torch.ones(2))


def test_recompiles_of_a_piece_are_limited(capsys):
    def program(x):
        n = int(x.sum().item())
        return x * n

    compiled = gw.compile(program, dynamic=False)

    def call_with_many() -> None:
        for n in range(6):
            x = torch.tensor([float(n), 1.0])
            assert torch.equal(compiled(x), program(x))

    warned = pytest.warns(gw.errors.GraphwrightWarning, match="recompile_limit")
    with gw.config.patch(recompile_limit=3), warned as notices:
        call_with_many()
    assert {notice.filename for notice in notices} == {__file__}


def test_a_class_made_at_each_call_is_told_of(capsys):
    def program(x):
        class Scaled:
            def __init__(self, value):
                self.value = value * 3

        scaled = Scaled(x)
        print("made")
        return scaled.value + 1

    compiled = gw.compile(program)
    x = torch.ones(2)
    warned = pytest.warns(gw.errors.GraphwrightWarning, match="found another class .*Scaled")
    with gw.config.patch(recompile_limit=2), warned as notices:
        for _ in range(4):
            assert torch.equal(compiled(x), program(x))
    assert "define it outside" in str(notices[0].message)


class Callable:
    scale = 3

    def __call__(self, x):
        y = x * self.scale
        print("called")
        return y + 1

    @classmethod
    def of_class(cls, x):
        y = x * cls.scale
        print("called")
        return y - 1

    @staticmethod
    def alone(x):
        y = x * 2
        print("called")
        return y - 1


def scaled(scale, x):
    y = x * scale
    print("called")
    return y + 1


@pytest.mark.parametrize(
    "target",
    [Callable(), Callable.of_class, Callable.alone, functools.partial(scaled, 2.0)],
    ids=["object", "class method", "static method", "partial"],
)
def test_targets_of_every_kind_break(target, capsys):
    gw.counters.clear()
    x = torch.randn(3)

    assert torch.equal(gw.compile(target)(x), target(x))
    assert gw.counters["capture"]["graphs"] == 2
    assert not gw.counters["eager"]


def test_arrays_go_in_and_out():
    def program(x, array):
        doubled = x.numpy() * 2
        summed = torch.from_numpy(np.cumsum(doubled))
        return summed.relu() + x + torch.from_numpy(array), doubled

    x, array = torch.randn(3), np.ones(3, dtype=np.float32)
    found, expected = gw.compile(program)(x, array), program(x, array)
    assert torch.equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_hooks_may_break(capsys):
    inner = nn.Linear(3, 3)
    model = nn.Sequential(inner, nn.ReLU())

    def hook(module, args, output):
        print("hook")
        return output * 2

    inner.register_forward_hook(hook)
    x = torch.randn(2, 3)
    torch.testing.assert_close(gw.compile(model)(x), model(x))
    assert capsys.readouterr().out == "hook\nhook\n"


def raises(x, error):
    y = x + 1
    raise error from ValueError(str(y.shape))


def test_exception_from_before_the_call_gets_the_users_frames_alone():
    error = KeyError("k")

    with pytest.raises(KeyError) as found:
        gw.compile(raises)(torch.ones(2), error)

    assert found.value is error
    assert "capture" not in "".join(traceback.format_tb(error.__traceback__))
    assert traceback.extract_tb(error.__traceback__)[-1].name == "raises"


def catches(x, error):
    try:
        raise error
    except KeyError:
        return x + 1


def test_exception_from_before_the_call_that_is_caught_keeps_its_traceback():
    error, of_eager = KeyError("k"), KeyError("k")
    catches(torch.ones(2), of_eager)

    result = gw.compile(catches)(torch.ones(2), error)

    assert torch.equal(result, torch.full((2,), 2.0))
    frames = [traceback.extract_tb(one.__traceback__) for one in (error, of_eager)]
    assert [(one.name, one.lineno) for one in frames[0]] == [
        (one.name, one.lineno) for one in frames[1]
    ]
