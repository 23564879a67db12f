"""What each normalised instruction does to the layout of the stack: what each of its places is taken by.

In: `Decoded`, an instruction, and the layout before it.   Out: the layouts after it.
Does not: know values; an instruction is followed as though it did not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from graphwright.capture.instructions import LEAVES, CallShape, Decoded, Handler, Op
from graphwright.ir.program import StackItem

Layout = tuple[StackItem, ...]
"""The stack, bottom first."""


class Effect(NamedTuple):
    """How many items an instruction takes from the top of the stack, and how many values it then pushes."""

    takes: int
    gives: int


def _call(shape: CallShape) -> Effect:
    return Effect(shape.num_args + 2, 1)


EFFECTS: Final[dict[Op, Effect | Callable[[Any], Effect]]] = {
    Op.POP: Effect(1, 0),
    Op.PUSH_NULL: Effect(0, 1),
    Op.COPY: Effect(0, 1),
    Op.SWAP: Effect(0, 0),
    Op.LOAD_CONST: Effect(0, 1),
    Op.LOAD_FAST: Effect(0, 1),
    Op.LOAD_FAST_AND_CLEAR: Effect(0, 1),
    Op.STORE_FAST: Effect(1, 0),
    Op.DELETE_FAST: Effect(0, 0),
    Op.MAKE_CELL: Effect(0, 0),
    Op.COPY_FREE_VARS: Effect(0, 0),
    Op.LOAD_CLOSURE: Effect(0, 1),
    Op.LOAD_DEREF: Effect(0, 1),
    Op.STORE_DEREF: Effect(1, 0),
    Op.DELETE_DEREF: Effect(0, 0),
    Op.LOAD_GLOBAL: Effect(0, 1),
    Op.STORE_GLOBAL: Effect(1, 0),
    Op.DELETE_GLOBAL: Effect(0, 0),
    Op.LOAD_NAME: Effect(0, 1),
    Op.STORE_NAME: Effect(1, 0),
    Op.DELETE_NAME: Effect(0, 0),
    Op.LOAD_LOCALS: Effect(0, 1),
    Op.LOAD_FROM_DICT_OR_GLOBALS: Effect(1, 1),
    Op.LOAD_FROM_DICT_OR_DEREF: Effect(1, 1),
    Op.LOAD_ATTR: Effect(1, 1),
    Op.STORE_ATTR: Effect(2, 0),
    Op.DELETE_ATTR: Effect(1, 0),
    Op.LOAD_SUPER_ATTR: Effect(3, 1),
    Op.LOAD_SPECIAL: Effect(1, 1),
    Op.UNARY_OP: Effect(1, 1),
    Op.BINARY_OP: Effect(2, 1),
    Op.COMPARE_OP: Effect(2, 1),
    Op.IS_OP: Effect(2, 1),
    Op.CONTAINS_OP: Effect(2, 1),
    Op.TO_BOOL: Effect(1, 1),
    Op.STORE_SUBSCR: Effect(3, 0),
    Op.DELETE_SUBSCR: Effect(2, 0),
    Op.JUMP: Effect(0, 0),
    Op.POP_JUMP_IF_TRUE: Effect(1, 0),
    Op.POP_JUMP_IF_FALSE: Effect(1, 0),
    Op.POP_JUMP_IF_NONE: Effect(1, 0),
    Op.POP_JUMP_IF_NOT_NONE: Effect(1, 0),
    Op.GET_ITER: Effect(1, 1),
    Op.FOR_ITER: Effect(0, 1),
    Op.UNPACK_SEQUENCE: lambda count: Effect(1, count),
    Op.UNPACK_EX: lambda shape: Effect(1, shape.before + 1 + shape.after),
    Op.BUILD_TUPLE: lambda count: Effect(count, 1),
    Op.BUILD_LIST: lambda count: Effect(count, 1),
    Op.BUILD_SET: lambda count: Effect(count, 1),
    Op.BUILD_MAP: lambda count: Effect(2 * count, 1),
    Op.BUILD_CONST_KEY_MAP: lambda count: Effect(count + 1, 1),
    Op.BUILD_STRING: lambda count: Effect(count, 1),
    Op.BUILD_SLICE: lambda count: Effect(count, 1),
    Op.LIST_TO_TUPLE: Effect(1, 1),
    Op.LIST_APPEND: Effect(1, 0),
    Op.SET_ADD: Effect(1, 0),
    Op.MAP_ADD: Effect(2, 0),
    Op.LIST_EXTEND: Effect(1, 0),
    Op.SET_UPDATE: Effect(1, 0),
    Op.DICT_UPDATE: Effect(1, 0),
    Op.DICT_MERGE: Effect(1, 0),
    Op.CONVERT_VALUE: Effect(1, 1),
    Op.FORMAT_SIMPLE: Effect(1, 1),
    Op.FORMAT_WITH_SPEC: Effect(2, 1),
    Op.BUILD_INTERPOLATION: lambda shape: Effect(2 + shape.has_spec, 1),
    Op.BUILD_TEMPLATE: Effect(2, 1),
    Op.CALL: _call,
    Op.CALL_EX: lambda has_kwargs: Effect(3 + has_kwargs, 1),
    Op.MAKE_FUNCTION: Effect(1, 1),
    Op.SET_FUNCTION_PART: Effect(2, 1),
    Op.RETURN_VALUE: Effect(1, 0),
    Op.LOAD_BUILD_CLASS: Effect(0, 1),
    Op.SETUP_ANNOTATIONS: Effect(0, 0),
    Op.IMPORT_NAME: Effect(2, 1),
    Op.IMPORT_FROM: Effect(0, 1),
    Op.RAISE: lambda count: Effect(count, 0),
    Op.RERAISE: Effect(1, 0),
    Op.PUSH_EXC_INFO: Effect(1, 2),
    Op.POP_EXCEPT: Effect(1, 0),
    Op.CHECK_EXC_MATCH: Effect(1, 1),
    Op.CHECK_EG_MATCH: Effect(2, 2),
    Op.WITH_EXCEPT_START: Effect(0, 1),
    Op.RETURN_GENERATOR: Effect(0, 1),
    Op.YIELD_VALUE: Effect(1, 1),
    Op.GET_YIELD_FROM_ITER: Effect(1, 1),
    Op.SEND: Effect(1, 1),
    Op.END_SEND: Effect(2, 1),
    Op.CLEANUP_THROW: Effect(3, 2),
    Op.GET_LEN: Effect(0, 1),
    Op.MATCH_MAPPING: Effect(0, 1),
    Op.MATCH_SEQUENCE: Effect(0, 1),
    Op.MATCH_KEYS: Effect(0, 1),
    Op.MATCH_CLASS: Effect(3, 1),
    Op.GET_AWAITABLE: Effect(1, 1),
    Op.GET_AITER: Effect(1, 1),
    Op.GET_ANEXT: Effect(0, 1),
    Op.END_ASYNC_FOR: Effect(2, 0),
    Op.INTRINSIC_1: Effect(1, 1),
    Op.INTRINSIC_2: Effect(2, 1),
}
"""When control goes on to the next instruction."""

JUMP_EFFECTS: Final[dict[Op, Effect]] = {Op.FOR_ITER: Effect(1, 0), Op.SEND: Effect(2, 1)}
"""When it jumps, where that differs."""


def effect_of(op: Op, arg: Any, *, jumps: bool = False) -> Effect:
    """Give the effect of an instruction when it goes on to the next one, or when it jumps."""
    if jumps and op in JUMP_EFFECTS:
        return JUMP_EFFECTS[op]
    effect = EFFECTS[op]
    return effect if isinstance(effect, Effect) else effect(arg)


class FrameShape(NamedTuple):
    """The stack's layout and the plain slots that are known to be bound."""

    stack: Layout
    names: tuple[str, ...]


def shape_after(
    decoded: Decoded, index: int, before: FrameShape, *, jumps: bool = False
) -> FrameShape:
    """Give the shape of a frame after instruction `index`, which went on to the next one, or jumped.

    A slot that the instruction stores is added to the names, one that it makes unbound is taken out of them.
    """
    instruction = decoded.instructions[index]
    op, arg = instruction.op, instruction.arg
    stack, names = before
    match op:
        case Op.PUSH_NULL:
            return FrameShape((*stack, StackItem.NULL), names)
        case Op.COPY:
            return FrameShape(_copied(stack, arg), names)
        case Op.SWAP:
            items = list(stack)
            items[-1], items[-arg] = items[-arg], items[-1]
            return FrameShape(tuple(items), names)
        case Op.STORE_FAST:
            return _stored(before, arg)
        case Op.DELETE_FAST:
            return FrameShape(stack, _without(names, arg))
        case Op.LOAD_FAST_AND_CLEAR:
            is_bound = arg in names or arg in decoded.code.co_cellvars + decoded.code.co_freevars
            item = StackItem.VALUE if is_bound else StackItem.NULL
            return FrameShape((*stack, item), _without(names, arg))
        case Op.PUSH_EXC_INFO:
            return FrameShape((*stack[:-1], StackItem.HANDLED, StackItem.VALUE), names)
        case Op.MAKE_CELL:
            return FrameShape(stack, _with(names, arg))
        case _:
            takes, gives = effect_of(op, arg, jumps=jumps)
            return FrameShape((*stack[: len(stack) - takes], *(StackItem.VALUE,) * gives), names)


def shape_in_handler(handler: Handler, before: FrameShape) -> FrameShape:
    """Give the shape of a frame at the start of a handler, after an instruction that it protects has raised."""
    position = (StackItem.UNUSED,) * handler.pushes_position
    return FrameShape((*before.stack[: handler.depth], *position, StackItem.VALUE), before.names)


def _copied(stack: Layout, depth: int) -> Layout:
    """Give the layout after a copy of a place; what was handled before is copied to be restored, which makes the original useless."""
    item = stack[-depth]
    if item is StackItem.HANDLED:
        stack = (*stack[:-depth], StackItem.UNUSED, *stack[len(stack) - depth + 1 :])
    return (*stack, item)


def _stored(before: FrameShape, name: str) -> FrameShape:
    """Give the shape after the top of the stack was stored in a slot, which a NULL leaves unbound."""
    *rest, item = before.stack
    change = _with if item is StackItem.VALUE else _without
    return FrameShape(tuple(rest), change(before.names, name))


def goes_on(op: Op) -> bool:
    """Tell whether control can go on to the next instruction."""
    return op not in LEAVES


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)
