"""Rules for `copy.copy` and `copy.deepcopy`.

In: an object as the interpreter holds it.   Out: its copy, an object of the program's own.
Keeps: what the module `copy` does for builtin containers, their subclasses and the user's objects; hooks (`__copy__`, `__deepcopy__`,
`__getstate__`, `__setstate__`) are interpreted. What is copied by other means than its contents and attributes is refused.
"""

from __future__ import annotations

import collections
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.constants import is_constant
from graphwright.capture.faults import natively
from graphwright.capture.items import check_key
from graphwright.capture.lookup import instance_dict, is_fixed_class, peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.policy import is_torch_class
from graphwright.capture.raw_containers import raw_items, raw_sequence
from graphwright.capture.symbolic_ints import SYMBOLIC_TYPES

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_SHARED: Final = (
    *(type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType),
    *SYMBOLIC_TYPES,
)
"""Kinds of objects whose copy is the object itself; a symbol stands for a number, and is one to the program."""

_BASES: Final[tuple[Any, ...]] = (list, dict, tuple, set, frozenset, object)
"""Classes written in C whose instances are no more than their contents and attributes."""

_EXACT: Final = (collections.deque, collections.OrderedDict, collections.defaultdict)
"""Classes written in C that are copied in a way of their own: none of their subclasses is."""

_OVERRIDES: Final = ("__reduce__", "__reduce_ex__", "__getnewargs_ex__", "append", "__setitem__")
"""Methods that the module `copy` would call, beside the hooks that are interpreted here."""


def copy_(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`copy.copy(x)`."""
    value = args[0]
    kind = type(value)
    if isinstance(value, torch.Tensor):
        msg = "copy.copy of a tensor"
        raise machine.unsupported(
            msg,
            why="it makes a second tensor object of the same memory",
            remedy="use detach() or clone()",
        )
    if is_constant(value) or kind is tuple or kind is frozenset or isinstance(value, _SHARED):
        return value
    hook = machine.special(value, "__copy__")
    if hook is not None:
        return machine.call(hook, [value], {})
    return _Copying(machine, lambda part: part).copy(value)


def deepcopy(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`copy.deepcopy(x[, memo])`."""
    memo = args[1] if len(args) > 1 else kwargs.get("memo")
    return _DeepCopying(machine, {} if memo is None else memo).copy(args[0])


class _Copying:
    """One copy.

    Args:
        machine: the machine.
        copy_part: gives the copy of a part: of an item, of the state.
    """

    def __init__(self, machine: Machine, copy_part: Callable[[Any], Any]) -> None:
        self._machine = machine
        self._copy_part = copy_part

    def copy(self, value: Any) -> Any:
        """Copy an object that is no constant and has no hook."""
        kind = type(value)
        self._check(value, kind)
        made = self._make(value, kind)
        self._remember(value, made)
        self._fill(made, value)
        self._give_state(made, value)
        return made

    def _remember(self, value: Any, made: Any) -> None:
        """Take note of a copy whose parts are yet to be copied."""

    def _check(self, value: Any, kind: type) -> None:
        is_simple = kind in _EXACT or all(
            base in _BASES or not is_fixed_class(base) for base in kind.__mro__
        )
        overrides = [name for name in _OVERRIDES if self._machine.special(value, name)]
        if not is_simple or overrides or is_torch_class(kind) or isinstance(value, torch.nn.Module):
            raise self._machine.unsupported(
                f"a copy of an object of type {kind.__module__}.{kind.__qualname__}",
                why="it is more than its contents and attributes",
                remedy="copy it before the call",
            )

    def _make(self, value: Any, kind: Any) -> Any:
        if issubclass(kind, tuple | frozenset):
            items = list(map(self._copy_part, _iter_members(self._machine, value)))
            base = tuple if issubclass(kind, tuple) else frozenset
            return natively(base.__new__, kind, items)
        if kind is collections.deque:
            return collections.deque(maxlen=value.maxlen)
        if kind is collections.defaultdict:
            return collections.defaultdict(self._machine.world.contents(value).default_factory)
        maker = self._machine.find(kind, "__new__")
        maker = maker.__func__ if isinstance(maker, staticmethod) else maker
        if isinstance(maker, types.FunctionType):
            return self._machine.call(maker, [kind], {})
        return natively(kind.__new__, kind)

    def _fill(self, made: Any, value: Any) -> None:
        machine, copy_part = self._machine, self._copy_part
        if isinstance(value, dict):
            for key, item in raw_items(machine.world.contents(value)):
                _base(value).__setitem__(made, check_key(machine, copy_part(key)), copy_part(item))
        elif isinstance(value, list | set | collections.deque):
            items = list(map(copy_part, _iter_members(machine, value)))
            (_base(value).update if isinstance(value, set) else _base(value).extend)(made, items)

    def _give_state(self, made: Any, value: Any) -> None:
        machine = self._machine
        getter, setter = (machine.special(value, f"__{name}state__") for name in ("get", "set"))
        if getter is not None or setter is not None:
            state = machine.call(getter, [value], {}) if getter else self._attributes(value)
            if state:
                self._set_state(setter, made, self._copy_part(state))
            return
        table = instance_dict(value)
        if table is not None:
            attributes = machine.world.contents(machine.load_attr(value, "__dict__"))
            instance_dict(made).update(self._copy_part(dict(attributes)))  # type: ignore[union-attr]
        for name, member in self._slots(value):
            machine.store_attr(made, name, self._copy_part(member))

    def _attributes(self, value: Any) -> Any:
        """Give the state as `object.__getstate__` does."""
        table = instance_dict(value)
        own = self._machine.load_attr(value, "__dict__") if table is not None else None
        slots = dict(self._slots(value))
        return (own, slots) if slots else own

    def _set_state(self, setter: Any, made: Any, state: Any) -> None:
        if setter is not None:
            self._machine.call(setter, [made, state], {})
            return
        own, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
        for attributes in (own, slots):
            for name, item in (attributes or {}).items():
                self._machine.store_raw_attr(made, name, item)

    def _slots(self, value: Any) -> Iterator[tuple[str, Any]]:
        for base in type(value).__mro__:
            for name, member in base.__dict__.items():
                is_slot = isinstance(member, types.MemberDescriptorType) and not is_fixed_class(
                    base
                )
                if is_slot and peek(type(value), name) is member:
                    try:
                        yield name, self._machine.load_attr(value, name)
                    except AttributeError:
                        continue


class _DeepCopying(_Copying):
    """One deep copy: parts are copied too, each once.

    Args:
        machine: the machine.
        memo: copies by the `id` of the original, as `__deepcopy__` gets it.
    """

    def __init__(self, machine: Machine, memo: dict[Any, Any]) -> None:
        super().__init__(machine, self.copy)
        self._memo = memo
        self._alive: list[Any] = []

    def copy(self, value: Any) -> Any:
        """Copy an object deeply."""
        if is_constant(value) or isinstance(value, _SHARED):
            return value
        known = self._memo.get(id(value), ABSENT)
        if known is not ABSENT:
            return known
        made = self._copy_new(value)
        self._remember(value, made)
        return made

    def _copy_new(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._copy_tensor(value)
        hook = self._machine.special(value, "__deepcopy__")
        if hook is not None:
            return self._machine.call(hook, [value, self._memo], {})
        if type(value) is tuple:
            items = tuple(map(self.copy, value))
            is_same = all(one is other for one, other in zip(items, value, strict=True))
            return self._memo.get(id(value), value if is_same else items)
        return super().copy(value)

    def _copy_tensor(self, value: torch.Tensor) -> torch.Tensor:
        kind = self._machine.call(type, [value], {})
        if kind is not torch.Tensor or value.requires_grad or value._is_view():  # noqa: SLF001
            msg = "copy.deepcopy of a tensor that requires a gradient, is a parameter or a view"
            raise self._machine.unsupported(
                msg,
                why="its copy would be a new leaf or parameter, or share memory with the copy of its base",
                remedy="use clone() or detach().clone()",
            )
        return value.clone()

    def _remember(self, value: Any, made: Any) -> None:
        self._memo[id(value)] = made
        self._alive.append(value)


def _iter_members(machine: Machine, value: Any) -> Any:
    """Give what a sequence or set holds, in its order."""
    if isinstance(value, set | frozenset):
        return machine.world.contents(value)
    return raw_sequence(machine.world.contents(value))


def _base(value: Any) -> Any:
    """Give the builtin class by whose methods a container is filled."""
    bases = (collections.OrderedDict, collections.defaultdict, dict, list, set, collections.deque)
    return next(base for base in bases if isinstance(value, base))
