"""Recipes: how the result and the values of effects are made after the graph has run.

In: objects as the interpreter holds them at the end.   Out: `Recipe`s, and the list of graph outputs they need.
Keeps: an object that appears more than once, or holds itself, is made once (`Program.built`).
"""

from __future__ import annotations

import ast
import collections
import enum
import functools
import gc
import itertools
import operator
import types
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.constants import is_constant
from graphwright.capture.late_calls import LateResult
from graphwright.capture.lookup import instance_dict
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, Unread
from graphwright.capture.natives import original_factory
from graphwright.capture.opcodes.names import globals_source_of
from graphwright.capture.policy import is_native_function
from graphwright.capture.raw_containers import raw_items, raw_members
from graphwright.capture.suspended import Suspended, suspended_state
from graphwright.capture.views_without_history import (
    base_of,
    is_view_without_history,
    place_in_base,
)
from graphwright.ir.program import EnteredCode
from graphwright.ir.recipes import (
    AttrEntry,
    BuildBuiltinMethod,
    BuildCell,
    BuildDict,
    BuildFunction,
    BuildList,
    BuildMethod,
    BuildObject,
    BuildPartial,
    BuildReduced,
    BuildSet,
    BuildSlice,
    BuildTuple,
    CallLate,
    DictEntry,
    FromBuilt,
    FromConstant,
    FromOutput,
    FromPin,
    FromSource,
    FromSymbol,
    Recipe,
)
from graphwright.ir.sources import AttrSource, ItemSource, PlainConst, Source
from graphwright.ir.symint_algebra import as_expr
from graphwright.record import AbstractTensor, SymbolicNumber, dim_of, number_of, to_extent
from graphwright.runtime import (
    builtin_base,
    iterate_items,
    iterate_keys,
    iterate_values,
    make_exception,
    view_without_history,
)

_DICT_ITERATORS: Final[dict[type, Any]] = {
    type(iter({})): iterate_keys,
    type(iter({}.values())): iterate_values,
    type(iter({}.items())): iterate_items,
}

_REDUCIBLE: Final = frozenset(
    map(
        type,
        (
            iter([]),
            iter(()),
            iter(range(0)),
            iter(range(1 << 64)),
            iter(""),
            iter("\u00e9"),
            iter(b""),
            iter({}),
            iter({}.values()),
            iter({}.items()),
            iter(collections.deque()),
            reversed([]),
            reversed(()),
            enumerate(()),
            zip(),
            map(abs, ()),
            filter(None, ()),
        ),
    )
) | frozenset(
    kind
    for kind in (
        operator.attrgetter,
        operator.itemgetter,
        operator.methodcaller,
        itertools.accumulate,
        itertools.chain,
        itertools.combinations,
        itertools.count,
        itertools.cycle,
        itertools.islice,
        itertools.permutations,
        itertools.product,
        itertools.repeat,
        itertools.zip_longest,
    )
    if "__reduce__" in vars(kind)
)
"""Objects written in C that say, by `__reduce__`, how to make them again: iterators with what they still have to give."""

_NUMBERS: Final = frozenset({int, float})

_PLAIN_EXCEPTIONS: Final = frozenset(
    {
        BaseException,
        Exception,
        ArithmeticError,
        AssertionError,
        BufferError,
        EOFError,
        FloatingPointError,
        GeneratorExit,
        IndexError,
        KeyboardInterrupt,
        KeyError,
        LookupError,
        MemoryError,
        NotImplementedError,
        OverflowError,
        RecursionError,
        ReferenceError,
        RuntimeError,
        StopAsyncIteration,
        SystemError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    }
)
"""Exceptions written in C that keep nothing but their arguments."""

_HEAP_TYPE: Final = 1 << 9

_PINNED: Final = (
    type,
    types.CodeType,
    types.ModuleType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
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
        self.entered: list[EnteredCode] = []
        """The code of generators that are made anew."""
        self._machine = machine
        self._made_of_outputs: dict[int, Recipe] = {}
        """The tensors that are views of outputs or sources, taken after the graph."""
        self._output_index: dict[int, int] = {}
        self._times_seen: dict[int, int] = {}
        self._built_index: dict[int, int] = {}
        self._alive: list[Any] = []
        self._suspended: dict[int, Suspended] = {}
        self._with_gradients: list[AbstractTensor] = []

    def note(self, value: Any) -> None:
        """Look through a value that will be made, to find what appears more than once, and the tensors that have gradients."""
        if type(value) is AbstractTensor and value.requires_grad:
            self._with_gradients.append(value)
        if not self._is_held(value):
            return
        if id(value) in self._machine.kept_results:
            raise self._machine.unmakeable(
                value,
                "an object that a function keeps (functools.cache), in the result",
                why="each call would make another one, where plain Python gives the same one again",
                remedy="return what is needed of it, or call the function outside",
            )
        self._times_seen[id(value)] = self._times_seen.get(id(value), 0) + 1
        if self._times_seen[id(value)] > 1:
            return
        self._alive.append(value)
        for part in self._parts(value):
            self.note(part)

    def put_gradients_first(self) -> None:
        """Make the noted tensors with gradients the first outputs: one without, in the same memory, is then a view of one with."""
        for value in self._with_gradients:
            is_made = self._source_of(value) is None
            if is_made and is_view_without_history(self._machine, value):
                value = base_of(value)
                is_made = self._source_of(value) is None
            if is_made and self._machine.recorder.strip_flags(value) is None:
                self._output(value)

    def _is_held(self, value: Any) -> bool:
        """Tell whether a value is an object of ours, with parts."""
        if _is_bound_builtin(value):
            return True
        if (
            isinstance(value, (torch.Tensor, torch.SymInt, torch.SymFloat, Unread, *_PINNED))
            or is_constant(value)
            or value is ABSENT
        ):
            return False
        if isinstance(value, types.CellType) and id(value) in self._machine.world.cells.known:
            return False
        return self._source_of(value) is None

    def _source_of(self, value: Any) -> Source | None:
        """Give the source of an object that existed before the call; a copy of its contents stands for it."""
        world = self._machine.world
        return world.source_of(world.owner_of(value))

    def _parts(self, value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            for key, item in raw_items(value):
                yield key
                yield item
        elif isinstance(value, list | tuple | set | frozenset | collections.deque):
            yield from raw_members(value)
        else:
            yield from self._parts_of_builtin(value)
        if isinstance(value, collections.defaultdict):
            yield original_factory(value.default_factory)
        yield from (part for _, part in _own_attrs(value))

    def _parts_of_builtin(self, value: Any) -> Iterator[Any]:
        kind = type(value)
        if kind is types.FunctionType:
            yield from value.__closure__ or ()
            yield value.__defaults__
            yield value.__kwdefaults__
            yield _own_annotations(value)
            yield getattr(value, "__annotate__", None)
        elif kind is types.MethodType:
            if not _is_bound_builtin(value.__func__):
                yield value.__func__
            yield value.__self__
        elif kind is functools.partial:
            yield from (value.func, *value.args, *value.keywords.values())
        elif kind is types.CellType:
            yield self._machine.world.cells.read(value)
        elif _is_reducible(value) and not self._has_changed(value):
            _, args, *state = _reduced(value)
            yield from (*args, *state)
        elif isinstance(value, BaseException):
            yield from self._call_of_exception(value)[1]
        elif kind is types.GeneratorType:
            yield from self._suspended_state(value).call[1]
        elif _is_bound_builtin(value):
            yield value.__self__

    def make(self, value: Any) -> Recipe:  # noqa: C901, PLR0912  (one arm a kind)
        """Give the recipe of a value.

        Raises:
            Unsupported: it cannot be made anew.
        """
        machine = self._machine
        if type(value) is torch.SymInt:
            value = to_extent(value)
            if not isinstance(value, int):
                return FromSymbol(as_expr(dim_of(value)))
        if type(value) is torch.SymFloat:
            number = number_of(value)
            if isinstance(number, SymbolicNumber):
                return FromSource(number.source)
            value = number
        if is_constant(value):
            return FromConstant(machine.guards.constant(value))
        source = self._source_of(value)
        if source is not None:
            return FromSource(source)
        if isinstance(value, Unread):
            return FromSource(value.source)
        if isinstance(value, torch.Tensor):
            return self._make_tensor(value)
        if _is_bound_builtin(value):
            return self._build_bound_builtin(value)
        if isinstance(value, types.CellType):
            return self._make_cell(value)
        if type(value) is LateResult:
            return self._late(value)
        if isinstance(value, _PINNED):
            return FromPin(machine.guards.pin(value))
        if isinstance(value, types.FunctionType) and is_native_function(value):
            guards = machine.guards
            is_same_anywhere = not value.__closure__ or guards.is_importable(value)
            is_from_before = guards.has_pin(value) or self._is_part_of_class(value)
            if not (is_same_anywhere or is_from_before):
                raise self._not_remade(value)
            return FromPin(machine.guards.pin(value))
        if callable(value) and self._is_part_of_class(value):
            return FromPin(machine.guards.pin(value))
        if self._times_seen.get(id(value), 0) > 1 and not _is_empty_tuple(value):
            return self._make_once(value)
        return self._build(value)

    def _is_part_of_class(self, value: Any) -> bool:
        """Tell whether the program found a value in a class that it did not make."""
        found = self._machine.class_attrs.items()
        return any(
            raw is value and kind not in self._machine.own_classes for (kind, _), raw in found
        )

    def _make_once(self, value: Any) -> Recipe:
        index = self._built_index.get(id(value))
        if index is None:
            index = self._built_index[id(value)] = len(self.built)
            self.built.append(FromBuilt(index))
            self.built[index] = self._build(value)
        return FromBuilt(index)

    def _make_tensor(self, value: torch.Tensor) -> Recipe:
        known = self._made_of_outputs.get(id(value))
        if known is not None:
            return known
        if type(value) is not AbstractTensor:
            return FromOutput(self._output(value))
        if is_view_without_history(self._machine, value):
            made = self._view_without_history(value)
        else:
            stripped = self._machine.recorder.strip_flags(value)
            if stripped is None:
                return FromOutput(self._output(value))
            bare, functions = stripped
            self._alive.append(bare)
            made = FromOutput(self._output(bare))
            for function in functions:
                made = CallLate(FromPin(self._machine.guards.pin(function)), (made,), ())
        index = len(self.built)
        self.built.append(made)
        self._made_of_outputs[id(value)] = FromBuilt(index)
        return FromBuilt(index)

    def _view_without_history(self, value: AbstractTensor) -> Recipe:
        base, *place = place_in_base(self._machine, value)
        self._alive.append(base)
        maker = FromPin(self._machine.guards.pin(view_without_history))
        return CallLate(maker, (self.make(base), *map(self.make, place)), ())

    def _output(self, value: torch.Tensor) -> int:
        index = self._output_index.get(id(value))
        if index is None:
            index = self._output_index[id(value)] = len(self.outputs)
            self.outputs.append(value)
        return index

    def _build(self, value: Any) -> Recipe:  # noqa: C901, PLR0912  (one arm a kind)
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
        if kind is collections.OrderedDict and not vars(value):
            return BuildDict(self._entries(value), self._machine.guards.pin(kind))
        if kind is collections.defaultdict:
            pin = self._machine.guards.pin(kind)
            return BuildDict(self._entries(value), pin, self._make_factory(value))
        if kind is types.FunctionType:
            return self.make_function(value)
        if kind is types.CellType:
            contents = self._machine.world.cells.read(value)
            return BuildCell(None if contents is ABSENT else self.make(contents))
        if _is_reducible(value):
            return self._build_reduced(value)
        if kind is types.GeneratorType:
            return self._build_generator(self._suspended_state(value))
        if isinstance(value, BaseException):
            return self._build_call(*self._call_of_exception(value))
        if kind is types.MethodType and (
            type(value.__self__) is self._machine.tensor_type or _is_bound_builtin(value.__func__)
        ):  # methods of PyTorch's, written in C, that are found by name alone
            return BuildBuiltinMethod(self.make(value.__self__), value.__func__.__name__)
        if kind is types.MethodType:
            return BuildMethod(self.make(value.__func__), self.make(value.__self__))
        if kind is functools.partial:
            keywords = tuple(AttrEntry(name, self.make(v)) for name, v in value.keywords.items())
            return BuildPartial(self.make(value.func), tuple(map(self.make, value.args)), keywords)
        return self._build_instance(value, kind)

    def _build_reduced(self, value: Any) -> Recipe:
        if self._has_changed(value):
            raise self._not_remade(value)
        return self._build_call(*_reduced(value))

    def _build_call(self, function: Any, args: Sequence[Any], *state: Any) -> Recipe:
        made_state = self.make(state[0]) if state and state[0] is not None else None
        return BuildReduced(self.make(function), tuple(map(self.make, args)), made_state)

    def _call_of_exception(self, value: BaseException) -> tuple[Any, tuple[Any, ...]]:
        """Give the call that makes an exception again; one that was raised has a traceback, which there is nothing to make of."""
        is_plain = builtin_base(type(value)) in _PLAIN_EXCEPTIONS
        if not is_plain or value.__traceback__ is not None:
            raise self._not_remade(value)
        links = (value.__cause__, value.__context__, value.__suppress_context__)
        return make_exception, (type(value), value.args, dict(_own_attrs(value)), links)

    def _build_generator(self, suspended: Suspended) -> Recipe:
        pin, place = self._machine.guards.pin, suspended.place
        self.entered.append(
            EnteredCode(
                pin=pin(suspended.function.__code__),
                code_pin=pin(suspended.code),
                index=place.index,
                stack=place.stack,
                names=place.names,
            )
        )
        return self._build_call(*suspended.call)

    def _suspended_state(self, generator: types.GeneratorType[Any, Any, Any]) -> Suspended:
        known = self._suspended.get(id(generator))
        if known is None:
            known = self._suspended[id(generator)] = suspended_state(self._machine, generator)
        return known

    def _late(self, value: LateResult) -> Recipe:
        """Give a late result's recipe, whose own arguments are made before it."""
        index = self._built_index.get(id(value))
        if index is None:
            made = self._build_late(value)
            index = self._built_index[id(value)] = len(self.built)
            self.built.append(made)
        return FromBuilt(index)

    def _build_late(self, value: LateResult) -> Recipe:
        keywords = tuple(AttrEntry(name, self.make(v)) for name, v in value.kwargs.items())
        return CallLate(self.make(value.function), tuple(map(self.make, value.args)), keywords)

    def _has_changed(self, value: Any) -> bool:
        """Tell whether an iterator over a dict has to notice that the dict has changed, or will when the effects are made."""
        if type(value) not in _DICT_ITERATORS:
            return False
        try:
            value.__reduce__()
        except RuntimeError:
            return True
        world = self._machine.world
        return any(id(world.owner_of(one)) in world.changed for one in gc.get_referents(value))

    def make_dict(self, value: dict[Any, Any]) -> Recipe:
        """Give the recipe of a dict with these entries, whatever kind of dict they are in."""
        return BuildDict(self._entries(value))

    def _entries(self, value: dict[Any, Any]) -> tuple[DictEntry, ...]:
        return tuple(DictEntry(self.make(key), self.make(item)) for key, item in raw_items(value))

    def make_function(self, value: types.FunctionType) -> Recipe:
        """Give the recipe of a function that is made anew each time."""
        machine = self._machine
        source = globals_source_of(machine, value)
        if source is None:
            msg = f"the function {value.__qualname__} in the result"
            raise machine.unsupported(
                msg,
                why="nothing leads to the module it was made in",
                remedy="define it outside the compiled function",
            )
        cells = tuple(map(self._make_cell, value.__closure__ or ()))
        annotations = _own_annotations(value)
        return BuildFunction(
            code_pin=machine.guards.pin(value.__code__),
            globals_source=source,
            name=value.__name__,
            qualname=value.__qualname__,
            cells=cells,
            defaults=self.make(value.__defaults__) if value.__defaults__ else None,
            kw_defaults=self.make(value.__kwdefaults__) if value.__kwdefaults__ else None,
            annotations=self.make(annotations) if annotations else None,
            attrs=(*self._changed_names(value), *self._attrs(value)),
        )

    def _changed_names(self, value: types.FunctionType) -> Iterator[AttrEntry]:
        """Give what the program (`functools.wraps`) changed of that which a function has from its code and globals."""
        fresh = types.FunctionType(value.__code__, value.__globals__, closure=value.__closure__)
        for name in ("__doc__", "__module__", "__annotate__"):
            own = getattr(value, name, None)
            if own != getattr(fresh, name, None):
                yield AttrEntry(name, self.make(own))

    def _make_cell(self, cell: types.CellType) -> Recipe:
        """Give the recipe of a cell, which functions may share."""
        known = self._machine.world.cells.known.get(id(cell))
        if known is not None:
            _, function, index, _ = known
            return FromSource(ItemSource(AttrSource(function, "__closure__"), PlainConst(index)))
        return self._make_once(cell)

    def _attrs(self, value: Any) -> tuple[AttrEntry, ...]:
        return tuple(AttrEntry(name, self.make(part)) for name, part in _own_attrs(value))

    def _build_instance(self, value: Any, kind: type) -> Recipe:
        machine = self._machine
        entries: tuple[DictEntry, ...] = ()
        items: tuple[Recipe, ...] = ()
        if isinstance(value, dict):
            entries = self._entries(value)
        elif isinstance(value, list | tuple | set | collections.deque):
            items = tuple(map(self.make, raw_members(value)))
        elif not _is_plain_object(kind):
            raise self._not_remade(value)
        if isinstance(value, collections.deque) and value.maxlen is not None:
            if kind is not collections.deque:
                raise self._not_remade(value)
            length = FromConstant(machine.guards.constant(value.maxlen))
            return BuildReduced(FromPin(machine.guards.pin(kind)), (BuildTuple(items), length))
        attrs = self._attrs(value)
        if isinstance(value, tuple) and (not attrs or hasattr(kind, "n_sequence_fields")):
            return BuildTuple(items, machine.guards.pin(kind))
        if isinstance(value, collections.defaultdict):
            attrs = (*attrs, AttrEntry("default_factory", self._make_factory(value)))
        return BuildObject(machine.guards.pin(kind), attrs, items, entries)

    def _make_factory(self, value: collections.defaultdict[Any, Any]) -> Recipe:
        return self.make(original_factory(value.default_factory))

    def _build_bound_builtin(self, value: Any) -> Recipe:
        receiver, name = value.__self__, value.__name__
        found = [base.__dict__[name] for base in type(receiver).__mro__ if name in base.__dict__]
        if found and not isinstance(found[0], types.FunctionType):
            return BuildBuiltinMethod(self.make(receiver), name)
        # a class overrides it, and the program has reached over that by `super()`
        written_in_c = (types.MethodDescriptorType, types.WrapperDescriptorType)
        original = next((one for one in found if isinstance(one, written_in_c)), None)
        if original is None:
            raise self._not_remade(value)
        return BuildMethod(FromPin(self._machine.guards.pin(original)), self.make(receiver))

    def _not_remade(self, value: Any) -> Unsupported:
        kind = type(value)
        return self._machine.unmakeable(
            value,
            f"an object of type {kind.__module__}.{kind.__qualname__} in the result",
            why="it is not made of Python objects alone, and there is no recipe to make it again",
            remedy="return tensors, numbers, builtin containers or your own objects",
        )


def _is_reducible(value: Any) -> bool:
    """Tell whether an object says how to make it again. From 3.14 on `itertools` does not, but the text of a count has its numbers."""
    kind = type(value)
    if kind in _REDUCIBLE or kind is not itertools.count:
        return kind in _REDUCIBLE
    return all(part is kind or type(part) in _NUMBERS for part in gc.get_referents(value))


def _reduced(value: Any) -> tuple[Any, ...]:
    """Give function, arguments, and state if there is one, of an iterator; for callbacks, what they stand for."""
    if type(value) not in _REDUCIBLE:
        numbers = ast.literal_eval(repr(value).replace("count(", "(0, "))
        return itertools.count, numbers[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `itertools` of 3.12 and 3.13
        function, args, *state = value.__reduce__()
    view = _DICT_ITERATORS.get(type(value))
    if view is not None:
        # what it says of itself has lost the dict, and would not notice that the dict changes
        for holder in gc.get_referents(value):
            if isinstance(holder, dict):
                return view, (holder, len(holder) - operator.length_hint(value))
    return function, tuple(map(original_factory, args)), *state


def _own_attrs(value: Any) -> Iterator[tuple[str, Any]]:
    """Give the attributes that an object keeps, in its dictionary and in slots."""
    yield from (instance_dict(value) or {}).items()
    for base in type(value).__mro__:
        if not base.__flags__ & _HEAP_TYPE:
            continue
        for name, member in base.__dict__.items():
            if isinstance(member, types.MemberDescriptorType) and hasattr(value, name):
                yield name, getattr(value, name)


def _own_annotations(function: types.FunctionType) -> dict[str, Any]:
    """Give the annotations of a function, or none when it has a function that works them out when asked (3.14)."""
    if getattr(function, "__annotate__", None) is not None:
        return {}
    return function.__annotations__


def _is_bound_builtin(value: Any) -> bool:
    """Tell whether a value is a method, written in C, of an object that is no module and no class."""
    is_bound = type(value) in (types.BuiltinFunctionType, types.MethodWrapperType)
    return is_bound and not isinstance(value.__self__, types.ModuleType | type | None)


def _is_empty_tuple(value: Any) -> bool:
    return type(value) is tuple and not value


def _is_plain_object(kind: type) -> bool:
    """Tell whether instances are no more than their attributes: no base is written in C but `object`."""
    return all(base is object or _is_python_class(base) for base in kind.__mro__)


_NO_INSTANTIATION: Final = 1 << 7


def _is_python_class(kind: type) -> bool:
    """Tell a class made by a class statement from one of an extension module, which has a way of its own to make instances, or none."""
    flags = kind.__flags__
    is_made_in_c = isinstance(vars(kind).get("__new__"), types.BuiltinFunctionType)
    return bool(flags & _HEAP_TYPE) and not flags & _NO_INSTANTIATION and not is_made_in_c
