"""A walk over a code object that follows how the instructions change the depth of the stack.

In: `Decoded`.   Out: the depth before each reachable instruction, or an AssertionError where two ways to reach one disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from graphwright.capture.instructions import JUMPS, Decoded, Op
from graphwright.capture.stack_layout import effect_of, goes_on

NEEDS_BELOW: Final[dict[Op, Callable[[Any], int]]] = {
    Op.COPY: lambda place: place,
    Op.SWAP: lambda place: place,
    Op.LIST_APPEND: lambda place: place + 1,
    Op.SET_ADD: lambda place: place + 1,
    Op.MAP_ADD: lambda place: place + 2,
    Op.LIST_EXTEND: lambda place: place + 1,
    Op.SET_UPDATE: lambda place: place + 1,
    Op.DICT_UPDATE: lambda place: place + 1,
    Op.DICT_MERGE: lambda place: place + 4,
    Op.RERAISE: lambda place: place + 1,
    Op.WITH_EXCEPT_START: lambda slots: slots + 3,
}
"""How many items must be on the stack, where that is more than the instruction takes."""


def stack_depths(decoded: Decoded) -> dict[int, int]:
    """Give the depth before each reachable instruction.

    Raises:
        AssertionError: an instruction is reached with two depths, takes more than there is, or runs off the end.
    """
    depths: dict[int, int] = {}
    pending = [(0, 0)]
    while pending:
        index, depth = pending.pop()
        assert index < len(decoded.instructions), f"runs off the end of {decoded.code.co_qualname}"
        if index in depths:
            assert depths[index] == depth, (
                f"{decoded.code.co_qualname}: {index} at {depth} and {depths[index]}"
            )
            continue
        depths[index] = depth
        pending.extend(_successors(decoded, index, depth))
    return depths


def _successors(decoded: Decoded, index: int, depth: int) -> list[tuple[int, int]]:
    instruction = decoded.instructions[index]
    op, arg = instruction.op, instruction.arg
    takes, gives = effect_of(op, arg)
    needed = NEEDS_BELOW[op](arg) if op in NEEDS_BELOW else takes
    assert depth >= needed, (
        f"{decoded.code.co_qualname}: {index} {op.name} needs {needed} of {depth}"
    )
    found = []
    if goes_on(op):
        found.append((index + 1, depth - takes + gives))
    if op in JUMPS:
        takes, gives = effect_of(op, arg, jumps=True)
        found.append((arg, depth - takes + gives))
    handler = decoded.handler_at(index)
    if handler is not None:
        assert handler.depth <= depth, (
            f"{decoded.code.co_qualname}: handler of {index} below the stack"
        )
        found.append((handler.target, handler.depth + handler.pushes_position + 1))
    return found
