"""Opcodes that read and write names and attributes, and import."""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.frames import Frame, Opcode
from graphwright.capture.instructions import Op, SuperAttr
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED
from graphwright.capture.opcodes.stack import read_deref
from graphwright.ir.guards import DictContainsGuard
from graphwright.ir.sources import (
    GlobalsSource,
    ImportSource,
    ItemSource,
    ModuleDictSource,
    PlainConst,
    Source,
)

_COMPILERS: Final = ("torch._dynamo", "torch._inductor")


def globals_source_of(machine: Machine, function: types.FunctionType) -> Source | None:
    """Give the source of a function's globals, or None when nothing leads there."""
    table = function.__globals__
    name = table.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if isinstance(name, str) and module is not None and module.__dict__ is table:
        return ModuleDictSource(name)
    known = machine.globals_sources.get(id(table))
    if known is not None:
        return known[1]
    source = machine.world.source_of(function)
    if source is None:
        return None
    machine.globals_sources[id(table)] = (table, GlobalsSource(source))
    return machine.globals_sources[id(table)][1]


def globals_source(machine: Machine, frame: Frame) -> Source | None:
    """Give the source of a frame's globals, or None when nothing leads there."""
    return globals_source_of(machine, frame.function)


def load_global(machine: Machine, frame: Frame, name: str) -> Any:
    """Give the global or builtin `name`.

    Raises:
        NameError: there is none.
    """
    key = (id(frame.globals), name)
    if key in machine.globals_read:
        return machine.globals_read[key]
    written = machine.globals_written.get(id(frame.globals))
    if written is not None and name in written[2]:
        value = written[2][name]
        if value is not DELETED:
            return value
    else:
        value = _read_global(machine, frame, name)
        if value is not ABSENT:
            machine.globals_read[key] = value
            return value
    if not hasattr(builtins, name):
        msg = f"name '{name}' is not defined"
        raise NameError(msg, name=name)
    value = machine.world.read(
        builtins,
        name,
        getattr(builtins, name),
        lambda: ItemSource(ModuleDictSource("builtins"), PlainConst(name)),
    )
    machine.globals_read[key] = value
    return value


def _read_global(machine: Machine, frame: Frame, name: str) -> Any:
    table = frame.globals
    source = globals_source(machine, frame)
    if name in table:
        if source is None:
            return table[name]
        return machine.world.read(
            table, ("item", name), table[name], lambda: ItemSource(source, PlainConst(name))
        )
    if source is not None:
        machine.guards.add(
            DictContainsGuard(source, PlainConst(name), is_present=False, loc=machine.loc())
        )
    return ABSENT


def op_load_global(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_GLOBAL."""
    known = machine.globals_read.get((id(frame.globals), arg), ABSENT)
    frame.stack.append(load_global(machine, frame, arg) if known is ABSENT else known)


def _write_global(machine: Machine, frame: Frame, name: str, value: Any) -> None:
    entry = machine.globals_written.get(id(frame.globals))
    if entry is None:
        source = globals_source(machine, frame)
        if source is None:
            frame.globals[name] = value
            return
        entry = machine.globals_written[id(frame.globals)] = (frame.globals, source, {})
    machine.world.num_writes += 1
    entry[2][name] = value
    machine.globals_read.pop((id(frame.globals), name), None)


def store_global(machine: Machine, frame: Frame, arg: str) -> None:
    """STORE_GLOBAL."""
    _write_global(machine, frame, arg, frame.stack.pop())


def delete_global(machine: Machine, frame: Frame, arg: str) -> None:
    """DELETE_GLOBAL."""
    msg = f"the deletion of global {arg!r}"
    raise machine.unsupported(
        msg,
        why="a deletion of a global is not replayed",
        remedy="set it to None",
    )


def load_name(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_NAME."""
    space = frame.namespace or {}
    frame.stack.append(space[arg] if arg in space else load_global(machine, frame, arg))


def store_name(machine: Machine, frame: Frame, arg: str) -> None:
    """STORE_NAME."""
    assert frame.namespace is not None, "STORE_NAME outside a class body"
    frame.namespace[arg] = frame.stack.pop()


def delete_name(machine: Machine, frame: Frame, arg: str) -> None:
    """DELETE_NAME."""
    space = frame.namespace or {}
    if arg not in space:
        msg = f"name '{arg}' is not defined"
        raise NameError(msg, name=arg)
    del space[arg]


def load_locals(machine: Machine, frame: Frame, arg: Any) -> None:
    """LOAD_LOCALS."""
    frame.stack.append(frame.namespace)


def load_from_dict_or_globals(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_FROM_DICT_OR_GLOBALS."""
    space = frame.stack.pop()
    frame.stack.append(space[arg] if arg in space else load_global(machine, frame, arg))


def load_from_dict_or_deref(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_FROM_DICT_OR_DEREF."""
    space = frame.stack.pop()
    frame.stack.append(space[arg] if arg in space else read_deref(machine, frame, arg))


def load_attr(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_ATTR."""
    stack = frame.stack
    stack[-1] = machine.load_attr(stack[-1], arg)


def store_attr(machine: Machine, frame: Frame, arg: str) -> None:
    """STORE_ATTR."""
    holder = frame.stack.pop()
    machine.store_attr(holder, arg, frame.stack.pop())


def delete_attr(machine: Machine, frame: Frame, arg: str) -> None:
    """DELETE_ATTR."""
    machine.delete_attr(frame.stack.pop(), arg)


def load_super_attr(machine: Machine, frame: Frame, arg: SuperAttr) -> None:
    """LOAD_SUPER_ATTR."""
    maker, kind, receiver = frame.stack[-3:]
    del frame.stack[-3:]
    found = (
        machine.call(maker, [kind, receiver], {})
        if maker is super or arg.has_arguments
        else machine.call(maker, [], {})
    )
    frame.stack.append(machine.load_attr(found, arg.name))


def load_special(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_SPECIAL."""
    frame.stack.append(load_special_method(machine, frame.stack.pop(), arg))


def _text_without_method(value: Any) -> str:
    """Give what the running CPython says of a `with` statement over an object that lacks one of the two methods."""
    try:
        with value:
            pass
    except TypeError as error:
        return str(error)
    msg = f"{type(value).__qualname__} has both methods"
    raise AssertionError(msg)


def load_special_method(machine: Machine, value: Any, name: str) -> Any:
    """Give a special method, looked up on the type and bound.

    Raises:
        TypeError: the type has none.
    """
    raw = machine.special(value, name)
    if raw is not None:
        return types.MethodType(raw, value)
    if not hasattr(type(value), name):
        raise TypeError(_text_without_method(value))
    return natively(getattr, value, name)


def import_name(machine: Machine, frame: Frame, arg: str) -> None:
    """IMPORT_NAME."""
    names = frame.stack.pop()
    level = frame.stack.pop()
    if arg.startswith(_COMPILERS):
        msg = f"an import of {arg}"
        raise machine.unsupported(
            msg,
            why="it is another compiler, whose state has no meaning here",
            remedy="use torch.compiler.is_compiling() instead",
        )
    package = frame.globals.get("__package__") or frame.globals.get("__name__", "")
    full = arg
    if level:
        base = package.rsplit(".", level - 1)[0] if level > 1 else package
        full = f"{base}.{arg}" if arg else base
    module = sys.modules.get(full) or natively(importlib.import_module, full)
    if not names and not level:
        full = full.partition(".")[0]
        module = sys.modules[full]
    machine.world.read(sys.modules, full, module, lambda: ImportSource(full))
    frame.stack.append(module)


def import_from(machine: Machine, frame: Frame, arg: str) -> None:
    """IMPORT_FROM."""
    module = frame.stack[-1]
    try:
        value = machine.load_attr(module, arg)
    except AttributeError:
        full = f"{module.__name__}.{arg}"
        if full not in sys.modules:
            text = f"cannot import name {arg!r} from {module.__name__!r}"
            raise ImportError(text, name=module.__name__) from None
        value = machine.world.read(sys.modules, full, sys.modules[full], lambda: ImportSource(full))
    frame.stack.append(value)


OPCODES: Final[dict[Op, Opcode]] = {
    Op.LOAD_GLOBAL: op_load_global,
    Op.STORE_GLOBAL: store_global,
    Op.DELETE_GLOBAL: delete_global,
    Op.LOAD_NAME: load_name,
    Op.STORE_NAME: store_name,
    Op.DELETE_NAME: delete_name,
    Op.LOAD_LOCALS: load_locals,
    Op.LOAD_FROM_DICT_OR_GLOBALS: load_from_dict_or_globals,
    Op.LOAD_FROM_DICT_OR_DEREF: load_from_dict_or_deref,
    Op.LOAD_ATTR: load_attr,
    Op.STORE_ATTR: store_attr,
    Op.DELETE_ATTR: delete_attr,
    Op.LOAD_SUPER_ATTR: load_super_attr,
    Op.LOAD_SPECIAL: load_special,
    Op.IMPORT_NAME: import_name,
    Op.IMPORT_FROM: import_from,
}
