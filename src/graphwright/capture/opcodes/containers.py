"""Opcodes that build and fill containers and strings."""

from __future__ import annotations

from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.frames import Frame, Opcode
from graphwright.capture.instructions import Op
from graphwright.capture.items import check_key, check_members, read_mapping
from graphwright.capture.late_texts import join
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT


def _take(frame: Frame, count: int) -> list[Any]:
    if not count:
        return []
    items = frame.stack[-count:]
    del frame.stack[-count:]
    return items


def build_tuple(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_TUPLE."""
    frame.stack.append(tuple(_take(frame, arg)))


def build_list(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_LIST."""
    frame.stack.append(_take(frame, arg))


def build_set(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_SET."""
    items = [check_key(machine, item) for item in _take(frame, arg)]
    made: set[Any] = natively(set, items)
    machine.written_sets[id(made)] = (made, tuple(natively(dict.fromkeys, items)))
    frame.stack.append(made)


def build_map(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_MAP."""
    items = _take(frame, 2 * arg)
    keys = [check_key(machine, key) for key in items[::2]]
    frame.stack.append(natively(dict, zip(keys, items[1::2], strict=True)))


def build_const_key_map(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_CONST_KEY_MAP."""
    keys = frame.stack.pop()
    frame.stack.append(dict(zip(keys, _take(frame, arg), strict=True)))


def build_string(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_STRING."""
    frame.stack.append(join(machine, "", _take(frame, arg)))


def build_slice(machine: Machine, frame: Frame, arg: int) -> None:
    """BUILD_SLICE."""
    frame.stack.append(slice(*_take(frame, arg)))


def list_to_tuple(machine: Machine, frame: Frame, arg: Any) -> None:
    """LIST_TO_TUPLE."""
    frame.stack[-1] = tuple(machine.world.contents(frame.stack[-1]))


def list_append(machine: Machine, frame: Frame, arg: int) -> None:
    """LIST_APPEND."""
    value = frame.stack.pop()
    machine.world.append(frame.stack[-arg], value)


def set_add(machine: Machine, frame: Frame, arg: int) -> None:
    """SET_ADD."""
    value = frame.stack.pop()
    natively(machine.world.change(frame.stack[-arg]).add, check_key(machine, value))


def map_add(machine: Machine, frame: Frame, arg: int) -> None:
    """MAP_ADD."""
    value = frame.stack.pop()
    key = frame.stack.pop()
    machine.setitem(frame.stack[-arg], check_key(machine, key), value)


def list_extend(machine: Machine, frame: Frame, arg: int) -> None:
    """LIST_EXTEND."""
    value = frame.stack.pop()
    items = machine.native_iterable(value)
    try:
        iterator = natively(iter, items)
    except TypeError:
        if hasattr(type(value), "__iter__"):
            raise
        text = f"Value after * must be an iterable, not {type(value).__name__}"
        raise TypeError(text) from None
    natively(machine.world.change(frame.stack[-arg]).extend, iterator)


def set_update(machine: Machine, frame: Frame, arg: int) -> None:
    """SET_UPDATE."""
    value = frame.stack.pop()
    target = machine.world.change(frame.stack[-arg])
    items = check_members(machine, target, machine.members(value))
    natively(target.update, items)


def dict_update(machine: Machine, frame: Frame, arg: int) -> None:
    """DICT_UPDATE."""
    entries = read_mapping(machine, frame.stack.pop())
    machine.world.change(frame.stack[-arg]).update(entries)


def dict_merge(machine: Machine, frame: Frame, arg: int) -> None:
    """DICT_MERGE."""
    mapping = frame.stack.pop()
    target = machine.world.change(frame.stack[-arg])
    function = next(x for x in frame.stack[-arg - 3 :] if x is not ABSENT)
    if not hasattr(type(mapping), "keys"):
        kind = type(mapping).__name__
        msg = f"{function_text(function)} argument after ** must be a mapping, not {kind}"
        raise TypeError(msg)
    for key, value in read_mapping(machine, mapping).items():
        if key in target:
            msg = f"{function_text(function)} got multiple values for keyword argument '{key}'"
            raise TypeError(msg)
        target[key] = value


def function_text(function: Any) -> str:
    """Name a callable the way CPython's messages do."""
    name = getattr(function, "__qualname__", None)
    if not isinstance(name, str):
        return str(function)
    module = getattr(function, "__module__", None)
    return f"{name}()" if module in (None, "builtins") else f"{module}.{name}()"


def convert_value(machine: Machine, frame: Frame, arg: Any) -> None:
    """CONVERT_VALUE."""
    frame.stack[-1] = machine.text(arg, [frame.stack[-1]])


def format_simple(machine: Machine, frame: Frame, arg: Any) -> None:
    """FORMAT_SIMPLE."""
    value = frame.stack[-1]
    if type(value) is not str:
        frame.stack[-1] = machine.text(format, [value, ""])


def format_with_spec(machine: Machine, frame: Frame, arg: Any) -> None:
    """FORMAT_WITH_SPEC."""
    spec = frame.stack.pop()
    frame.stack[-1] = machine.text(format, [frame.stack[-1], spec])


def template_string(machine: Machine, frame: Frame, arg: Any) -> None:
    """BUILD_INTERPOLATION and BUILD_TEMPLATE."""
    msg = "a template string"
    raise machine.unsupported(
        msg,
        why="template strings are not captured",
        remedy="use an f-string, or make the template outside the compiled function",
    )


OPCODES: Final[dict[Op, Opcode]] = {
    Op.BUILD_TUPLE: build_tuple,
    Op.BUILD_LIST: build_list,
    Op.BUILD_SET: build_set,
    Op.BUILD_MAP: build_map,
    Op.BUILD_CONST_KEY_MAP: build_const_key_map,
    Op.BUILD_STRING: build_string,
    Op.BUILD_SLICE: build_slice,
    Op.LIST_TO_TUPLE: list_to_tuple,
    Op.LIST_APPEND: list_append,
    Op.SET_ADD: set_add,
    Op.MAP_ADD: map_add,
    Op.LIST_EXTEND: list_extend,
    Op.SET_UPDATE: set_update,
    Op.DICT_UPDATE: dict_update,
    Op.DICT_MERGE: dict_merge,
    Op.CONVERT_VALUE: convert_value,
    Op.FORMAT_SIMPLE: format_simple,
    Op.FORMAT_WITH_SPEC: format_with_spec,
    Op.BUILD_INTERPOLATION: template_string,
    Op.BUILD_TEMPLATE: template_string,
}
