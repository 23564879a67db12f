"""What users say about compiling: disabled and allowed functions, breaks asked for, stances."""

from __future__ import annotations

import copy
import threading
import traceback
import warnings

import pytest
import torch

import graphwright as gw

X = torch.ones(3)


def plus_one(x):
    """Tell by the result whether it was captured."""
    return x + (1 if gw.is_compiling() else 100)


def is_compiled(function, *args):
    """Tell whether a call of `plus_one` in a compiled form ran compiled."""
    return bool((function(*args) < 50).all())


def break_of(function, *args):
    """Give the break that capturing the function in one graph meets."""
    with pytest.raises(gw.errors.Unsupported) as caught:
        gw.compile(function, fullgraph=True, backend="eager")(*args)
    return caught.value


@gw.disable
def disabled_sum(x):
    return plus_one(x).sum()


@gw.disable(recursive=False, reason="it reads a file")
def disabled_for_a_reason(x):
    return plus_one(x)


class Doubler(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((3,), 2.0))

    def forward(self, x):
        return x * self.weight


# disable


def test_disabled_function_keeps_name_docs_and_result():
    @gw.disable
    def halve(x, *, by=2):
        """Divide."""
        return x / by

    assert (halve.__name__, halve.__doc__) == ("halve", "Divide.")
    assert torch.equal(halve(X, by=4), X / 4)


def test_call_of_a_disabled_function_ends_the_graph():
    error = break_of(lambda x: disabled_sum(x) + 1, X)

    assert "disabled_sum" in error.met
    assert "gw.disable" in error.why
    assert "test_controls.py" in error.location


def test_reason_stands_in_the_error():
    assert break_of(disabled_caller, X).why == "it reads a file"


def disabled_caller(x):
    return disabled_for_a_reason(x)


def test_wrapper_of_a_disabled_function_is_captured_up_to_it():
    import functools

    @functools.wraps(disabled_sum)
    def wrapper(x):
        return disabled_sum(x.no_such_method())

    with pytest.raises(AttributeError, match="no_such_method"):
        gw.compile(wrapper, fullgraph=True, backend="eager")(X)


def test_functions_that_a_disabled_one_calls_are_compiled_where_it_alone_is_disabled():
    graphs = []

    def backend(graph, inputs):
        graphs.append([node.name for node in graph.graph.nodes if node.op == "call_function"])
        return graph.forward

    class Scale:
        def __init__(self, by):
            self.by = by

        def apply(self, x):
            return x * self.by

    def add_one(x):
        return x + 1

    @gw.disable(recursive=False)
    def outside(x, scale, *, k=1):
        y = x - k
        return [add_one(y), scale.apply(y), add_one(y)]

    def program(x):
        return outside(torch.relu(x), Scale(2), k=3)

    found = gw.compile(program, backend=backend)(X)

    assert [one.tolist() for one in found] == [one.tolist() for one in program(X)]
    assert graphs == [["relu"], ["add"], ["mul"]]


def test_disabled_method_alone_has_its_calls_compiled():
    before = dict(gw.counters["capture"])

    class Model:
        @gw.disable(recursive=False)
        def run(self, x):
            return self.inner(x) + 1

        def inner(self, x):
            return x * 2

    model = Model()
    result = gw.compile(lambda x: model.run(x + 1))(X)

    assert torch.equal(result, (X + 1) * 2 + 1)
    assert gw.counters["capture"]["graphs"] - before.get("graphs", 0) == 2


def test_exceptions_through_a_disabled_function_have_the_lines_of_eager():
    def fails(x):
        raise ValueError("inside")

    @gw.disable(recursive=False)
    def outside(x):
        return fails(x)

    def program(x):
        return outside(x + 1)

    lines = []
    for function in (program, gw.compile(program)):
        with pytest.raises(ValueError, match="inside") as caught:
            function(X)
        entries = traceback.extract_tb(caught.value.__traceback__)
        lines.append([(one.name, one.lineno) for one in entries if one.filename == __file__][1:])

    assert lines[0] == lines[1]
    assert len(lines[0]) == 3


def test_function_disabled_with_torchs_mark_ends_the_graph():
    def marked(x):
        return x + 1

    marked._torchdynamo_disable = True
    marked._torchdynamo_disable_msg = "for the other compiler's sake"

    error = break_of(lambda x: marked(x) * 2, X)

    assert "marked" in error.met
    assert error.why == "for the other compiler's sake"


def test_disabled_method_is_bound_like_any():
    class Holder:
        by = 3

        @gw.disable
        def scale(self, x):
            return x * self.by

    holder = Holder()

    assert torch.equal(holder.scale(X), X * 3)
    assert torch.equal(gw.disable(holder.scale)(X), X * 3)
    assert "scale" in break_of(lambda x: holder.scale(x), X).met


def test_disabled_module_shares_all_state_and_ends_the_graph():
    module = Doubler()
    disabled = gw.disable(module, reason="it is small")

    error = break_of(lambda x: disabled(x) + 1, X)

    assert torch.equal(disabled(X), X * 2)
    assert disabled._orig_mod is module
    assert disabled.weight is module.weight
    assert list(disabled.state_dict()) == ["weight"]
    assert isinstance(copy.deepcopy(disabled), type(disabled))
    assert (error.met, error.why) == ("a call of Doubler", "it is small")


def test_disabled_class_ends_the_graph_where_it_is_made_and_called():
    @gw.disable
    class Adder:
        def __init__(self, amount):
            self.amount = amount

        def __call__(self, x):
            return x + self.amount

    made = Adder(2)

    assert torch.equal(made(X), X + 2)
    assert "Adder" in break_of(lambda x: Adder(3)(x), X).met
    assert "Adder" in break_of(lambda x: made(x), X).met


def test_disabled_class_without_a_call_gets_none():
    @gw.disable
    class Plain:
        def __new__(cls, amount):
            return super().__new__(cls)

    assert not callable(Plain(1))


def test_disabling_takes_compiling_back_and_the_other_way_round():
    compiled = gw.compile(plus_one, backend="eager")
    module = gw.compile(Doubler(), backend="eager")

    assert not is_compiled(gw.disable(compiled), X)
    assert is_compiled(gw.compile(gw.disable(compiled), backend="eager", fullgraph=True), X)
    assert gw.disable(module)._orig_mod is module._orig_mod
    assert gw.compile(gw.disable(module))._orig_mod is module._orig_mod


def test_nothing_is_compiled_while_a_disabled_function_runs():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)
    inside = gw.disable(lambda x: compiled(x))
    inside_once = gw.disable(lambda x: compiled(x), recursive=False)
    gw.counters.clear()

    assert not is_compiled(inside, X)
    assert is_compiled(inside_once, X)
    assert gw.counters["eager"]["disabled"] == 1
    assert is_compiled(inside, X), "what is compiled already serves the call"
    assert is_compiled(compiled, torch.ones(4))


def test_error_in_a_disabled_function_ends_its_region():
    @gw.disable
    def fails(x):
        raise ValueError(x)

    with pytest.raises(ValueError, match="3"):
        fails(3)

    assert is_compiled(gw.compile(plus_one, backend="eager", fullgraph=True), X)


def test_disable_of_what_cannot_be_called_says_so():
    with pytest.raises(TypeError, match="was given 3 of type int"):
        gw.disable(3)


# what asks for a break, and what asks whether


def test_graph_break_does_nothing_outside():
    assert gw.graph_break() is None


def test_graph_break_inside_gives_its_message():
    def asks(x):
        gw.graph_break("the rest is slow")
        return x

    error = break_of(asks, X)

    assert "gw.graph_break()" in error.met
    assert error.why == "the rest is slow"


@pytest.mark.parametrize(
    "ask",
    [
        gw.is_compiling,
        torch.compiler.is_compiling,
        lambda: torch.compiler.is_compiling(),
        lambda: torch._utils.is_compiling(),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is deprecated:UserWarning")
def test_is_compiling_is_true_inside_alone(ask):
    compiled = gw.compile(lambda x: x + (1 if ask() else 100), backend="eager", fullgraph=True)

    assert ask() is False
    assert is_compiled(compiled, X)


@pytest.mark.parametrize(
    "control",
    [
        lambda: gw.compile(plus_one),
        lambda: gw.disable(plus_one),
        lambda: gw.allow_in_graph(plus_one),
        lambda: gw.set_stance("force_eager"),
        gw.reset,
    ],
)
def test_controls_have_no_place_in_a_program(control):
    def program(x):
        control()
        return x

    assert "how later calls compile" in break_of(program, X).why
    assert is_compiled(gw.compile(plus_one, backend="eager", fullgraph=True), X)


# allow_in_graph


@gw.allow_in_graph
def normalise(x, *, eps=1.0):
    if x.requires_grad:
        x = x * 1
    return x / (x.norm() + eps)


@gw.allow_in_graph
def split(x):
    return {"low": x - 1, "both": (x, [x + 1])}


@gw.allow_in_graph
def counts(x):
    return len(x)


def abs_of(x):
    return x.abs()


@gw.allow_in_graph
def apply_second(x, functions):
    return functions[0](x)


HIDDEN = torch.ones(3)


@gw.allow_in_graph
def reads_a_tensor(x):
    return x + HIDDEN


def test_allowed_function_is_one_node():
    counter = gw.testing.CompileCounter()
    compiled = gw.compile(lambda x: normalise(x * 2, eps=2.0), backend=counter, fullgraph=True)

    result = compiled(X)

    targets = [node.target for node in counter.graphs[0].graph.nodes if node.op == "call_function"]
    assert normalise in targets
    assert counter.op_count == 2
    torch.testing.assert_close(result, normalise(X * 2, eps=2.0))


@pytest.mark.parametrize("backend", ["native", "aten", "eager"])
def test_allowed_function_gives_eagers_result(backend):
    def program(x):
        parts = split(normalise(x))
        return parts["low"] * parts["both"][1][0]

    torch.testing.assert_close(gw.compile(program, backend=backend, fullgraph=True)(X), program(X))


def test_allowed_functions_may_be_given_together():
    assert gw.allow_in_graph([normalise, split]) == [normalise, split]


def test_allowed_function_must_give_tensors():
    error = break_of(lambda x: x + counts(x), X)

    assert "counts" in error.met
    assert "no tensor" in error.met


@pytest.mark.parametrize("make", [lambda: abs_of, lambda: Doubler, object])
def test_allowed_function_takes_data_alone(make):
    """A node could not hold anything else: it runs long after the capture."""

    def program(x):
        return apply_second(x, [make()])

    assert "an argument of apply_second" in break_of(program, X).met


def test_allowed_function_must_not_find_tensors_by_itself():
    error = break_of(lambda x: reads_a_tensor(x), X)

    assert "reads_a_tensor finds by itself" in error.met
    assert "argument" in error.remedy


def test_program_with_an_allowed_function_serves_its_process_alone():
    """What the function calls is not guarded, so that another process must capture it anew."""
    gw.counters.clear()

    def once():
        compiled = gw.compile(program_of_allowed, fullgraph=True)
        return compiled(X)

    once(), once()

    assert gw.counters["capture"]["frames"] == 2


def program_of_allowed(x):
    return normalise(x)


@pytest.mark.parametrize("value", [3, torch.nn.Linear(2, 2)])
def test_allow_in_graph_of_what_is_no_function_says_so(value):
    with pytest.raises(TypeError, match="takes a function"):
        gw.allow_in_graph(value)


# stances


def test_force_eager_leaves_what_is_compiled_alone():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)
    module = gw.compile(Doubler(), backend="eager")
    assert is_compiled(compiled, X)

    with gw.set_stance("force_eager"):
        made_inside = gw.compile(plus_one, backend="eager")
        assert not is_compiled(compiled, X)
        assert not is_compiled(made_inside, X)
        assert torch.equal(module(X), X * 2)
        assert len(module._compiled_target.entries) == 0

    assert is_compiled(compiled, X)
    assert is_compiled(made_inside, X)


def test_eager_on_recompile_uses_what_is_compiled():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)
    assert is_compiled(compiled, X)
    gw.counters.clear()

    with gw.set_stance("eager_on_recompile"):
        assert is_compiled(compiled, X)
        assert not is_compiled(compiled, torch.ones(4))

    assert gw.counters["eager"]["stance"] == 1
    assert is_compiled(compiled, torch.ones(4))


def test_fail_on_recompile_says_which_guard_failed():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)
    with (
        gw.set_stance("fail_on_recompile"),
        pytest.raises(gw.errors.RecompileError, match="nothing was compiled for it yet"),
    ):
        compiled(X)
    compiled(X)

    with (
        gw.set_stance("fail_on_recompile"),
        pytest.raises(
            gw.errors.RecompileError, match=r"plus_one.*guard failed: x .*\(4,\).*fail_on_recompile"
        ),
    ):
        compiled(torch.ones(4))
    with gw.set_stance("fail_on_recompile"):
        assert is_compiled(compiled, X)


def test_stance_can_be_called_and_nested():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)

    gw.set_stance("force_eager")
    try:
        assert not is_compiled(compiled, X)
        with gw.set_stance("default"):
            assert is_compiled(compiled, X)
        assert not is_compiled(compiled, X)
    finally:
        gw.set_stance("default")

    assert is_compiled(compiled, X)


def test_stance_decorates_a_function():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)

    @gw.set_stance("force_eager")
    def run(x):
        return compiled(x)

    assert is_compiled(compiled, X)
    assert not is_compiled(run, X)
    assert is_compiled(compiled, X)
    assert "run" in break_of(lambda x: run(x), X).met


def test_unknown_stance_names_the_nearest():
    with pytest.raises(gw.errors.ConfigError) as caught:
        gw.set_stance("fail_on_recompiles")

    assert caught.value.nearest == "fail_on_recompile"


def test_default_stance_costs_a_call_nothing():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)
    compiled(X)
    serving = compiled._compiled_target._entrance()

    assert serving is compiled._compiled_target._dispatcher.function


def test_stances_of_two_threads_leave_the_last_one_in_force():
    compiled = gw.compile(plus_one, backend="eager", fullgraph=True)

    def switch():
        for _ in range(20):
            with gw.set_stance("force_eager"):
                compiled(X)

    threads = [threading.Thread(target=switch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gw.set_stance("default")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_compiled(compiled, X)
