"""Ints, sizes and floats that are not fixed are ints and floats to the program: each use of one does what Python does, for every value."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
import torch
from program_cases import call, check_case, compare, t
from program_suite import all_cases

import graphwright as gw
from graphwright.base.config import Wrapper

TOPICS = ("symbolic_ints-", "symbolic_floats-")
CASES = [case for name, case in all_cases() if name.startswith(TOPICS)]


@dataclasses.dataclass
class Box:
    number: float


COUNT = 0


def stored(x, n, state):
    global COUNT  # noqa: PLW0603  (the point of it)
    COUNT = n + 1
    state["n"] = n * 2
    state["shape"] = list(x.shape)
    state["box"].number = n
    return x * COUNT


def nested(x, n, items, table, pair):
    return x * items[0] + table["k"], items, pair[1] * n, sum(items), table["k"] * 2


def frames() -> int:
    return gw.counters["capture"]["frames"]


def run_both(plain: Any, compiled: Any, arguments: tuple[Any, ...], where: str) -> None:
    torch.manual_seed(1)
    expected = plain(*arguments)
    torch.manual_seed(1)
    compare(expected, compiled(*arguments), where)


@pytest.mark.parametrize("dynamic", [True, None], ids=["dynamic", "automatic"])
@pytest.mark.parametrize("wrapper", list(Wrapper), ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_number_that_is_not_fixed_is_one_to_the_program(case, wrapper, dynamic):
    options = {"wrapper": wrapper, "recompile_limit": 20, "strict": True}
    before = gw.counters["capture"]["static_again"]

    check_case(case, lambda f, _: gw.compile(f, fullgraph=True, dynamic=dynamic, options=options))

    assert gw.counters["capture"]["static_again"] == before


TAKES_NUMBER = [case for case in CASES if isinstance(case.calls[0].args[-1], int)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("case", TAKES_NUMBER, ids=lambda case: case.name)
def test_random_sizes_and_ints_give_what_eager_gives(case, seed):
    draw = random.Random(f"{case.name} {seed}")
    numbers = [draw.choice([draw.randrange(-12, 13), draw.randrange(3, 8)]) for _ in range(12)]
    calls = tuple(call(t(draw.randrange(1, 9)), n) for n in numbers)
    options = {"recompile_limit": 100, "strict": True}

    check_case(
        dataclasses.replace(case, calls=calls),
        lambda f, _: gw.compile(f, fullgraph=True, dynamic=True, options=options),
    )


def arithmetic(x, n):
    return x * n, n + 1, n * n * n, n // 3, n % 3, -n


def extremes(x, n):
    return x[: max(n, 1)], max(n, 3), min(n, 7, x.size(0))


def branches(x, n):
    return x.sin() if n > 5 else x.cos()


def loops(x, n):
    for i in range(n):
        x = x + i
    return x


@pytest.mark.parametrize(
    ("function", "expected"),
    [(arithmetic, 1), (extremes, 2), (branches, 2), (loops, 5)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_number_of_captures(function, expected):
    """One, where all stays symbolic; one for each way that a comparison goes; one for each value that a loop needs."""
    compiled = gw.compile(function, fullgraph=True, dynamic=True)
    before = frames()

    for n in (6, 4, 9, 12, 5):
        compiled(torch.randn(7), n)

    assert frames() - before == expected


def scales(x, f):
    return x * f + (f - 1) / 3, f * f, -f


def roots(x, f):
    return x / math.sqrt(f), f < 0


def picks(x, f):
    return x.sin() if f > 0.5 else x.cos()


def powers(x, f):
    return x**f


def closes(x, f):
    return [part * f for part in x.split(2)], {"f": f, "g": (f, f + 1)}, torch.full((2,), f)


@pytest.mark.parametrize("wrapper", list(Wrapper), ids=str)
@pytest.mark.parametrize("dynamic", [True, None], ids=["dynamic", "automatic"])
@pytest.mark.parametrize(
    ("function", "expected"),
    [(scales, 1), (roots, 1), (picks, 2), (powers, 5), (closes, 1)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_number_of_captures_for_floats(function, expected, dynamic, wrapper):
    """One, where arithmetic is all there is; one for each way that a comparison goes; one for each value that an op needs."""
    options = {"wrapper": wrapper, "strict": True, "disk_cache": False}
    compiled = gw.compile(function, fullgraph=True, dynamic=dynamic, options=options)
    before = frames()

    for f in (0.1, 0.75, 0.3, 12.5, 1 / 3):
        run_both(function, compiled, (torch.randn(6), f), f"f = {f}")

    is_first_fixed = dynamic is None and expected < 5
    assert frames() - before == expected + is_first_fixed


def sums_losses(x):
    total, best, history = 0.0, math.inf, []
    for i in range(30):
        loss = (x * (i % 7)).sum().item()
        total += loss
        best = min(best, loss)
        history.append(loss / (i + 1))
        x = x * 0.5 + total * 0.125
    return x, total, best, history


def calls_float(x):
    y = x
    for _ in range(20):
        y = y + float(y.max()) * 0.5
    return y


@pytest.mark.parametrize("function", [sums_losses, calls_float])
@pytest.mark.parametrize("wrapper", list(Wrapper), ids=str)
def test_loop_over_floats_of_tensors_is_compiled_and_stays_so(function, wrapper):
    compiled = gw.compile(function, options={"wrapper": wrapper, "strict": True})
    whole = torch.arange(5.0, dtype=torch.float64)  # sums of it are exact
    run_both(function, compiled, (whole,), "first call")
    before = frames()

    for step in range(3):
        run_both(function, compiled, (whole * 2**step,), f"call {step}")

    assert frames() - before <= 2


def test_learning_rate_that_decays_makes_two_variants():
    def train(weight, x, rate):
        loss = (x * weight - rate).square().mean() * rate
        (gradient,) = torch.autograd.grad(loss, weight)
        return weight.detach() - gradient * rate, loss.detach() / rate

    compiled = gw.compile(train, fullgraph=True, options={"strict": True, "disk_cache": False})
    ours = theirs = torch.randn(9)
    before = frames()

    for step in range(20):
        x, rate = torch.randn(9), 0.5 * 0.9**step
        ours, found = compiled(ours.requires_grad_(), x, rate)
        theirs, expected = train(theirs.requires_grad_(), x, rate)
        torch.testing.assert_close((ours, found), (theirs, expected))

    assert frames() - before == 2


@pytest.mark.parametrize("backend", ["eager", "aten", "native"])
def test_every_backend_takes_open_floats(backend):
    options = {"disk_cache": False}
    compiled = gw.compile(scales, fullgraph=True, dynamic=True, backend=backend, options=options)
    before = frames()

    for f in (0.1, 0.75, 12.5):
        run_both(scales, compiled, (torch.randn(6), f), f"f = {f}")

    assert frames() - before == 1


def test_float_that_is_an_attribute_of_an_argument_is_left_open_when_it_changes():
    def scaled(x, box):
        return x * box.number

    compiled = gw.compile(scaled, fullgraph=True, options={"disk_cache": False})
    before = frames()

    for number in (0.5, 0.25, 0.125, 3.5):
        run_both(scaled, compiled, (torch.randn(3), Box(number)), f"number = {number}")

    assert frames() - before == 2


@pytest.mark.parametrize("wrapper", list(Wrapper), ids=str)
def test_symbolic_int_is_stored_in_user_state(wrapper):
    compiled = gw.compile(stored, fullgraph=True, dynamic=True, options={"wrapper": wrapper})
    before = frames()

    for n in (6, 4, 9):
        ours, theirs = {"box": Box(0)}, {"box": Box(0)}
        x = torch.randn(n + 1)
        expected = stored(x, n, theirs)
        assert torch.equal(compiled(x, n, ours), expected)
        compare(theirs, ours, f"n = {n}")
        assert (COUNT, type(COUNT)) == (n + 1, int)

    assert frames() - before == 1


@pytest.mark.parametrize("dynamic", [True, None], ids=["dynamic", "automatic"])
def test_ints_inside_arguments_are_symbolic(dynamic):
    compiled = gw.compile(nested, fullgraph=True, dynamic=dynamic)
    before = frames()

    for n in (6, 4, 9, 12):
        arguments = (torch.randn(3), n, [n, n + 2], {"k": n * 3}, (7, n + 5))
        run_both(nested, compiled, arguments, f"n = {n}")

    assert frames() - before == (1 if dynamic else 2)


def test_ints_of_any_size_are_served():
    def grows(x, n):
        return x, n * n, n + 1, n * 2**40, n**4, n > 10**30

    compiled = gw.compile(grows, fullgraph=True, dynamic=True, options={"recompile_limit": 20})

    for n in (6, 2**20, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 2**63, -(2**63), 2**70, 7):
        run_both(grows, compiled, (torch.ones(2), n), f"n = {n}")


def test_bool_and_float_in_the_place_of_an_int_are_captured_anew():
    compiled = gw.compile(lambda x, n: x * n, fullgraph=True, dynamic=True)
    x = torch.randn(3)

    for n in (5, True, 5.0, 7, False, 2.5):
        assert torch.equal(compiled(x, n), x * n)


def test_values_that_change_in_place_are_seen_after_many_calls():
    def scales(x, items, table):
        return x * items[0] + table["k"], items[0] + table["k"]

    compiled = gw.compile(scales, fullgraph=True, dynamic=True)
    items, table = [4, 7], {"k": 5}
    before = frames()
    for i in range(200):
        items[0] += i % 50 == 49
        table["k"] += i % 30 == 29
        run_both(scales, compiled, (torch.randn(5 + i // 40), items, table), f"call {i}")

    assert frames() - before == 1


class Block(torch.nn.Module):
    """A transformer block of the usual kind."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.Linear(16, 48)
        self.out, self.norm = torch.nn.Linear(16, 16), torch.nn.LayerNorm(16)
        self.up, self.down = torch.nn.Linear(16, 32), torch.nn.Linear(32, 16)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.attention(self.norm(x)).view(batch, length, 3, 4, width // 4)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(width // 4)
        mixed = scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(torch.nn.functional.gelu(self.up(x)))


@pytest.mark.parametrize("wrapper", list(Wrapper), ids=str)
@pytest.mark.parametrize("dynamic", [True, None], ids=["dynamic", "automatic"])
@pytest.mark.parametrize("needs_grad", [False, True], ids=["inference", "training"])
def test_transformer_block_of_changing_batch_and_length_is_captured_twice_at_most(
    needs_grad, dynamic, wrapper
):
    block, twin = Block(), Block()
    twin.load_state_dict(block.state_dict())
    compiled = gw.compile(twin, fullgraph=True, dynamic=dynamic, options={"wrapper": wrapper})
    before = frames()

    with torch.set_grad_enabled(needs_grad):
        for batch, length in [(2, 5), (3, 7), (4, 4), (6, 9), (3, 7)]:
            x = torch.randn(batch, length, 16)
            expected, found = block(x), compiled(x)
            torch.testing.assert_close(found, expected)
            if needs_grad:
                expected.square().sum().backward()
                found.square().sum().backward()

    assert frames() - before <= (1 if dynamic else 2)
    for ours, theirs in zip(twin.parameters(), block.parameters(), strict=True):
        assert (ours.grad is not None) is needs_grad
        if needs_grad:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_constant_that_is_stored_over_an_open_number_is_stored_at_each_call():
    def reset(x, box):
        result = x * box.number
        box.number = 5
        return result

    compiled = gw.compile(reset, fullgraph=True)

    for number in (3, 5, 7, 5, 9):  # 5 is what is stored when the number is left open
        box = Box(number)
        compiled(torch.ones(2), box)
        assert box.number == 5


def counting_in_a_closure():
    count = 0

    def step(x):
        nonlocal count
        count += 1
        return x * count

    return step


def counting_in_a_dict():
    state = {"step": 0, "scale": 1.0}

    def step(x):
        state["step"] += 1
        state["scale"] *= 0.9
        return x * state["step"] + state["scale"], dict(state)

    return step


def counting_in_a_global():
    def step(x):
        global COUNT  # noqa: PLW0603  (the point of it)
        COUNT += 1
        return x + COUNT, COUNT % 3

    globals()["COUNT"] = 4
    return step


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0
        self.rate = 0.5

    def forward(self, x):
        self.count += 1
        self.rate /= 1.5
        return x * self.count - self.rate, self.count


@pytest.mark.parametrize(
    "make", [counting_in_a_closure, counting_in_a_dict, counting_in_a_global, Counter]
)
def test_counters_that_a_program_keeps_are_left_open_when_they_change(make):
    before = frames()
    x = torch.arange(4.0)

    expected = [step(x) for step in [make()] for _ in range(12)]
    actual = [step(x) for step in [gw.compile(make(), fullgraph=True)] for _ in range(12)]

    compare(expected, actual, make.__name__)
    # 1 is never left open.
    assert frames() - before <= 4
