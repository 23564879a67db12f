"""Recipes: how the result and the values of effects are made after the graph has run.

In: objects as the interpreter holds them at the end.   Out: `Recipe`s, and the list of graph outputs they need.
Keeps: an object that appears more than once, or holds itself, is made once (`Program.built`).
"""

from __future__ import annotations

import collections
import dis
import enum
import functools
import types
from collections.abc import Iterator
from typing import Any, Final

import torch

from graphwright.capture.constants import is_constant
from graphwright.capture.lookup import instance_dict
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.natives import original_factory
from graphwright.capture.opcodes.names import globals_source_of
from graphwright.capture.policy import is_native_function
from graphwright.capture.raw_containers import raw_items
from graphwright.ir.program import (
    AttrEntry,
    BuildDict,
    BuildFunction,
    BuildList,
    BuildMethod,
    BuildObject,
    BuildPartial,
    BuildSet,
    BuildSlice,
    BuildTuple,
    DictEntry,
    FromBuilt,
    FromConstant,
    FromOutput,
    FromPin,
    FromSource,
    Recipe,
)

_PINNED: Final = (
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    enum.Enum,
)


class Recipes:
    """Makes the recipes of one program.

    Args:
        machine: the machine, at the end of the capture.
    """

    def __init__(self, machine: Machine) -> None:
        self.outputs: list[torch.Tensor] = []
        """The graph outputs, in order."""
        self.built: list[Recipe] = []
        self._machine = machine
        self._output_index: dict[int, int] = {}
        self._times_seen: dict[int, int] = {}
        self._built_index: dict[int, int] = {}
        self._alive: list[Any] = []
        self._cells: dict[int, tuple[bool, bool]] = {}

    def note(self, value: Any) -> None:
        """Look through a value that will be made, to find what appears more than once."""
        if not self._is_held(value):
            return
        self._times_seen[id(value)] = self._times_seen.get(id(value), 0) + 1
        if self._times_seen[id(value)] > 1:
            return
        self._alive.append(value)
        for part in self._parts(value):
            self.note(part)

    def _is_held(self, value: Any) -> bool:
        """Tell whether a value is an object of ours, with parts."""
        if isinstance(value, (torch.Tensor, *_PINNED)) or is_constant(value):
            return False
        return self._machine.world.source_of(value) is None

    def _parts(self, value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            for key, item in raw_items(value):
                yield key
                yield item
        elif isinstance(value, list | tuple | set | frozenset | collections.deque):
            yield from value
        if isinstance(value, collections.defaultdict):
            yield original_factory(value.default_factory)
        if isinstance(value, types.FunctionType):
            yield from (self._machine.world.cells.read(cell) for cell in value.__closure__ or ())
            yield value.__defaults__
            yield value.__kwdefaults__
        elif isinstance(value, types.MethodType):
            yield value.__func__
            yield value.__self__
        elif isinstance(value, functools.partial):
            yield from (value.func, *value.args, *value.keywords.values())
        yield from (instance_dict(value) or {}).values()

    def make(self, value: Any) -> Recipe:
        """Give the recipe of a value.

        Raises:
            Unsupported: it cannot be made anew.
        """
        machine = self._machine
        if value is ABSENT:
            msg = "a closure with an empty cell in the result"
            raise machine.unsupported(
                msg,
                why="a function is rebuilt with the contents of its cells",
                remedy="assign the variable before the function is returned",
            )
        if is_constant(value):
            return FromConstant(machine.guards.constant(value))
        source = machine.world.source_of(value)
        if source is not None:
            return FromSource(source)
        if isinstance(value, torch.Tensor):
            return FromOutput(self._output(value))
        if isinstance(value, _PINNED):
            return FromPin(machine.guards.pin(value))
        if isinstance(value, types.FunctionType) and is_native_function(value):
            return FromPin(machine.guards.pin(value))
        if self._times_seen.get(id(value), 0) > 1 and not _is_empty_tuple(value):
            return self._make_once(value)
        return self._build(value)

    def _make_once(self, value: Any) -> Recipe:
        index = self._built_index.get(id(value))
        if index is None:
            index = self._built_index[id(value)] = len(self.built)
            self.built.append(FromBuilt(index))
            self.built[index] = self._build(value)
        return FromBuilt(index)

    def _output(self, value: torch.Tensor) -> int:
        index = self._output_index.get(id(value))
        if index is None:
            index = self._output_index[id(value)] = len(self.outputs)
            self.outputs.append(value)
        return index

    def _build(self, value: Any) -> Recipe:  # noqa: C901  (one arm a kind)
        kind = type(value)
        if kind is tuple:
            return BuildTuple(tuple(map(self.make, value)))
        if kind is list:
            return BuildList(tuple(map(self.make, value)))
        if kind is dict:
            return BuildDict(self._entries(value))
        if kind is set or kind is frozenset:
            return BuildSet(tuple(map(self.make, value)), is_frozen=kind is frozenset)
        if kind is slice:
            return BuildSlice(self.make(value.start), self.make(value.stop), self.make(value.step))
        if kind is collections.OrderedDict:
            return BuildDict(self._entries(value), self._machine.guards.pin(kind))
        if kind is collections.defaultdict:
            factory = self.make(original_factory(value.default_factory))
            return BuildDict(self._entries(value), self._machine.guards.pin(kind), factory)
        if kind is types.FunctionType:
            return self._build_function(value)
        if kind is types.MethodType:
            return BuildMethod(self.make(value.__func__), self.make(value.__self__))
        if kind is functools.partial:
            keywords = tuple(AttrEntry(name, self.make(v)) for name, v in value.keywords.items())
            return BuildPartial(self.make(value.func), tuple(map(self.make, value.args)), keywords)
        return self._build_instance(value, kind)

    def make_dict(self, value: dict[Any, Any]) -> Recipe:
        """Give the recipe of a dict with these entries, whatever kind of dict they are in."""
        return BuildDict(self._entries(value))

    def _entries(self, value: dict[Any, Any]) -> tuple[DictEntry, ...]:
        return tuple(DictEntry(self.make(key), self.make(item)) for key, item in raw_items(value))

    def _build_function(self, value: types.FunctionType) -> Recipe:
        machine = self._machine
        source = globals_source_of(machine, value)
        if source is None:
            msg = f"the function {value.__qualname__} in the result"
            raise machine.unsupported(
                msg,
                why="nothing leads to the module it was made in",
                remedy="define it outside the compiled function",
            )
        self._check_cells(value)
        cells = tuple(self.make(machine.world.cells.read(cell)) for cell in value.__closure__ or ())
        return BuildFunction(
            code_pin=machine.guards.pin(value.__code__),
            globals_source=source,
            name=value.__name__,
            qualname=value.__qualname__,
            cells=cells,
            defaults=self.make(value.__defaults__) if value.__defaults__ else None,
            kw_defaults=self.make(value.__kwdefaults__) if value.__kwdefaults__ else None,
            attrs=self._attrs(value),
        )

    def _check_cells(self, value: types.FunctionType) -> None:
        """Refuse a variable that functions share and one of them assigns: each gets a cell of its own."""
        code = value.__code__
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            is_stored = _stores(code, name)
            others, was_stored = self._cells.get(id(cell), (False, False))
            is_foreign = id(cell) in self._machine.world.cells.known
            self._cells[id(cell)] = (True, is_stored or was_stored)
            if (others or is_foreign) and (is_stored or was_stored):
                raise self._machine.unsupported(
                    f"a function in the result that shares the variable {name!r} with others",
                    why="one of them assigns the variable, and the others would not see it",
                    remedy="keep the state on an object, and let the functions share that",
                )

    def _attrs(self, value: Any) -> tuple[AttrEntry, ...]:
        attrs = [AttrEntry(n, self.make(v)) for n, v in (instance_dict(value) or {}).items()]
        for base in type(value).__mro__:
            for name, member in base.__dict__.items():
                is_slot = isinstance(member, types.MemberDescriptorType)
                if is_slot and base.__flags__ & (1 << 9) and hasattr(value, name):
                    attrs.append(AttrEntry(name, self.make(getattr(value, name))))
        return tuple(attrs)

    def _build_instance(self, value: Any, kind: type) -> Recipe:
        machine = self._machine
        if issubclass(kind, tuple):
            return BuildTuple(tuple(map(self.make, value)), machine.guards.pin(kind))
        entries: tuple[DictEntry, ...] = ()
        items: tuple[Recipe, ...] = ()
        if isinstance(value, dict):
            entries = self._entries(value)
        elif isinstance(value, list | set | collections.deque):
            items = tuple(map(self.make, value))
        elif not _is_plain_object(kind):
            msg = f"an object of type {kind.__module__}.{kind.__qualname__} in the result"
            raise machine.unsupported(
                msg,
                why="it is written in C, and there is no recipe to make it again",
                remedy="return tensors, numbers, builtin containers or your own objects",
            )
        max_length = value.maxlen if isinstance(value, collections.deque) else None
        return BuildObject(machine.guards.pin(kind), self._attrs(value), items, entries, max_length)


def _stores(code: types.CodeType, name: str) -> bool:
    """Tell whether a code object, or one nested in it, assigns the variable `name` of an enclosing function."""
    if name not in code.co_freevars:
        return False
    is_store = any(
        step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval == name
        for step in dis.get_instructions(code)
    )
    nested = (value for value in code.co_consts if isinstance(value, types.CodeType))
    return is_store or any(_stores(inner, name) for inner in nested)


def _is_empty_tuple(value: Any) -> bool:
    return type(value) is tuple and not value


def _is_plain_object(kind: type) -> bool:
    """Tell whether instances are no more than their attributes: no base is written in C but `object`."""
    return all(base is object or base.__flags__ & (1 << 9) for base in kind.__mro__)
