"""What was compiled is let go of with what it was compiled for: its code, its constants, and the objects that it looks at."""

from __future__ import annotations

import gc
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import graphwright as gw
from graphwright.runtime.entry import Entry
from graphwright.runtime.reading import MISSING

X = torch.ones(2, 4)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4))
        self.register_buffer("count", torch.zeros(()))
        self.settings = {"scale": 2.0, "names": ["a", "b"]}
        self.calls: list[Any] = []

    def forward(self, x):
        return self.inner(x) * self.settings["scale"]


class WithState(Model):
    def forward(self, x):
        self.count += 1
        self.calls.append(x)
        self.settings["scale"] += 1.0
        return self.inner(x) + self.count


class WithBreaks(Model):
    def forward(self, x):
        for name in self.settings["names"]:
            x = self.inner(x) + len(name)
            gw.graph_break()
        try:
            if x.sum() > 1e9:
                x = x + 1
        finally:
            self.calls.append(x)
        return x


class WithGenerators(Model):
    def parts(self, x):
        for layer in self.inner:
            x = layer(x)
            yield x

    def forward(self, x):
        self.calls = [(lambda one=one: one) for one in self.parts(x)]
        return torch.stack([call() for call in self.calls])


class WithErrors(Model):
    def forward(self, x):
        try:
            self.inner(x[:, :3])
        except RuntimeError as error:
            self.calls.append(error)
        return self.inner(x)


class Recurrent(Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(4, 4)  # type: ignore[assignment]

    def forward(self, x):
        return self.inner(x)[0]


def infer(model: Any, **options: Any) -> None:
    with torch.no_grad():
        gw.compile(model, **options)(X)


def train(model: Any, **options: Any) -> None:
    gw.compile(model, **options)(X).sum().backward()


def train_with_an_optimizer(model: Any) -> None:
    optimizer = torch.optim.Adam(model.parameters())

    @gw.compile
    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    step(X)
    step(X)


def at_several_sizes(model: Any) -> None:
    compiled = gw.compile(model)
    for size in 2, 3, 4, 5:
        compiled(torch.ones(size, 4))


def with_dynamic_sizes(model: Any) -> None:
    gw.compile(model, dynamic=True)(X)


def in_python(model: Any) -> None:
    with gw.config.patch(wrapper="python"):
        train(model)


def frozen(model: Any) -> None:
    with gw.config.patch(freezing=True):
        infer(model.eval())


def from_the_cache(model: Any) -> None:
    train(model)
    train(model)


def with_hooks(model: Any) -> None:
    model.inner.register_forward_hook(lambda module, args, result: result * 2)
    train(model)


def by_a_function(model: Any) -> None:
    gw.compile(lambda x: model(x) + 1)(X)


def by_a_method(model: Any) -> None:
    gw.compile(model.forward)(X)


def by_a_backend(model: Any) -> None:
    gw.compile(model, backend=lambda graph, inputs: graph)(X)


def beyond_the_limit(model: Any) -> None:
    with gw.config.patch(recompile_limit=2, strict=False):
        compiled = gw.compile(lambda x, n: model(x) * n, dynamic=False)
        for n in range(4):
            compiled(X, f"{n}" == "1")
            compiled(X, float(n))


def refused(model: Any) -> None:
    @gw.compile(fullgraph=True)
    def program(x):
        gw.graph_break()
        return model(x)

    with pytest.raises(gw.errors.Unsupported):
        program(X)


def explained(model: Any) -> None:
    str(gw.explain(model)(X))


WAYS = [
    infer,
    train,
    train_with_an_optimizer,
    at_several_sizes,
    with_dynamic_sizes,
    in_python,
    frozen,
    from_the_cache,
    with_hooks,
    by_a_function,
    by_a_method,
    by_a_backend,
    beyond_the_limit,
    refused,
    explained,
]
MODELS = [Model, WithState, WithBreaks, WithGenerators, WithErrors, Recurrent]


@pytest.fixture(autouse=True)
def quietly() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what other tests have left is not looked at again and again
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    gc.unfreeze()


def _references(kind: Callable[[], Any], way: Callable[..., None]) -> list[weakref.ref[Any]]:
    """Compile a model, call it and drop it; gives references to its parts."""
    model = kind()
    way(model)
    return [weakref.ref(part) for part in (*model.modules(), *model.parameters(), *model.buffers())]


def _entries() -> int:
    gc.collect()
    return sum(type(one) is Entry for one in gc.get_objects())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", MODELS)
def test_nothing_is_kept(kind: Callable[[], Any], way: Callable[..., None]) -> None:
    _references(kind, way)  # what the first use of a thing makes once
    before = _entries()
    kept = _references(kind, way)
    entries = _entries()
    assert [ref() for ref in kept if ref() is not None] == []
    assert entries == before


@pytest.fixture
def seldom() -> Iterator[None]:
    """Let no collection begin by itself."""
    before = gc.get_threshold()
    gc.set_threshold(10**7, 10**6, 10**6)
    yield
    gc.set_threshold(*before)


# Readable source of guards is a cycle with its functions, as a Python module is; a model that keeps an exception is a cycle in eager, too.
@pytest.mark.parametrize("way", [way for way in WAYS if way is not in_python])
@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind is not WithErrors])
@pytest.mark.usefixtures("seldom")
def test_a_model_goes_with_its_compiled_form(
    kind: Callable[[], Any], way: Callable[..., None]
) -> None:
    _references(kind, way)
    gc.collect()
    kept = _references(kind, way)
    assert [ref() for ref in kept if ref() is not None] == []


def test_a_result_outlives_its_program() -> None:
    """Gradients are computed after the model and all that was compiled for it have gone."""
    model = Model()
    x = X.clone().requires_grad_()
    expected = model(x).square().sum()
    (gradient,) = torch.autograd.grad(expected, x)
    result = gw.compile(model)(x).square().sum()
    del model
    result.backward()
    torch.testing.assert_close(result, expected)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, gradient)


def test_a_program_may_drop_its_compiled_form_while_it_runs() -> None:
    held: list[Any] = []
    inner = nn.Linear(4, 4)

    def program(x):
        held.clear()
        y = inner(x)
        gw.graph_break()
        return y.relu() + len(held)

    expected = inner(X).relu()
    for _ in range(2):
        held.append(gw.compile(program))
        torch.testing.assert_close(held[0](X), expected)


def test_a_copy_of_the_code_of_a_compiled_function_may_outlive_it() -> None:
    for calls in 0, 1:
        compiled = gw.compile(lambda x: x * 2)
        for _ in range(calls):
            compiled(X)
        copied = types.FunctionType(
            compiled.__code__, compiled.__globals__, closure=compiled.__closure__
        )
        del compiled
        with pytest.warns(gw.errors.GraphwrightWarning, match="through a copy of its code"):
            assert torch.equal(copied(X), X * 2)


def test_an_entry_that_outlives_its_program_serves_calls_in_python() -> None:
    compiled = gw.compile(lambda x: x * 2)
    compiled(X)
    (entry,) = compiled._compiled_target.entries  # type: ignore[attr-defined]
    serve = entry.native.function
    assert torch.equal(entry.try_call((X,), {}), X * 2)
    del compiled
    assert torch.equal(entry.try_call((X,), {}), X * 2)
    assert serve(X) is MISSING
