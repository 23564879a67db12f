"""What a user meets at the door: wrong uses, the form of what comes back, and when calls run eagerly."""

from __future__ import annotations

import copy
import operator
import threading
import warnings

import pytest
import torch

import graphwright as gw

FACTOR = 2.0


def double(x):
    return x * 2


def test_compile_of_a_non_callable_names_what_was_given():
    with pytest.raises(TypeError, match="was given 3 of type int"):
        gw.compile(3)


@pytest.mark.parametrize(
    ("keywords", "wrong", "near"),
    [
        ({"backend": "nativ"}, "nativ", "native"),
        ({"mode": "reduce-overheads"}, "reduce-overheads", "reduce-overhead"),
        ({"options": {"wraper": "python"}}, "wraper", "wrapper"),
    ],
)
def test_compile_with_an_unknown_name_gives_the_nearest(keywords, wrong, near):
    with pytest.raises(gw.errors.ConfigError) as caught:
        gw.compile(double, **keywords)

    assert caught.value.name == wrong
    assert caught.value.nearest == near


def test_compile_with_an_option_of_the_wrong_type_says_what_it_takes():
    with pytest.raises(gw.errors.ConfigError, match="whole number"):
        gw.compile(double, options={"recompile_limit": "many"})


@pytest.mark.parametrize(
    ("mode", "left_out"), [("reduce-overhead", "replayed"), ("max-autotune", "tried out")]
)
def test_mode_that_is_not_done_says_so_once_and_compiles(mode, left_out):
    @gw.compile(mode=mode)
    def triple(x):
        return x * 3

    gw.counters.clear()
    with pytest.warns(gw.errors.GraphwrightWarning, match=left_out):
        triple(torch.ones(2))
    result = triple(torch.ones(3))  # a second warning would be an error

    assert torch.equal(result, torch.full((3,), 3.0))
    assert not gw.counters["eager"]


def test_compile_as_a_decorator_keeps_name_and_docs():
    @gw.compile
    def first(x):
        """Add one."""
        return x + 1

    @gw.compile(fullgraph=True)
    def second(x):
        return x + 2

    assert first.__name__ == "first"
    assert first.__doc__ == "Add one."
    assert torch.equal(first(torch.ones(2)), torch.full((2,), 2.0))
    assert torch.equal(second(torch.ones(2)), torch.full((2,), 3.0))


def test_compile_disabled_gives_the_function_back():
    assert gw.compile(double, disable=True) is double


def test_compile_of_a_method_binds_its_object():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def apply(self, x):
            return x * self.factor

    compiled = gw.compile(Scale(3.0).apply, fullgraph=True)

    assert torch.equal(compiled(torch.ones(2)), torch.full((2,), 3.0))


def test_compile_in_a_class_body_binds_like_a_function():
    class Scale:
        factor = 2.0

        @gw.compile(fullgraph=True)
        def apply(self, x):
            return x * self.factor

    assert torch.equal(Scale().apply(torch.ones(2)), torch.full((2,), 2.0))


def make_module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()


def test_compiled_module_shares_all_state_with_the_original():
    module = make_module()
    compiled = gw.compile(module)

    assert compiled._orig_mod is module
    assert list(compiled.state_dict()) == list(module.state_dict())
    assert [p is q for p, q in zip(compiled.parameters(), module.parameters(), strict=True)] == [
        True
    ] * 4
    assert compiled[0] is module[0]
    compiled.train()
    assert module.training
    compiled.note = "kept"
    assert module.note == "kept"
    assert "_call" not in vars(module)


def test_compiled_module_sees_parameters_that_change():
    module = make_module()
    compiled = gw.compile(module, fullgraph=True)
    x = torch.randn(5, 4)
    with torch.no_grad():
        before = compiled(x)
        module[0].weight.mul_(2)
        after = compiled(x)
        torch.testing.assert_close(after, module(x))
        module[2].weight = torch.nn.Parameter(torch.randn(2, 3))
        replaced = compiled(x)

        torch.testing.assert_close(replaced, compiled._orig_mod(x))
    assert not torch.equal(before, after)


def test_compiled_module_can_be_copied():
    compiled = gw.compile(make_module(), fullgraph=True)
    x = torch.randn(5, 4)

    copied = copy.deepcopy(compiled)

    assert copied._orig_mod is not compiled._orig_mod
    with torch.no_grad():
        torch.testing.assert_close(copied(x), compiled(x))


def test_a_call_that_needs_gradients_gives_eager_gradients():
    module = make_module()
    compiled = gw.compile(module, fullgraph=True)
    x = torch.randn(5, 4)

    compiled(x).square().sum().backward()

    gradients = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    module(x).square().sum().backward()
    for mine, eager in zip(gradients, module.parameters(), strict=True):
        torch.testing.assert_close(mine, eager.grad)


def test_an_argument_of_an_unsupported_layout_runs_eagerly_and_says_so_once():
    compiled = gw.compile(double)
    sparse = torch.eye(3).to_sparse()

    with pytest.warns(UserWarning, match="sparse"):
        first = compiled(sparse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = compiled(sparse)

    assert torch.equal(first.to_dense(), torch.eye(3) * 2)
    assert torch.equal(second.to_dense(), torch.eye(3) * 2)


def test_what_cannot_be_captured_runs_in_plain_python_and_is_told_of(capsys, caplog):
    @gw.compile
    def talk(x):
        print("hello")
        return x + 1

    gw.counters.clear()
    with gw.config.patch(strict=False), caplog.at_level("INFO", "graphwright.graph_breaks"):
        result = talk(torch.ones(2))

    assert torch.equal(result, torch.full((2,), 2.0))
    assert capsys.readouterr().out == "hello\n"
    assert gw.counters["capture"]["graph_breaks"] == 1
    assert "a call of print()" in caplog.text


def test_what_cannot_be_captured_is_an_error_with_fullgraph():
    @gw.compile(fullgraph=True)
    def talk(x):
        print("hello")
        return x + 1

    with pytest.raises(gw.errors.Unsupported) as caught:
        talk(torch.ones(2))

    assert "print" in caught.value.met
    assert __file__ in caught.value.location
    assert caught.value.why
    assert caught.value.remedy


def test_an_exception_of_the_user_is_the_one_eager_raises():
    @gw.compile
    def fail(x):
        if x.shape[0] == 3:
            message = "three is too many"
            raise ValueError(message)
        return x

    with pytest.raises(ValueError, match="three is too many"):
        fail(torch.ones(3))
    assert torch.equal(fail(torch.ones(2)), torch.ones(2))


def test_a_shape_error_is_the_one_eager_raises():
    def mismatch(x, y):
        return x @ y

    with pytest.raises(RuntimeError) as eager:
        mismatch(torch.ones(2, 3), torch.ones(2, 3))
    with pytest.raises(RuntimeError) as compiled:
        gw.compile(mismatch)(torch.ones(2, 3), torch.ones(2, 3))

    assert str(compiled.value) == str(eager.value)


def test_recompile_limit_runs_eagerly_and_names_the_guard():
    @gw.compile
    def raised(x, exponent):
        return x**exponent  # eager's kernels look at the exponent: each is a program of its own

    with gw.config.patch(recompile_limit=2):
        for exponent in (2.0, 3.0):
            raised(torch.ones(2), exponent)
        with pytest.warns(UserWarning, match="exponent"):
            limited = raised(torch.full((2,), 2.0), 4.0)

    assert torch.equal(limited, torch.full((2,), 16.0))


def test_reset_forgets_compiled_programs():
    counter = gw.testing.CompileCounter()
    compiled = gw.compile(double, backend=counter)
    compiled(torch.ones(2))
    compiled(torch.ones(2))
    assert counter.frame_count == 1

    gw.reset()
    compiled(torch.ones(2))

    assert counter.frame_count == 2


@pytest.mark.parametrize("backend", ["native", "aten", "eager"])
def test_backends_give_eager_results(backend):
    def work(x, y):
        z = (x @ y).relu()
        return z.softmax(-1), {"sum": z.sum(), "again": z}

    x, y = torch.randn(4, 5), torch.randn(5, 6)

    assert gw.testing.same(gw.compile(work, backend=backend, fullgraph=True)(x, y), work(x, y))


def test_a_users_backend_gets_the_captured_graph_and_inputs():
    seen = []

    def backend(graph, example_inputs):
        seen.append((graph, [tuple(t.shape) for t in example_inputs]))
        return graph.forward

    result = gw.compile(double, backend=backend)(torch.ones(2, 3))

    assert torch.equal(result, torch.full((2, 3), 2.0))
    assert seen[0][1] == [(2, 3)]
    assert any(node.op == "call_function" for node in seen[0][0].graph.nodes)


def test_a_users_backend_gets_powers_and_autocast_regions():
    seen = []

    def backend(graph, example_inputs):
        seen.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    def program(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = x @ x
        return inside, x**2

    results = gw.compile(program, backend=backend)(torch.ones(2, 2))

    assert [one.dtype for one in results] == [torch.bfloat16, torch.float32]
    enter, exit_ = (
        getattr(torch.amp.autocast_mode, f"_{way}_autocast") for way in ("enter", "exit")
    )
    assert seen == [enter, operator.matmul, exit_, operator.pow]
    assert not torch.is_autocast_enabled("cpu")


def test_an_autocast_region_ends_with_the_graph_where_it_breaks():
    def program(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
            gw.graph_break()
            return y, y @ x

    x = torch.ones(2, 2)
    results = gw.compile(program, backend="eager")(x)

    assert [one.dtype for one in results] == [torch.bfloat16, torch.bfloat16]
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("options", [{}, {"backend": "eager"}], ids=["own", "eager"])
def test_autocast_regions_are_counted_over_a_graph_break(options):
    """Where they are not, PyTorch keeps a weight that it has cast for ever, and takes it when the weight has changed."""

    @gw.disable
    def level():
        torch.autocast_increment_nesting()
        return torch.autocast_decrement_nesting()

    levels = []

    def program(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
            levels.append(level())
            gw.graph_break()
            levels.append(level())
            return y @ x

    compiled = gw.compile(program, **options)
    for _ in range(3):
        levels.clear()
        compiled(torch.ones(4, 4))
        assert levels == [1, 1]
        assert level() == 0


def test_an_exception_of_a_users_backend_is_a_backend_error():
    def backend(graph, example_inputs):
        raise ZeroDivisionError

    with pytest.raises(gw.errors.BackendError) as caught:
        gw.compile(double, backend=backend)(torch.ones(2))

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_run_and_get_code_gives_the_readable_source():
    result, sources = gw.testing.run_and_get_code(gw.compile(double, fullgraph=True), torch.ones(2))

    assert torch.equal(result, torch.full((2,), 2.0))
    assert len(sources) == 1
    assert "def " in sources[0]


def test_threads_that_call_first_compile_once():
    counter = gw.testing.CompileCounterWithBackend("native")
    compiled = gw.compile(double, backend=counter, fullgraph=True)
    barrier = threading.Barrier(8)
    results = []

    def call():
        barrier.wait()
        results.append(compiled(torch.ones(4)))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counter.frame_count == 1
    assert all(torch.equal(result, torch.full((4,), 2.0)) for result in results)


def test_compiled_function_inside_another_is_guarded_like_the_rest(monkeypatch):
    inner = gw.compile(lambda x: x * FACTOR, backend="eager")
    outer = gw.compile(lambda x: inner(x) + 1, backend="eager", fullgraph=True)
    before = outer(torch.ones(3))

    monkeypatch.setitem(globals(), "FACTOR", 5.0)

    assert before.tolist() == [3.0] * 3
    assert outer(torch.ones(3)).tolist() == [6.0] * 3
