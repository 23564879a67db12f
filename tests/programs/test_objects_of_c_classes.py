"""Objects whose attributes Python's own C code keeps (of a thread, behind a weak proxy, of a context), and tensors of a user's class."""

from __future__ import annotations

import contextvars
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import graphwright as gw
from graphwright.base.errors import Unsupported

X = torch.arange(3.0)


class OfThread(threading.local):
    shared = 4

    def __init__(self):
        self.own = 5


class Kept:
    shared = 3


@pytest.fixture(autouse=True)
def errors_of_the_compiler_raised() -> Iterator[None]:
    with gw.config.patch(strict=True):
        yield


def _run(program: Callable[..., Any], *args: Any) -> Any:
    try:
        result = program(*args)
    except Exception as error:  # noqa: BLE001  (whatever eager raises)
        return type(error), str(error)
    return result.tolist() if isinstance(result, torch.Tensor) else result


def _make_local() -> tuple[Any, Any]:
    made = threading.local()
    made.own, made.tensor = 2.0, torch.ones(3)
    return made, made


def _make_local_with_a_class() -> tuple[Any, Any]:
    made = OfThread()
    made.tensor = torch.ones(3)
    return made, made


def _make_proxy() -> tuple[Any, Any]:
    made = Kept()
    made.own, made.tensor = 7.0, torch.ones(3)  # type: ignore[attr-defined]
    return weakref.proxy(made), made


def read(one, x):
    return x + one.own


def read_of_class(one, x):
    return x + one.shared


def read_tensor(one, x):
    return torch.cat([x, one.tensor]).sum()


def ask(one, x):
    return hasattr(one, "own"), hasattr(one, "none"), getattr(one, "none", 1)


def read_what_is_not_there(one, x):
    return x + one.none


def read_by_dict(one, x):
    return x + one.__dict__["tensor"]


def write(one, x):
    one.own = 11.0
    return x + one.own


def write_what_is_new(one, x):
    one.new = x * 2
    return one.new + 1


def delete(one, x):
    del one.own
    return x + getattr(one, "own", 1)


PROGRAMS = [
    read,
    read_of_class,
    read_tensor,
    ask,
    read_what_is_not_there,
    write,
    write_what_is_new,
    delete,
]


def _check(program: Any, make: Any) -> None:
    def told(run: Any, one: Any, holder: Any) -> Any:
        results = [_run(run, one, X)]
        one.own = 20.0
        results.append(_run(run, one, X))
        return results, str(sorted(vars(holder).items(), key=str))

    assert told(gw.compile(program), *make()) == told(program, *make())

    def from_outside(is_compiled: bool) -> Any:
        one, holder = make()

        def run(x):
            return program(one, x)

        return told(lambda _, x: (gw.compile(run) if is_compiled else run)(x), one, holder)

    assert from_outside(True) == from_outside(False)


@pytest.mark.parametrize("make", [_make_local, _make_local_with_a_class, _make_proxy])
@pytest.mark.parametrize("program", PROGRAMS)
def test_attributes(program: Any, make: Any) -> None:
    _check(program, make)


@pytest.mark.parametrize("make", [_make_local, _make_proxy])
def test_attributes_by_dict(make: Any) -> None:
    _check(read_by_dict, make)


def test_attributes_of_each_thread() -> None:
    one = threading.local()
    one.own = 2.0
    compiled = gw.compile(read)
    results = [compiled(one, X).tolist()]

    def in_another_thread() -> None:
        results.append(_run(compiled, one, X))
        one.own = 3.0
        results.append(_run(compiled, one, X))

    thread = threading.Thread(target=in_another_thread)
    thread.start()
    thread.join()
    results.append(compiled(one, X).tolist())

    missing = AttributeError, "'_thread._local' object has no attribute 'own'"
    assert results == [[2.0, 3.0, 4.0], missing, [3.0, 4.0, 5.0], [2.0, 3.0, 4.0]]


def test_proxies_of_what_is_gone() -> None:
    kept = Kept()
    kept.own = 1.0  # type: ignore[attr-defined]
    proxy = weakref.proxy(kept)
    compiled = gw.compile(read)
    assert _run(compiled, proxy, X) == _run(read, proxy, X)
    del kept
    assert _run(compiled, proxy, X) == _run(read, proxy, X)


def test_variables_of_contexts() -> None:
    variable = contextvars.ContextVar("variable", default=3)
    compiled = gw.compile(lambda x: x + variable.get())
    found = [compiled(X).tolist()]
    token = variable.set(10)
    found.append(compiled(X).tolist())
    variable.set(20)
    found.append(compiled(X).tolist())
    found.append(contextvars.Context().run(lambda: compiled(X).tolist()))
    variable.reset(token)
    found.append(compiled(X).tolist())
    assert found == [(X + number).tolist() for number in (3, 10, 20, 3, 3)]


def test_variables_of_contexts_that_the_program_sets() -> None:
    variable = contextvars.ContextVar("variable", default=3)

    def program(x):
        token = variable.set(variable.get() + 1)
        y = x + variable.get()
        variable.reset(token)
        return y + variable.get()

    compiled = gw.compile(program)
    for _ in range(2):
        assert torch.equal(compiled(X), program(X))
    assert variable.get() == 3


class Plain(torch.Tensor):
    pass


class Noted(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        NOTES.append(function.__name__)
        return super().__torch_function__(function, types, args, kwargs or {})


NOTES: list[str] = []
_MAKING = [
    "C(x + 1)",
    "C([1.0, 2.0])",
    "C(x + 1) * 2",
    "(x + 1).as_subclass(C) * 2",
    "(x + 1).as_subclass(C).as_subclass(torch.Tensor) * 2",
    "torch.Tensor._make_subclass(C, x + 1) * 2",
    "torch.nn.functional.relu(C(x)) + 1",
    "isinstance(C(x), C), type(C(x)).__name__",
]
_TAKING = [
    "c + 1",
    "c * x",
    "(c * 2).as_subclass(torch.Tensor)",
    "torch.nn.functional.relu(c) + 1",
    "isinstance(c, C), type(c).__name__",
]


def _told(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return type(value), value.tolist()
    return type(value), value


def _compile_text(text: str, kind: Any) -> Any:
    names: dict[str, Any] = {"C": kind, "torch": torch}
    exec(f"def program(x, c):\n    y = x.exp().log()\n    return ({text}), y\n", names)
    return names["program"]


@pytest.mark.filterwarnings(
    "ignore::graphwright.base.errors.GraphwrightWarning"
)  # what follows runs eagerly
@pytest.mark.parametrize("kind", [Plain, Noted])
@pytest.mark.parametrize("text", _MAKING + _TAKING)
def test_tensors_of_a_users_class(text: str, kind: Any) -> None:
    program = _compile_text(text, kind)

    def told(run: Any) -> Any:
        NOTES.clear()
        one, y = run(X, kind(X) if text in _TAKING else X)
        return _told(one), type(y), [note for note in NOTES if note != "__get__"]

    compiled = gw.compile(program)
    for _ in range(2):
        assert told(compiled) == told(program)


@pytest.mark.parametrize("text", _MAKING)
def test_the_graph_ends_where_one_is_made(text: str) -> None:
    compiled = gw.compile(_compile_text(text, Plain), fullgraph=True)
    with pytest.raises(
        Unsupported, match=r"Plain, a subclass of torch\.Tensor, made in the program"
    ):
        compiled(X, X)
