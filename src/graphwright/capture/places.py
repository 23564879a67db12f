"""Where a frame stands: at an instruction, with values on the stack and in its slots; and where it stands after it.

In: a normalised code object, a `Place` of a frame of it.   Out: the places that the instruction there leads to.
Keeps: what is refused here cannot be left, or entered, in the middle.
"""

from __future__ import annotations

import inspect
from types import CodeType
from typing import Final, NamedTuple

import msgspec

from graphwright.base.errors import InternalError, Unsupported
from graphwright.capture.instructions import JUMPS, CodeFlag, Decoded, Op
from graphwright.capture.liveness import live_slots, may_reach_super
from graphwright.capture.stack_layout import (
    FrameShape,
    Layout,
    goes_on,
    shape_after,
    shape_in_handler,
)


class Place(msgspec.Struct, frozen=True):
    """Where a frame stands."""

    index: int
    """Of the instruction in `Decoded.instructions` that is the next one; the first one of its raw instruction."""
    stack: Layout
    names: tuple[str, ...]
    """The slots that are passed, in this order: plain locals. A cell or free variable may be among them when its slot holds
    something else than the closure's cell."""

    @property
    def num_values(self) -> int:
        """How many values are handed over for the stack."""
        return sum(item.is_passed for item in self.stack)

    @property
    def num_arguments(self) -> int:
        """How many values code that is entered here is called with."""
        return self.num_values + len(self.names)


class Exits(NamedTuple):
    """Where a frame stands after an instruction."""

    ways: tuple[Place, ...]
    """When it did not raise: one place, or two for a conditional jump and for `FOR_ITER`, the one without the jump first; none where
    it always raises."""
    handler: Place | None
    """When it raised: the start of the handler, or None where the function has none."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them, the handler last."""
        return self.ways if self.handler is None else (*self.ways, self.handler)


CANNOT_STEP: Final = frozenset(
    {
        Op.COPY_FREE_VARS,
        Op.RETURN_VALUE,
        Op.CHECK_EG_MATCH,
        Op.RETURN_GENERATOR,
        Op.YIELD_VALUE,
        Op.GET_YIELD_FROM_ITER,
        Op.SEND,
        Op.END_SEND,
        Op.CLEANUP_THROW,
        Op.GET_AWAITABLE,
        Op.GET_AITER,
        Op.GET_ANEXT,
        Op.END_ASYNC_FOR,
    }
)
"""Instructions that do not end in the frame, exchange the exception that is handled, or use a state of a generator."""

FUNCTION_START: Final = ("RESUME",)
GENERATOR_START: Final = ("RETURN_GENERATOR", "POP_TOP", "RESUME")
"""What the body begins with, once the cells are there."""

BEFORE_BODY: Final = frozenset({Op.COPY_FREE_VARS, Op.MAKE_CELL})
"""Instructions that make a frame ready, at the start of the code; the codes that are made here have their own."""

SUSPENDS: Final = (
    CodeFlag.GENERATOR | CodeFlag.COROUTINE | CodeFlag.ITERABLE_COROUTINE | CodeFlag.ASYNC_GENERATOR
)


def first_of_raw(decoded: Decoded, index: int) -> int:
    """Give the first instruction of the raw instruction that instruction `index` came from."""
    instructions = decoded.instructions
    while index and instructions[index - 1].offset == instructions[index].offset:
        index -= 1
    return index


def exits_of(decoded: Decoded, place: Place) -> Exits:
    """Give where the frame stands after the raw instruction at `place`.

    Returns:
        Places whose names are those of `place` and those that the instruction stores, less those that are not read any more or that
        it makes unbound.

    Raises:
        Unsupported: the frame returns or is suspended there, or nothing can stand in for it.
    """
    _check_steps(decoded, place)
    shape = FrameShape(place.stack, place.names)
    offset = decoded.instructions[place.index].offset
    index = place.index
    jumped: list[tuple[int, FrameShape]] = []
    ways: list[tuple[int, FrameShape]] = []
    while index < len(decoded.instructions) and decoded.instructions[index].offset == offset:
        op, target = decoded.instructions[index].op, decoded.instructions[index].arg
        if op in JUMPS:
            jumped.append((target, shape_after(decoded, index, shape, jumps=True)))
        if not goes_on(op):
            break
        shape = shape_after(decoded, index, shape)
        index += 1
    else:
        ways = [(index, shape)]
    places = (_place_at(decoded, *one) for one in (*ways, *jumped))
    return Exits(tuple(places), _handler_exit(decoded, place))


def _handler_exit(decoded: Decoded, place: Place) -> Place | None:
    handler = decoded.handler_at(place.index)
    if handler is None:
        return None
    shape = shape_in_handler(handler, FrameShape(place.stack, place.names))
    return _place_at(decoded, handler.target, shape)


def _check_steps(decoded: Decoded, place: Place) -> None:
    instruction = decoded.instructions[place.index]
    if place.index and decoded.instructions[place.index - 1].offset == instruction.offset:
        message = f"{place} of {decoded.code.co_qualname} is inside an instruction"
        raise InternalError(message)
    check_enters(decoded.code)
    check_first_argument(decoded, place)
    if BEFORE_BODY.issuperset(one.op for one in decoded.instructions[: place.index + 1]):
        raise Unsupported(
            "a break before the first instruction of a function's body",
            why="the frame is not ready there",
            remedy="move what breaks the program to a statement of its own",
            location=_location_of(decoded, place.index),
        )
    ops = {one.op for one in decoded.instructions if one.offset == instruction.offset}
    if ops & CANNOT_STEP or instruction.op is Op.LOAD_SPECIAL:
        raise Unsupported(
            f"a break at the instruction {instruction.op.name}",
            why="the frame cannot be left after it",
            remedy="move what breaks the program to a statement of its own",
            location=_location_of(decoded, place.index),
        )


def check_enters(code: CodeType, starts: tuple[str, ...] = FUNCTION_START) -> None:
    """Check that frames of `code` keep all that they hold in slots and on the stack.

    Raises:
        Unsupported: they do not.
    """
    suspends = code.co_flags & SUSPENDS
    if suspends == CodeFlag.GENERATOR and starts == GENERATOR_START:
        return
    if suspends:
        what, why = "a generator or coroutine", "its frame belongs to the generator"
    elif not code.co_flags & inspect.CO_OPTIMIZED:
        what, why = "the body of a class or module", "its names live in a namespace"
    else:
        return
    raise Unsupported(
        f"a break in {what}",
        why=f"{why}, and cannot be entered in the middle",
        remedy="move what breaks the program out of it",
        location=f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}",
    )


def check_first_argument(decoded: Decoded, place: Place) -> None:
    """Check that `super()` finds the function's first argument: CPython looks for it only in functions with arguments.

    Raises:
        Unsupported: there is none.
    """
    if not place.num_arguments and may_reach_super(decoded, place.index):
        first = decoded.code.co_varnames[0]
        raise Unsupported(
            "a break in a method that calls super() later, where nothing else is needed later",
            why=f"super() looks for {first!r} among the arguments of its caller, and there are none",
            remedy=f"write super(__class__, {first})",
            location=_location_of(decoded, place.index),
        )


def _location_of(decoded: Decoded, index: int) -> str:
    code = decoded.code
    return f"{code.co_filename}:{decoded.instructions[index].line} in {code.co_name}"


def _place_at(decoded: Decoded, index: int, shape: FrameShape) -> Place:
    live = live_slots(decoded, index)
    place = Place(index, shape.stack, tuple(name for name in shape.names if name in live))
    check_first_argument(decoded, place)
    return place
