"""Frozen weights: what depends on them alone is computed once, and again when they have changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings

import pytest
import torch
from program_cases import check_case
from program_suite import all_cases

import graphwright as gw
from graphwright.base.config import Wrapper
from graphwright.base.counters import counters
from graphwright.cache import fresh
from graphwright.ir.plan import CallExtern, RunKernel
from graphwright.pipeline.session import SESSION
from graphwright.runtime.native.layout import NOT_FOUND, find_layout, frozen_facts

WRAPPERS = (Wrapper.NATIVE, Wrapper.PYTHON)


@pytest.fixture(autouse=True)
def freezing():
    counters.clear()
    with fresh(), gw.config.patch(freezing=True, strict=True):
        yield


class Scaled(torch.nn.Module):
    """A matrix made from weights, a table looked up at fixed places, and a norm with statistics."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.direction = torch.nn.Parameter(torch.randn(size, size))
        self.size = torch.nn.Parameter(torch.rand(size, 1) + 0.5)
        self.places = torch.nn.Embedding(32, size)
        self.norm = torch.nn.BatchNorm1d(size)
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, x):
        weight = self.direction / self.direction.norm(dim=1, keepdim=True) * self.size
        x = x @ weight.t() + self.places(torch.arange(x.shape[0]))
        return self.norm(x)


class Rows(torch.nn.Module):
    """What depends on weights alone is a view."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(6, 4))

    def forward(self, x):
        return x + self.table.t()[:, :3].reshape(4, 3)


class Outer(torch.nn.Module):
    """What depends on weights alone is much larger than they are."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(torch.randn(size, 1))
        self.cols = torch.nn.Parameter(torch.randn(1, size))

    def forward(self, x):
        return x * (self.rows + self.cols)


def entries_of(compiled):
    target = getattr(compiled, "_compiled_target", None)
    if target is None:
        target = next(one for one in SESSION._targets if one.target is compiled._orig_mod)
    return target.entries


def folds() -> tuple[int, int]:
    return counters["freezing"]["fold"], counters["freezing"]["refold"]


def check(model, compiled, *args) -> None:
    with torch.no_grad():
        torch.testing.assert_close(compiled(*args), model(*args))


def test_what_depends_on_weights_alone_is_computed_once():
    model = Scaled().eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    plain = gw.compile(Scaled().eval(), options={"freezing": False})
    with torch.no_grad():
        plain(x)

    check(model, compiled, x)
    check(model, compiled, torch.randn(5, 8))

    (entry,), (other,) = entries_of(compiled), entries_of(plain)
    assert other.plan.fold is None
    made = {node.op for node in entry.plan.fold.graph.nodes}
    assert {"aten.rsqrt.default", "aten.embedding.default"} <= made
    count = [sum(isinstance(step, RunKernel) for step in one.plan.steps) for one in (entry, other)]
    assert count[0] < count[1]
    assert folds() == (1, 0)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_change_in_place_is_seen(wrapper):
    model = Scaled().eval()
    with gw.config.patch(wrapper=wrapper):
        compiled, x = gw.compile(model), torch.randn(5, 8)
        check(model, compiled, x)
        changes = [
            lambda: model.direction.mul_(2),
            lambda: model.norm.running_var.add_(1),
            lambda: model.size[2:4].zero_(),
            lambda: model.size.detach().fill_(3),
            lambda: model.load_state_dict(Scaled().state_dict()),
        ]
        for number, change in enumerate(changes, 1):
            with torch.no_grad():
                change()
            check(model, compiled, x)
            check(model, compiled, x)
            assert folds() == (1, number)
        assert len(entries_of(compiled)) == 1
        assert counters["capture"]["frames"] == 1


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_an_optimizer_step_is_seen(wrapper):
    model = Scaled().eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with gw.config.patch(wrapper=wrapper):
        compiled, x = gw.compile(model), torch.randn(5, 8)
        for _ in range(12):  # more than `recompile_limit`
            check(model, compiled, x)
            model(x).square().mean().backward()
            optimizer.step()
        assert len(entries_of(compiled)) == 1


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_other_memory_is_seen(wrapper):
    model = Scaled().eval()
    with gw.config.patch(wrapper=wrapper):
        compiled, x = gw.compile(model), torch.randn(5, 8)
        for _ in range(12):
            check(model, compiled, x)
            model.size.data = torch.rand(8, 1) + 1
            check(model, compiled, x)
            model.norm.running_var = torch.rand(8) + 1
            check(model, compiled, x)
            model.load_state_dict(Scaled().state_dict(), assign=True)


def test_a_tensor_in_the_memory_of_the_last_one_is_seen():
    model = Rows().eval()
    model.scale = torch.nn.Parameter(torch.ones(1))
    compiled = gw.compile(lambda m, x: x * (m.scale + 1))
    x = torch.ones(3)
    for number in range(40):
        model.scale = torch.nn.Parameter(torch.full((1,), float(number)))
        with torch.no_grad():
            assert compiled(model, x).tolist() == [number + 1.0] * 3


def test_a_change_is_seen_after_many_calls():
    """The guards that a shortcut leaves out are those of dictionaries and types, not of tensors."""
    model = torch.nn.Sequential(*(Scaled() for _ in range(4))).eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    for _ in range(300):
        with torch.no_grad():
            compiled(x)
    with torch.no_grad():
        model[2].size.mul_(0.5)
    check(model, compiled, x)
    assert folds() == (1, 1)


def test_two_models_of_one_class_have_constants_of_their_own():
    one, two = Scaled().eval(), Scaled().eval()
    compiled = gw.compile(lambda model, x: model(x))
    x = torch.randn(5, 8)
    for _ in range(3):
        for model in (one, two):
            with torch.no_grad():
                torch.testing.assert_close(compiled(model, x), model(x))
    assert len(entries_of(compiled)) == 2
    assert folds() == (2, 0)

    with torch.no_grad():
        one.size.mul_(3)
        two.size.mul_(5)
    for model in (two, one, two, one):
        with torch.no_grad():
            torch.testing.assert_close(compiled(model, x), model(x))
    assert len(entries_of(compiled)) == 2
    assert folds() == (2, 2)


def test_native_code_finds_versions():
    layout = find_layout()
    tensor = torch.zeros(3)
    before = frozen_facts(layout, tensor)

    tensor.add_(1)

    assert NOT_FOUND not in (layout.version_counter, layout.version)
    assert before[1] == 0
    assert frozen_facts(layout, tensor) == (before[0], 1, *before[2:])
    assert frozen_facts(layout, tensor.detach()) == frozen_facts(layout, tensor)
    assert frozen_facts(layout, tensor.data)[0] != before[0]


def test_views_and_large_results_are_not_folded():
    for model, x in ((Rows(), torch.randn(4, 3)), (Outer(1024), torch.randn(1024, 1024))):
        compiled = gw.compile(model.eval())
        check(model, compiled, x)
        (entry,) = entries_of(compiled)
        assert entry.plan.fold is None
    small = Outer(64).eval()
    compiled = gw.compile(small)
    check(small, compiled, torch.randn(64, 64))
    assert entries_of(compiled)[0].plan.fold is not None


def linear(rows, depth, cols, **options):
    return torch.nn.Linear(depth, cols, **options).eval(), torch.randn(rows, depth)


class Transposed(torch.nn.Module):
    """A product with a weight that is not transposed, and what follows it."""

    def __init__(self, depth: int, cols: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(depth, cols))

    def forward(self, x):
        return (x @ self.weight).relu() + 1


class Tied(torch.nn.Module):
    """Two products with one weight, one of them with rows that are no matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(64, 64)

    def forward(self, x):
        return self.inner(torch.nn.functional.gelu(self.inner(x))) + x


PRODUCTS = {
    "bias": linear(8, 48, 64),
    "no bias": linear(5, 48, 96, bias=False),
    "a last panel that is filled up": linear(6, 20, 300),
    "deep": linear(3, 1300, 64),
    "many rows": linear(200, 40, 64),
    "not transposed": (Transposed(40, 64), torch.randn(7, 40)),
    "three axes": (torch.nn.Linear(24, 64), torch.randn(2, 3, 24)),
    "tied": (Tied().eval(), torch.randn(4, 64)),
    "columns of a left side": (torch.nn.Linear(6, 64), torch.randn(6, 12).t()),
}


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("name", PRODUCTS)
def test_weights_of_products_are_packed_once(name, num_threads):
    model, x = PRODUCTS[name]
    with gw.config.patch(num_threads=num_threads):
        compiled = gw.compile(model)
        check(model, compiled, x)

    (entry,) = entries_of(compiled)
    text = "\n".join(entry._kernel_texts)
    assert "matmul" in text
    assert "transpose" not in text
    assert any(len(constant.meta.shape) == 3 for constant in entry.plan.constants)
    with torch.no_grad(), gw.config.patch(freezing=False, num_threads=num_threads):
        # The sums are those of the product that packs in each call.
        torch.testing.assert_close(compiled(x), gw.compile(model)(x), rtol=0, atol=0)


def test_packed_weights_follow_changes():
    model, x = linear(4, 32, 64)
    compiled = gw.compile(model)
    for _ in range(3):
        check(model, compiled, x)
        with torch.no_grad():
            model.weight.mul_(-1.5)
    assert folds() == (1, 2)


def test_a_norm_goes_into_the_convolution_before_it():
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU()
    ).eval()
    model[1].running_var.uniform_(0.5, 2.0)
    compiled, x = gw.compile(model), torch.randn(2, 3, 8, 8)
    check(model, compiled, x)
    with torch.no_grad():
        model[1].running_mean.add_(1)
    check(model, compiled, x)

    (entry,) = entries_of(compiled)
    shapes = [constant.meta.shape for constant in entry.plan.constants]
    assert shapes == [(16, 3, 3, 3), (16,)]
    assert folds() == (1, 1)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        linear(1, 32, 64),
        linear(1100, 32, 64),
        linear(4, 32, 70),
        (linear(4, 32, 64)[0].half(), None),
    ],
    ids=["one row", "many rows", "a panel that is mostly empty", "half"],
)
def test_other_products_are_left(model, x):
    x = torch.randn(4, 32).half() if x is None else x
    compiled = gw.compile(model)
    check(model, compiled, x)
    (entry,) = entries_of(compiled)
    assert entry.plan.fold is None


def test_weights_that_are_returned_or_written_are_right():
    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(4))
            self.register_buffer("total", torch.zeros(4))

        def forward(self, x):
            self.total += self.weight * 2
            return x + self.total.exp(), self.weight * 3, self.weight * 2

    eager, model = Counting().eval(), Counting().eval()
    model.load_state_dict(eager.state_dict())
    compiled, x = gw.compile(model), torch.randn(4)
    for _ in range(3):
        with torch.no_grad():
            found, wanted = compiled(x), eager(x)
            torch.testing.assert_close(found, wanted)
            torch.testing.assert_close(model.total, eager.total)
            found[1].zero_()  # the caller's own
            found[2].zero_()


def test_gradients_leave_nothing_frozen_and_that_is_told_once():
    model = Scaled().eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    with pytest.warns(gw.errors.GraphwrightWarning, match="gradients are recorded"):
        torch.testing.assert_close(compiled(x), model(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(torch.randn(6, 8))
    assert folds() == (0, 0)


def test_weights_of_inference_mode_are_not_frozen():
    with torch.inference_mode():
        model = Scaled().eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), model(x))
        model.size.mul_(2)
        torch.testing.assert_close(compiled(x), model(x))
    assert folds() == (0, 0)


def test_inference_mode_and_no_grad_share_nothing_wrong():
    model = Scaled().eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    for mode in (torch.inference_mode, torch.no_grad) * 2:
        with mode():
            torch.testing.assert_close(compiled(x), model(x))
            model.size.mul_(1.5)
            torch.testing.assert_close(compiled(x), model(x))


def test_autocast_folds_the_casts_of_weights():
    model = torch.nn.Linear(16, 16).eval()
    compiled, x = gw.compile(model), torch.randn(3, 16)
    for _ in range(2):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(compiled(x), model(x))
        with torch.no_grad():
            model.weight.mul_(2)
    (entry,) = entries_of(compiled)
    assert not any(
        isinstance(step, CallExtern) and "to_copy" in step.op for step in entry.plan.steps
    )
    assert folds() == (1, 1)


def test_a_graph_break_keeps_each_part_frozen():
    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Scaled(), Scaled()

        def forward(self, x):
            x = self.first(x)
            gw.graph_break()
            return self.second(x)

    model = Broken().eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    check(model, compiled, x)
    with torch.no_grad():
        model.second.size.mul_(2)
    check(model, compiled, x)
    assert folds() == (2, 1)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_constants_are_not_written_while_a_call_reads_them(wrapper):
    has_begun, may_go_on = threading.Event(), threading.Event()
    may_go_on.set()
    with torch.library._scoped_library("graphwright_test_freezing", "DEF") as library:
        library.define("wait(Tensor x) -> Tensor")

        def wait(x):
            has_begun.set()
            assert may_go_on.wait(timeout=60)
            return x.clone()

        library.impl("wait", wait, "CPU")
        library.impl("wait", torch.empty_like, "Meta")

        class Waiting(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.rand(4))

            def forward(self, x):
                x = torch.ops.graphwright_test_freezing.wait(x)
                return x * self.weight.exp()

        model, x, results = Waiting(), torch.rand(4), {}
        with gw.config.patch(wrapper=wrapper):
            compiled = gw.compile(model)
            check(model, compiled, x)

            def call(name) -> None:
                with torch.no_grad():
                    results[name] = compiled(x)

            with torch.no_grad():
                wanted = model(x)
            has_begun.clear()
            may_go_on.clear()
            thread = threading.Thread(target=call, args=("before",))
            thread.start()
            assert has_begun.wait(timeout=60)
            with torch.no_grad():
                model.weight.mul_(2)
                # It waits, too, once it has constants.
                other = threading.Thread(target=call, args=("after",))
                other.start()
            while other.is_alive() and folds() == (1, 0):
                other.join(timeout=0.01)
            may_go_on.set()
            thread.join()
            other.join()
        with torch.no_grad():
            torch.testing.assert_close(results, {"before": wanted, "after": model(x)})
    assert folds() == (2, 0)


def test_threads_see_a_change():
    model = Scaled().eval()
    compiled, x = gw.compile(model), torch.randn(5, 8)
    check(model, compiled, x)
    faults: list[str] = []

    def call(wanted, num_calls) -> None:
        with torch.no_grad():
            for _ in range(num_calls):
                if not torch.allclose(compiled(x), wanted, atol=1e-5):
                    faults.append("a wrong result")

    for _ in range(5):
        with torch.no_grad():
            model.size.mul_(1.25)
            wanted = model(x)
        threads = [threading.Thread(target=call, args=(wanted, 200)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not faults
    assert len(entries_of(compiled)) == 1


@pytest.mark.parametrize(
    "name_and_case",
    [pair for pair in all_cases() if pair[0].startswith("nn_modules")],
    ids=lambda pair: pair[0],
)
def test_modules_of_the_suite_run_frozen(name_and_case) -> None:
    _, case = name_and_case
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        check_case(case, lambda function, _: gw.compile(function))


PROGRAM = """
import json, torch
import graphwright as gw

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.norm = torch.nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.linear(x) @ (self.linear.weight * 2 + 1))

torch.manual_seed(int(__import__("sys").argv[1]))
model = Model().eval()
compiled = gw.compile(model)
x = torch.randn(3, 4)
close = []
with torch.no_grad():
    for _ in range(2):
        close.append(torch.allclose(compiled(x), model(x), atol=1e-5))
        model.linear.weight.mul_(2)
counts = gw.counters
print(json.dumps([close, counts["capture"]["frames"], counts["freezing"]["fold"], counts["freezing"]["refold"]]))
"""


def test_a_second_process_folds_its_own_weights(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {
        **os.environ,
        "GRAPHWRIGHT_CACHE_DIR": str(tmp_path / "cache"),
        "GRAPHWRIGHT_FREEZING": "1",
    }

    found = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(program), seed],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout))

    assert found == [[[True, True], 1, 1, 1], [[True, True], 0, 1, 1]]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    torch.manual_seed(1)
    assert torch.nn.Linear(4, 4).weight.detach().numpy().tobytes()[:16] not in kept
