"""Where attributes are found: in classes, along the method resolution order, and in instances' own dicts.

In: a class or an object, and a name.   Out: the raw attribute, before any descriptor is applied.
Keeps: no code of the user's runs.
"""

from __future__ import annotations

import threading
import types
import weakref
from typing import Any, Final

import torch

from graphwright.capture.late_calls import LateResult, used_late
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT
from graphwright.capture.policy import is_torch_class
from graphwright.ir.guards import TypeAttrAbsentGuard
from graphwright.ir.sources import AttrSource, PinSource, TypeAttrSource

KEEPS_ELSEWHERE: Final = (threading.local, weakref.ProxyType, weakref.CallableProxyType)
"""Classes whose instances have no attributes of their own: one's are those of a thread, the others' of another object."""

_IMMUTABLE_TYPE: Final = 1 << 8


_HEAP_TYPE: Final = 1 << 9


C_DESCRIPTORS: Final = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


def is_fixed_class(kind: type) -> bool:
    """Tell whether nothing in a class can change: builtin types and those of C extensions."""
    flags = kind.__flags__
    return bool(flags & _IMMUTABLE_TYPE) or not flags & _HEAP_TYPE


def peek(kind: type, name: str) -> Any:
    """Find a raw class attribute along the method resolution order, with no guard; `ABSENT` when there is none."""
    for base in kind.__mro__:
        found = base.__dict__.get(name, ABSENT)
        if found is not ABSENT:
            return found
    return ABSENT


def find(machine: Machine, kind: type, name: str) -> Any:
    """Find a raw class attribute along the method resolution order and guard it; `ABSENT` when there is none."""
    if kind in machine.own_classes:
        return _find_in_own(machine, kind, name)
    key = (kind, name)
    if key in machine.class_attrs:
        return machine.class_attrs[key]
    raw = peek(kind, name)
    if not (is_fixed_class(kind) or is_trusted(kind)):
        pin = PinSource(machine.guards.pin(kind))
        if raw is ABSENT:
            machine.guards.add(TypeAttrAbsentGuard(pin, name, machine.loc()))
        elif not isinstance(raw, C_DESCRIPTORS) and not is_object_slot(raw):
            raw = machine.world.enter(raw, TypeAttrSource(pin, name))
    machine.class_attrs[key] = raw
    return raw


def _find_in_own(machine: Machine, kind: type, name: str) -> Any:
    """Find a raw attribute of a class that the program made: it may change, and so may the bases that existed before."""
    for base in kind.__mro__:
        if base in machine.own_classes:
            raw = base.__dict__.get(name, ABSENT)
            if raw is not ABSENT:
                return raw
        else:
            raw = find(machine, base, name)
            if name in base.__dict__:
                return raw
    return ABSENT


def is_trusted(kind: type) -> bool:
    """Tell whether a class is one of PyTorch's that is not user level (modules are)."""
    return is_torch_class(kind) and not issubclass(kind, torch.nn.Module)


def is_object_slot(raw: Any) -> bool:
    """Tell whether a class attribute is a bound builtin, as `__new__` and `__init_subclass__` of C classes are."""
    return isinstance(raw, types.BuiltinFunctionType) and isinstance(raw.__self__, type)


def instance_dict(holder: object) -> dict[str, Any] | None:
    """Give the real `__dict__` of an instance, or None."""
    try:
        table = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        return None
    return table if type(table) is dict else None


def special(machine: Machine, holder: Any, name: str) -> Any:
    """Give the special method `name` of an object's type, when it is Python code, else None; not bound."""
    kind = type(holder)
    if kind in machine.plain_types or is_fixed_class(kind):
        return None
    if kind is LateResult:
        raise used_late(holder)
    raw = find(machine, kind, name)
    if type(raw) is types.FunctionType:
        return raw
    return None


def is_data_descriptor(raw: Any) -> bool:
    """Tell whether a class attribute comes before the instance's own."""
    kind = type(raw)
    return peek(kind, "__set__") is not ABSENT or peek(kind, "__delete__") is not ABSENT


def read_part(machine: Machine, raw: Any, name: str) -> Any:
    """Read a part (`fget`, `__func__`, …) of a descriptor object."""
    source = machine.world.source_of(raw)
    value = getattr(raw, name)
    if source is None:
        return value
    return machine.world.read(raw, name, value, lambda: AttrSource(source, name))


def attribute_error(holder: Any, name: str) -> AttributeError:
    """Make the error for a missing attribute, worded as Python does."""
    text = f"'{type(holder).__name__}' object has no attribute '{name}'"
    return AttributeError(text, name=name, obj=holder)
