"""Attributes stored and deleted, where the program can see them and the user's objects cannot.

In: an object, a name, a value.   Out: nothing; own objects are changed, changes of others are kept aside in the world.
Keeps: user-written `__setattr__`, setters and deleters are interpreted; an object that existed before is never written.
"""

from __future__ import annotations

import inspect
import types
from typing import Any

from graphwright.capture.attributes import load_from_dict
from graphwright.capture.faults import natively
from graphwright.capture.late_calls import check_none_late
from graphwright.capture.lookup import (
    KEEPS_ELSEWHERE,
    attribute_error,
    find,
    instance_dict,
    is_data_descriptor,
    is_fixed_class,
    peek,
    read_part,
    special,
)
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.record import GRADIENTS_OF_STAND_INS


def store_attr(machine: Machine, holder: Any, name: str, value: Any) -> None:
    """Do `holder.name = value`."""
    kind = type(holder)
    if kind is machine.tensor_type:
        if name == "grad":
            _store_gradient(machine, holder, value)
            return
        if machine.world.source_of(holder) is not None and name not in (
            "data",
            "requires_grad",
        ):
            msg = f"a new attribute {name!r} on a tensor that existed before"
            raise machine.unsupported(
                msg,
                why="attributes of tensors are not replayed",
                remedy="keep the value in a local variable or on your module",
            )
        check_none_late(value)
        natively(setattr, holder, name, value)
        return
    if not is_fixed_class(kind):
        hook = find(machine, kind, "__setattr__")
        if type(hook) is types.FunctionType:
            machine.call(hook, [holder, name, value], {})
            return
    store_raw_attr(machine, holder, name, value)


def _store_gradient(machine: Machine, tensor: Any, value: Any) -> None:
    """Do `tensor.grad = value`."""
    if machine.world.source_of(tensor) is None:
        raise machine.unsupported(
            "a store to `.grad` of a tensor that the program made",
            why="tensors are made anew at the program's end, without one",
            remedy="keep the gradient in a variable of its own",
        )
    # what CPython raises for a value that is no gradient of this tensor
    natively(GRADIENTS_OF_STAND_INS.set, tensor, value)
    natively(GRADIENTS_OF_STAND_INS.set, tensor, None)
    machine.world.set_attr(tensor, "grad", value)


def store_raw_attr(machine: Machine, holder: Any, name: str, value: Any) -> None:
    """Do `object.__setattr__(holder, name, value)`."""
    kind = type(holder)
    _check_writable(machine, holder, name)
    raw = peek(kind, name)
    if raw is not ABSENT and is_data_descriptor(raw):
        raw = find(machine, kind, name)
        if isinstance(raw, property):
            setter = read_part(machine, raw, "fset")
            if setter is None:
                msg = f"property '{name}' of '{kind.__name__}' object has no setter"
                raise AttributeError(msg)
            machine.call(setter, [holder, value], {})
            return
        setter = special(machine, raw, "__set__")
        if setter is not None:
            machine.call(setter, [raw, holder, value], {})
            return
    if machine.world.source_of(holder) is None:
        base = type if isinstance(holder, type) else object
        natively(base.__setattr__, holder, name, value)
        return
    table = instance_dict(holder)
    if table is None and raw is ABSENT:
        raise attribute_error(holder, name)
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
    if isinstance(holder, KEEPS_ELSEWHERE):
        raise machine.unsupported(
            f"a store to attribute {name!r} of an object of type {type(holder).__qualname__}",
            why="it is written in C and keeps its attributes in a way of its own",
            remedy="keep state on an object of a class of your own",
        )


def delete_attr(machine: Machine, holder: Any, name: str) -> None:
    """Do `del holder.name`."""
    kind = type(holder)
    if kind is machine.tensor_type and name == "grad":
        _store_gradient(machine, holder, None)
        return
    if not is_fixed_class(kind):
        hook = find(machine, kind, "__delattr__")
        if type(hook) is types.FunctionType:
            machine.call(hook, [holder, name], {})
            return
    raw = peek(kind, name)
    if isinstance(raw, property):
        deleter = read_part(machine, find(machine, kind, name), "fdel")
        if deleter is None:
            msg = f"property '{name}' of '{kind.__name__}' object has no deleter"
            raise AttributeError(msg)
        machine.call(deleter, [holder], {})
        return
    _check_writable(machine, holder, name)
    if machine.world.source_of(holder) is None:
        base = type if isinstance(holder, type) else object
        natively(base.__delattr__, holder, name)
        return
    is_slot = inspect.ismemberdescriptor(raw)
    if not is_slot and load_from_dict(machine, holder, name) is ABSENT:
        raise attribute_error(holder, name)
    table = instance_dict(holder)
    if not is_slot and table is not None and machine.world.source_of(table) is not None:
        machine.world.set_key(table, name, DELETED)
    else:
        machine.world.set_attr(holder, name, DELETED)
