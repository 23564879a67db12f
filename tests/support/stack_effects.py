"""How each normalised instruction changes the depth of the stack, and a walk over a code object that follows it.

In: `Decoded`.   Out: the depth before each reachable instruction, or an AssertionError where two ways to reach one disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from graphwright.capture.instructions import JUMPS, LEAVES, Decoded, Op

EFFECTS: Final[dict[Op, int | Callable[[Any], int]]] = {
    Op.POP: -1,
    Op.PUSH_NULL: 1,
    Op.COPY: 1,
    Op.SWAP: 0,
    Op.LOAD_CONST: 1,
    Op.LOAD_FAST: 1,
    Op.LOAD_FAST_AND_CLEAR: 1,
    Op.STORE_FAST: -1,
    Op.DELETE_FAST: 0,
    Op.MAKE_CELL: 0,
    Op.COPY_FREE_VARS: 0,
    Op.LOAD_CLOSURE: 1,
    Op.LOAD_DEREF: 1,
    Op.STORE_DEREF: -1,
    Op.DELETE_DEREF: 0,
    Op.LOAD_GLOBAL: 1,
    Op.STORE_GLOBAL: -1,
    Op.DELETE_GLOBAL: 0,
    Op.LOAD_NAME: 1,
    Op.STORE_NAME: -1,
    Op.DELETE_NAME: 0,
    Op.LOAD_LOCALS: 1,
    Op.LOAD_FROM_DICT_OR_GLOBALS: 0,
    Op.LOAD_FROM_DICT_OR_DEREF: 0,
    Op.LOAD_ATTR: 0,
    Op.STORE_ATTR: -2,
    Op.DELETE_ATTR: -1,
    Op.LOAD_SUPER_ATTR: -2,
    Op.LOAD_SPECIAL: 0,
    Op.UNARY_OP: 0,
    Op.BINARY_OP: -1,
    Op.COMPARE_OP: -1,
    Op.IS_OP: -1,
    Op.CONTAINS_OP: -1,
    Op.TO_BOOL: 0,
    Op.STORE_SUBSCR: -3,
    Op.DELETE_SUBSCR: -2,
    Op.JUMP: 0,
    Op.POP_JUMP_IF_TRUE: -1,
    Op.POP_JUMP_IF_FALSE: -1,
    Op.POP_JUMP_IF_NONE: -1,
    Op.POP_JUMP_IF_NOT_NONE: -1,
    Op.GET_ITER: 0,
    Op.FOR_ITER: 1,
    Op.UNPACK_SEQUENCE: lambda count: count - 1,
    Op.UNPACK_EX: lambda shape: shape.before + shape.after,
    Op.BUILD_TUPLE: lambda count: 1 - count,
    Op.BUILD_LIST: lambda count: 1 - count,
    Op.BUILD_SET: lambda count: 1 - count,
    Op.BUILD_MAP: lambda count: 1 - 2 * count,
    Op.BUILD_CONST_KEY_MAP: lambda count: -count,
    Op.BUILD_STRING: lambda count: 1 - count,
    Op.BUILD_SLICE: lambda count: 1 - count,
    Op.LIST_TO_TUPLE: 0,
    Op.LIST_APPEND: -1,
    Op.SET_ADD: -1,
    Op.MAP_ADD: -2,
    Op.LIST_EXTEND: -1,
    Op.SET_UPDATE: -1,
    Op.DICT_UPDATE: -1,
    Op.DICT_MERGE: -1,
    Op.CONVERT_VALUE: 0,
    Op.FORMAT_SIMPLE: 0,
    Op.FORMAT_WITH_SPEC: -1,
    Op.BUILD_INTERPOLATION: lambda shape: -2 if shape.has_spec else -1,
    Op.BUILD_TEMPLATE: -1,
    Op.CALL: lambda shape: -1 - shape.num_args,
    Op.CALL_EX: lambda has_kwargs: -3 if has_kwargs else -2,
    Op.MAKE_FUNCTION: 0,
    Op.SET_FUNCTION_PART: -1,
    Op.RETURN_VALUE: -1,
    Op.LOAD_BUILD_CLASS: 1,
    Op.SETUP_ANNOTATIONS: 0,
    Op.IMPORT_NAME: -1,
    Op.IMPORT_FROM: 1,
    Op.RAISE: lambda count: -count,
    Op.RERAISE: -1,
    Op.PUSH_EXC_INFO: 1,
    Op.POP_EXCEPT: -1,
    Op.CHECK_EXC_MATCH: 0,
    Op.CHECK_EG_MATCH: 0,
    Op.WITH_EXCEPT_START: 1,
    Op.RETURN_GENERATOR: 1,
    Op.YIELD_VALUE: 0,
    Op.GET_YIELD_FROM_ITER: 0,
    Op.SEND: 0,
    Op.END_SEND: -1,
    Op.CLEANUP_THROW: -1,
    Op.GET_LEN: 1,
    Op.MATCH_MAPPING: 1,
    Op.MATCH_SEQUENCE: 1,
    Op.MATCH_KEYS: 1,
    Op.MATCH_CLASS: -2,
    Op.GET_AWAITABLE: 0,
    Op.GET_AITER: 0,
    Op.GET_ANEXT: 1,
    Op.END_ASYNC_FOR: -2,
    Op.INTRINSIC_1: 0,
    Op.INTRINSIC_2: -1,
}
"""When control goes on to the next instruction."""

JUMP_EFFECTS: Final = {Op.FOR_ITER: -1, Op.SEND: -1}
"""When it jumps, where that differs."""

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
    Op.CALL: lambda shape: shape.num_args + 2,
    Op.CALL_EX: lambda has_kwargs: 4 if has_kwargs else 3,
}
"""How many items must be on the stack, where the effect does not say it."""


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
    effect = EFFECTS[op]
    change = effect if isinstance(effect, int) else effect(arg)
    needed = NEEDS_BELOW[op](arg) if op in NEEDS_BELOW else max(0, -change)
    assert depth >= needed, (
        f"{decoded.code.co_qualname}: {index} {op.name} needs {needed} of {depth}"
    )
    found = []
    if op not in LEAVES:
        found.append((index + 1, depth + change))
    if op in JUMPS:
        found.append((arg, depth + JUMP_EFFECTS.get(op, change)))
    handler = decoded.handler_at(index)
    if handler is not None:
        assert handler.depth <= depth, (
            f"{decoded.code.co_qualname}: handler of {index} below the stack"
        )
        found.append((handler.target, handler.depth + handler.pushes_position + 1))
    return found
