"""What operators refuse because of values is raised, and handled, where it is in plain Python."""

from __future__ import annotations

import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw
from graphwright.cache import fresh

TABLE = torch.arange(12.0).reshape(4, 3)
INSIDE, OUTSIDE = torch.tensor([1, 2]), torch.tensor([1, 9])
NO_COUNTS = torch.tensor([-1, 2])
NAN = torch.full((3, 3), float("nan"))

OPERATORS: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "embedding": (lambda w, i: F.embedding(i, w), (TABLE, OUTSIDE)),
    "index": (lambda w, i: w[i], (TABLE, OUTSIDE)),
    "gather": (lambda w, i: w.gather(0, i[:, None]), (TABLE, OUTSIDE)),
    "index_select": (lambda w, i: w.index_select(0, i), (TABLE, OUTSIDE)),
    "scatter": (lambda w, i: w.scatter(0, i[:, None], 1.0), (TABLE, OUTSIDE)),
    "index_put": (lambda w, i: w.clone().index_put_((i,), torch.ones(2, 3)), (TABLE, OUTSIDE)),
    "take": (lambda w, i: torch.take(w, i + 99), (TABLE, OUTSIDE)),
    "cross_entropy": (lambda w, i: F.cross_entropy(w[:2], i), (TABLE, OUTSIDE)),
    "one_hot": (lambda i: F.one_hot(i, 3), (OUTSIDE,)),
    "floor_divide": (lambda i: i // torch.zeros_like(i), (OUTSIDE,)),
    "remainder": (lambda i: i % torch.zeros_like(i), (OUTSIDE,)),
    "cholesky": (torch.linalg.cholesky, (-torch.eye(3),)),
    "inv": (torch.linalg.inv, (torch.zeros(3, 3),)),
    "solve": (lambda w: torch.linalg.solve(w, w), (torch.zeros(3, 3),)),
    "eigh": (lambda w: torch.linalg.eigh(w)[0], (NAN,)),
    "svdvals": (torch.linalg.svdvals, (NAN,)),
    "binary_cross_entropy": (lambda w: F.binary_cross_entropy(w, w), (TABLE,)),
    "histc": (lambda w: torch.histc(w, min=0, max=0), (NAN,)),
    "assert_async": (lambda w: torch._assert_async((w > 99).all()), (TABLE,)),
    "bincount": (torch.bincount, (NO_COUNTS,)),
    "repeat_interleave": (lambda i: torch.repeat_interleave(i, i), (NO_COUNTS,)),
    "size_that_does_not_fit": (lambda i: i[i > 0].view(77), (NO_COUNTS,)),
    "row_that_is_not_there": (lambda i: torch.nonzero(i)[99], (NO_COUNTS,)),
    "item_of_a_list": (lambda i: i.tolist()[9], (NO_COUNTS,)),
    "list_and_number": (lambda i: i.tolist() + 3, (NO_COUNTS,)),
    "division_of_a_number": (lambda i: i.sum().item() / 0, (NO_COUNTS,)),
    "comparison_in_testing": (lambda i: torch.testing.assert_close(i, i + 1), (NO_COUNTS,)),
}

LATE = {
    *("bincount", "repeat_interleave", "size_that_does_not_fit", "row_that_is_not_there"),
    *("item_of_a_list", "list_and_number", "division_of_a_number", "comparison_in_testing"),
}
"""Those that are called once the graph has run: what it has changed stays."""


@pytest.fixture(autouse=True)
def strictly() -> Iterator[None]:
    with fresh(), gw.config.patch(strict=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", gw.errors.GraphwrightWarning)
        yield


def outcome(function: Callable[..., Any], *args: Any) -> tuple[type, str]:
    try:
        result = function(*args)
    except Exception as error:  # noqa: BLE001  (whatever the operator raises)
        return type(error), str(error)
    return type(result), repr(result)


def check_as_in_eager(function: Callable[..., Any], *args: Any) -> None:
    expected = outcome(function, *args)
    compiled = gw.compile(function)
    for _ in range(2):
        assert outcome(compiled, *args) == expected


@pytest.mark.parametrize("name", OPERATORS)
def test_exception_comes_out_as_in_eager(name) -> None:
    operator, args = OPERATORS[name]
    assert issubclass(outcome(operator, *args)[0], Exception)
    check_as_in_eager(lambda *given: operator(*given), *args)


@pytest.mark.parametrize("name", OPERATORS)
def test_program_handles_the_exception(name) -> None:
    operator, args = OPERATORS[name]

    def program(*given):
        try:
            return operator(*given)
        except Exception as error:  # noqa: BLE001
            return type(error).__name__, str(error), given[0] * 2

    check_as_in_eager(program, *args)


def shrink(i):
    return i[i > 0].view(77)


class Swallows:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return True


def in_a_callee(i):
    try:
        return shrink(i)
    except RuntimeError:
        return i * 3


def in_a_with_block(i):
    made = i
    with Swallows():
        made = shrink(i)
    return made + 1


def in_a_generator(i):
    def parts():
        try:
            yield shrink(i)
        except RuntimeError:
            yield i * 5

    return list(parts())


def behind_a_break(i):
    doubled = i * 2
    gw.graph_break()
    try:
        return shrink(doubled)
    except RuntimeError:
        return doubled


def of_another_kind(i):
    try:
        return shrink(i)
    except IndexError:
        return i


@pytest.mark.parametrize(
    "program", [in_a_callee, in_a_with_block, in_a_generator, behind_a_break, of_another_kind]
)
def test_handler_is_found_as_in_eager(program) -> None:
    check_as_in_eager(program, NO_COUNTS)


@pytest.mark.parametrize("make", [lambda i: TABLE[i], lambda i: torch.bincount(2 - i)])
def test_effects_before_the_line_have_happened(make) -> None:
    log: list[str] = []

    def program(i):
        log.append("before")
        try:
            made = make(i)
        finally:
            log.append("finally")
        log.append("after")
        return made

    for function in (program, gw.compile(program)):
        log.clear()
        with pytest.raises((IndexError, RuntimeError)):
            function(OUTSIDE)
        assert log == ["before", "finally"]
        log.clear()
        function(INSIDE)
        assert log == ["before", "finally", "after"]


def test_traceback_shows_the_line() -> None:
    def program(w, i):
        rows = w * 2
        return rows[i]

    compiled = gw.compile(program)
    compiled(TABLE, INSIDE)
    with pytest.raises(IndexError) as raised:
        compiled(TABLE, OUTSIDE)
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.name, last.line) == ("program", "return rows[i]")


def test_gradients_of_a_handled_call() -> None:
    def program(w, i):
        try:
            rows = w[i]
        except IndexError:
            rows = w * 3
        return rows.sum()

    compiled = gw.compile(program)
    for indices, expected in (INSIDE, [0.0, 1, 1, 0]), (OUTSIDE, [3.0, 3, 3, 3]):
        table = TABLE.clone().requires_grad_()
        compiled(table, indices).backward()
        assert table.grad is not None
        assert table.grad[:, 0].tolist() == expected


def test_program_that_handles_it_is_told_of_once() -> None:
    def program(w, i):
        try:
            return w[i] * 2
        except IndexError:
            return w

    compiled = gw.compile(program)
    with gw.config.patch(strict=False), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for indices in (INSIDE, OUTSIDE, OUTSIDE):
            compiled(TABLE, indices)
    assert [str(one.message) for one in told] == [
        f"graphwright: {program.__qualname__}: its graph raised IndexError (index 9 is out of bounds for dimension 0 with size 4), "
        "so the call was made in plain Python"
    ]


@pytest.mark.parametrize("wrapper", ["native", "python"])
def test_threads_handle_it_side_by_side(wrapper) -> None:
    def program(w, i):
        try:
            return w[i] * 2
        except IndexError:
            return w

    with gw.config.patch(strict=False, wrapper=wrapper):
        compiled = gw.compile(program)
        compiled(TABLE, INSIDE)
        shapes: list[torch.Size] = []

        def work() -> None:
            shapes.extend(compiled(TABLE, (INSIDE, OUTSIDE)[n % 2]).shape for n in range(50))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(shapes) == [torch.Size([2, 3])] * 100 + [torch.Size([4, 3])] * 100


CHANGES: dict[str, Callable[[torch.Tensor, list[str]], Any]] = {
    "draws": lambda buffer, log: torch.rand(3),
    "writes": lambda buffer, log: buffer.add_(1),
    "normalises": lambda buffer, log: F.batch_norm(
        torch.rand(4, 3), buffer, buffer + 1, training=True
    ),
    "appends": lambda buffer, log: log.append("before"),
}


@pytest.mark.parametrize(
    ("wrapper", "with_gradients"), [("native", False), ("native", True), ("python", False)]
)
@pytest.mark.parametrize("is_handled", [False, True])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in LATE])
def test_changes_beside_it_are_made_once(
    name: str, change: str, is_handled: bool, with_gradients: bool, wrapper: str
) -> None:
    operator, args = OPERATORS[name]

    def program(weight, buffer, log, *given):
        first = CHANGES[change](buffer, log)
        noise = weight * torch.rand(2)
        try:
            made = operator(*given)
        except Exception as error:
            if not is_handled:
                raise
            made = str(error)
        log.append("after")
        buffer.mul_(2)
        return made, noise, first, torch.randn(2)

    seen = []
    with gw.config.patch(wrapper=wrapper):
        for function in (program, gw.compile(program)):
            torch.manual_seed(3)
            weight = torch.ones(2, requires_grad=with_gradients)
            buffer, log = torch.ones(3), []
            outcomes = [outcome(function, weight, buffer, log, *args) for _ in range(2)]
            seen.append((outcomes, buffer.tolist(), buffer._version, log, torch.rand(2).tolist()))
    assert seen[0] == seen[1]


def train(x, i, target, norm, layer, log):
    log.append("step")
    x = F.dropout(norm(F.embedding(i, x)), 0.5)
    return F.cross_entropy(F.dropout(F.gelu(layer(x)), 0.1), target)


def train_without_draws(x, i, target, norm, layer, log):
    log.append("step")
    x = norm(F.embedding(i, x))
    return F.cross_entropy(F.gelu(layer(x)), target)


def train_with_an_inverse(x, i, target, norm, layer, log):
    log.append("step")
    x = F.dropout(norm(F.embedding(i, x)), 0.5)
    x = x + torch.linalg.inv(x[:3].exp() + 9 * torch.eye(3)).sum()  # which may refuse as well
    return F.cross_entropy(F.gelu(layer(x)), target)


@pytest.mark.parametrize("train", [train, train_without_draws, train_with_an_inverse])
@pytest.mark.parametrize("fails_at", ["embedding", "target"])
def test_step_of_training_raises_at_its_line(
    fails_at: str, train: Callable[..., torch.Tensor]
) -> None:
    bad = torch.tensor([1, 2, 7, 0])
    fine = torch.tensor([1, 2, 3, 0])
    i, target = (bad, fine) if fails_at == "embedding" else (fine, bad)
    seen = []
    for function in (train, gw.compile(train)):
        torch.manual_seed(3)
        norm, layer, log = torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 5), []
        weight = TABLE.clone().requires_grad_()
        function(weight, fine, fine, norm, layer, log).backward()
        with pytest.raises(IndexError) as raised:
            function(weight, i, target, norm, layer, log)
        lines = [frame.line for frame in traceback.extract_tb(raised.value.__traceback__)]
        at = [line for line in lines if line and line.startswith(("x = F", "return F.cross"))]
        function(weight, fine, fine, norm, layer, log).backward()
        numbers = [norm.running_mean, norm.num_batches_tracked, weight.grad, torch.rand(2)]
        seen.append((str(raised.value), at[:1], log, [repr(one) for one in numbers]))
    assert seen[0] == seen[1]


def test_own_operator_of_the_user_is_called_once() -> None:
    calls: list[str] = []

    @torch.library.custom_op("graphwright_tests::refusing", mutates_args=())
    def refusing(x: torch.Tensor) -> torch.Tensor:
        calls.append("call")
        if x.sum() > 0:
            message = "too large"
            raise ValueError(message)
        return x.clone()

    refusing.register_fake(torch.empty_like)
    compiled = gw.compile(lambda x: refusing(x * 2))
    compiled(-torch.ones(2))
    with pytest.raises(ValueError, match="too large") as raised:
        compiled(torch.ones(2))
    assert calls == ["call", "call"]
    assert "refusing" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]


@pytest.mark.parametrize("wrapper", ["native", "python"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_are_let_through(wrapper, kind) -> None:
    calls: list[str] = []

    def interrupted(*_: torch.Tensor) -> Any:
        calls.append("graph")
        if len(calls) > 1:
            raise kind
        return (TABLE,)

    def program(w):
        try:
            return w * 2
        except Exception:  # noqa: BLE001
            calls.append("handler")

    with gw.config.patch(wrapper=wrapper):
        compiled = gw.compile(program, backend=lambda graph, inputs: interrupted)
        compiled(TABLE)
        with pytest.raises(kind):
            compiled(TABLE)
    assert calls == ["graph", "graph"]
