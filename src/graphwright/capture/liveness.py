"""Which slots may still be read from an instruction on.

In: `Decoded`.   Out: `live_slots`, the names of the slots at an instruction that may be read before they are stored.
Keeps: the side of safety: a slot that is read in a way that the instructions do not show (`super()` looks at the first argument of
its caller, `locals()` at all slots) counts as read.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from graphwright.capture.instructions import JUMPS, Decoded, Instruction, Op
from graphwright.capture.stack_layout import goes_on

READS: Final = frozenset(
    {
        Op.LOAD_FAST,
        Op.LOAD_FAST_AND_CLEAR,
        Op.DELETE_FAST,
        Op.MAKE_CELL,
        Op.LOAD_CLOSURE,
        Op.LOAD_DEREF,
        Op.STORE_DEREF,
        Op.DELETE_DEREF,
        Op.LOAD_FROM_DICT_OR_DEREF,
    }
)
"""Instructions that need what their slot holds; a store into a cell needs the cell."""

ENDS: Final = frozenset(
    {Op.STORE_FAST, Op.DELETE_FAST, Op.LOAD_FAST_AND_CLEAR, Op.MAKE_CELL, Op.COPY_FREE_VARS}
)
"""Instructions after which what the slot held before is gone."""

LOOKS_AT_CALLER: Final = frozenset(
    {"locals", "vars", "dir", "eval", "exec", "_getframe", "currentframe", "stack"}
)
"""Names of functions that can read all slots of the function that calls them."""


def live_slots(decoded: Decoded, index: int) -> frozenset[str]:
    """Give the slots that may be read from instruction `index` on before they are stored, be it in a handler of an exception."""
    return live_table(decoded)[index]


@functools.lru_cache(maxsize=128)
def live_table(decoded: Decoded) -> tuple[frozenset[str], ...]:
    """Give the live slots of every instruction."""
    code = decoded.code
    slots = tuple(dict.fromkeys(code.co_varnames + code.co_cellvars + code.co_freevars))
    if not LOOKS_AT_CALLER.isdisjoint(code.co_names):
        return (frozenset(slots),) * len(decoded.instructions)
    bits = {name: 1 << i for i, name in enumerate(slots)}
    masks = _solve(decoded, bits)
    sets = {
        mask: frozenset(name for name in slots if mask & bits[name]) for mask in frozenset(masks)
    }
    return tuple(sets[mask] for mask in masks)


def _solve(decoded: Decoded, bits: dict[str, int]) -> list[int]:
    """Give the live slots of every instruction, as bits: sweeps from the end until nothing changes."""
    instructions = decoded.instructions
    reads = [_mask(bits, _reads(decoded, one)) for one in instructions]
    kept = [~_mask(bits, _ended(one)) for one in instructions]
    ways = [ways_on(decoded, index) for index in range(len(instructions))]
    handlers = [decoded.handler_at(index) for index in range(len(instructions))]
    live = [0] * len(instructions)
    changes = True
    while changes:
        changes = False
        for index in range(len(instructions) - 1, -1, -1):
            after = 0
            for target in ways[index]:
                after |= live[target]
            handler = handlers[index]
            handled = 0 if handler is None else live[handler.target]
            before = reads[index] | (after & kept[index]) | handled
            if before != live[index]:
                live[index] = before
                changes = True
    return live


def ways_on(decoded: Decoded, index: int) -> tuple[int, ...]:
    """Give the instructions that can follow one that does not raise."""
    instruction = decoded.instructions[index]
    following = (index + 1,) if goes_on(instruction.op) else ()
    return (*following, instruction.arg) if instruction.op in JUMPS else following


def _mask(bits: dict[str, int], names: tuple[str, ...]) -> int:
    return sum(bits[name] for name in names)


def _reads(decoded: Decoded, instruction: Instruction) -> tuple[str, ...]:
    if instruction.op in READS:
        return (instruction.arg,)
    if reads_first_argument(decoded, instruction.op, instruction.arg):
        return decoded.code.co_varnames[:1]
    return ()


def reads_first_argument(decoded: Decoded, op: Op, arg: Any) -> bool:
    """Tell whether an instruction may be `super()`, which looks at its caller's first argument."""
    if "__class__" not in decoded.code.co_freevars or not decoded.code.co_argcount:
        return False
    return (op is Op.CALL and arg.num_args == 0) or (
        op is Op.LOAD_SUPER_ATTR and not arg.has_arguments
    )


def may_reach_super(decoded: Decoded, index: int) -> bool:
    """Tell whether an instruction that may be `super()` can follow from `index` on."""
    pending, seen = [index], set[int]()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        instruction = decoded.instructions[at]
        if reads_first_argument(decoded, instruction.op, instruction.arg):
            return True
        pending += ways_on(decoded, at)
        handler = decoded.handler_at(at)
        if handler is not None:
            pending.append(handler.target)
    return False


def _ended(instruction: Instruction) -> tuple[str, ...]:
    if instruction.op is Op.COPY_FREE_VARS:
        return tuple(instruction.arg)
    return (instruction.arg,) if instruction.op in ENDS else ()
