"""The objects that existed before the call: where they came from, what was read of them, and what the program changed.

In: objects as the interpreter reaches them, each with its source.   Out: stand-ins that the interpreter works on, guards, and the
changes, kept aside until they become effects.

Keeps:
- an object of identity (a list, a module, an instance) has one canonical source, that by which it was reached first; any other way
  to it is guarded to lead to the same object. So the interpreter can work on plain objects: `source_of` finds the source again;
- nothing that existed before the call is changed. The contents of a container that the program changes live in a copy of ours,
  attributes in a table; whoever reads asks here first;
- a constant is guarded when it is read; the type of any other object when it is reached; its contents when they are used.
"""

from __future__ import annotations

import collections
import enum
import functools
import re
import types
from collections.abc import Callable
from typing import Any, Final, Protocol

import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.cells import Cells
from graphwright.capture.constants import (
    ATOMIC_TYPES,
    is_constant,
    is_named_member,
    is_native_member,
)
from graphwright.capture.guards import Guards
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.capture.policy import is_native_function
from graphwright.capture.raw_containers import raw_item, raw_keys, raw_len
from graphwright.ir.guards import (
    AttrAbsentGuard,
    CodeGuard,
    ConstantGuard,
    DictContainsGuard,
    DictKeysGuard,
    DistinctTensorsGuard,
    LengthGuard,
    SameObjectGuard,
    TypeGuard,
)
from graphwright.ir.sources import (
    AttrSource,
    DictKeySource,
    DictValueSource,
    ItemSource,
    PlainConst,
    Source,
)
from graphwright.record import Number

IDENTITY_TYPES: Final = (
    type,
    types.ModuleType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
"""Kinds of objects that are known by identity."""

_SEVERAL: Final = frozenset({int, float, complex, str, bytes})
"""Kinds of constants of which equal ones need not be one object."""


class Inputs(Protocol):
    """Takes the values that stay unknown until the call."""

    def add(self, tensor: torch.Tensor, source: Source) -> torch.Tensor:
        """Make a graph input of a tensor met at a source, and give its stand-in."""

    def int_symbol(self, value: int, source: Source) -> str | None:
        """Give the name of the symbol that an int met at a source becomes; None when it is a constant."""

    def add_int(self, value: int, source: Source, name: str) -> int | torch.SymInt:
        """Make an int met at a source the symbol `name`, and give its stand-in."""

    def is_open(self, value: float, source: Source) -> bool:
        """Tell whether a float met at a source is not fixed."""

    def add_float(self, value: float, source: Source) -> torch.SymFloat:
        """Leave a float met at a source open, and give its stand-in."""

    def number_of(self, value: Any) -> Number:
        """Give the number for one as the interpreter holds it."""

    def sample_of(self, value: Any) -> Any:
        """Give what a number that is not fixed is in this call, without a guard; `ABSENT` for one that is."""


class World:
    """What one capture knows of the objects that existed before the call.

    Args:
        guards: takes the guards.
        inputs: takes tensors and symbolic ints.
    """

    def __init__(self, guards: Guards, inputs: Inputs) -> None:
        self.guards = guards
        self.attrs: dict[int, dict[str, object]] = {}
        """Attributes that the program set (or `DELETED`), by object."""
        self.num_writes = 0
        """How often the program stored into what existed before."""
        self.changed: dict[int, object] = {}
        """Objects with changed contents or attributes, in order of the first change."""
        self.items: dict[int, dict[object, object]] = {}
        """Single entries of dicts that the program set (or `DELETED`), by dict."""
        self.cells = Cells(self.enter)
        """Closure cells of functions that existed before."""
        self.appended: dict[int, list[object]] = {}
        """What the program appended to lists of which it read nothing else, by list."""
        self.replaced: set[int] = set()
        """Containers whose contents changed as a whole."""
        self._inputs = inputs
        self._standins: dict[int, object] = {}
        self._sources: dict[int, Source] = {}
        self._alive: list[object] = []
        self._reads: dict[tuple[int, object], object] = {}
        self._contents: dict[int, Any] = {}
        self._originals: dict[int, object] = {}
        self._owners: dict[int, object] = {}
        self._places: dict[int, list[Source]] = {}
        """Where numbers, strings and tuples of them were found, by object: equal ones may be one object, or several."""

    # The way in

    def source_of(self, value: object) -> Source | None:
        """Give the canonical source of an object (or stand-in) that existed before the call, or None."""
        return self._sources.get(id(value))

    def number_of(self, value: Any) -> Number:
        """Give the number for one as the interpreter holds it."""
        return self._inputs.number_of(value)

    def sample_of(self, value: Any) -> Any:
        """Give what a number that is not fixed is in this call, without a guard; `ABSENT` for one that is."""
        return self._inputs.sample_of(value)

    def original_of(self, standin: object) -> object:
        """Give the object that a stand-in stands for (itself, when it is no stand-in)."""
        return self._originals.get(id(standin), standin)

    def standin_of(self, original: object) -> object:
        """Give the stand-in of an object that was entered before, or `ABSENT`."""
        return self._standins.get(id(original), ABSENT)

    def enter(self, value: Any, source: Source) -> Any:
        """Let in an object found at `source`: guard what it is, and give what the interpreter works on."""
        kind = type(value)
        if kind in ATOMIC_TYPES and (kind is not torch.Size or is_constant(value)):
            if kind is int:
                symbol = self._inputs.int_symbol(value, source)
                if symbol is not None:
                    return self._inputs.add_int(value, source, symbol)
            if kind is float and self._inputs.is_open(value, source):
                return self._inputs.add_float(value, source)
            self.guards.add(ConstantGuard(source, self.guards.constant(value), self._loc()))
            if kind in _SEVERAL:
                self._note_place(value, source)
            return value
        known = self._standins.get(id(value), ABSENT)
        if known is not ABSENT:
            self._guard_same(value, source)
            return known
        standin = self._make_standin(value, kind, source)
        if standin is ABSENT:
            return value
        if id(value) not in self._standins:
            self._register(value, standin, source)
        return standin

    def enter_continued(self, function: types.FunctionType, source: Source) -> None:
        """Let in the function that holds the globals and cells of a frame that is continued."""
        self.guards.add(CodeGuard(source, self.guards.pin(function.__code__), self._loc()))
        self._add_function(function, source)

    def _guard_same(self, value: object, source: Source) -> None:
        canonical = self._sources[id(value)]
        if canonical is not source and self.guards.once(("same", id(value), source)):
            self.guards.add(SameObjectGuard(source, canonical, self._loc()))

    def _register(self, value: object, standin: object, source: Source) -> None:
        self._alive.append(value)
        self._standins[id(value)] = standin
        self._sources[id(value)] = source
        if standin is not value:
            self._alive.append(standin)
            self._sources[id(standin)] = source
            self._originals[id(standin)] = value

    def _make_standin(self, value: Any, kind: type, source: Source) -> object:  # noqa: C901, PLR0912  (one arm a kind)
        """Give the stand-in, or `ABSENT` for an object that is known by identity or value."""
        if isinstance(value, torch.Tensor):
            return self._inputs.add(value, source)
        if isinstance(value, enum.Enum):
            self._guard_enum(value, source)
            return ABSENT
        if kind is types.FunctionType:
            return self._enter_function(value, source)
        if isinstance(value, IDENTITY_TYPES) or _is_set_of_classes(value):
            self.guards.identity(value, source)
            return ABSENT
        if is_native_member(value):
            self.guards.identity(value, source)
            return value
        if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
            return self._enter_builtin(value, source)
        is_atomic = kind in (tuple, frozenset, slice) and is_constant(value)
        if is_atomic and not self._holds_symbol(value, source):
            self.guards.add(ConstantGuard(source, self.guards.constant(value), self._loc()))
            self._note_place(value, source)
            return ABSENT
        self.guards.add(TypeGuard(source, self.guards.pin(kind), self._loc()))
        if isinstance(value, tuple):
            return self._enter_tuple(value, kind, source)
        if kind is types.MethodType:
            function = self.enter(value.__func__, AttrSource(source, "__func__"))
            return types.MethodType(
                function, self.enter(value.__self__, AttrSource(source, "__self__"))
            )
        if kind is functools.partial:
            return self._enter_partial(value, source)
        if kind is super:
            cls = self.enter(value.__thisclass__, AttrSource(source, "__thisclass__"))
            return super(cls, self.enter(value.__self__, AttrSource(source, "__self__")))
        if kind is re.Pattern:
            self.enter(value.pattern, AttrSource(source, "pattern"))
            self.enter(value.flags, AttrSource(source, "flags"))
        if kind is slice:
            parts = ("start", "stop", "step")
            return slice(*(self.enter(getattr(value, p), AttrSource(source, p)) for p in parts))
        return value

    def hold(self, value: object) -> None:
        """Guard that an object of the caller's, whose state nobody looks at, is the same at each call."""
        source = self.source_of(value)
        if source is not None and self.guards.once(("identity", id(value))):
            self.guards.identity(value, source)

    def _guard_enum(self, value: enum.Enum, source: Source) -> None:
        if is_named_member(value):
            self.guards.add(ConstantGuard(source, self.guards.constant(value), self._loc()))
        else:
            self.guards.identity(value, source)

    def _holds_symbol(self, value: Any, source: Source) -> bool:
        """Tell whether a number in a tuple of constants, or in one inside it, is not fixed."""
        if type(value) is int:
            return self._inputs.int_symbol(value, source) is not None
        if type(value) is float:
            return self._inputs.is_open(value, source)
        return type(value) is tuple and any(
            self._holds_symbol(item, ItemSource(source, PlainConst(i)))
            for i, item in enumerate(value)
        )

    def _enter_function(self, function: types.FunctionType, source: Source) -> object:
        if is_native_function(function):
            if function.__closure__ or self.guards.is_importable(function):
                self.guards.identity(function, source)
            else:
                self.guards.add(CodeGuard(source, self.guards.pin(function.__code__), self._loc()))
            return ABSENT
        self.guards.add(CodeGuard(source, self.guards.pin(function.__code__), self._loc()))
        self._add_function(function, source)
        return function

    def _add_function(self, function: types.FunctionType, source: Source) -> None:
        self._register(function, function, source)  # first: a cell of its own may hold it
        self.cells.add(function, source)

    def _enter_builtin(
        self,
        function: types.BuiltinFunctionType | types.MethodWrapperType,
        source: Source,
    ) -> object:
        holder = function.__self__
        if holder is None or isinstance(holder, types.ModuleType | type):
            self.guards.identity(function, source)
            return ABSENT
        if self.guards.has_pin(function) or _is_singleton_method(function):
            self.guards.identity(function, source)
            return ABSENT
        self.guards.add(TypeGuard(source, self.guards.pin(type(function)), self._loc()))
        if not _is_own_method(function):
            msg = f"the method {function.__name__} that a class of {type(holder).__qualname__} overrides"
            raise Unsupported(
                msg,
                why="it was reached by super() before",
                remedy="call it where it is looked up",
            )
        self.enter(function.__name__, AttrSource(source, "__name__"))
        return getattr(self.enter(holder, AttrSource(source, "__self__")), function.__name__)

    def _enter_tuple(self, value: tuple[Any, ...], kind: type, source: Source) -> object:
        self.guards.add(LengthGuard(source, len(value), self._loc()))
        items = [
            self.enter(item, ItemSource(source, PlainConst(i))) for i, item in enumerate(value)
        ]
        if kind is tuple:
            return tuple(items)
        if hasattr(kind, "n_sequence_fields"):
            is_same = all(one is other for one, other in zip(items, value, strict=True))
            return value if is_same else kind(items)
        standin: Any = tuple.__new__(kind, items)
        for name in getattr(value, "__dict__", ()):
            standin.__dict__[name] = self.enter(value.__dict__[name], AttrSource(source, name))
        return standin

    def _enter_partial(self, value: functools.partial[Any], source: Source) -> object:
        function = self.enter(value.func, AttrSource(source, "func"))
        args = self.enter(value.args, AttrSource(source, "args"))
        keywords_source = AttrSource(source, "keywords")
        keywords = self.contents(self.enter(value.keywords, keywords_source))
        return functools.partial(function, *args, **keywords)

    def _loc(self) -> Any:
        return self.guards.locate()

    # Reading

    def read(
        self, base: object, key: object, child: object, make_source: Callable[[], Source]
    ) -> Any:
        """Let in `child`, a part of `base` found under `key` (unique among the parts of `base`), once."""
        place = (id(base), key)
        known = self._reads.get(place, ABSENT)
        if known is ABSENT:
            known = self._reads[place] = self.enter(child, make_source())
            self._alive.append(base)
        return known

    def was_read(self, base: object, key: object) -> Any:
        """Give what `read` gave for the same place before, or `ABSENT`."""
        return self._reads.get((id(base), key), ABSENT)

    def guard_length(self, container: Any) -> int:
        """Guard and give the length of a builtin container (or subclass) that existed before, changes apart."""
        source = self._sources[id(container)]
        length = raw_len(container)
        if self.guards.once(("len", id(container))):
            self.guards.add(LengthGuard(source, length, self._loc()))
        return length

    def has_contents(self, container: object) -> bool:
        """Tell whether the contents of a container must be asked for as a whole: they were read so, or have grown."""
        return id(container) in self._contents or id(container) in self.appended

    def contents(self, container: Any) -> Any:
        """Give the contents, as the program sees them now, in a container of ours; to be read only.

        A container that is ours already is given as it is.
        """
        source = self._sources.get(id(container))
        if source is None:
            return container
        copy = self._contents.get(id(container))
        if copy is None:
            copy = self._contents[id(container)] = self._read_contents(container, source)
            self._owners[id(copy)] = container
        return copy

    def owner_of(self, value: object) -> object:
        """Give the container that existed before the call whose contents `value` is; any other object as it is."""
        return self._owners.get(id(value), value)

    def change(self, container: Any) -> Any:
        """Give the contents as a container of ours that may be changed: the changes are the program's."""
        source = self._sources.get(id(container))
        if source is None:
            return container
        copy = self.contents(container)
        self.replaced.add(id(container))
        self._note_change(container)
        return copy

    def append(self, container: Any, value: object) -> None:
        """Append to a list; what one that existed before holds is not read for that."""
        if id(container) not in self._sources:
            container.append(value)
        elif id(container) in self._contents:
            self.change(container).append(value)
        else:
            self.appended.setdefault(id(container), []).append(value)
            self._note_change(container)

    def write_cell(self, cell: types.CellType, value: object) -> None:
        """Store into any cell (or `DELETED`)."""
        self.num_writes += self.cells.write(cell, value)

    def _note_change(self, value: object) -> None:
        self.num_writes += 1
        if id(value) not in self.changed:
            self.changed[id(value)] = value

    def _read_contents(self, container: Any, source: Source) -> Any:
        if isinstance(container, dict):
            return self._read_dict(container, source)
        if isinstance(container, types.MappingProxyType):
            msg = "the contents of a mapping proxy"
            raise Unsupported(
                msg,
                why="the proxied dict has no source",
                remedy="copy it into a dict before the call",
            )
        if isinstance(container, list):
            kind = "list"
        elif isinstance(container, collections.deque):
            kind = "deque"
        elif isinstance(container, set | frozenset):
            return self._read_set(container, source)
        else:
            msg = f"the contents of an object of type {type(container).__qualname__}"
            raise Unsupported(
                msg,
                why="it is no builtin container, so nothing can be said of what is in it",
                remedy="make it inside the compiled function, or keep it out",
            )
        self.guard_length(container)
        items = [self.read_index(container, i) for i in range(raw_len(container))]
        added = self.appended.pop(id(container), None)
        if added is not None:
            self.replaced.add(id(container))
            items += added
        if kind == "list":
            return items
        maxlen = container.maxlen
        place, constant = AttrSource(source, "maxlen"), self.guards.constant(maxlen)
        self.guards.add(ConstantGuard(place, constant, self._loc()))
        return collections.deque(items, maxlen)

    def _read_set(self, container: Any, source: Source) -> Any:
        if not all(is_constant(item) for item in container):
            msg = "a set of objects that are no constants"
            raise Unsupported(
                msg,
                why="the order of such a set differs from process to process",
                remedy="use a dict or a list",
            )
        self.guard_length(container)
        for item in sorted(container, key=repr):
            constant = self.guards.constant(item)
            self.guards.add(DictContainsGuard(source, constant, is_present=True, loc=self._loc()))
        return frozenset(container) if isinstance(container, frozenset) else set(container)

    def _read_dict(self, container: dict[Any, Any], source: Source) -> Any:
        keys = raw_keys(container)
        copy: dict[Any, Any] = {}
        if isinstance(container, collections.OrderedDict):
            copy = collections.OrderedDict()
        elif isinstance(container, collections.defaultdict):
            factory = self.enter(container.default_factory, AttrSource(source, "default_factory"))
            copy = collections.defaultdict(factory)
        if all(map(is_constant, keys)):
            constants = tuple(map(self.guards.constant, keys))
            self.guards.add(DictKeysGuard(source, constants, self._loc()))
            for key in keys:
                copy[key] = self._read_base_key(container, key)
        else:
            self.guard_length(container)
            for i, key in enumerate(keys):
                own_key = self.read(
                    container, ("key", i), key, functools.partial(DictKeySource, source, i)
                )
                value = dict.__getitem__(container, key)
                copy[own_key] = self.read(
                    container,
                    ("item", key),
                    value,
                    functools.partial(DictValueSource, source, i),
                )
        for key, value in self.items.get(id(container), {}).items():
            if value is DELETED:
                copy.pop(key, None)
            else:
                copy[key] = value
        return copy

    def read_index(self, container: Any, index: int) -> Any:
        """Give item `index` (not negative) of a list or deque that existed before, in its state before the call."""
        return self.read(
            container,
            ("item", index),
            raw_item(container, index),
            lambda: ItemSource(self._sources[id(container)], PlainConst(index)),
        )

    def read_key(self, container: dict[Any, Any], key: object) -> Any:
        """Give the value under a constant key of a dict that existed before, as the program sees it, or `ABSENT`."""
        copy = self._contents.get(id(container))
        if copy is not None:
            return dict.get(copy, key, ABSENT)
        changed = self.items.get(id(container))
        if changed is not None and key in changed:
            value = changed[key]
            return ABSENT if value is DELETED else value
        return self._read_base_key(container, key)

    def _read_base_key(self, container: dict[Any, Any], key: object) -> Any:
        """Give the value under a constant key as it was before the call, or `ABSENT`."""
        known = self._reads.get((id(container), ("item", key)), ABSENT)
        if known is not ABSENT:
            return known
        source = self._sources[id(container)]
        value = dict.get(container, key, ABSENT)
        if value is ABSENT:
            if self.guards.once(("no key", id(container), key)):
                constant = self.guards.constant(key)
                self.guards.add(
                    DictContainsGuard(source, constant, is_present=False, loc=self._loc())
                )
            return ABSENT
        return self.read(
            container,
            ("item", key),
            value,
            lambda: ItemSource(source, self.guards.constant(key)),
        )

    def has_key(self, container: dict[Any, Any], key: object) -> bool:
        """Tell whether a constant key is in a dict that existed before, as the program sees it."""
        copy = self._contents.get(id(container))
        if copy is not None:
            return dict.__contains__(copy, key)
        changed = self.items.get(id(container))
        if changed is not None and key in changed:
            return changed[key] is not DELETED
        is_present = dict.__contains__(container, key)
        if self.guards.once(("has key", id(container), key)):
            source = self._sources[id(container)]
            self.guards.add(
                DictContainsGuard(source, self.guards.constant(key), is_present, self._loc())
            )
        return is_present

    # Changing

    def set_key(self, container: dict[Any, Any], key: object, value: object) -> None:
        """Store under a constant key of a dict that existed before (or `DELETED`)."""
        copy = self._contents.get(id(container))
        if copy is None:
            items = self.items.setdefault(id(container), {})
            self._note_change(container)
            if value is DELETED and not dict.__contains__(container, key):
                items.pop(key, None)
                return
            if items.get(key) is not DELETED or value is DELETED:
                items[key] = value
                return
            copy = self.contents(container)  # a key that comes back stands last: the order changes
        if value is DELETED:
            del copy[key]
        else:
            copy[key] = value
        self.replaced.add(id(container))
        self._note_change(container)

    def set_attr(self, holder: object, name: str, value: object) -> None:
        """Store an attribute of an instance that existed before (or `DELETED`)."""
        table = self.attrs.setdefault(id(holder), {})
        self._note_change(holder)
        if value is DELETED and name not in getattr(holder, "__dict__", ()) and name in table:
            is_slot = any(name in base.__dict__ for base in type(holder).__mro__)
            if not is_slot:
                del table[name]
                return
        table[name] = value

    def take_attrs(self, holder: object, is_taken: Callable[[str], bool]) -> dict[str, object]:
        """Forget the attributes that the program stored (or `DELETED`) and `is_taken` names, and give them."""
        table = self.attrs.get(id(holder), {})
        return {name: table.pop(name) for name in list(table) if is_taken(name)}

    def changed_attr(self, holder: object, name: str) -> Any:
        """Give what the program stored (or `DELETED`), or `ABSENT` when it left the attribute alone."""
        table = self.attrs.get(id(holder))
        return ABSENT if table is None else table.get(name, ABSENT)

    def guard_attr_absent(self, holder: object, name: str) -> None:
        """Guard that an instance that existed before has nothing of that name in its `__dict__`."""
        if self.guards.once(("absent", id(holder), name)):
            self.guards.add(AttrAbsentGuard(self._sources[id(holder)], name, self._loc()))

    def guard_distinct(self, one: object, other: object) -> None:
        """Guard that two objects that existed before are not the same."""
        self._guard_distinct((self._sources[id(one)], self._sources[id(other)]), one, other)

    def _guard_distinct(self, sources: tuple[Source, ...], *values: object) -> None:
        if self.guards.once(("distinct", frozenset(map(id, values)))):
            self.guards.add(DistinctTensorsGuard(sources, self._loc()))

    def _note_place(self, value: object, source: Source) -> None:
        self._alive.append(value)
        self._places.setdefault(id(value), []).append(source)

    def guard_places_apart(self, one: object, other: object) -> None:
        """Guard that two equal constants that were found in places are one object, or two, as they are."""
        all_places = [self._places.get(id(value), []) for value in (one, other)]
        for places in all_places:
            for source in places[1:]:
                if source != places[0] and self.guards.once(("same", id(places), source)):
                    self.guards.add(SameObjectGuard(source, places[0], self._loc()))
        if one is not other and all(all_places):
            self._guard_distinct(tuple(places[0] for places in all_places), one, other)

    def guard_changed_apart(self) -> None:
        """Guard that an object the program changed is no other object of its kind that it looked at."""
        kinds = {type(value) for value in self.changed.values()}
        for kind in kinds:
            same_kind = [v for v in self._alive if type(v) is kind and id(v) in self._standins]
            if len(same_kind) > 1:
                sources = tuple(dict.fromkeys(self._sources[id(v)] for v in same_kind))
                self.guards.add(DistinctTensorsGuard(sources, self._loc()))


def _is_singleton_method(function: types.BuiltinFunctionType | types.MethodWrapperType) -> bool:
    """Tell whether a bound builtin is found by import (`torch.add`, `math.sin`, `random.random`)."""
    if isinstance(function.__self__, torch.Tensor):
        return False
    module = getattr(function, "__module__", None)
    return isinstance(module, str) or type(function.__self__).__module__.startswith("torch")


_BUILTIN_METHODS: Final = (
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
)


def _is_own_method(function: types.BuiltinFunctionType | types.MethodWrapperType) -> bool:
    """Tell whether a bound builtin is what its object has under its name: a class may override it."""
    kind, name = type(function.__self__), function.__name__
    found = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    return (
        isinstance(found, _BUILTIN_METHODS) and found.__get__(function.__self__, kind) == function
    )


def _is_set_of_classes(value: object) -> bool:
    """Tell whether a frozenset holds classes alone: it never changes, and has no contents that are constants."""
    return type(value) is frozenset and bool(value) and all(isinstance(x, type) for x in value)
