"""What is known of a value, as text.

In: a value as the interpreter holds it.   Out: one line: tensors by their sizes, constants and containers as Python writes them,
functions and objects by their kind.
Keeps: no code of the user's runs, nothing is guarded, and the text is the same in every process: what Python keeps in the order of
hashes is sorted.
"""

from __future__ import annotations

import collections
import types
from collections.abc import Iterator
from typing import Any, Final, final

import torch

from graphwright.capture.constants import is_constant
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED, Missing
from graphwright.capture.natives import original_factory
from graphwright.capture.policy import is_native_function
from graphwright.capture.raw_containers import raw_item, raw_items, raw_len
from graphwright.capture.symbolic_ints import SYMBOLIC_TYPES

_BUILTIN: Final = (
    list,
    tuple,
    dict,
    set,
    frozenset,
    collections.deque,
    collections.OrderedDict,
    collections.defaultdict,
)
_SUBCLASS_WORDS: Final = (
    (list, "List"),
    (dict, "Dict"),
    (tuple, "Tuple"),
    (set | frozenset, "Set"),
)
_CPU: Final = torch.device("cpu")


def describe(machine: Machine, value: Any) -> str:
    """Say what is known of a value."""
    return _Description(machine).text(value)


def known_contents(machine: Machine, container: Any) -> Any:
    """Give the contents of a builtin container (or subclass), as the program sees them now, with nothing guarded.

    They come in a plain dict, or a list.
    """
    world = machine.world
    own = world.contents(container) if world.has_contents(container) else container
    if isinstance(own, dict):
        return dict(_iter_entries(machine, container, own))
    if isinstance(own, set | frozenset):
        return _in_order(machine, own)
    return [_seen(machine, raw_item(own, i)) for i in range(raw_len(own))]


def _iter_entries(machine: Machine, container: Any, own: dict[Any, Any]) -> Iterator[Any]:
    changed = machine.world.items.get(id(container), {}) if own is container else {}
    for key, value in raw_items(own):
        now = changed.get(key, value)
        if now is not DELETED:
            yield _seen(machine, key), _seen(machine, now)
    before = dict(raw_items(own))
    for key, value in changed.items():
        if value is not DELETED and key not in before:
            yield key, value


def _in_order(machine: Machine, members: set[Any] | frozenset[Any]) -> list[Any]:
    """Give the members of a set in the order in which they are written, as far as the bytecode tells, and else sorted."""
    _, written = machine.written_sets.get(id(members), (None, ()))
    later = [item for item in members if item not in written]
    first = [item for item in written if item in members]
    return first + sorted(later, key=lambda item: repr(item) if is_constant(item) else "")


def _seen(machine: Machine, value: Any) -> Any:
    """Give the stand-in of an object that was reached, or the object."""
    known = machine.world.standin_of(value)
    return value if known is ABSENT else known


@final
class _Description:
    """One text in the making; knows the containers that it is inside of."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._open: set[int] = set()

    def text(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, torch.Tensor):
            return _tensor_text(value)
        if isinstance(value, SYMBOLIC_TYPES):
            return str(value)
        if kind is range:
            return f"range({value.start}, {value.stop}, {value.step})"
        if isinstance(value, Missing):
            return "NULL"
        if kind in _BUILTIN or _is_named_tuple(value):
            return self._container(value)
        if kind is slice:
            return f"slice({', '.join(map(self.text, (value.start, value.stop, value.step)))})"
        if is_constant(value):
            return repr(value)
        return self._object(value)

    def _container(self, value: Any) -> str:
        if id(value) in self._open:
            return "..."
        self._open.add(id(value))
        try:
            return self._contents(value, known_contents(self._machine, value))
        finally:
            self._open.discard(id(value))

    def _contents(self, value: Any, contents: Any) -> str:
        kind = type(value)
        if isinstance(contents, dict):
            return self._dict(value, contents)
        items = [self.text(item) for item in contents]
        if kind is list:
            return f"[{', '.join(items)}]"
        if kind is tuple:
            return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
        if kind is collections.deque:
            bound = "" if value.maxlen is None else f", maxlen={value.maxlen}"
            return f"deque([{', '.join(items)}]{bound})"
        if kind is set:
            return f"{{{','.join(items)}}}" if items else "set()"
        if kind is frozenset:
            return f"frozenset({{{','.join(items)}}})" if items else "frozenset()"
        named = (f"{name}={text}" for name, text in zip(kind._fields, items, strict=True))
        return f"{kind.__name__}({', '.join(named)})"

    def _dict(self, value: Any, contents: dict[Any, Any]) -> str:
        pairs = (f"{self.text(key)}: {self.text(item)}" for key, item in contents.items())
        text = f"{{{', '.join(pairs)}}}"
        if isinstance(value, collections.defaultdict):
            return f"defaultdict({self.text(original_factory(value.default_factory))}, {text})"
        return f"OrderedDict({text})" if isinstance(value, collections.OrderedDict) else text

    def _object(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return f"UserMethodVariable({value.__func__.__qualname__})"
        if isinstance(value, types.BuiltinFunctionType):
            return f"<built-in function {value.__name__}>"
        if isinstance(value, type | types.ModuleType):
            return repr(value)
        if isinstance(value, torch.nn.Module):
            return f"UnspecializedNNModuleVariable({kind.__name__})"
        word = next((word for base, word in _SUBCLASS_WORDS if isinstance(value, base)), "Object")
        return f"UserDefined{word}Variable({kind.__name__})"

    def _function(self, function: types.FunctionType) -> str:
        if self._machine.world.source_of(function) is not None:
            return "UserFunctionVariable()"
        if is_native_function(function):
            return f"<function {function.__module__}.{function.__qualname__}>"
        return "NestedUserFunctionVariable()"


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields")


def _tensor_text(tensor: torch.Tensor) -> str:
    """Write a tensor as PyTorch writes one without data: what is usual is left out."""
    sizes = [str(extent) for extent in tensor.shape]
    shape = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
    parts = ["..."]
    if tensor.device != _CPU:
        parts.append(f"device='{tensor.device}'")
    parts.append(f"size={shape}")
    if tensor.dtype is not torch.get_default_dtype():
        parts.append(f"dtype={tensor.dtype}")
    if tensor.grad_fn is not None:
        parts.append(f"grad_fn=<{type(tensor.grad_fn).__name__}>")
    elif tensor.requires_grad:
        parts.append("requires_grad=True")
    return f"FakeTensor({', '.join(parts)})"
