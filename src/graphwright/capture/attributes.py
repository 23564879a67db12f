"""Attributes read: found as Python finds them, guarded where they were found.

In: an object and a name.   Out: the attribute; for user-written descriptors and `__getattr__`, what they give when interpreted.
Keeps: no code of the user's runs natively.
"""

from __future__ import annotations

import enum
import functools
import sys
import types
import warnings
from typing import Any, Final

import torch

from graphwright.capture.constants import is_native_member
from graphwright.capture.faults import natively
from graphwright.capture.late_calls import LateResult, used_late
from graphwright.capture.lookup import (
    C_DESCRIPTORS,
    KEEPS_ELSEWHERE,
    attribute_error,
    find,
    instance_dict,
    is_data_descriptor,
    is_fixed_class,
    is_object_slot,
    is_trusted,
    peek,
    read_part,
    special,
)
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.capture.natives import work_out_annotations
from graphwright.capture.symbolic_ints import PLAIN_TYPES, plain
from graphwright.ir.sources import (
    AttrSource,
    InstanceDictSource,
    ItemSource,
    ModuleDictSource,
    PinSource,
    PlainConst,
    Source,
    TypeSource,
)
from graphwright.record import GRADIENTS_OF_STAND_INS


def load_attr(machine: Machine, holder: Any, name: str) -> Any:
    """Give `holder.name`.

    Raises:
        AttributeError: as Python does.
    """
    kind = type(holder)
    if kind is machine.tensor_type:
        return _load_tensor_attr(machine, holder, name)
    if kind in PLAIN_TYPES:
        return PLAIN_TYPES[kind] if name == "__class__" else getattr(plain(holder), name)
    loader: Any = _LOADERS.get(kind)
    if loader is not None:
        return loader(machine, holder, name)
    if isinstance(holder, type):
        return _load_class_attr(machine, holder, name)
    if isinstance(holder, types.ModuleType):
        return _load_module_attr(machine, holder, name)
    if holder is None:
        return natively(
            getattr, None, name
        )  # a descriptor cannot tell None from no instance at all
    try:
        value = _load_by_hook(machine, holder, name)
        failure = None
    except AttributeError as error:
        value, failure = ABSENT, error
    if value is not ABSENT:
        return value
    fallback = find(machine, kind, "__getattr__")
    if fallback is not ABSENT:
        return machine.call(fallback, [holder, name], {})
    _check_absent_natively(machine, holder, name)
    raise failure or attribute_error(holder, name)


def _check_absent_natively(machine: Machine, holder: Any, name: str) -> None:
    """Refuse an attribute that is in no dict or class: C code of the object's class gives it (of `threading.local`, of a proxy)."""
    kind = type(holder)
    getter = peek(kind, "__getattribute__")
    if machine.world.source_of(holder) is None or not isinstance(getter, C_DESCRIPTORS):
        return
    if getter is not object.__getattribute__ and hasattr(holder, name):
        raise _kept_elsewhere(machine, holder, name)


def _check_kept_here(machine: Machine, holder: Any, name: str) -> None:
    if isinstance(holder, KEEPS_ELSEWHERE) and machine.world.source_of(holder) is not None:
        raise _kept_elsewhere(machine, holder, name)


def _kept_elsewhere(machine: Machine, holder: Any, name: str) -> Exception:
    kind = type(holder)
    return machine.unsupported(
        f"the attribute {name!r} of an object of type {kind.__module__}.{kind.__qualname__}",
        why="it is written in C and keeps its attributes in a way of its own, so that they cannot be guarded",
        remedy="read what is needed of it before the call, and pass it as an argument",
    )


def _load_by_hook(machine: Machine, holder: Any, name: str) -> Any:
    """Give what `__getattribute__` gives, be it the user's or `object`'s; `ABSENT` or an AttributeError when there is nothing."""
    kind = type(holder)
    if not is_fixed_class(kind) and type(peek(kind, "__getattribute__")) is types.FunctionType:
        return machine.call(find(machine, kind, "__getattribute__"), [holder, name], {})
    return _load_instance_attr(machine, holder, name)


def load_raw_attr(machine: Machine, holder: Any, name: str) -> Any:
    """Give `holder.name` as `object.__getattribute__` does.

    Raises:
        AttributeError: there is none; `__getattr__` is not asked.
    """
    value = _load_instance_attr(machine, holder, name)
    if value is ABSENT:
        raise attribute_error(holder, name)
    return value


def _load_instance_attr(machine: Machine, holder: Any, name: str) -> Any:
    kind = type(holder)
    raw = peek(kind, name)
    if raw is not ABSENT:
        if type(raw) is not types.FunctionType and is_data_descriptor(raw):
            return _load_data_descriptor(machine, holder, name)
        value = load_from_dict(machine, holder, name)
        if value is not ABSENT:
            return value
        _guard_own_absence(machine, holder, name)
        return bind_class_attr(machine, find(machine, kind, name), holder, kind, name)
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


def _load_data_descriptor(machine: Machine, holder: Any, name: str) -> Any:
    kind = type(holder)
    raw = find(machine, kind, name)
    if isinstance(raw, property):
        getter = read_part(machine, raw, "fget")
        if is_native_member(holder):
            return natively(getter, holder)
        if getter is None:
            msg = f"property '{name}' of '{kind.__name__}' object has no getter"
            raise AttributeError(msg)
        return machine.call(getter, [holder], {})
    getter = special(machine, raw, "__get__")
    if getter is not None:
        return machine.call(getter, [raw, holder, kind], {})
    if name == "__dict__":
        _check_kept_here(machine, holder, name)
        return _load_own_dict(machine, holder)
    source = machine.world.source_of(holder)
    if source is None:
        return natively(raw.__get__, holder, kind)
    changed = machine.world.changed_attr(holder, name)
    if changed is DELETED:
        raise attribute_error(holder, name)
    if changed is not ABSENT:
        return changed
    value = natively(raw.__get__, machine.world.original_of(holder), kind)
    return machine.world.read(holder, name, value, lambda: AttrSource(source, name))


def _load_own_dict(machine: Machine, holder: Any) -> Any:
    table = instance_dict(holder)
    if table is None:
        raise attribute_error(holder, "__dict__")
    source = machine.world.source_of(holder)
    if source is None:
        return table
    entered = machine.world.read(holder, "__dict__", table, lambda: InstanceDictSource(source))

    def is_in_dict(name: str) -> bool:
        raw = peek(type(holder), name)
        return raw is ABSENT or not is_data_descriptor(raw)

    for name, value in machine.world.take_attrs(holder, is_in_dict).items():
        machine.world.set_key(entered, name, value)
    return entered


def bind_class_attr(machine: Machine, raw: Any, holder: Any, kind: type, name: str) -> Any:
    """Apply the descriptor protocol to a class attribute that was reached through an instance."""
    raw_kind = type(raw)
    if raw_kind is types.FunctionType:
        return types.MethodType(raw, holder)
    if raw_kind is staticmethod:
        return read_part(machine, raw, "__func__")
    if raw_kind is classmethod:
        return types.MethodType(read_part(machine, raw, "__func__"), kind)
    if raw_kind is property:
        return machine.call(read_part(machine, raw, "fget"), [holder], {})
    if isinstance(raw, functools.cached_property):
        value = machine.call(read_part(machine, raw, "func"), [holder], {})
        machine.store_raw_attr(holder, name, value)
        return value
    if raw_kind in machine.plain_types:
        return raw
    getter = special(machine, raw, "__get__")
    if getter is not None:
        return machine.call(getter, [raw, holder, kind], {})
    if isinstance(raw, C_DESCRIPTORS) or is_object_slot(raw):
        return natively(raw.__get__, holder, kind) if hasattr(raw, "__get__") else raw
    if peek(raw_kind, "__get__") is not ABSENT and raw_kind is not type:
        return natively(raw.__get__, holder, kind)
    return raw


def _load_late_attr(machine: Machine, holder: LateResult, name: str) -> Any:
    """Give a method of a late tensor, whose call will be late too; what else it has is not known yet."""
    method = getattr(torch.Tensor, name, None)
    is_other = holder.is_foreign or holder.sample is not ABSENT
    if is_other or not isinstance(method, types.MethodDescriptorType):
        raise used_late(holder)
    return types.MethodType(method, holder)


def _load_class_attr(machine: Machine, holder: type, name: str) -> Any:
    meta = type(holder)
    if is_fixed_class(holder) or (is_trusted(holder)):
        return natively(getattr, holder, name)
    _pin_metaclass(machine, holder)
    meta_raw = peek(meta, name)
    if meta_raw is not ABSENT and is_data_descriptor(meta_raw):
        if isinstance(meta_raw, property):
            getter = read_part(machine, find(machine, meta, name), "fget")
            return machine.call(getter, [holder], {})
        return natively(getattr, holder, name)
    if isinstance(holder, enum.EnumMeta) and name in holder.__members__:
        return holder.__members__[name]
    raw = find(machine, holder, name)
    if raw is not ABSENT:
        return _bind_to_class(machine, raw, holder, name)
    if meta_raw is not ABSENT:
        return bind_class_attr(machine, find(machine, meta, name), holder, meta, name)
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
        return read_part(machine, raw, "__func__")
    if raw_kind is classmethod:
        return types.MethodType(read_part(machine, raw, "__func__"), holder)
    getter = special(machine, raw, "__get__")
    if getter is not None:
        return machine.call(getter, [raw, None, holder], {})
    if isinstance(raw, C_DESCRIPTORS) or is_object_slot(raw):
        return natively(getattr, holder, name)
    return raw


def _load_module_attr(machine: Machine, holder: types.ModuleType, name: str) -> Any:
    table = holder.__dict__
    if name == "__dict__":
        return machine.world.read(holder, "__dict__", table, lambda: _module_dict(machine, holder))
    if name not in table:
        value = natively(getattr, holder, name)
        if name not in table:
            if type(value) in machine.plain_types or isinstance(value, type | types.ModuleType):
                machine.settings.note_attribute(machine.guards, holder, name, value)
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
    if name in _AUTOGRAD_ATTRS:
        return _load_autograd_attr(machine, holder, name)
    if name == "_version":
        _check_version_known(machine, holder)
    try:
        return natively(getattr, holder, name)
    except AttributeError:
        original = machine.world.original_of(holder)
        table = getattr(original, "__dict__", {})
        source = machine.world.source_of(holder)
        if original is holder or source is None or name not in table:
            raise
    return machine.world.read(original, name, table[name], lambda: AttrSource(source, name))


def _check_version_known(machine: Machine, tensor: Any) -> None:
    if tensor.state.storage.input_index is not None:
        raise machine.unsupported(
            "the version of a tensor that existed before the call",
            why="each write raises it, so that the program would hold for this call alone",
            remedy="read it outside the compiled function",
        )


_AUTOGRAD_ATTRS: Final = frozenset(
    {"grad", "grad_fn", "is_leaf", "output_nr", "retains_grad", "_backward_hooks"}
)
"""What autograd keeps of a tensor: a graph input's stand-in begins a history of its own, and does not have it."""


def _load_autograd_attr(machine: Machine, holder: torch.Tensor, name: str) -> Any:
    source = machine.world.source_of(holder)
    if source is None:
        return GRADIENTS_OF_STAND_INS.get(holder) if name == "grad" else getattr(holder, name)
    changed = machine.world.changed_attr(holder, name)
    if changed is not ABSENT:
        return changed
    original: Any = machine.world.original_of(holder)
    if name != "grad" and holder._version:  # noqa: SLF001  (no public reader)
        msg = f"the attribute {name} of an argument that was written to"
        raise machine.unsupported(
            msg,
            why="the history of an argument is not followed through changes in place",
            remedy="read it before the tensor is written to",
        )
    # what is asked of the real tensor is no operation of the program
    with torch._C.DisableTorchFunction(), warnings.catch_warnings():  # noqa: SLF001  (no public name)
        warnings.simplefilter(
            "ignore"
        )  # reading `grad` of a tensor that is no leaf warns; the program's own read will
        value = getattr(original, name)
    return machine.world.read(original, name, value, lambda: AttrSource(source, name))


def _load_function_attr(machine: Machine, holder: types.FunctionType, name: str) -> Any:
    source = machine.world.source_of(holder)
    if source is None:
        if name == "__annotations__":
            work_out_annotations(machine, holder)
        return natively(getattr, holder, name)
    changed = machine.world.changed_attr(holder, name)
    if changed is not ABSENT and changed is not DELETED:
        return changed
    value = natively(getattr, holder, name)
    if name in ("__code__", "__globals__", "__closure__", "__get__", "__call__"):
        return value
    if name in ("__name__", "__qualname__", "__doc__", "__module__"):
        return value
    return machine.world.read(holder, name, value, lambda: AttrSource(source, name))


def _load_method_attr(machine: Machine, holder: types.MethodType, name: str) -> Any:
    if name in ("__func__", "__self__"):
        return natively(getattr, holder, name)
    return load_attr(machine, holder.__func__, name)


def _load_traceback_attr(machine: Machine, holder: types.TracebackType, name: str) -> Any:
    """Refuse to look into the traceback of an exception that the program raised: its frames are the interpreter's."""
    if machine.world.source_of(holder) is not None:
        return load_raw_attr(machine, holder, name)
    raise machine.unsupported(
        f"the attribute {name} of a traceback",
        why="it is about the frames that Python itself runs",
        remedy="give the exception to traceback.format_exception, or look at it outside the compiled function",
    )


def _load_super_attr(machine: Machine, holder: Any, name: str) -> Any:
    start, receiver, kind = holder.__thisclass__, holder.__self__, holder.__self_class__
    mro = kind.__mro__
    for base in mro[mro.index(start) + 1 :]:
        if name not in base.__dict__:
            continue
        _pin_base(machine, kind, base)
        raw = find(machine, base, name)
        if name == "__class__":
            break
        if receiver is kind and isinstance(receiver, type):
            return _bind_to_class_from(machine, raw, receiver)
        if is_data_descriptor(raw) and isinstance(raw, property):
            return machine.call(read_part(machine, raw, "fget"), [receiver], {})
        return bind_class_attr(machine, raw, receiver, kind, name)
    return natively(getattr, holder, name)


def _pin_base(machine: Machine, kind: type, base: type) -> None:
    """Make sure that a class met along the method resolution order of another is known by a guard."""
    guards = machine.guards
    if is_fixed_class(base) or guards.has_pin(base) or kind in machine.own_classes:
        return
    order = AttrSource(PinSource(guards.pin(kind)), "__mro__")
    guards.identity(base, ItemSource(order, PlainConst(kind.__mro__.index(base))))


def _pin_metaclass(machine: Machine, holder: type) -> None:
    """Make sure that the class of a class is known by a guard."""
    meta, guards = type(holder), machine.guards
    if not (is_fixed_class(meta) or guards.has_pin(meta) or holder in machine.own_classes):
        guards.identity(meta, TypeSource(PinSource(guards.pin(holder))))


def _bind_to_class_from(machine: Machine, raw: Any, receiver: type) -> Any:
    """Apply the descriptor protocol to what `super()` found for a class (in `__new__` and class methods)."""
    if type(raw) is types.FunctionType:
        return raw
    if type(raw) is staticmethod:
        return read_part(machine, raw, "__func__")
    if type(raw) is classmethod:
        return types.MethodType(read_part(machine, raw, "__func__"), receiver)
    if hasattr(type(raw), "__get__"):
        return natively(raw.__get__, None, receiver)
    return raw


_LOADERS: Final = {
    types.ModuleType: _load_module_attr,
    types.FunctionType: _load_function_attr,
    types.MethodType: _load_method_attr,
    super: _load_super_attr,
    types.TracebackType: _load_traceback_attr,
    LateResult: _load_late_attr,
}
