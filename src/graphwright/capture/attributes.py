"""Attributes: found as Python finds them, guarded where they were found, stored where the program can see them.

In: an object and a name.   Out: the attribute; for user-written descriptors and `__getattr__`, what they give when interpreted.
Keeps: no code of the user's runs natively; a sourced object is never written.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import types
from typing import Any, Final

import torch

from graphwright.capture.machine import Machine
from graphwright.capture.policy import is_torch_class
from graphwright.capture.world import ABSENT, DELETED
from graphwright.ir.program import (
    AttrSource,
    InstanceDictSource,
    ItemSource,
    ModuleDictSource,
    PinSource,
    PlainConst,
    Source,
    TypeAttrAbsentGuard,
    TypeAttrSource,
)

_IMMUTABLE_TYPE: Final = 1 << 8
_HEAP_TYPE: Final = 1 << 9

_C_DESCRIPTORS: Final = (
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
    key = (kind, name)
    if key in machine.class_attrs:
        return machine.class_attrs[key]
    raw = peek(kind, name)
    if not (is_fixed_class(kind) or _is_trusted(kind) or kind in machine.own_classes):
        pin = PinSource(machine.guards.pin(kind))
        if raw is ABSENT:
            machine.guards.add(TypeAttrAbsentGuard(pin, name, machine.loc()))
        elif not isinstance(raw, _C_DESCRIPTORS) and not _is_object_slot(raw):
            raw = machine.world.enter(raw, TypeAttrSource(pin, name))
    machine.class_attrs[key] = raw
    return raw


def _is_trusted(kind: type) -> bool:
    """Tell whether a class is one of PyTorch's that is not user level (modules are)."""
    return is_torch_class(kind) and not issubclass(kind, torch.nn.Module)


def _is_object_slot(raw: Any) -> bool:
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
    raw = find(machine, kind, name)
    if type(raw) is types.FunctionType:
        return raw
    return None


def _attribute_error(holder: Any, name: str) -> AttributeError:
    text = f"'{type(holder).__name__}' object has no attribute '{name}'"
    return AttributeError(text, name=name, obj=holder)


def load_attr(machine: Machine, holder: Any, name: str) -> Any:
    """Give `holder.name`.

    Raises:
        AttributeError: as Python does.
    """
    kind = type(holder)
    if kind is machine.tensor_type:
        return _load_tensor_attr(machine, holder, name)
    loader: Any = _LOADERS.get(kind)
    if loader is not None:
        return loader(machine, holder, name)
    if isinstance(holder, type):
        return _load_class_attr(machine, holder, name)
    if isinstance(holder, types.ModuleType):
        return _load_module_attr(machine, holder, name)
    if not is_fixed_class(kind):
        hook = peek(kind, "__getattribute__")
        if type(hook) is types.FunctionType:
            return machine.call(find(machine, kind, "__getattribute__"), [holder, name], {})
    return load_raw_attr(machine, holder, name)


def load_raw_attr(machine: Machine, holder: Any, name: str) -> Any:
    """Give `holder.name` as `object.__getattribute__` and then `__getattr__` do."""
    value = _load_instance_attr(machine, holder, name)
    if value is not ABSENT:
        return value
    kind = type(holder)
    fallback = find(machine, kind, "__getattr__")
    if fallback is not ABSENT:
        return machine.call(fallback, [holder, name], {})
    raise _attribute_error(holder, name)


def _load_instance_attr(machine: Machine, holder: Any, name: str) -> Any:
    kind = type(holder)
    raw = peek(kind, name)
    if raw is not ABSENT:
        if type(raw) is not types.FunctionType and _is_data_descriptor(raw):
            return _load_data_descriptor(machine, holder, name)
        value = load_from_dict(machine, holder, name)
        if value is not ABSENT:
            return value
        _guard_own_absence(machine, holder, name)
        return _bind_class_attr(machine, find(machine, kind, name), holder, kind, name)
    value = load_from_dict(machine, holder, name)
    find(machine, kind, name)
    if value is ABSENT:
        _guard_own_absence(machine, holder, name)
    return value


def _guard_own_absence(machine: Machine, holder: Any, name: str) -> None:
    world, table = machine.world, instance_dict(holder)
    is_untouched = world.source_of(table) is None and world.changed_attr(holder, name) is ABSENT
    if world.source_of(holder) is not None and table is not None and is_untouched:
        world.guard_attr_absent(holder, name)


def load_from_dict(machine: Machine, holder: Any, name: str) -> Any:
    """Give what an instance's own `__dict__` holds, as the program sees it, or `ABSENT`."""
    world = machine.world
    table = instance_dict(holder)
    source = world.source_of(holder)
    if source is None:
        return ABSENT if table is None else table.get(name, ABSENT)
    changed = world.changed_attr(holder, name)
    if changed is not ABSENT:
        return ABSENT if changed is DELETED else changed
    if table is None:
        return ABSENT
    known = world.was_read(holder, name)
    if known is not ABSENT:
        return known
    if world.source_of(table) is not None:
        return world.read_key(table, name)
    value = table.get(name, ABSENT)
    if value is ABSENT:
        return ABSENT
    return world.read(
        holder, name, value, lambda: ItemSource(InstanceDictSource(source), PlainConst(name))
    )


def _is_data_descriptor(raw: Any) -> bool:
    kind = type(raw)
    return peek(kind, "__set__") is not ABSENT or peek(kind, "__delete__") is not ABSENT


def _load_data_descriptor(machine: Machine, holder: Any, name: str) -> Any:
    kind = type(holder)
    raw = find(machine, kind, name)
    if isinstance(raw, property):
        getter = _part(machine, raw, "fget")
        if getter is None:
            msg = f"property '{name}' of '{kind.__name__}' object has no getter"
            raise AttributeError(msg)
        return machine.call(getter, [holder], {})
    getter = special(machine, raw, "__get__")
    if getter is not None:
        return machine.call(getter, [raw, holder, kind], {})
    if name == "__dict__":
        return _load_own_dict(machine, holder)
    source = machine.world.source_of(holder)
    if source is None:
        return raw.__get__(holder, kind)
    changed = machine.world.changed_attr(holder, name)
    if changed is DELETED:
        raise _attribute_error(holder, name)
    if changed is not ABSENT:
        return changed
    value = raw.__get__(machine.world.original_of(holder), kind)
    return machine.world.read(holder, name, value, lambda: AttrSource(source, name))


def _load_own_dict(machine: Machine, holder: Any) -> Any:
    table = instance_dict(holder)
    if table is None:
        raise _attribute_error(holder, "__dict__")
    source = machine.world.source_of(holder)
    if source is None:
        return table
    entered = machine.world.read(holder, "__dict__", table, lambda: InstanceDictSource(source))

    def is_in_dict(name: str) -> bool:
        raw = peek(type(holder), name)
        return raw is ABSENT or not _is_data_descriptor(raw)

    for name, value in machine.world.take_attrs(holder, is_in_dict).items():
        machine.world.set_key(entered, name, value)
    return entered


def _part(machine: Machine, raw: Any, name: str) -> Any:
    """Read a part (`fget`, `__func__`, …) of a descriptor object."""
    source = machine.world.source_of(raw)
    value = getattr(raw, name)
    if source is None:
        return value
    return machine.world.read(raw, name, value, lambda: AttrSource(source, name))


def _bind_class_attr(machine: Machine, raw: Any, holder: Any, kind: type, name: str) -> Any:
    """Apply the descriptor protocol to a class attribute that was reached through an instance."""
    raw_kind = type(raw)
    if raw_kind is types.FunctionType:
        return types.MethodType(raw, holder)
    if raw_kind is staticmethod:
        return _part(machine, raw, "__func__")
    if raw_kind is classmethod:
        return types.MethodType(_part(machine, raw, "__func__"), kind)
    if isinstance(raw, functools.cached_property):
        value = machine.call(_part(machine, raw, "func"), [holder], {})
        store_raw_attr(machine, holder, name, value)
        return value
    if raw_kind in machine.plain_types:
        return raw
    getter = special(machine, raw, "__get__")
    if getter is not None:
        return machine.call(getter, [raw, holder, kind], {})
    if isinstance(raw, _C_DESCRIPTORS) or _is_object_slot(raw):
        return raw.__get__(holder, kind) if hasattr(raw, "__get__") else raw
    if peek(raw_kind, "__get__") is not ABSENT and raw_kind is not type:
        return raw.__get__(holder, kind)
    return raw


def _load_class_attr(machine: Machine, holder: type, name: str) -> Any:
    meta = type(holder)
    if is_fixed_class(holder) or (_is_trusted(holder)):
        return getattr(holder, name)
    meta_raw = peek(meta, name)
    if meta_raw is not ABSENT and _is_data_descriptor(meta_raw):
        if isinstance(meta_raw, property):
            getter = _part(machine, find(machine, meta, name), "fget")
            return machine.call(getter, [holder], {})
        return getattr(holder, name)
    if isinstance(holder, enum.EnumMeta) and name in holder.__members__:
        return holder.__members__[name]
    raw = find(machine, holder, name)
    if raw is not ABSENT:
        return _bind_to_class(machine, raw, holder, name)
    if meta_raw is not ABSENT:
        return _bind_class_attr(machine, find(machine, meta, name), holder, meta, name)
    fallback = find(machine, meta, "__getattr__")
    if fallback is not ABSENT:
        return machine.call(fallback, [holder, name], {})
    msg = f"type object '{holder.__name__}' has no attribute '{name}'"
    raise AttributeError(msg, name=name, obj=holder)


def _bind_to_class(machine: Machine, raw: Any, holder: type, name: str) -> Any:
    raw_kind = type(raw)
    if raw_kind in (types.FunctionType, property) or raw_kind in machine.plain_types:
        return raw
    if raw_kind is staticmethod:
        return _part(machine, raw, "__func__")
    if raw_kind is classmethod:
        return types.MethodType(_part(machine, raw, "__func__"), holder)
    getter = special(machine, raw, "__get__")
    if getter is not None:
        return machine.call(getter, [raw, None, holder], {})
    if isinstance(raw, _C_DESCRIPTORS) or _is_object_slot(raw):
        return getattr(holder, name)
    return raw


def _load_module_attr(machine: Machine, holder: types.ModuleType, name: str) -> Any:
    table = holder.__dict__
    if name not in table:
        value = getattr(holder, name)
        if name not in table:
            if type(value) in machine.plain_types or isinstance(value, type | types.ModuleType):
                return value
            if callable(value):
                return value
            msg = f"the attribute {name!r} that module {holder.__name__!r} makes on demand"
            raise machine.unsupported(
                msg,
                why="nothing can be guarded about it",
                remedy="read it before the call",
            )
    return machine.world.read(
        holder,
        name,
        table[name],
        lambda: ItemSource(_module_dict(machine, holder), PlainConst(name)),
    )


def _module_dict(machine: Machine, holder: types.ModuleType) -> Source:
    if sys.modules.get(holder.__name__) is holder:
        return ModuleDictSource(holder.__name__)
    return InstanceDictSource(PinSource(machine.guards.pin(holder)))


def _load_tensor_attr(machine: Machine, holder: torch.Tensor, name: str) -> Any:
    if name == "__class__":
        return machine.call(type, [holder], {})
    try:
        return getattr(holder, name)
    except AttributeError:
        original = machine.world.original_of(holder)
        table = getattr(original, "__dict__", {})
        source = machine.world.source_of(holder)
        if original is holder or source is None or name not in table:
            raise
    return machine.world.read(original, name, table[name], lambda: AttrSource(source, name))


def _load_function_attr(machine: Machine, holder: types.FunctionType, name: str) -> Any:
    source = machine.world.source_of(holder)
    if source is None:
        return getattr(holder, name)
    changed = machine.world.changed_attr(holder, name)
    if changed is not ABSENT and changed is not DELETED:
        return changed
    value = getattr(holder, name)
    if name in ("__code__", "__globals__", "__closure__", "__get__", "__call__"):
        return value
    if name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        return value
    return machine.world.read(holder, name, value, lambda: AttrSource(source, name))


def _load_method_attr(machine: Machine, holder: types.MethodType, name: str) -> Any:
    if name in ("__func__", "__self__"):
        return getattr(holder, name)
    return load_attr(machine, holder.__func__, name)


def _load_super_attr(machine: Machine, holder: Any, name: str) -> Any:
    start, receiver, kind = holder.__thisclass__, holder.__self__, holder.__self_class__
    mro = kind.__mro__
    for base in mro[mro.index(start) + 1 :]:
        if name not in base.__dict__:
            continue
        raw = find(machine, base, name)
        if name == "__class__":
            break
        if receiver is kind and isinstance(receiver, type):
            return _bind_to_class_from(machine, raw, receiver)
        if _is_data_descriptor(raw) and isinstance(raw, property):
            return machine.call(_part(machine, raw, "fget"), [receiver], {})
        return _bind_class_attr(machine, raw, receiver, kind, name)
    return getattr(holder, name)


def _bind_to_class_from(machine: Machine, raw: Any, receiver: type) -> Any:
    """Apply the descriptor protocol to what `super()` found for a class (in `__new__` and class methods)."""
    if type(raw) is types.FunctionType:
        return raw
    if type(raw) is staticmethod:
        return _part(machine, raw, "__func__")
    if type(raw) is classmethod:
        return types.MethodType(_part(machine, raw, "__func__"), receiver)
    if hasattr(type(raw), "__get__"):
        return raw.__get__(None, receiver)
    return raw


_LOADERS: Final = {
    types.ModuleType: _load_module_attr,
    types.FunctionType: _load_function_attr,
    types.MethodType: _load_method_attr,
    super: _load_super_attr,
}


def store_attr(machine: Machine, holder: Any, name: str, value: Any) -> None:
    """Do `holder.name = value`."""
    kind = type(holder)
    if kind is machine.tensor_type:
        if machine.world.source_of(holder) is not None and name not in (
            "data",
            "grad",
            "requires_grad",
        ):
            msg = f"a new attribute {name!r} on a tensor that existed before"
            raise machine.unsupported(
                msg,
                why="attributes of tensors are not replayed",
                remedy="keep the value in a local variable or on your module",
            )
        setattr(holder, name, value)
        return
    if not is_fixed_class(kind):
        hook = find(machine, kind, "__setattr__")
        if type(hook) is types.FunctionType:
            machine.call(hook, [holder, name, value], {})
            return
    store_raw_attr(machine, holder, name, value)


def store_raw_attr(machine: Machine, holder: Any, name: str, value: Any) -> None:
    """Do `object.__setattr__(holder, name, value)`."""
    kind = type(holder)
    raw = peek(kind, name)
    if raw is not ABSENT and _is_data_descriptor(raw):
        raw = find(machine, kind, name)
        if isinstance(raw, property):
            setter = _part(machine, raw, "fset")
            if setter is None:
                msg = f"property '{name}' of '{kind.__name__}' object has no setter"
                raise AttributeError(msg)
            machine.call(setter, [holder, value], {})
            return
        setter = special(machine, raw, "__set__")
        if setter is not None:
            machine.call(setter, [raw, holder, value], {})
            return
    _check_writable(machine, holder, name)
    if machine.world.source_of(holder) is None:
        (type if isinstance(holder, type) else object).__setattr__(holder, name, value)
        return
    table = instance_dict(holder)
    if table is not None and machine.world.source_of(table) is not None:
        machine.world.set_key(table, name, value)
    else:
        machine.world.set_attr(holder, name, value)


def _check_writable(machine: Machine, holder: Any, name: str) -> None:
    if isinstance(holder, type) and holder in machine.own_classes:
        return
    if isinstance(holder, type | types.ModuleType):
        msg = f"a store to attribute {name!r} of {holder!r}"
        raise machine.unsupported(
            msg,
            why="classes and modules are shared, and changes of them are not replayed",
            remedy="keep state on an instance",
        )


def delete_attr(machine: Machine, holder: Any, name: str) -> None:
    """Do `del holder.name`."""
    kind = type(holder)
    if not is_fixed_class(kind):
        hook = find(machine, kind, "__delattr__")
        if type(hook) is types.FunctionType:
            machine.call(hook, [holder, name], {})
            return
    raw = peek(kind, name)
    if isinstance(raw, property):
        deleter = _part(machine, find(machine, kind, name), "fdel")
        if deleter is None:
            msg = f"property '{name}' of '{kind.__name__}' object has no deleter"
            raise AttributeError(msg)
        machine.call(deleter, [holder], {})
        return
    _check_writable(machine, holder, name)
    if machine.world.source_of(holder) is None:
        object.__delattr__(holder, name)
        return
    is_slot = inspect.ismemberdescriptor(raw)
    if not is_slot and load_from_dict(machine, holder, name) is ABSENT:
        raise _attribute_error(holder, name)
    table = instance_dict(holder)
    if not is_slot and table is not None and machine.world.source_of(table) is not None:
        machine.world.set_key(table, name, DELETED)
    else:
        machine.world.set_attr(holder, name, DELETED)
