"""Opcodes that move values between the stack and the slots of a frame."""

from __future__ import annotations

import types
from typing import Any, Final

from graphwright.capture.frames import Frame, Opcode
from graphwright.capture.instructions import Op
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, DELETED, UNUSED, Handled, Missing


def pop(machine: Machine, frame: Frame, arg: Any) -> None:
    """POP."""
    frame.stack.pop()


def push_null(machine: Machine, frame: Frame, arg: Any) -> None:
    """PUSH_NULL."""
    frame.stack.append(ABSENT)


def copy(machine: Machine, frame: Frame, arg: int) -> None:
    """COPY."""
    stack = frame.stack
    value = stack[-arg]
    if type(value) is Handled:
        stack[-arg] = UNUSED
    stack.append(value)


def swap(machine: Machine, frame: Frame, arg: int) -> None:
    """SWAP."""
    stack = frame.stack
    stack[-1], stack[-arg] = stack[-arg], stack[-1]


def load_const(machine: Machine, frame: Frame, arg: Any) -> None:
    """LOAD_CONST."""
    frame.stack.append(arg)


def _unbound(name: str) -> UnboundLocalError:
    return UnboundLocalError(
        f"cannot access local variable '{name}' where it is not associated with a value"
    )


def load_fast(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_FAST."""
    try:
        frame.stack.append(frame.slots[arg])
    except KeyError:
        raise _unbound(arg) from None


def load_fast_and_clear(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_FAST_AND_CLEAR."""
    frame.stack.append(frame.slots.pop(arg, ABSENT))


def store_fast(machine: Machine, frame: Frame, arg: str) -> None:
    """STORE_FAST."""
    value = frame.stack.pop()
    if type(value) is Missing:
        frame.slots.pop(arg, None)
    else:
        frame.slots[arg] = value
        if type(value) is machine.tensor_type:
            machine.recorder.trace.rename(value, arg)


def delete_fast(machine: Machine, frame: Frame, arg: str) -> None:
    """DELETE_FAST."""
    if arg not in frame.slots:
        raise _unbound(arg)
    del frame.slots[arg]


def make_cell(machine: Machine, frame: Frame, arg: str) -> None:
    """MAKE_CELL."""
    if arg in frame.slots:
        frame.slots[arg] = types.CellType(frame.slots[arg])
    else:
        frame.slots[arg] = types.CellType()


def copy_free_vars(machine: Machine, frame: Frame, arg: tuple[str, ...]) -> None:
    """COPY_FREE_VARS."""
    for name, cell in zip(arg, frame.closure or (), strict=True):
        frame.slots[name] = cell


def load_deref(machine: Machine, frame: Frame, arg: str) -> None:
    """LOAD_DEREF."""
    frame.stack.append(read_deref(machine, frame, arg))


def read_deref(machine: Machine, frame: Frame, name: str) -> Any:
    """Give the content of a cell.

    Raises:
        NameError: the cell is empty.
    """
    value = machine.world.cells.read(frame.slots[name])
    if value is not ABSENT:
        return value
    if name in frame.info.code.co_freevars:
        msg = (
            f"cannot access free variable '{name}' where it is not associated "
            "with a value in enclosing scope"
        )
        raise NameError(msg)
    raise _unbound(name)


def store_deref(machine: Machine, frame: Frame, arg: str) -> None:
    """STORE_DEREF."""
    machine.world.write_cell(frame.slots[arg], frame.stack.pop())


def delete_deref(machine: Machine, frame: Frame, arg: str) -> None:
    """DELETE_DEREF."""
    read_deref(machine, frame, arg)
    machine.world.write_cell(frame.slots[arg], DELETED)


OPCODES: Final[dict[Op, Opcode]] = {
    Op.POP: pop,
    Op.PUSH_NULL: push_null,
    Op.COPY: copy,
    Op.SWAP: swap,
    Op.LOAD_CONST: load_const,
    Op.LOAD_FAST: load_fast,
    Op.LOAD_FAST_AND_CLEAR: load_fast_and_clear,
    Op.STORE_FAST: store_fast,
    Op.DELETE_FAST: delete_fast,
    Op.MAKE_CELL: make_cell,
    Op.COPY_FREE_VARS: copy_free_vars,
    Op.LOAD_CLOSURE: load_fast,
    Op.LOAD_DEREF: load_deref,
    Op.STORE_DEREF: store_deref,
    Op.DELETE_DEREF: delete_deref,
}
