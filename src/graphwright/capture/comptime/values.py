"""Values, as comptime functions see them.

In: a value as the interpreter holds it.   Out: `ComptimeValue`, which tells what is known of it.
Keeps: what it gives is the user's to look at; nothing is guarded for it, but by `force_static`.
"""

from __future__ import annotations

import importlib
import types
from typing import Any, Final, final

import torch

from graphwright.capture.comptime.proxies import GraphProxy
from graphwright.capture.comptime.value_text import describe, known_contents
from graphwright.capture.constants import is_constant
from graphwright.capture.machine import Machine
from graphwright.capture.rules.objects import type_of
from graphwright.capture.symbolic_ints import PLAIN_TYPES, SYMBOLIC_TYPES
from graphwright.record import is_settled

_KNOWN_BY_IDENTITY: Final = (type, types.ModuleType, types.BuiltinFunctionType)


def slot_content(machine: Machine, slot: Any) -> Any:
    """Give what a slot of a frame holds, looking into a cell; `ABSENT` when the cell is empty."""
    return machine.world.cells.read(slot) if isinstance(slot, types.CellType) else slot


@final
class ComptimeValue:
    """What is known, while capturing, of one value of the program."""

    __slots__ = ("_machine", "_value")

    def __init__(self, machine: Machine, value: Any) -> None:
        self._machine: Final = machine
        self._value: Final = value

    def __repr__(self) -> str:
        return describe(self._machine, self._value)

    def python_type(self) -> type:
        """Give the type that the program sees."""
        kind = type(self._value)
        if kind in SYMBOLIC_TYPES:
            return PLAIN_TYPES[kind]
        return type_of(self._machine, self._value)

    def is_python_constant(self) -> bool:
        """Tell whether the value is known all through."""
        return _is_known(self._machine, self._value)

    def as_python_constant(self) -> Any:
        """Give the value, if it is known all through; of a container, a copy.

        Raises:
            TypeError: it is not.
        """
        if not self.is_python_constant():
            message = f"{self!r} is not known while the program is captured"
            raise TypeError(message)
        return _copy(self._machine, self._value)

    def is_proxy(self) -> bool:
        """Tell whether `as_proxy` gives something."""
        value = self._value
        if type(value) is list or type(value) is tuple:
            items = known_contents(self._machine, value)
            return all(ComptimeValue(self._machine, item).is_proxy() for item in items)
        return isinstance(value, (torch.Tensor, *SYMBOLIC_TYPES))

    def as_proxy(self) -> Any:
        """Give the value in the graph that is being captured: what is done with it is added there.

        Of a list or tuple, its items; of a symbolic number, the number.

        Raises:
            TypeError: the value is not in the graph.
        """
        if not self.is_proxy():
            message = f"{self!r} is no tensor, so it has no place in the graph"
            raise TypeError(message)
        value = self._value
        if isinstance(value, torch.Tensor):
            return GraphProxy(self._machine.recorder, value)
        if isinstance(value, list | tuple):
            items = known_contents(self._machine, value)
            return type(value)(ComptimeValue(self._machine, item).as_proxy() for item in items)
        return value

    def as_fake(self) -> Any:
        """Give a tensor without data to ask about, or a symbolic number itself.

        It is a `FakeTensor` of PyTorch's, made on demand (which loads a part of PyTorch that graphwright does without), unless
        sizes are symbolic: then it is graphwright's own stand-in, which answers in its symbols.

        Raises:
            TypeError: the value is neither.
        """
        value = self._value
        if isinstance(value, SYMBOLIC_TYPES):
            return value
        if not isinstance(value, torch.Tensor):
            message = f"{self!r} is neither a tensor nor a symbolic number"
            raise TypeError(message)
        numbers = (*value.shape, *value.stride())
        return _make_fake(value) if all(type(n) is int for n in numbers) else value

    def size(self, dim: int | None = None) -> Any:
        """Give the sizes of a tensor, or that of dimension `dim`; they may be symbolic.

        Raises:
            TypeError: the value is no tensor.
        """
        if not isinstance(self._value, torch.Tensor):
            message = f"{self!r} is no tensor, so it has no size"
            raise TypeError(message)
        return self._value.shape if dim is None else self._value.shape[dim]

    def is_dynamic(self) -> bool:
        """Tell whether it is a symbolic number that may be another one in another call."""
        return isinstance(self._value, torch.SymInt) and not is_settled(self._value)

    def force_static(self) -> None:
        """Make a symbolic number a constant, guarded to have the value that it has in this call; a constant is left alone.

        Raises:
            TypeError: it is neither a number nor a constant.
        """
        if isinstance(self._value, torch.SymInt):
            int(self._value)
        elif not self.is_python_constant():
            message = f"{self!r} cannot be made static: it is no number"
            raise TypeError(message)


def _is_known(machine: Machine, value: Any) -> bool:
    kind = type(value)
    if kind in (list, tuple, dict, set, frozenset):
        contents = known_contents(machine, value)
        parts = (*contents, *contents.values()) if kind is dict else contents
        return all(_is_known(machine, part) for part in parts)
    if kind is torch.SymInt:
        return is_settled(value)
    if kind is types.FunctionType:
        return machine.world.source_of(value) is not None
    return is_constant(value) or isinstance(value, _KNOWN_BY_IDENTITY)


def _copy(machine: Machine, value: Any) -> Any:
    kind: Any = type(value)
    if kind in (list, tuple):
        return kind(_copy(machine, item) for item in known_contents(machine, value))
    if kind is dict:
        items = known_contents(machine, value).items()
        return {key: _copy(machine, item) for key, item in items}
    if kind is torch.SymInt:
        return int(value)
    return set(known_contents(machine, value)) if kind is set else value


def _make_fake(tensor: torch.Tensor) -> Any:
    """Make PyTorch's own stand-in for a tensor of static sizes."""
    # The one place where PyTorch's stand-ins are made: a user asked for one by name. By a loader, as it takes seconds.
    fakes = importlib.import_module("torch._subclasses.fake_tensor")
    sizes, strides = tuple(tensor.shape), tuple(tensor.stride())
    with fakes.FakeTensorMode():
        made = torch.empty_strided(sizes, strides, dtype=tensor.dtype, device=tensor.device)
    return made.requires_grad_(tensor.requires_grad)
