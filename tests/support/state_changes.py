"""Every single change of the Python state that a program can read, one at a time, each undone afterwards.

In: the objects a program can reach.   Out: `Change`s: a name for people, what applies it, what undoes it.

What is walked: functions (closure cells, the globals they name, defaults, code), instances (their `__dict__`), the classes of the
program's own instances, modules of `torch.nn`, and builtin containers. Tensors' values are no state that a guard may see.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import enum
import functools
import inspect
import re
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from program_cases import Fresh, TensorSpec

ABSENT: Final = object()
MAX_DEPTH: Final = 6

KEPT_IN_STEP: Final = frozenset({"_flat_weight_refs"})
"""Attributes that PyTorch's own code keeps in step with others, which are walked: changed alone, they make no sense."""

RESERVED_BY_ENUM: Final = re.compile("_[^_](.*[^_])?_")
"""Attributes of its own that `enum` works out from the members when it makes a class, and then trusts (`_flag_mask_`)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One change of one place."""

    name: str
    apply: Callable[[], object]
    undo: Callable[[], object]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Somewhere a value stands."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    """Takes `ABSENT` to delete."""


def iter_changes(roots: dict[str, Any]) -> Iterator[Change]:
    """Give every change of what can be reached from `roots`."""
    seen: set[int] = set()
    pending = [(name, value, 0) for name, value in roots.items()]
    while pending:
        name, value, depth = pending.pop(0)
        if id(value) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(value))
        yield from _own_changes(name, value)
        for place in _places(name, value):
            inner = place.get()
            yield from _changes_of(place, inner)
            pending.append((place.name, inner, depth + 1))


def _changes_of(place: Place, value: Any) -> Iterator[Change]:
    for label, other in _variants(value):
        yield Change(
            f"{place.name} = {label}",
            functools.partial(place.put, other),
            functools.partial(place.put, value),
        )


def _variants(value: Any) -> Iterator[tuple[str, Any]]:
    """Give other values that could stand in the place of `value`."""
    match value:
        case bool():
            yield "negated", not value
        case enum.Enum():
            yield from ((other.name, other) for other in type(value) if other is not value)
        case int():
            yield "plus one", value + 1
            yield "as a float", float(value) if abs(value) < 2**50 else 1.5
        case float():
            yield "another number", value * 2 + 1.25
        case str():
            yield "another text", value + "_"
        case None:
            yield "a number", 3
        case torch.nn.Parameter():
            yield (
                "of another dtype",
                torch.nn.Parameter(value.detach().double(), value.requires_grad),
            )
            yield "None", None
        case torch.Tensor():
            yield (
                "of another dtype",
                value.detach().double() if value.is_floating_point() else value.float(),
            )
            yield "with one more dimension", value.detach().clone()[None]
            yield "other values", torch.full_like(value.detach(), 3)
        case list():
            yield "an equal copy", list(value)
            yield "longer", [*value, *(value[-1:] or [1.5])]
            yield "empty", []
            yield "a tuple", tuple(value)
        case tuple() if type(value) is tuple:
            yield "longer", (*value, *(value[-1:] or (1.5,)))
            yield "longer by another item", (*value, 7)
            yield "a list", list(value)
        case dict() if type(value) is dict:
            yield "an equal copy", dict(value)
            yield "reversed", dict(reversed(value.items()))
            yield "empty", {}
        case types.FunctionType():
            yield "another function", _other_function
            yield "None", None
        case torch.nn.Module():
            yield "another module", torch.nn.Identity()
        case _:
            yield "another object", object()


def _other_function(*args: Any, **kwargs: Any) -> Any:
    first = next(iter((*args, *kwargs.values())), 1.0)
    return first * 7 if isinstance(first, torch.Tensor) else 7


def _other_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
    """CPython deprecates (from 3.13 on) the code of a plain function in a generator function."""
    yield _other_function(*args, **kwargs)


def _places(name: str, value: Any) -> Iterator[Place]:
    match value:
        case types.FunctionType():
            if not _is_foreign(value.__module__):
                yield from _places_of_function(name, value)
        case types.MethodType():
            yield Place(f"{name}.__self__", lambda: value.__self__, _no_put)
            yield Place(f"{name}.__func__", lambda: value.__func__, _no_put)
        case functools.partial():
            yield Place(f"{name}.func", lambda: value.func, _no_put)
        case dict():
            for key in list(value):
                yield Place(
                    f"{name}[{key!r}]",
                    functools.partial(dict.__getitem__, value, key),
                    _dict_put(value, key),
                )
        case list():
            for index in range(len(value)):
                yield Place(
                    f"{name}[{index}]",
                    functools.partial(list.__getitem__, value, index),
                    functools.partial(_list_put, value, index),
                )
        case tuple():
            for index, item in enumerate(value):
                yield Place(f"{name}[{index}]", lambda item=item: item, _no_put)
        case type():
            if not _is_foreign(value.__module__):
                yield from _places_of_class(name, value)
        case torch.Tensor() | types.ModuleType() | enum.Enum():
            if isinstance(value, types.ModuleType) and value.__name__.startswith("settings_of"):
                yield from _places_of_dict(name, value)
        case _:
            yield from _places_of_dict(name, value)
            yield Place(f"type({name})", lambda: type(value), _no_put)


def _places_of_dict(name: str, value: Any) -> Iterator[Place]:
    table = getattr(value, "__dict__", None)
    if isinstance(table, dict):
        for key in list(table):
            if key not in KEPT_IN_STEP:
                yield Place(
                    f"{name}.{key}", functools.partial(table.get, key), _dict_put(table, key)
                )


def _places_of_function(name: str, function: types.FunctionType) -> Iterator[Place]:
    for cell, free in zip(function.__closure__ or (), function.__code__.co_freevars, strict=True):
        if not _is_empty(cell):
            yield Place(
                f"{name}:{free}",
                functools.partial(getattr, cell, "cell_contents"),
                functools.partial(_put_attr, cell, "cell_contents"),
            )
    for key in sorted(_global_names(function.__code__)):
        if key in function.__globals__:
            yield Place(
                f"{name}::{key}",
                functools.partial(function.__globals__.get, key),
                _dict_put(function.__globals__, key),
            )
    if function.__defaults__:
        yield Place(
            f"{name}.__defaults__",
            lambda: function.__defaults__,
            functools.partial(_put_attr, function, "__defaults__"),
        )
    if function.__kwdefaults__:
        yield Place(f"{name}.__kwdefaults__", lambda: function.__kwdefaults__, _no_put)


def _places_of_class(name: str, kind: type) -> Iterator[Place]:
    is_enum = isinstance(kind, enum.EnumMeta)
    for key, value in list(kind.__dict__.items()):
        if is_enum and RESERVED_BY_ENUM.fullmatch(key):
            continue
        is_data = isinstance(value, int | float | str | types.FunctionType) and not key.startswith(
            "__"
        )
        if is_data or key in (
            "__call__",
            "__getattr__",
            "__len__",
            "__bool__",
            "__eq__",
            "__add__",
        ):
            yield Place(
                f"{name}.{key}",
                functools.partial(kind.__dict__.__getitem__, key),
                functools.partial(_put_attr, kind, key),
            )


def _own_changes(name: str, value: Any) -> Iterator[Change]:
    """Give changes that belong to the object as a whole: code, length, new keys, flags."""
    yield from _shadows(name, value)
    yield from _shadowed_builtins(name, value)
    yield from _descriptors(name, value)
    match value:
        case types.FunctionType() if not _is_foreign(value.__module__) and not value.__closure__:
            code = value.__code__
            other = _other_generator if inspect.isgeneratorfunction(value) else _other_function
            yield Change(
                f"{name}.__code__",
                lambda: _put_attr(value, "__code__", other.__code__),
                lambda: _put_attr(value, "__code__", code),
            )
        case list():
            yield Change(
                f"{name}.append", lambda: value.append(value[-1] if value else 1.5), value.pop
            )
            if value:
                last = value[-1]
                yield Change(f"{name}.pop", value.pop, lambda: value.append(last))
        case dict():
            yield Change(
                f"{name} gets a key",
                lambda: dict.__setitem__(value, "added_key", 1.5),
                lambda: dict.pop(value, "added_key"),
            )
            for key in list(value):
                copy = dict(value)
                yield Change(
                    f"{name} loses {key!r}",
                    functools.partial(dict.pop, value, key),
                    functools.partial(_refill, value, copy),
                )
        case set():
            yield Change(f"{name}.add", lambda: value.add("added"), lambda: value.discard("added"))
        case torch.Tensor():
            if value.is_leaf and value.is_floating_point():
                flag = value.requires_grad
                yield Change(
                    f"{name}.requires_grad",
                    lambda: value.requires_grad_(not flag),
                    lambda: value.requires_grad_(flag),
                )
        case torch.nn.Module():
            flag = value.training
            yield Change(f"{name}.train", lambda: value.train(not flag), lambda: value.train(flag))


def _shadows(name: str, value: Any) -> Iterator[Change]:
    """Give, for each method of an instance of the program's or of a module, an attribute of the instance that hides it."""
    kind = type(value)
    table = getattr(value, "__dict__", None)
    if not isinstance(table, dict) or not (
        isinstance(value, torch.nn.Module) or not _is_foreign(kind.__module__)
    ):
        return
    for base in kind.__mro__:
        if _is_foreign(base.__module__) and not base.__module__.startswith("torch.nn.modules"):
            continue
        for key, raw in base.__dict__.items():
            if isinstance(raw, types.FunctionType) and not key.startswith("_") and key not in table:
                yield Change(
                    f"{name}.{key} hidden by an attribute",
                    functools.partial(table.__setitem__, key, _other_function),
                    functools.partial(table.pop, key),
                )


def _shadowed_builtins(name: str, value: Any) -> Iterator[Change]:
    """Give, for each builtin that a function names, a global that hides it."""
    if not isinstance(value, types.FunctionType) or _is_foreign(value.__module__):
        return
    table = value.__globals__
    for key in sorted(_global_names(value.__code__)):
        if key not in table and hasattr(builtins, key):
            yield Change(
                f"{name}::{key} hides the builtin",
                functools.partial(table.__setitem__, key, _other_function),
                functools.partial(table.pop, key),
            )


def _descriptors(name: str, value: Any) -> Iterator[Change]:
    """Give, for each attribute of an instance of the program's, a property of its class that takes precedence.

    Not for the tables of a module, which PyTorch itself reads without asking the class.
    """
    kind = type(value)
    table = getattr(value, "__dict__", None)
    if (
        not isinstance(table, dict)
        or isinstance(value, type | enum.Enum)
        or _is_foreign(kind.__module__)
    ):
        return
    for key in list(table):
        is_internal = isinstance(value, torch.nn.Module) and key.startswith("_")
        if key not in kind.__dict__ and key.isidentifier() and not is_internal:
            yield Change(
                f"type({name}).{key} a property",
                functools.partial(setattr, kind, key, property(_other_function)),
                functools.partial(delattr, kind, key),
            )


def _refill(table: dict[Any, Any], entries: dict[Any, Any]) -> None:
    dict.clear(table)
    dict.update(table, entries)


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _is_foreign(module: str | None) -> bool:
    return not (module or "").startswith(("program_topics", "settings_of"))


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


GLOBAL_STATES: Final[dict[str, Callable[[], contextlib.AbstractContextManager[object]]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default dtype": lambda: _default_dtype(torch.float64),
    "deterministic algorithms": _deterministic,
    "default device": lambda: torch.device("meta"),
    "forward-mode differentiation": torch.autograd.forward_ad.dual_level,
}
"""PyTorch's global state, changed."""


def variants_of_argument(value: Any) -> Iterator[tuple[str, Any]]:
    """Give other arguments that a call could have."""
    if isinstance(value, TensorSpec):
        yield "of another dtype", dataclasses.replace(value, dtype=torch.float64)
        yield "with one more dimension", dataclasses.replace(value, shape=(1, *value.shape))
        if value.shape:
            yield (
                "longer",
                dataclasses.replace(value, shape=(*value.shape[:-1], value.shape[-1] + 1)),
            )
        if len(value.shape) > 1:
            yield "transposed", dataclasses.replace(value, transposed=not value.transposed)
    elif not isinstance(value, Fresh):
        yield from _variants(value)


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is ABSENT
    except ValueError:
        return True


def _dict_put(table: dict[Any, Any], key: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        dict.__setitem__(table, key, value)

    return put


def _list_put(values: list[Any], index: int, value: Any) -> None:
    values[index] = value


def _put_attr(holder: Any, name: str, value: Any) -> None:
    setattr(holder, name, value)


def _no_put(value: Any) -> None:
    raise LookupError(f"the place cannot take {value!r}")
