"""Which functions break the graph at each of their calls, and that programs with calls of them are captured once."""

import bisect
import builtins
import collections
import heapq
import types

import pytest
import torch
from torch import nn

import graphwright as gw
from graphwright.capture import session
from graphwright.capture.decode import decode
from graphwright.capture.session import make_code_table
from graphwright.capture.sure_breaks import constant_arguments, find_sure_break

NEVER = (print, gw.graph_break)


def found(function):
    """Give the names of the functions that lead to a call that is refused, and of what it calls."""
    codes = make_code_table()
    calls = find_sure_break(function, codes, lambda called: any(called is one for one in NEVER))
    names = [call.function.__name__ for call in calls]
    return [*names, calls[-1].called.__name__] if calls else []


def at_the_end(x):
    y = x + 1
    print(y)
    return y


def of_a_module(x):
    gw.graph_break()
    return x


def after_a_check(x):
    if x is None:
        raise ValueError("none")
    assert x.dim() == 1, "a vector"
    return [x, print(x if x is not None else 1, sep="".join([str(i) for i in range(3)]))]


def in_both_branches(x):
    if x.dim() > 1:
        return print("many")
    return print("one")


def after_a_loop(x):
    for i in range(3):
        x = x + i
    with torch.no_grad():
        x = x * 2
    print("done", end="\n")
    return x


def through_another(x):
    return at_the_end(x * 2)


def on_one_way(x):
    if x.dim() > 1:
        print("many")
    return x


def in_a_loop(xs):
    for x in xs:
        print(x)
    return xs


def after_an_early_return(x):
    if x is None:
        return x
    print(x)
    return x


def when_an_exception_is_caught(x):
    try:
        x = x + 1
    except ValueError:
        print("caught")
    return x


def handed_on(xs):
    return list(map(print, xs))


def kept(x):
    show = print
    return x, show


def generator(x):
    print(x)
    yield x


def through_a_generator(x):
    return list(generator(x))


def calls_itself(x):
    return calls_itself(x - 1)


def own_name(x):
    return x, printed(x)


def printed(x):
    return x + 1


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (at_the_end, ["at_the_end", "print"]),
        (of_a_module, ["of_a_module", "graph_break"]),
        (after_a_check, ["after_a_check", "print"]),
        (after_a_loop, ["after_a_loop", "print"]),
        (through_another, ["through_another", "at_the_end", "print"]),
        (in_both_branches, []),
        (on_one_way, []),
        (in_a_loop, []),
        (after_an_early_return, []),
        (when_an_exception_is_caught, []),
        (handed_on, []),
        (kept, []),
        (through_a_generator, []),
        (calls_itself, []),
        (own_name, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_every_call_comes_to_is_found(function, names):
    assert found(function) == names


def test_a_name_that_means_something_else_is_not_taken_for_it():
    own = {"print": printed, "__builtins__": builtins}

    assert found(types.FunctionType(at_the_end.__code__, own)) == []
    assert found(types.FunctionType(at_the_end.__code__, {})) == ["at_the_end", "print"]
    assert found(types.FunctionType(of_a_module.__code__, {})) == []


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("f('why')", (["why"], {})),
        ("f(msg='why')", ([], {"msg": "why"})),
        ("f(1, msg='why')", ([1], {"msg": "why"})),
        ("f()", ([], {})),
        ("f(x)", ([], {})),
    ],
)
def test_constant_arguments_are_known(source, arguments):
    decoded = decode(compile(f"def g(x): {source}", "<test>", "exec").co_consts[0])
    at = next(i for i, step in enumerate(decoded.instructions) if step.op.name == "CALL")

    assert constant_arguments(decoded, at) == arguments


@pytest.fixture
def captures(monkeypatch):
    """Count the attempts to capture each target."""
    counts = collections.Counter()
    original = session._capture_until

    def capture_until(call, *args):
        named = call.target if hasattr(call.target, "__qualname__") else type(call.target)
        counts[named.__qualname__.rpartition(".")[2]] += 1
        return original(call, *args)

    monkeypatch.setattr(session, "_capture_until", capture_until)
    return counts


class Layers(nn.Module):
    def __init__(self, num_layers=12):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(num_layers))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        at_the_end(x)
        return x + 1


def test_what_stands_before_and_within_the_called_function_is_captured_once(captures, capsys):
    model = Layers()

    def program(x):
        return model(through_another(x) - 1) * 2

    x = torch.ones(4)
    with torch.no_grad():
        expected = program(x)
        assert torch.equal(gw.compile(program, backend="aten")(x), expected)
        assert captures == collections.Counter(
            {
                "program": 1,
                "through_another": 1,
                "at_the_end": 1,
                "at_the_end (after a graph break)": 1,
                "through_another (after a graph break)": 1,
                "program (after a graph break)": 2,
                "Layers": 1,
                "forward (after a graph break)": 1,
            }
        )
    assert capsys.readouterr().out.count("tensor") == 4


@gw.disable
def disabled(x):
    return x + 1


def calls_disabled(x):
    return disabled(x) * 2


def with_a_heap(x):
    heap = [3, 1, 2]
    heapq.heappush(heap, 0)
    return x * heap[0] + x[bisect.bisect_left([1, 2], 1)]


@pytest.mark.parametrize(("inner", "num_graphs"), [(calls_disabled, 3), (with_a_heap, 1)])
def test_functions_of_other_kinds(inner, num_graphs):
    def program(x):
        return inner(x * 3) - 1

    x = torch.ones(2)
    counter = gw.testing.CompileCounter()
    assert torch.equal(gw.compile(program, backend=counter)(x), program(x))
    assert counter.frame_count == num_graphs


def test_a_module_with_hooks_is_met_where_it_breaks(captures, capsys):
    model = Layers(2)
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args)))

    def program(x):
        return model(x * 2) * 2

    x = torch.ones(4)
    with torch.no_grad():
        expected = program(x)
        assert torch.equal(gw.compile(program, backend="aten")(x), expected)
    assert seen == [1, 1]


def test_the_break_is_told_where_it_is(capsys):
    def program(x):
        return through_another(x) + 1

    report = gw.explain(program)(torch.ones(2))

    frames = [[line.rpartition(" in ")[2] for line in one.frames] for one in report.graph_breaks]
    assert frames == [
        ["program", "through_another", "at_the_end"],
        ["through_another", "at_the_end"],
        ["at_the_end"],
    ]
    assert {one.met for one in report.graph_breaks} == {"a call of print()"}


class Deep(nn.Module):
    """Modules in a module, the innermost of which breaks the graph on one way."""

    def __init__(self, name, inner):
        super().__init__()
        self.name, self.inner, self.layer = name, inner, nn.Linear(4, 4)

    def forward(self, x):
        for _ in range(2):
            x = self.layer(x) + len(self.name)
        return self.inner(x) + 1


def on_its_way(x):
    if x.dim() == 1:
        print("a vector")
    return x * 2


def test_what_leads_to_a_break_is_captured_once_more_and_not_for_each_function(captures, capsys):
    model = Deep("a", Deep("bb", Deep("ccc", on_its_way)))

    def program(x):
        return model(x * 2) * 2

    x = torch.ones(4)
    with torch.no_grad():
        expected = program(x)
        assert torch.equal(gw.compile(program, backend="aten")(x), expected)
    assert captures["program"] == 2
    assert captures["Deep"] == 3, "once for each of the modules"
    assert captures["on_its_way"] == 1
    assert capsys.readouterr().out == "a vector\n" * 2


def test_a_call_that_comes_later_is_not_taken_for_the_one_that_breaks(captures, capsys):
    def inner(x, number):
        if number == 3:
            print("three")
        return x + number

    def outer(x):
        for number in range(5):
            x = inner(x * 2, number)
        return x

    def program(x):
        return outer(x + 1)

    x = torch.ones(4)
    counter = gw.testing.CompileCounter()
    assert torch.equal(gw.compile(program, backend=counter)(x), program(x))
    assert captures["outer"] == 1
    assert counter.frame_count == 4, "as many as without what is known of the call"


SEEN = []


def make_innermost():
    """Make a function that notes its captures, and breaks the graph on one of its ways."""

    def innermost(x):
        @gw.comptime
        def _(ctx):
            SEEN.append("innermost")

        if x.dim() == 1:
            gw.graph_break()
        return x * 2

    return innermost


def test_comptime_code_of_a_called_function_runs_once():
    innermost = make_innermost()

    def inner(x):
        @gw.comptime
        def _(ctx):
            SEEN.append("inner")

        return innermost(x + 1) - 1

    def program(x):
        @gw.comptime
        def _(ctx):
            SEEN.append("program")

        return inner(x + 2)

    SEEN.clear()
    compiled = gw.compile(program, backend="eager")
    assert torch.equal(compiled(torch.ones(2)), program(torch.ones(2)))
    assert SEEN == ["program", "inner", "innermost"]
    compiled(torch.ones(2))
    assert len(SEEN) == 3

    compiled(torch.ones(2, dtype=torch.float64))
    assert SEEN[3:] == ["program", "inner", "innermost"], "another capture runs it again"


def test_what_is_known_of_a_call_is_not_used_for_another():
    innermost = make_innermost()

    def program(x):
        return innermost(x + 1) - 1

    SEEN.clear()
    compiled = gw.compile(program, backend="eager")
    compiled(torch.ones(2))
    compiled(torch.ones(2, 2))
    assert SEEN == ["innermost"] * 2


def clipped(x):
    norm = (x * x).sum()
    if norm > 4:
        return x / norm
    return x


def cut(x, limit):
    if limit:
        return x.clamp(max=1.0)
    return x * 2


def test_a_branch_on_a_tensor_that_was_met_is_met_at_once(captures):
    model = Deep("a", lambda x: x)

    def program(x):
        for _ in range(3):
            x = clipped(model(x) + 1)
        return x

    x = torch.ones(4)
    with torch.no_grad():
        expected = program(x)
        assert torch.equal(gw.compile(program, backend="aten")(x), expected)
        assert captures["program"] == 2
        others = captures["program (after a graph break)"]

        captures.clear()
        again = gw.compile(program, backend="aten")
        assert torch.equal(again(x), expected)
    assert captures["program"] == 1, "known by now"
    assert captures["program (after a graph break)"] == others
    assert all(count == 1 for name, count in captures.items() if "clipped" in name)


def test_a_branch_on_a_tensor_that_is_one_on_a_number_elsewhere_is_right():
    def program(x, limit):
        return cut(x + 1, limit) - 1

    x = torch.ones(4)
    for limit in (torch.tensor(1.0), True, torch.tensor(0.0), False):
        assert torch.equal(gw.compile(program, backend="aten")(x, limit), program(x, limit))
    counts = []
    for limit in (True, False):
        counter = gw.testing.CompileCounter()
        assert torch.equal(gw.compile(program, backend=counter)(x, limit), program(x, limit))
        counts.append(counter.frame_count)
    assert counts == [1, 1], "a call that was captured whole has shown that it need not break"
