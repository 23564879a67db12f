"""Code that runs while a program is captured: what it sees, what it prints, and that it leaves nothing behind."""

from __future__ import annotations

import collections
import enum
import io
import re
import sys
import time
import warnings

import pytest
import torch
from captured_calls import capture

import graphwright as gw
from graphwright import comptime
from graphwright.base.errors import ComptimeError, Unsupported
from graphwright.capture import CaptureOptions, capture_call
from graphwright.ir.program_text import render_guard

SEEN: list = []
"""What comptime functions saw: they reach globals alone."""

OUT = io.StringIO()
"""Where they print."""


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setitem(globals(), "SEEN", [])
    monkeypatch.setitem(globals(), "OUT", io.StringIO())


def x_of_2():
    return torch.tensor([1.0, 2.0])


def run(function, *args):
    """Capture a call in one graph, and check that the result is eager's and comptime code runs once."""
    counter = gw.testing.CompileCounter()
    compiled = gw.compile(function, backend=counter, fullgraph=True)

    result = compiled(*args)
    printed = OUT.getvalue()
    again = compiled(*args)

    assert gw.testing.same(result, function(*args))
    assert gw.testing.same(again, result)
    assert counter.frame_count == 1
    assert printed == OUT.getvalue()
    return result


DYNAMIC = CaptureOptions(dynamic_dims=lambda tensor, source: {0: "s77"})
"""Makes the first dimension of each tensor symbolic."""


def capture_dynamic(function, *args):
    return capture_call(function, args, {}, options=DYNAMIC)


# The block


def test_block_runs_once_and_leaves_none():
    def program(x):
        @comptime
        def _(ctx):
            SEEN.append(type(ctx).__name__)

        return x + 1, _

    assert run(program, x_of_2())[1] is None
    assert SEEN == ["ComptimeContext"]


def test_block_runs_again_for_each_capture_and_process():
    """A program from the cache would run nothing: one with comptime code is captured in each process."""

    def program(x):
        comptime.print(x)
        return x + 1

    program.__qualname__ = "kept_program"
    gw.counters.clear()

    gw.compile(program, fullgraph=True)(x_of_2())
    gw.compile(program, fullgraph=True)(x_of_2())

    assert gw.counters["capture"]["frames"] == 2


def test_block_adds_nothing_to_the_graph():
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            SEEN.append(ctx.get_local("y"))
            SEEN.append(torch.ones(3).sum().item())

        comptime.print_locals()
        return y + 3

    captured = capture_call(program, (x_of_2(),), {})

    assert [node.name for node in captured.torch_graph.graph.nodes] == [
        "l_x_",
        "y",
        "add",
        "output",
    ]
    assert len(captured.program.graph.nodes) == 2
    assert SEEN[1] == 3.0, "real tensors compute for real"


def test_function_from_outside_may_have_a_closure():
    seen = []

    def look(ctx):
        seen.append(repr(ctx.get_local("x")))

    def program(x):
        comptime(look)
        return x + 1

    run(program, x_of_2())

    assert seen == ["FakeTensor(..., size=(2,))"]


def test_block_with_free_variables_says_to_use_the_context():
    def program(x):
        @comptime
        def _(ctx):
            SEEN.append(x)

        return x + 1

    with pytest.raises(ComptimeError, match=r"must not have free variables, and .* has 'x'"):
        capture_call(program, (x_of_2(),), {})


def test_error_in_a_block_reaches_the_user_and_not_the_program():
    def program(x):
        try:

            @comptime
            def _(ctx):
                ctx.get_local("no_such_name")

        except KeyError:
            return x
        return x + 1

    with pytest.raises(
        ComptimeError, match=r"KeyError: 'no_such_name'[\s\S]*test_comptime.py"
    ) as caught:
        gw.compile(program)(x_of_2())

    assert isinstance(caught.value.__cause__, KeyError)


# Values


Employee = collections.namedtuple("Employee", ["name", "id"])


class mylist(list):
    pass


class Colour(enum.Enum):
    RED = 1


def show(e):
    @comptime
    def _(ctx):
        ctx.print(ctx.get_local("e"), file=OUT)


def show_all(x):
    show(x)
    show(2)
    show([x, 2])
    show((x, 2))
    show({"foo": x})
    show(range(1, 3))
    show(Employee("foo", 2))
    show(mylist([1, 2]))
    show(collections.defaultdict(lambda: None))
    show(set())
    show({"a", "b"})
    show(x.size(0))


def test_print_writes_each_kind_of_value_as_the_reference_does():
    capture_dynamic(show_all, torch.randn(2))

    assert OUT.getvalue().splitlines() == [
        "FakeTensor(..., size=(s77,))",
        "2",
        "[FakeTensor(..., size=(s77,)), 2]",
        "(FakeTensor(..., size=(s77,)), 2)",
        "{'foo': FakeTensor(..., size=(s77,))}",
        "range(1, 3, 1)",
        "Employee(name='foo', id=2)",
        "UserDefinedListVariable(mylist)",
        "defaultdict(NestedUserFunctionVariable(), {})",
        "set()",
        "{'a','b'}",
        "s77",
    ]


CYCLE: list = [1]
CYCLE.append(CYCLE)


def _cycle():
    made = [1]
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda x: {"b", "a"}, "{'b','a'}"),
        (lambda x: {"c", "b", "a"}, "{'a','b','c'}"),
        (lambda x: frozenset({1}), "frozenset({1})"),
        (lambda x: (x,), "(FakeTensor(..., size=(2,)),)"),
        (lambda x: (), "()"),
        (
            lambda x: collections.deque([x], maxlen=3),
            "deque([FakeTensor(..., size=(2,))], maxlen=3)",
        ),
        (lambda x: collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (lambda x: slice(x, None), "slice(FakeTensor(..., size=(2,)), None, None)"),
        (lambda x: None, "None"),
        (lambda x: "it's", '"it\'s"'),
        (lambda x: torch.float16, "torch.float16"),
        (lambda x: Colour.RED, "<Colour.RED: 1>"),
        (lambda x: x.to(torch.int64), "FakeTensor(..., size=(2,), dtype=torch.int64)"),
        (lambda x: x.sum(), "FakeTensor(..., size=())"),
        (lambda x: x.view(1, 2), "FakeTensor(..., size=(1, 2))"),
        (lambda x: show, "UserFunctionVariable()"),
        (lambda x: lambda: x, "NestedUserFunctionVariable()"),
        (lambda x: torch.relu, "<built-in function relu>"),
        (lambda x: torch.nn.functional.relu, "<function torch.nn.functional.relu>"),
        (lambda x: Employee, repr(Employee)),
        (lambda x: comptime, "UserDefinedObjectVariable(Comptime)"),
        (lambda x: _cycle(), "[1, ...]"),
    ],
)
def test_print_writes_other_kinds_in_the_same_way(make, text):
    def program(x):
        show(make(x))
        return x

    run(program, x_of_2())

    assert OUT.getvalue() == text + "\n"


def test_print_shows_gradients_and_modules():
    layer = torch.nn.Linear(2, 2)

    def program(x):
        show(layer)
        show(layer.weight)
        show(layer(x))
        return x

    capture_call(program, (x_of_2(),), {})

    assert OUT.getvalue().splitlines() == [
        "UnspecializedNNModuleVariable(Linear)",
        "FakeTensor(..., size=(2, 2), requires_grad=True)",
        "FakeTensor(..., size=(2,), grad_fn=<ViewBackward0>)",
    ]


def test_print_of_an_argument_that_was_not_read_guards_nothing_of_it():
    def program(x, rest):
        show(rest)
        return x

    rest = {"k": [torch.ones(2), 1]}
    captured = capture(program, (x_of_2(), rest))

    assert OUT.getvalue() == "{'k': [FakeTensor(..., size=(2,)), 1]}\n"
    assert captured.serves(x_of_2(), {"k": [torch.ones(3), 2], "more": None})


def test_print_shows_containers_as_the_program_sees_them():
    def program(x, items, table):
        items.append(x)
        table["new"] = 1
        del table["old"]
        show(items)
        show(table)
        return x

    run_args = (x_of_2(), [1], {"old": 0, "kept": 2})
    capture_call(program, run_args, {})

    assert OUT.getvalue().splitlines() == [
        "[1, FakeTensor(..., size=(2,))]",
        "{'kept': 2, 'new': 1}",
    ]
    assert run_args[1:] == ([1], {"old": 0, "kept": 2})


def test_value_of_a_tensor_answers_questions():
    def program(x):
        y = x * 2
        lit = 2

        @comptime
        def _(ctx):
            y = ctx.get_local("y")
            SEEN.extend([y.as_fake().size(0), y.size(0), y.size(), y.python_type(), y.is_dynamic()])
            SEEN.append(type(y.as_fake()).__name__)
            SEEN.extend([y.is_python_constant(), y.is_proxy()])
            SEEN.append(ctx.get_local("lit").as_python_constant())
            SEEN.extend(
                [ctx.get_local("lit").is_python_constant(), ctx.get_local("lit").is_proxy()]
            )

        return y + lit

    run(program, x_of_2())

    assert [2, 2, (2,), torch.Tensor, False, "FakeTensor", False, True, 2, True, False] == SEEN


@pytest.mark.parametrize(
    "ask",
    [
        lambda x, n: x.as_python_constant(),
        lambda x, n: n.as_proxy(),
        lambda x, n: n.as_fake(),
        lambda x, n: n.size(),
        lambda x, n: x.force_static(),
    ],
)
def test_value_refuses_what_it_does_not_have(ask):
    def look(ctx):
        with pytest.raises(TypeError) as caught:
            ask(ctx.get_local("x"), ctx.get_local("n"))
        SEEN.append(str(caught.value))

    def program(x):
        n = 3
        comptime(look)
        return x + n

    run(program, x_of_2())

    assert SEEN[0].startswith(("FakeTensor", "3"))


def test_constant_of_a_container_is_a_copy():
    def look(ctx):
        ctx.get_local("items").as_python_constant()["k"].append(4)

    def program(x):
        items = {"k": [1, (2, {3})]}
        comptime(look)
        return x + len(items["k"])

    run(program, x_of_2())


# Proxies


def strip(text):
    return re.sub(r"[ \t]+$", "", text.strip(), flags=re.MULTILINE)


def test_operation_on_a_proxy_is_added_to_the_graph():
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            ctx.get_local("y").as_proxy() + 4
            ctx.print_graph(verbose=False, file=OUT)

        return y + 3

    run(program, x_of_2())

    assert (
        strip(OUT.getvalue())
        == """\
def forward(self, L_x_ : torch.Tensor):
    l_x_ = L_x_
    y = l_x_ * 2;  l_x_ = None
    add = y + 4;  y = add = None"""
    )


def test_proxies_take_functions_methods_and_operators():
    def look(ctx):
        proxy = ctx.get_local("x").as_proxy()
        pair = ctx.get_local("pair").as_proxy()
        made = torch.relu(2 - proxy).sum(dim=0, keepdim=True)
        torch.cat([pair[0], made])
        SEEN.extend([made.shape, type(pair), (proxy[0] == 1).dtype])

    def program(x):
        pair = (x, x)
        comptime(look)
        return pair[0] + 1

    captured = capture_call(program, (x_of_2(),), {})

    targets = [getattr(n.target, "__name__", n.target) for n in captured.torch_graph.graph.nodes]
    assert targets == ["L_x_", "sub", "relu", "sum", "cat", "getitem", "eq", "add", "output"]
    assert [(1,), tuple, torch.bool] == SEEN


# The graph


def test_print_graph_bears_local_names_and_releases_what_is_unused():
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            ctx.print_graph(verbose=False, file=OUT)

        return y + 3

    run(program, x_of_2())

    assert (
        strip(OUT.getvalue())
        == """\
def forward(self, L_x_ : torch.Tensor):
    l_x_ = L_x_
    y = l_x_ * 2;  l_x_ = y = None"""
    )


def test_print_graph_in_full_shows_shapes_and_lines(capsys):
    def program(x):
        y = x * 2
        y += 1
        comptime.print_graph()
        return y + 3

    run(program, x_of_2())

    text = re.sub(r"File: \S*/(\w+\.py):\d+", r"File: \1", strip(capsys.readouterr().out))
    assert (
        text
        == """\
def forward(self, L_x_: "f32[2]"):
    l_x_ = L_x_

    # File: test_comptime.py in program, code: y = x * 2
    y: "f32[2]" = l_x_ * 2;  l_x_ = None

    # File: test_comptime.py in program, code: y += 1
    y += 1;  iadd: "f32[2]" = y;  y = iadd = None"""
    )


def test_parts_of_a_result_bear_local_names_too():
    def program(x):
        low, high = x.split(1)
        total = low + high
        comptime.print_graph(file=OUT)
        return total

    run(program, x_of_2())

    lines = [line.strip() for line in strip(OUT.getvalue()).splitlines() if "split" in line]
    assert lines[1:] == [
        "split = l_x_.split(1, dim = 0);  l_x_ = None",
        'high: "f32[1]" = split[1]',
        'low: "f32[1]" = split[0];  split = None',
    ]


def test_print_graph_of_what_has_no_nodes_says_so_and_goes_on():
    def program(x):
        y = torch.vmap(torch.sin)(x)
        z = y * 2
        comptime.print_graph(file=OUT)
        return z

    captured = capture(program, (x_of_2(),))

    torch.testing.assert_close(captured(x_of_2()), program(x_of_2()))
    assert OUT.getvalue().startswith("# cannot capture a functional transform")


def test_graph_is_given_as_a_copy():
    def look(ctx):
        graph = ctx.graph()
        SEEN.append([node.name for node in graph.nodes])
        graph.erase_node(next(reversed(graph.nodes)))

    def program(x):
        y = x * 2
        comptime(look)
        return y

    run(program, x_of_2())

    assert SEEN == [["l_x_", "y"]]


# Frames


def test_print_locals_in_order_of_binding(capsys):
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            ctx.print_locals(file=OUT)

        comptime.print_locals()
        return y + 3

    run(program, x_of_2())

    tensors = "x = FakeTensor(..., size=(2,))\ny = FakeTensor(..., size=(2,))\n"
    assert OUT.getvalue() == tensors
    assert capsys.readouterr().out == tensors + "_ = None\n"


def pending(x):
    @comptime
    def _(ctx):
        ctx.print_value_stack(file=OUT, stacklevel=1)

    return x


def test_print_value_stack_of_the_caller():
    def program(x):
        y = x + pending(x)
        return y + comptime.print_value_stack_and_return(y, file=OUT)

    run(program, x_of_2())

    assert OUT.getvalue() == "- FakeTensor(..., size=(2,))\n" * 2


def test_print_value_stack_grows_downwards():
    def program(x):
        return [1, (x, comptime.print_value_stack_and_return(2, file=OUT))]

    run(program, x_of_2())

    assert OUT.getvalue() == "- 1\n- FakeTensor(..., size=(2,))\n"


def test_print_disas_marks_the_instruction(capsys):
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            ctx.print_disas(file=OUT)

        comptime.print_disas()
        return y + 3

    run(program, x_of_2())

    printed = capsys.readouterr().out
    for text in (OUT.getvalue(), printed):
        marked = [line for line in text.splitlines() if "-->" in line]
        assert len(marked) == 1
        assert "CALL" in marked[0]
        assert "STORE_FAST" in text
        assert "BINARY_OP" in text
    assert OUT.getvalue() != printed


def closure_reader(x):
    z = 3

    def inner():
        @comptime
        def _(ctx):
            SEEN.append(repr(ctx.get_local("z")))

        comptime.print(z)
        return 2

    return x * inner()


def test_get_local_reaches_closure_variables(capsys):
    run(closure_reader, x_of_2())

    assert SEEN == ["3"]
    assert capsys.readouterr().out == "3\n3\n", "the second is eager's"


def test_print_of_a_tensor_that_a_closure_shares(capsys):
    def program(x, z):
        y = x * 2
        _ = [lambda: z]
        comptime.print(z)
        return y + 3

    run(program, x_of_2(), torch.ones(2))

    # The second line is eager's.
    assert capsys.readouterr().out == "FakeTensor(..., size=(2,))\ntensor([1., 1.])\n"


def traced(y):
    @comptime
    def _(ctx):
        ctx.print_bt(file=OUT)
        ctx.print_bt(file=OUT, stacklevel=1)

    return y + 3


def test_print_bt_shows_the_frames_outermost_first():
    def program(x):
        y = x * 2
        y = traced(y)
        return y * 2

    run(program, x_of_2())

    lines = [line.strip() for line in OUT.getvalue().splitlines() if line.strip()]
    assert [line for line in lines if not line.startswith("File")] == [
        "y = traced(y)",
        "@comptime",
        "y = traced(y)",
    ]
    assert lines[0].endswith("in program")
    assert lines[2].endswith("in traced")
    assert lines[-2].endswith("in program")


def test_stacklevel_looks_that_many_callers_up():
    def look(ctx):
        SEEN.append(ctx.get_local("x", stacklevel=1).size(0))
        SEEN.append(ctx.parent().get_local("x").size(0))
        with pytest.raises(IndexError, match="2 are being captured"):
            ctx.print_locals(stacklevel=2)
        ctx.print_locals(file=OUT, stacklevel=1)
        ctx.print_disas(file=OUT, stacklevel=1)

    def helper(q):
        comptime(look)
        return q

    def program(x):
        return helper(x.repeat(2)) + 1

    run(program, x_of_2())

    assert SEEN == [2, 2]
    assert OUT.getvalue().startswith("x = FakeTensor(..., size=(2,))\n")
    assert "repeat" in OUT.getvalue()


# Guards


GUARD_TEXT = """\

        local "L['x']" TENSOR_MATCH
        {
            'guard_types': None,
            'code': None,
            'obj_weakref': None
            'guarded_class': None
        }
"""


def test_print_guards_writes_the_references_blocks(capsys):
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            ctx.print_guards(file=OUT)

        comptime.print_guards()
        return y + 3

    run(program, x_of_2())

    text = re.sub(r"\s+$", "", OUT.getvalue().rstrip(), flags=re.MULTILINE)
    body = GUARD_TEXT.partition("TENSOR_MATCH")[2].rstrip()
    heads = [
        "local \"L['x']\" TENSOR_MATCH",
        "global '' AUTOGRAD_SAVED_TENSORS_HOOKS",
        "global '' GRAD_MODE",
        "global '' DETERMINISTIC_ALGORITHMS",
        "global '' GLOBAL_STATE",
        "global '' TORCH_FUNCTION_STATE",
        "global '' DEFAULT_DEVICE",
        "shape_env '' SHAPE_ENV",
    ]
    assert text == "\n" + "\n".join(f"        {head}{body}" for head in heads)
    assert text.startswith(GUARD_TEXT.rstrip())
    assert capsys.readouterr().out.rstrip() == OUT.getvalue().rstrip()


FACTOR = 2


def test_print_guards_shows_what_else_is_guarded():
    def program(x, n):
        y = x * FACTOR + n
        comptime.print_guards(file=OUT)
        return y

    capture_call(program, (x_of_2(), 3), {})

    assert "local \"L['n']\" CONSTANT_MATCH" in OUT.getvalue()
    assert "global \"G['FACTOR']\" CONSTANT_MATCH" in OUT.getvalue()
    assert "comptime" not in OUT.getvalue()


class Scale:
    factor = 2

    def apply(self, x):
        return x * self.factor


def test_print_guards_calls_classes_by_their_names():
    def program(x, scale):
        y = scale.apply(x)
        comptime.print_guards(file=OUT)
        return y

    capture_call(program, (x_of_2(), Scale()), {})

    assert "local \"L['scale']\" TYPE_MATCH" in OUT.getvalue()
    assert 'global "Scale.apply" CLOSURE_MATCH' in OUT.getvalue()
    assert 'global "Scale.factor" CONSTANT_MATCH' in OUT.getvalue()


def test_print_guards_lists_those_on_sizes():
    def program(x):
        y = x * 2
        if x.size(0) > 5:
            y = y + 1
        comptime.print_guards(file=OUT)
        return y

    capture_dynamic(program, torch.ones(7))

    assert "s77" in OUT.getvalue().partition("shape_env '' SHAPE_ENV")[2]


# Static and dynamic


def test_symbolic_size_is_dynamic_until_it_is_made_static():
    def look(ctx):
        n = ctx.get_local("n")
        SEEN.extend(
            [repr(n), n.is_dynamic(), n.is_python_constant(), n.python_type(), n.is_proxy()]
        )
        SEEN.append(str(ctx.get_local("x").size(0)))
        ctx.force_static(n)
        SEEN.extend([n.is_dynamic(), n.as_python_constant(), ctx.is_dynamic(ctx.get_local("x"))])

    def program(x):
        n = x.size(0)
        comptime(look)
        return x + n

    captured = capture_dynamic(program, torch.ones(7))

    guards = [render_guard(guard, captured.program.pins) for guard in captured.program.guards]
    assert ["s77", True, False, int, True, "s77", False, 7, False] == SEEN
    assert "s77 == 7" in guards


def test_force_static_leaves_constants_alone():
    def program(x, n):
        comptime.force_static(n)
        comptime.force_static(3)
        return x + n

    run(program, x_of_2(), 4)


def test_shortcut_tells_whether_a_number_is_dynamic():
    def program(x):
        return x * (2 if comptime.is_dynamic(x.size(0)) else 3)

    dynamic = capture(program, (torch.ones(7),), options=DYNAMIC)

    assert dynamic(torch.ones(5)).tolist() == [2.0] * 5
    assert capture(program, (torch.ones(7),))(torch.ones(7)).tolist() == [3.0] * 7


def test_assert_static_passes_constants_and_fails_for_symbols():
    def program(x):
        comptime.assert_static(3)
        comptime.assert_static(x.size(0))
        return x

    capture(program, (torch.ones(7),))
    with pytest.raises(ComptimeError, match="expected static but got dynamic: s77") as caught:
        capture_dynamic(program, torch.ones(7))

    assert isinstance(caught.value.__cause__, AssertionError)


# Breaks, sleep, the debugger


def test_graph_breaks_are_errors_in_one_graph():
    def in_a_block(x):
        @comptime
        def _(ctx):
            ctx.graph_break()

        return x

    def by_shortcut(x):
        comptime.graph_break("enough")
        return x

    with pytest.raises(Unsupported, match="a graph break that a comptime block asks for"):
        gw.compile(in_a_block, fullgraph=True)(x_of_2())
    with pytest.raises(Unsupported, match="enough"):
        gw.compile(by_shortcut, fullgraph=True)(x_of_2())


def test_graph_breaks_split_a_function_in_three():
    def program(x):
        x = x + 1

        @comptime
        def _(ctx):
            ctx.graph_break()

        x = x * 2
        comptime.graph_break()
        return x - 3

    counter = gw.testing.CompileCounter()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = gw.compile(program, backend=counter)(x_of_2())

    assert torch.equal(result, program(x_of_2()))
    assert counter.frame_count == 3


def test_code_before_a_graph_break_runs_once():
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            SEEN.append("before")

        comptime.print(y, file=OUT)
        shown = y + comptime.print_value_stack_and_return(y, file=OUT)
        is_dynamic = comptime.is_dynamic(3)
        gw.graph_break()
        SEEN.append("plain")

        @comptime
        def _(ctx):
            SEEN.append("after")

        return shown + 1, is_dynamic

    result, is_dynamic = gw.compile(program, backend="eager")(x_of_2())

    assert torch.equal(result, torch.tensor([5.0, 9.0]))
    assert is_dynamic is False
    assert [one for one in SEEN if one != "plain"] == ["before", "after"]
    assert OUT.getvalue().count("FakeTensor") == 2


def test_code_that_changes_the_program_does_so_before_a_graph_break():
    def program(x):
        y = x * 2

        @comptime
        def _(ctx):
            ctx.get_local("y").as_proxy() + 4

        comptime.print_graph(file=OUT)
        gw.graph_break()
        return y

    gw.compile(program, backend="eager")(x_of_2())

    assert OUT.getvalue().count("add = ") == 1


def test_sleep_sleeps_at_capture_time_alone(monkeypatch):
    monkeypatch.setattr(time, "sleep", SEEN.append)

    def program(x, should_sleep):
        if should_sleep:
            comptime.sleep(5)
        return x + 1

    compiled = gw.compile(program, backend="eager", fullgraph=True)
    compiled(x_of_2(), False)
    assert SEEN == []
    compiled(x_of_2(), True)
    compiled(x_of_2(), True)

    assert SEEN == [5]


def test_breakpoint_has_the_context_in_scope(monkeypatch):
    def hook():
        ctx = sys._getframe(1).f_locals["ctx"]
        SEEN.append(repr(ctx.get_local("y")))

    monkeypatch.setattr(sys, "breakpointhook", hook)

    def program(x):
        y = x * 2
        comptime.breakpoint()
        return y

    run(program, x_of_2())

    assert SEEN == ["FakeTensor(..., size=(2,))"]


# Outside


def test_outside_a_capture_only_print_prints(capsys):
    @comptime
    def block(ctx):
        SEEN.append(ctx)

    comptime(block, lambda: SEEN.append("fallback"))
    comptime.print([1])
    comptime.print_graph()
    comptime.print_disas()
    comptime.print_value_stack()
    comptime.print_locals()
    comptime.print_bt()
    comptime.print_guards()
    comptime.sleep(1000)
    comptime.graph_break()
    comptime.assert_static(1)
    comptime.force_static(1)
    comptime.breakpoint()

    assert block is None
    assert SEEN == ["fallback"]
    assert capsys.readouterr().out == "[1]\n"
    assert comptime.print_value_stack_and_return(SEEN) is SEEN
    assert comptime.is_dynamic(1) is False
