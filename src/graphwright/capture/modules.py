"""`torch.nn.Module`: its attributes and its call, without walking through PyTorch's code for them.

In: modules as the interpreter holds them.   Out: parameters, buffers and submodules with direct sources; the call of `forward`.
Keeps: what `Module.__getattr__`, `__setattr__` and `_call_impl` do; for a module with forward hooks, `_call_impl` itself is interpreted.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.capture.attributes import load_from_dict
from graphwright.capture.lookup import find, instance_dict, peek
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.ir.guards import LengthGuard
from graphwright.ir.sources import InstanceDictSource, ItemSource, PlainConst

_TABLES: Final = ("_parameters", "_buffers", "_modules")
_HOOKS: Final = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _table(machine: Machine, module: Any, name: str) -> Any:
    table = load_from_dict(machine, module, name)
    if table is ABSENT or not isinstance(table, dict):
        return None
    return table


def _is_empty(machine: Machine, table: dict[str, Any]) -> bool:
    """Tell whether a table holds nothing; one guard then stands for all names that are looked for in it."""
    if len(table) or machine.world.source_of(table) is None or id(table) in machine.world.changed:
        return False
    return machine.length(table) == 0


def _table_get(machine: Machine, table: dict[str, Any], name: str) -> Any:
    if machine.world.source_of(table) is None:
        return table.get(name, ABSENT)
    return machine.world.read_key(table, name)


def load_module_part(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`Module.__getattr__(module, name)`: a parameter, buffer or submodule."""
    module, name = args
    own = instance_dict(module) or {}
    source = machine.world.source_of(module)
    if source is not None and name not in own:
        machine.world.guard_attr_absent(module, name)
    for table_name in _TABLES:
        table = _table(machine, module, table_name)
        if table is None:
            continue
        if _is_empty(machine, table):
            continue
        value = _table_get(machine, table, name)
        if value is not ABSENT:
            return value
    msg = f"'{type(module).__name__}' object has no attribute '{name}'"
    raise AttributeError(msg, name=name, obj=module)


def store_module_attr(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """`Module.__setattr__(module, name, value)`."""
    module, name, value = args
    if machine.world.source_of(module) is None:
        machine.inline(_SETATTR, args, kwargs)
        return
    if machine.call(isinstance, [value, torch.nn.Parameter], {}):
        raise _no_registration(machine, name, "parameter")
    for table_name, (kind, what, takes) in _TAKES.items():
        table = _table(machine, module, table_name)
        if isinstance(value, torch.nn.Module) and table_name == "_buffers":
            break  # which it would be moved from
        if table is not None and machine.world.has_key(table, name):
            if value is not None and not machine.call(isinstance, [value, kind], {}):
                shown = machine.call(torch.typename, [value], {})
                msg = f"cannot assign '{shown}' as {what} '{name}' ({takes} or None expected)"
                raise TypeError(msg)
            machine.world.set_key(table, name, value)
            return
    if isinstance(value, torch.nn.Module):
        raise _no_registration(machine, name, "submodule")
    machine.store_raw_attr(module, name, value)


_SETATTR: Final[Any] = torch.nn.Module.__setattr__

_TAKES: Final[dict[str, tuple[Any, str, str]]] = {
    "_parameters": (torch.nn.Parameter, "parameter", "torch.nn.Parameter"),
    "_modules": (torch.nn.Module, "child module", "torch.nn.Module"),
    "_buffers": (torch.Tensor, "buffer", "torch.nn.Buffer, torch.Tensor"),
}
"""What a module keeps in each of its tables, what it calls that, and what it asks for; in the order in which it looks."""


def _no_registration(machine: Machine, name: str, what: str) -> Exception:
    return machine.unsupported(
        f"the assignment of a new {what} {name!r} to a module that existed before",
        why="it registers the value with the module",
        remedy="register it before the call",
    )


def delete_module_attr(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """`Module.__delattr__(module, name)`."""
    module, name = args
    for table_name in _TABLES:
        table = _table(machine, module, table_name)
        if table is None or _table_get(machine, table, name) is ABSENT:
            continue
        if machine.world.source_of(table) is None:
            del table[name]
        else:
            machine.world.set_key(table, name, DELETED)
        return
    if load_from_dict(machine, module, name) is ABSENT:
        msg = f"'{type(module).__name__}' object has no attribute '{name}'"
        raise AttributeError(msg)
    if machine.world.source_of(module) is None:
        object.__delattr__(module, name)
    else:
        machine.world.set_attr(module, name, DELETED)


def call_module(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`Module.__call__(module, ...)`: its `forward`, after the look at its hooks."""
    module = args[0]
    forward = machine.ready_modules.get(id(module))
    if forward is None:
        forward = _look_at(machine, module)
    if forward is None:
        return machine.inline(find(machine, type(module), "_call_impl"), args, kwargs)
    if type(forward) is types.FunctionType:
        return machine.call(forward, args, kwargs)
    return machine.call(machine.load_attr(module, "forward"), args[1:], kwargs)


def _has_hooks(machine: Machine, module: Any, name: str) -> bool:
    table = (instance_dict(module) or {}).get(name)
    source = machine.world.source_of(module)
    if source is None or table is None:
        return bool(table)
    if table or machine.world.source_of(table) is not None:
        return machine.length(_table(machine, module, name)) != 0
    place = ItemSource(InstanceDictSource(source), PlainConst(name))
    machine.guards.add(LengthGuard(place, 0, machine.loc()))
    return False


def _look_at(machine: Machine, module: Any) -> Any:
    """Guard what a module's call depends on beside its `forward`.

    Gives its class's `forward`, `ABSENT` if it has one of its own, or None if it has hooks.
    """
    find(machine, type(module), "_call_impl")
    compiled = machine.load_attr(module, "_compiled_call_impl")
    if compiled is not None:
        msg = f"a call of {type(module).__name__}, a module that was compiled in place"
        raise machine.unsupported(
            msg,
            why="its call leads to another compiler",
            remedy="compile only the outermost module",
        )
    has_hooks = False
    for name in _HOOKS:
        if not _has_hooks(machine, module, name):
            continue
        if "backward" in name:
            msg = f"a call of {type(module).__name__}, a module with backward hooks"
            raise machine.unsupported(
                msg,
                why="backward hooks are not captured",
                remedy="remove the hooks, or use hooks of tensors outside the compiled function",
            )
        has_hooks = True
    if has_hooks:
        return None
    own = instance_dict(module) or {}
    raw = peek(type(module), "forward")
    if type(raw) is not types.FunctionType or "forward" in own:
        forward: Any = ABSENT
    else:
        forward = find(machine, type(module), "forward")
        if machine.world.source_of(module) is not None:
            machine.world.guard_attr_absent(module, "forward")
            if machine.world.changed_attr(module, "forward") is not ABSENT:
                return ABSENT
    machine.ready_modules[id(module)] = forward
    return forward
