"""Small programs as data, and the check that a compiled program does what the plain one does.

In: a `Case`: a function (or what makes one), and the calls to make of it one after another.
Out: an AssertionError that names the call and what differs: values, dtypes, shapes, strides, aliasing, mutations of arguments
and of state, exceptions, the random number stream, or whether a call compiled anew.

Both sides get arguments of their own, made from the same specification with the same seed.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import enum
import io
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclasses.dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor argument that is yet to be made."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    requires_grad: bool = False
    low: int = -4
    high: int = 5
    """Integers are drawn from `low` up to but not including `high`."""
    transposed: bool = False
    """The last two dimensions are exchanged, so that the tensor is not contiguous."""

    def make(self) -> torch.Tensor:
        """Draw the tensor."""
        shape = list(self.shape)
        if self.transposed:
            shape[-2:] = shape[:-3:-1]
        if self.dtype is torch.bool:
            made = torch.randint(0, 2, shape).bool()
        elif self.dtype.is_floating_point or self.dtype.is_complex:
            made = torch.randn(shape, dtype=torch.float64).to(self.dtype)
        else:
            made = torch.randint(self.low, self.high, shape).to(self.dtype)
        if self.transposed:
            made = made.transpose(-1, -2)
        return made.requires_grad_() if self.requires_grad else made


@dataclasses.dataclass(frozen=True, slots=True)
class Fresh:
    """An argument that is made anew for each side."""

    build: Callable[[], Any]


class Compiles(enum.Enum):
    """What a call is expected to do."""

    ANYTHING = enum.auto()
    YES = enum.auto()
    NO = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call of a program."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    before: Callable[[Any], object] | None = None
    """What is done to the program's state first, on both sides; gets what the case's `make` gave beside the function."""
    under: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    compiles: Compiles = Compiles.ANYTHING


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A program and what is done with it."""

    name: str
    make: Callable[[], tuple[Callable[..., Any], Any]]
    """Gives a new callable, and the state that `before` gets and that is compared after each call."""
    calls: tuple[Call, ...]
    is_one_graph: bool
    """It must compile with `fullgraph=True`."""


def t(
    *shape: int,
    dtype: torch.dtype = torch.float32,
    grad: bool = False,
    transposed: bool = False,
    low: int = -4,
    high: int = 5,
) -> TensorSpec:
    """Give the specification of a tensor."""
    return TensorSpec(shape, dtype, grad, low, high, transposed)


def i64(*shape: int, low: int = -4, high: int = 5) -> TensorSpec:
    """Give the specification of a tensor of int64."""
    return TensorSpec(shape, torch.int64, low=low, high=high)


def call(*args: Any, **kwargs: Any) -> Call:
    """Give a call with these arguments."""
    return Call(args, kwargs)


def fresh_call(*args: Any, **kwargs: Any) -> Call:
    """Give a call that must compile."""
    return Call(args, kwargs, compiles=Compiles.YES)


def again(*args: Any, **kwargs: Any) -> Call:
    """Give a call that must find a compiled program."""
    return Call(args, kwargs, compiles=Compiles.NO)


def after(change: Callable[[Any], object], step: Call) -> Call:
    """Give `step` with a change of state before it."""
    return dataclasses.replace(step, before=change)


def under(context: Callable[[], contextlib.AbstractContextManager[object]], step: Call) -> Call:
    """Give `step`, made inside a context."""
    return dataclasses.replace(step, under=context)


class Topic:
    """Cases that belong together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: list[Case] = []

    def program(
        self, *calls: Call, is_one_graph: bool = True
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add the decorated function as a program without state."""

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self._add(function.__name__, lambda: (function, None), calls, is_one_graph)
            return function

        return add

    def made(
        self, *calls: Call, is_one_graph: bool = True
    ) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """Add the program that the decorated function makes: it gives the callable, or the callable and its state."""

        def add(make: Callable[[], Any]) -> Callable[[], Any]:
            def both() -> tuple[Callable[..., Any], Any]:
                made = make()
                return made if isinstance(made, tuple) else (made, None)

            self._add(make.__name__, both, calls, is_one_graph)
            return make

        return add

    def _add(
        self, name: str, make: Callable[[], Any], calls: Sequence[Call], is_one_graph: bool
    ) -> None:
        if not calls:
            raise ValueError(f"the program {name} is never called")
        if name in {case.name for case in self.cases}:
            raise ValueError(f"two programs called {name}")
        self.cases.append(Case(name, make, tuple(calls), is_one_graph))


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a call did."""

    result: Any
    error: BaseException | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    random_state: torch.Tensor
    printed: str
    were_written: list[bool]
    """Of each tensor among the arguments: whether autograd knows of a write to it."""


def check_case(
    case: Case,
    compile_function: Callable[[Callable[..., Any], bool], Callable[..., Any]],
    count_compiles: Callable[[], int] | None = None,
) -> None:
    """Run the case both ways and compare after each call.

    Args:
        case: the case.
        compile_function: gives the compiled form of a function; its second argument is `fullgraph`.
        count_compiles: how many programs were compiled so far; without it, `Call.compiles` is not checked.
    """
    plain, plain_state = case.make()
    made, state = case.make()
    compiled = compile_function(made, case.is_one_graph)
    for index, step in enumerate(case.calls):
        if step.before is not None:
            step.before(plain if plain_state is None else plain_state)
            step.before(made if state is None else state)
        expected = _run(plain, step, index)
        compiles_before = count_compiles() if count_compiles else 0
        found = _run(compiled, step, index)
        where = f"{case.name}, call {index}"
        _compare_outcomes(expected, found, where)
        compare(plain_state, state, f"{where}: state")
        if count_compiles is not None and step.compiles is not Compiles.ANYTHING:
            did_compile = count_compiles() > compiles_before
            assert did_compile == (step.compiles is Compiles.YES), (
                f"{where}: compiled anew: {did_compile}"
            )


def _run(function: Callable[..., Any], step: Call, index: int) -> Outcome:
    torch.manual_seed(1000 + index)
    made: dict[int, Any] = {}
    args = _materialise(step.args, made)
    kwargs = _materialise(dict(step.kwargs), made)
    tensors = [one for one in _tensors((args, kwargs)) if not one.is_inference()]
    versions = [one._version for one in tensors]
    torch.manual_seed(index)
    printed = io.StringIO()
    with step.under(), contextlib.redirect_stdout(printed):
        try:
            result, error = function(*args, **kwargs), None
        except Exception as raised:  # noqa: BLE001  (whatever eager raises is the expected outcome)
            result, error = None, raised
    random_state = torch.get_rng_state()
    were_written = [one._version != version for one, version in zip(tensors, versions, strict=True)]
    if error is None:
        _send_gradients_back(result)
    return Outcome(result, error, args, kwargs, random_state, printed.getvalue(), were_written)


def _send_gradients_back(result: Any) -> None:
    """Differentiate a weighted sum of all outputs, so that what needs gradients gets them and they are compared."""
    outputs = {
        id(tensor): tensor
        for tensor in _tensors(result)
        if tensor.requires_grad and tensor.grad_fn is not None
    }
    if outputs:
        parts = [
            tensor.abs().double().sum() * (index + 1)
            for index, tensor in enumerate(outputs.values())
        ]
        torch.stack(parts).sum().backward()


def _materialise(spec: Any, made: dict[int, Any]) -> Any:
    """Make the arguments; a specification object that stands twice gives one tensor twice."""
    if isinstance(spec, TensorSpec | Fresh):
        if id(spec) not in made:
            made[id(spec)] = spec.make() if isinstance(spec, TensorSpec) else spec.build()
        return made[id(spec)]
    if isinstance(spec, tuple) and hasattr(spec, "_fields"):
        return type(spec)(*(_materialise(item, made) for item in spec))
    if type(spec) in (tuple, list, set):
        return type(spec)(_materialise(item, made) for item in spec)
    if type(spec) is dict:
        return {key: _materialise(value, made) for key, value in spec.items()}
    return spec


def _compare_outcomes(expected: Outcome, found: Outcome, where: str) -> None:
    if expected.error is not None or found.error is not None:
        if found.error is not None and expected.error is None:
            raise AssertionError(f"{where}: raised, but eager does not") from found.error
        assert found.error is not None, f"{where}: eager raises {expected.error!r}"
        if type(expected.error) is not type(found.error):
            raise AssertionError(f"{where}: eager raises {expected.error!r}") from found.error
        assert str(expected.error) == str(found.error), where
        if not _came_from_an_operator(found.error):
            assert _lines_of(expected.error) == _lines_of(found.error), f"{where}: traceback"
    else:
        compare(expected.result, found.result, f"{where}: result")
    compare(expected.args, found.args, f"{where}: arguments after it")
    compare(expected.kwargs, found.kwargs, f"{where}: keyword arguments after it")
    _compare_aliases(expected, found, where)
    assert expected.were_written == found.were_written, f"{where}: versions of arguments"
    assert expected.printed == found.printed, f"{where}: printed"
    assert torch.equal(expected.random_state, found.random_state), f"{where}: random number stream"


TOPICS = str(Path(__file__).parents[1] / "programs" / "topics")


def _came_from_an_operator(error: BaseException) -> bool:
    """Tell whether an operator raised while a graph was run, which knows no lines of the program's."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return last.filename == torch._ops.__file__


def _lines_of(error: BaseException | None) -> list[Any]:
    """Give the lines of the program's that an exception, its cause and its context went through."""
    if error is None:
        return []
    entries = traceback.extract_tb(error.__traceback__)
    own = [(one.name, one.lineno) for one in entries if one.filename.startswith(TOPICS)]
    return [own, _lines_of(error.__cause__), _lines_of(error.__context__)]


TOLERANCES = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-3),
    torch.bfloat16: (1.6e-2, 1e-2),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}
"""Relative and absolute, by dtype: those of `torch.testing`, which allow for another order of summation."""


def compare(
    expected: Any, found: Any, where: str, _seen: set[tuple[int, int]] | None = None
) -> None:
    """Compare two values deeply.

    Raises:
        AssertionError: they differ in type, structure, identity within, or tensors' properties or values.
    """
    seen = set() if _seen is None else _seen
    if (id(expected), id(found)) in seen:
        return
    if isinstance(expected, torch.Tensor):
        _compare_tensors(expected, found, where)
        return
    assert type(expected) is type(found) or _same_named(type(expected), type(found)), (
        f"{where}: {type(expected)} and {type(found)}"
    )
    seen.add((id(expected), id(found)))
    match expected:
        case dict():
            assert list(map(_key, expected)) == list(map(_key, found)), (
                f"{where}: keys {list(expected)} and {list(found)}"
            )
            for (key, value), other in zip(expected.items(), found.values(), strict=True):
                compare(value, other, f"{where}[{key!r}]", seen)
        case list() | tuple() | collections.deque():
            limits = [getattr(side, "maxlen", None) for side in (expected, found)]
            assert limits[0] == limits[1], f"{where}: deques of at most {limits} items"
            ours, theirs = _members(expected), _members(found)
            assert len(ours) == len(theirs), f"{where}: lengths {len(ours)} and {len(theirs)}"
            for index, (value, other) in enumerate(zip(ours, theirs, strict=True)):
                compare(value, other, f"{where}[{index}]", seen)
        case float() | complex():
            same = expected == found or repr(expected) == repr(found)
            close = abs(expected - found) <= 1e-6 * max(1.0, abs(expected))
            assert same or close, f"{where}: {expected!r} and {found!r}"
        case types.FunctionType() | types.MethodType():
            assert expected.__qualname__ == found.__qualname__, where
        case np.ndarray():
            assert expected.dtype == found.dtype, f"{where}: {expected.dtype} and {found.dtype}"
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=where)
        case type() | types.ModuleType() | types.BuiltinFunctionType():
            assert expected.__name__ == found.__name__, where
        case _:
            _compare_objects(expected, found, where, seen)
    if isinstance(expected, dict | list | tuple) and hasattr(expected, "__dict__"):
        compare(vars(expected), vars(found), f"{where}.__dict__", seen)


def _compare_objects(expected: Any, found: Any, where: str, seen: set[tuple[int, int]]) -> None:
    has_own_equality = type(expected).__eq__ is not object.__eq__
    if hasattr(expected, "__dict__") and not isinstance(expected, enum.Enum):
        compare(_public(vars(expected)), _public(vars(found)), f"{where}.__dict__", seen)
    elif has_own_equality:
        assert expected == found, f"{where}: {expected!r} and {found!r}"
    for name in _slots(type(expected)):
        compare(getattr(expected, name, None), getattr(found, name, None), f"{where}.{name}", seen)


def _public(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if not name.startswith("__")}


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        names = base.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__"):
                yield name


def _same_named(expected: type, found: type) -> bool:
    """Tell whether the two are one class of the program, made once for each side."""
    is_own = "<locals>" in expected.__qualname__ or expected.__module__.startswith(MADE_TWICE)
    return is_own and expected.__qualname__ == found.__qualname__


MADE_TWICE = "program_made_twice"
"""How the names of modules begin that are made once for each side."""


def _key(key: Any) -> Any:
    return key if isinstance(key, str | int | float | bytes | tuple | None) else repr(type(key))


def _compare_tensors(expected: torch.Tensor, found: Any, where: str) -> None:
    assert type(expected) is type(found), f"{where}: {type(expected)} and {type(found)}"
    assert expected.dtype == found.dtype, f"{where}: {expected.dtype} and {found.dtype}"
    assert expected.shape == found.shape, (
        f"{where}: {tuple(expected.shape)} and {tuple(found.shape)}"
    )
    if expected.numel() > 0:
        significant = [
            (s, e)
            for s, e, n in zip(expected.stride(), found.stride(), expected.shape, strict=True)
            if n > 1
        ]
        assert all(s == e for s, e in significant), (
            f"{where}: strides {expected.stride()} and {found.stride()}"
        )
    assert expected.requires_grad == found.requires_grad, (
        f"{where}: requires_grad {expected.requires_grad}"
    )
    assert expected.is_leaf == found.is_leaf, f"{where}: is_leaf {expected.is_leaf}"
    relative, absolute = TOLERANCES.get(expected.dtype, (0.0, 0.0))
    torch.testing.assert_close(
        found.detach(),
        expected.detach(),
        rtol=relative,
        atol=absolute,
        equal_nan=True,
        msg=lambda text: f"{where}: {text}",
    )
    if not expected.is_leaf:
        return
    assert (expected.grad is None) == (found.grad is None), f"{where}: grad"
    if expected.grad is not None:
        _compare_tensors(expected.grad, found.grad, f"{where}.grad")


def _compare_aliases(expected: Outcome, found: Outcome, where: str) -> None:
    ours = _tensors((expected.args, expected.kwargs, expected.result))
    theirs = _tensors((found.args, found.kwargs, found.result))
    assert len(ours) == len(theirs), f"{where}: number of tensors"
    for first in range(len(ours)):
        for second in range(first):
            same = ours[first] is ours[second]
            assert same == (theirs[first] is theirs[second]), (
                f"{where}: tensors {second} and {first} one object: {same}"
            )
            shared = _shares_memory(ours[first], ours[second])
            also = _shares_memory(theirs[first], theirs[second])
            assert shared == also, f"{where}: tensors {second} and {first} share memory: {shared}"


def _tensors(value: Any, seen: frozenset[int] = frozenset()) -> list[torch.Tensor]:
    """Give the tensors in nested containers; one that holds itself is entered once."""
    if isinstance(value, torch.Tensor):
        return [value]
    if id(value) in seen or not isinstance(value, dict | list | tuple):
        return []
    inner = seen | {id(value)}
    items = value.values() if isinstance(value, dict) else _members(value)
    return [tensor for item in items for tensor in _tensors(item, inner)]


def _members(value: Any) -> list[Any]:
    """Give what a list, tuple or deque holds, by no method of a subclass: those are code of the program's, which nobody has called."""
    base: Any = next(kind for kind in (list, tuple, collections.deque) if isinstance(value, kind))
    return list(base.__iter__(value))


def _shares_memory(first: torch.Tensor, second: torch.Tensor) -> bool:
    pointer = first.untyped_storage().data_ptr()
    return pointer != 0 and pointer == second.untyped_storage().data_ptr()


def own_globals(function: types.FunctionType, **names: Any) -> types.FunctionType:
    """Give a copy of `function` with globals of its own, in which `names` are set."""
    namespace = {**function.__globals__, **copy.deepcopy(names)}
    made = types.FunctionType(
        function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
