"""Opcodes for jumps, iteration, operators and pattern matching."""

from __future__ import annotations

import collections.abc
from typing import Any, Final

from graphwright.capture.faults import natively
from graphwright.capture.frames import Frame, Opcode
from graphwright.capture.instructions import Op, UnpackShape
from graphwright.capture.machine import Machine
from graphwright.capture.operators import unary


def jump(machine: Machine, frame: Frame, arg: int) -> int:
    """JUMP."""
    return arg


def pop_jump_if_true(machine: Machine, frame: Frame, arg: int) -> int | None:
    """POP_JUMP_IF_TRUE."""
    value = frame.stack.pop()
    if value is True:
        return arg
    if value is False:
        return None
    return arg if machine.truth(value) else None


def pop_jump_if_false(machine: Machine, frame: Frame, arg: int) -> int | None:
    """POP_JUMP_IF_FALSE."""
    value = frame.stack.pop()
    if value is True:
        return None
    if value is False:
        return arg
    return None if machine.truth(value) else arg


def pop_jump_if_none(machine: Machine, frame: Frame, arg: int) -> int | None:
    """POP_JUMP_IF_NONE."""
    return arg if frame.stack.pop() is None else None


def pop_jump_if_not_none(machine: Machine, frame: Frame, arg: int) -> int | None:
    """POP_JUMP_IF_NOT_NONE."""
    return arg if frame.stack.pop() is not None else None


def get_iter(machine: Machine, frame: Frame, arg: Any) -> None:
    """GET_ITER."""
    stack = frame.stack
    stack[-1] = machine.iterate(stack[-1])


def for_iter(machine: Machine, frame: Frame, arg: int) -> int | None:
    """FOR_ITER."""
    stack = frame.stack
    try:
        stack.append(machine.next_item(stack[-1]))
    except StopIteration:
        stack.pop()
        return arg
    return None


def _take_all(machine: Machine, value: Any) -> list[Any]:
    if type(value) in (tuple, list) and machine.world.source_of(value) is None:
        return list(value)
    try:
        return natively(list, machine.native_iterable(value))
    except TypeError:
        if hasattr(type(value), "__iter__") or hasattr(type(value), "__getitem__"):
            raise
        msg = f"cannot unpack non-iterable {type(value).__name__} object"
        raise TypeError(msg) from None


def unpack_sequence(machine: Machine, frame: Frame, arg: int) -> None:
    """UNPACK_SEQUENCE."""
    items = _take_all(machine, frame.stack.pop())
    if len(items) > arg:
        msg = f"too many values to unpack (expected {arg})"
        raise ValueError(msg)
    if len(items) < arg:
        msg = f"not enough values to unpack (expected {arg}, got {len(items)})"
        raise ValueError(msg)
    items.reverse()
    frame.stack.extend(items)


def unpack_ex(machine: Machine, frame: Frame, arg: UnpackShape) -> None:
    """UNPACK_EX."""
    items = _take_all(machine, frame.stack.pop())
    least = arg.before + arg.after
    if len(items) < least:
        text = f"not enough values to unpack (expected at least {least}, got {len(items)})"
        raise ValueError(text)
    stop = len(items) - arg.after
    parts = [*items[: arg.before], items[arg.before : stop], *items[stop:]]
    parts.reverse()
    frame.stack.extend(parts)


def unary_op(machine: Machine, frame: Frame, arg: Any) -> None:
    """UNARY_OP."""
    frame.stack[-1] = unary(machine, arg, frame.stack[-1])


def binary_op(machine: Machine, frame: Frame, arg: Any) -> None:
    """BINARY_OP."""
    stack = frame.stack
    right = stack.pop()
    stack[-1] = machine.binary(arg, stack[-1], right)


def compare_op(machine: Machine, frame: Frame, arg: Any) -> None:
    """COMPARE_OP."""
    stack = frame.stack
    right = stack.pop()
    stack[-1] = machine.compare(arg, stack[-1], right)


def is_op(machine: Machine, frame: Frame, arg: bool) -> None:  # noqa: FBT001
    """IS_OP."""
    right = frame.stack.pop()
    frame.stack[-1] = machine.is_same(frame.stack[-1], right) is not arg


def contains_op(machine: Machine, frame: Frame, arg: bool) -> None:  # noqa: FBT001
    """CONTAINS_OP."""
    container = frame.stack.pop()
    frame.stack[-1] = bool(machine.contains(container, frame.stack[-1])) is not arg


def to_bool(machine: Machine, frame: Frame, arg: Any) -> None:
    """TO_BOOL."""
    frame.stack[-1] = machine.truth(frame.stack[-1])


def store_subscr(machine: Machine, frame: Frame, arg: Any) -> None:
    """STORE_SUBSCR."""
    value, holder, key = frame.stack[-3:]
    del frame.stack[-3:]
    machine.setitem(holder, key, value)


def delete_subscr(machine: Machine, frame: Frame, arg: Any) -> None:
    """DELETE_SUBSCR."""
    holder, key = frame.stack[-2:]
    del frame.stack[-2:]
    machine.delitem(holder, key)


def get_len(machine: Machine, frame: Frame, arg: Any) -> None:
    """GET_LEN."""
    frame.stack.append(machine.length(frame.stack[-1]))


def match_mapping(machine: Machine, frame: Frame, arg: Any) -> None:
    """MATCH_MAPPING."""
    frame.stack.append(isinstance(frame.stack[-1], collections.abc.Mapping))


def match_sequence(machine: Machine, frame: Frame, arg: Any) -> None:
    """MATCH_SEQUENCE."""
    value = frame.stack[-1]
    is_sequence = isinstance(value, collections.abc.Sequence)
    frame.stack.append(is_sequence and not isinstance(value, str | bytes | bytearray))


def match_keys(machine: Machine, frame: Frame, arg: Any) -> None:
    """MATCH_KEYS."""
    subject, keys = frame.stack[-2:]
    found = []
    for key in keys:
        if not machine.contains(subject, key):
            frame.stack.append(None)
            return
        found.append(machine.getitem(subject, key))
    frame.stack.append(tuple(found))


_SELF_MATCHING: Final = (
    bool,
    bytearray,
    bytes,
    dict,
    float,
    frozenset,
    int,
    list,
    set,
    str,
    tuple,
)


def match_class(machine: Machine, frame: Frame, arg: int) -> None:
    """MATCH_CLASS."""
    subject, kind, names = frame.stack[-3:]
    del frame.stack[-3:]
    if not isinstance(kind, type):
        msg = "called match pattern must be a class"
        raise TypeError(msg)
    if not machine.call(isinstance, [subject, kind], {}):
        frame.stack.append(None)
        return
    positional: list[Any] = []
    try:
        if arg and issubclass(kind, _SELF_MATCHING) and not hasattr(kind, "__match_args__"):
            positional, arg = [subject], arg - 1
        if arg:
            match_args = machine.load_attr(kind, "__match_args__")
            if len(match_args) < arg:
                msg = (
                    f"{kind.__name__}() accepts {len(match_args)} positional sub-patterns "
                    f"({arg} given)"
                )
                raise TypeError(msg)
            positional += [machine.load_attr(subject, name) for name in match_args[:arg]]
        keyword = [machine.load_attr(subject, name) for name in names]
    except AttributeError:
        frame.stack.append(None)
        return
    frame.stack.append((*positional, *keyword))


OPCODES: Final[dict[Op, Opcode]] = {
    Op.JUMP: jump,
    Op.POP_JUMP_IF_TRUE: pop_jump_if_true,
    Op.POP_JUMP_IF_FALSE: pop_jump_if_false,
    Op.POP_JUMP_IF_NONE: pop_jump_if_none,
    Op.POP_JUMP_IF_NOT_NONE: pop_jump_if_not_none,
    Op.GET_ITER: get_iter,
    Op.FOR_ITER: for_iter,
    Op.UNPACK_SEQUENCE: unpack_sequence,
    Op.UNPACK_EX: unpack_ex,
    Op.UNARY_OP: unary_op,
    Op.BINARY_OP: binary_op,
    Op.COMPARE_OP: compare_op,
    Op.IS_OP: is_op,
    Op.CONTAINS_OP: contains_op,
    Op.TO_BOOL: to_bool,
    Op.STORE_SUBSCR: store_subscr,
    Op.DELETE_SUBSCR: delete_subscr,
    Op.GET_LEN: get_len,
    Op.MATCH_MAPPING: match_mapping,
    Op.MATCH_SEQUENCE: match_sequence,
    Op.MATCH_KEYS: match_keys,
    Op.MATCH_CLASS: match_class,
}
