"""Make code objects that go on in the middle of a function.

In: a code object, and a `Place` (see `places.py`): where a frame of it stands.   Out: code that is called with what the frame
holds, and

- goes on at the place to the function's end (`make_entry_code`), or
- runs the one instruction there and gives what the frame holds after it to a callable (`make_step_code`): behind the instruction, where
  it jumps to, or at the start of the handler of what it raised.

    def f(x):                  place: before CALL, stack (NULL, print, x), names ("x",)
        print(x)        →      step(print, x, x)  runs the call, then leave(None, x)
        return x + 1           entry(None, x)     from the next instruction on: pops None, returns x + 1

Keeps: file, function's name, line and columns, so that tracebacks are those of the user's function. The exceptions that are handled at
the place are handled in the new frame: `sys.exception()` gives the innermost, and the `except` clauses end as they would have.
Code that goes on holds the function's body, moved behind a prologue that puts the stack in place; locals get other numbers, because
arguments must come first.
The caller makes the function with a closure of `co_freevars`: the cells of the original's cell variables, then those
of its free variables.
Does not: enter coroutines.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Any, Final, NamedTuple, assert_never, final

import msgspec

from graphwright.base.errors import InternalError
from graphwright.capture.decode import decode, iter_raw_handlers
from graphwright.capture.instructions import CodeFlag, Decoded
from graphwright.capture.places import (
    FUNCTION_START,
    GENERATOR_START,
    Exits,
    Place,
    check_enters,
    check_first_argument,
)
from graphwright.capture.rewriting import (
    CALL_HEADS,
    Label,
    Protected,
    Unit,
    assemble,
    cache_counts,
    plain_load,
    raw_instructions,
)
from graphwright.capture.tables import TABLES
from graphwright.capture.tables.rules import TRUTH_TESTERS
from graphwright.ir.program import StackItem

SLOT_OPCODES: Final = frozenset(
    {
        "LOAD_FAST",
        "LOAD_FAST_CHECK",
        "LOAD_FAST_BORROW",
        "LOAD_FAST_AND_CLEAR",
        "STORE_FAST",
        "DELETE_FAST",
        "MAKE_CELL",
        "LOAD_CLOSURE",
        "LOAD_DEREF",
        "STORE_DEREF",
        "DELETE_DEREF",
        "LOAD_CLASSDEREF",
        "LOAD_FROM_DICT_OR_DEREF",
    }
)
"""Raw instructions whose argument is the number of a slot."""

SLOT_PAIR_OPCODES: Final[Mapping[str, tuple[str, str]]] = {
    "LOAD_FAST_LOAD_FAST": ("LOAD_FAST", "LOAD_FAST"),
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("LOAD_FAST_BORROW", "LOAD_FAST_BORROW"),
    "STORE_FAST_LOAD_FAST": ("STORE_FAST", "LOAD_FAST"),
    "STORE_FAST_STORE_FAST": ("STORE_FAST", "STORE_FAST"),
}
"""Raw instructions whose argument is the numbers of two slots, four bits each, and the instructions that they stand for."""

MAX_PAIRED_SLOT: Final = 15

LOOP_ENDS: Final = frozenset({"END_FOR", "POP_TOP", "POP_ITER"})
"""What stands at the target of a `FOR_ITER` and has to do with it (3.12 on)."""

UNCONDITIONAL_JUMPS: Final = frozenset(
    {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"}
)

JUMPED: Final[Label] = -1
"""Where the copy of a jump leads."""
COPY_START: Final[Label] = -2
COPY_END: Final[Label] = -3
"""Around the copy of the instruction at the place."""
RAISED: Final[Label] = -4
"""Where its exceptions lead."""


def make_carrier_code(code: CodeType) -> CodeType:
    """Make code that is never run: a function with it holds the globals and the cells of a frame of `code`."""
    return _CARRIER.replace(
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_freevars=code.co_cellvars + code.co_freevars,
    )


def _carrier() -> None:
    """Have the form of a carrier."""


_CARRIER: Final = _carrier.__code__


def make_entry_code(code: CodeType, place: Place) -> CodeType:
    """Make code that goes on at `place` as though it had run there.

    Args:
        code: the function's code.
        place: where to go on.

    Returns:
        Code that is called with the values of the stack, bottom first, then those of `place.names`, all of them positional.

    Raises:
        Unsupported: a frame of `code` cannot be entered.
    """
    return _Writer(code, place, num_left=0).entry_code()


def make_generator_code(code: CodeType, place: Place) -> CodeType:
    """Make the code of a generator that goes on at `place`, as `make_entry_code` does for a function.

    A generator that has begun is entered at the `yield` that it stands at: run up to there once, it is as though it had come there.

    Raises:
        Unsupported: a frame of `code` cannot be entered.
    """
    return _Writer(code, place, num_left=0, starts=GENERATOR_START).entry_code()


def make_step_code(
    code: CodeType,
    place: Place,
    exits: Exits,
    leave: Sequence[Callable[..., Any]],
) -> CodeType:
    """Make code that runs the raw instruction at `place`.

    Args:
        code: the function's code.
        place: where the instruction is.
        exits: what `exits_of` says of it.
        leave: what is called at each of the exits' places, with the values of the stack, bottom first, then those of the place's
            names; the code returns what it gives.

    Returns:
        Code that is called as that of `make_entry_code`.

    Raises:
        Unsupported: a frame of `code` cannot be entered.
    """
    num_left = max((len(one.stack) for one in exits.places), default=0)
    return _Writer(code, place, num_left=num_left).step_code(exits, leave)


class _Slots(NamedTuple):
    """The slots of a new code object.

    The first one holds the first argument of the call, then the first local of the original: `super()` looks there for the first
    argument of its caller. The next ones hold the other arguments of the call, then what is left on the stack. Then come the
    exceptions that are being handled, the other locals of the original, its cell variables, and the free variables. A cell variable
    has a slot in both of the latter: the cell comes in as a free variable, and stays a cell variable because errors and `locals()`
    tell the two apart.
    """

    names: tuple[str, ...]
    """Of arguments and locals."""
    handled: Sequence[int]
    """Of the exceptions that are being handled, outermost first."""
    incoming: Sequence[int]
    """Where the cells of the cell variables come in, by number of the cell variable."""
    numbers: Mapping[str, int]
    """Of the slots of the original."""
    renumbered: Sequence[int]
    """The same, by number in the original."""


def _make_slots(code: CodeType, num_temporaries: int, num_handled: int) -> _Slots:
    first = code.co_varnames[:1]
    handled = range(num_temporaries, num_temporaries + num_handled)
    temporaries = tuple(f".value{i}" for i in range(handled.stop))
    rest = tuple(name for name in code.co_varnames[1:] if name not in code.co_cellvars)
    names = (first or temporaries[:1]) + temporaries[1:] + rest
    own = (*names, *(name for name in code.co_cellvars if name not in first))
    free = {name: len(own) + i for i, name in enumerate(code.co_cellvars + code.co_freevars)}
    numbers = free | {name: i for i, name in enumerate(own)}
    original = dict.fromkeys(code.co_varnames + code.co_cellvars + code.co_freevars)
    return _Slots(
        names=names,
        handled=handled,
        incoming=[free[name] for name in code.co_cellvars],
        numbers=numbers,
        renumbered=[numbers[name] for name in original],
    )


@final
class _Same:
    """A code object, equal to itself alone: two of the same text may stand in different files."""

    __slots__ = ("code",)

    def __init__(self, code: CodeType) -> None:
        self.code = code

    def __hash__(self) -> int:
        return id(self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.code is self.code


class _Original(NamedTuple):
    """What is read of a code object to write others from it."""

    decoded: Decoded
    raw: tuple[Unit, ...]
    body_start: int
    """Number of the raw instruction that the body begins with."""


@functools.lru_cache(maxsize=64)
def _read(same: _Same) -> _Original:
    """Read a code object; a function with many breaks is written from again and again."""
    raw = raw_instructions(same.code)
    resume = next(i for i, unit in enumerate(raw) if unit.name == "RESUME")
    return _Original(decode(same.code), raw, resume + 1)


class _Writer:
    """Writes one new code object."""

    def __init__(
        self,
        code: CodeType,
        place: Place,
        *,
        num_left: int,
        starts: tuple[str, ...] = FUNCTION_START,
    ) -> None:
        check_enters(code, starts)
        self._code = code
        self._starts = starts
        self._place = place
        original = _read(_Same(code))
        decoded = self._decoded = original.decoded
        self._table = TABLES[sys.version_info[:2]]
        self._num_arguments = place.num_arguments
        num_temporaries = max(1, self._num_arguments, num_left + 1)
        self._slots = _make_slots(code, num_temporaries, place.stack.count(StackItem.HANDLED) + 1)
        check_first_argument(decoded, place)
        self._raw = original.raw
        self._body = self._raw[original.body_start :]
        self._offset = decoded.instructions[place.index].offset
        self._at = next(i for i, unit in enumerate(self._raw) if unit.label == self._offset)
        if self._at < original.body_start:
            message = f"{place} of {code.co_qualname} is before the start of the function's body"
            raise InternalError(message)
        self._consts: tuple[Any, ...] = code.co_consts
        self._depth = code.co_stacksize

    def entry_code(self) -> CodeType:
        """Write code that goes on at the place."""
        tests = self._truth_test()
        jump = self._new("JUMP_FORWARD", target=self._group()[0].label)
        units = [*self._prologue(), *_starting_with(tests, COPY_START)]
        units += [*_starting_with([jump], COPY_END), *self._renumbered_body()]
        copy_handler = self._copy_handler(COPY_END) if tests else []
        return self._write(units, [*copy_handler, *self._body_handlers()])

    def step_code(self, exits: Exits, leave: Sequence[Callable[..., Any]]) -> CodeType:
        """Write code that runs the instruction at the place, then leaves."""
        group = [*self._truth_test(), *self._group()]
        copied = [unit for one in group for unit in self._copied(one)]
        # From 3.13 on, an exception out of a Python function that is called here counts as one of the code unit before the call.
        copy = [self._new("NOP"), *copied] if copied else []
        units = [*self._prologue(keeps_handled=True), *_starting_with(copy, COPY_START)]
        for label, place, function in zip((COPY_END, JUMPED), exits.ways, leave, strict=False):
            tail = self._loop_end(place) if label == JUMPED else []
            units += _starting_with([*tail, *self._epilogue(place, function)], label)
        if exits.handler is None or not copy:
            return self._write(units, [])
        units += _starting_with(self._epilogue(exits.handler, leave[-1]), RAISED)
        end = COPY_END if exits.ways else RAISED
        return self._write(units, self._copy_handler(end, target=RAISED))

    def _new(
        self, name: str, arg: int = 0, *, target: Label | None = None, label: Label | None = None
    ) -> Unit:
        """Make a unit that the original does not have; it stands at the line of the instruction at the place."""
        return Unit(
            name=name,
            arg=arg,
            position=self._raw[self._at].position,
            num_caches=cache_counts().get(name, 0),
            target=target,
            label=label,
        )

    def _moved(self, slot: int) -> list[Unit]:
        """Push what a slot holds and leave it unbound, so that nothing lives longer than in the original."""
        return [self._new("LOAD_FAST", slot), self._new("DELETE_FAST", slot)]

    def _kept(self, slot: int) -> list[Unit]:
        """Put a copy of what is on top of the stack into a slot."""
        return [self._new("COPY", 1), self._new("STORE_FAST", slot)]

    def _constant(self, value: object) -> Unit:
        """Push a constant that the original does not have."""
        self._consts = (*self._consts, value)
        return self._new("LOAD_CONST", len(self._consts) - 1)

    def _prologue(self, *, keeps_handled: bool = False) -> list[Unit]:
        """Put the arguments on the stack and in their slots.

        Args:
            keeps_handled: put the exceptions that are being handled into slots, too.
        """
        slots, place, cells = self._slots, self._place, self._code.co_cellvars
        num_free = len(cells) + len(self._code.co_freevars)
        units = [self._new("COPY_FREE_VARS", num_free)] if num_free else []
        units += map(self._new, self._starts)
        arguments, handled = itertools.count(), iter(slots.handled)
        for item in (*place.stack, *(StackItem.VALUE,) * len(place.names)):
            match item:
                case StackItem.VALUE:
                    units += self._moved(next(arguments))
                case StackItem.NULL:
                    units.append(self._new("PUSH_NULL"))
                case StackItem.HANDLED:
                    units += self._moved(next(arguments))
                    units += self._kept(next(handled)) if keeps_handled else []
                    units += [self._new("PUSH_EXC_INFO"), self._new("POP_TOP")]
                case StackItem.UNUSED:
                    units.append(self._constant(0))
                case _:
                    assert_never(item)
        for name, incoming in zip(cells, slots.incoming, strict=True):
            units.append(self._new("MAKE_CELL", slots.numbers[name]))
            units.append(self._new("LOAD_FAST", incoming))
            units.append(self._new("STORE_FAST", slots.numbers[name]))
        units += [self._new("STORE_FAST", slots.numbers[name]) for name in reversed(place.names)]
        self._depth = max(self._depth, len(place.stack) + len(place.names) + 2)
        return units

    def _epilogue(self, place: Place, function: Callable[..., Any]) -> list[Unit]:
        """Take the stack to pieces and give what the frame holds to `function`."""
        is_below = self._table.has_null_below
        left = range(1, len(place.stack) + 1)
        handled = [*self._slots.handled[: place.stack.count(StackItem.HANDLED)]]
        units = []
        for slot, item in zip(reversed(left), reversed(place.stack), strict=True):
            if item is StackItem.HANDLED:
                units += [self._new("POP_EXCEPT"), *self._moved(handled.pop())]
            is_unused = item is StackItem.UNUSED
            units.append(self._new("POP_TOP") if is_unused else self._new("STORE_FAST", slot))
        load = self._constant(function)
        null = self._new("PUSH_NULL")
        units += [null, load] if is_below else [load, null]
        for slot, item in zip(left, place.stack, strict=True):
            if item.is_passed:
                units += self._moved(slot)
        for name in place.names:
            units += self._moved(self._slots.numbers[name])
        count = place.num_arguments
        self._depth = max(self._depth, count + 2)
        precall = [self._new("PRECALL", count)] if "PRECALL" in self._table.rules else []
        return [*units, *precall, self._new("CALL", count), self._new("RETURN_VALUE")]

    def _truth_test(self) -> list[Unit]:
        """Give the truth test that a jump or `not` needs in front when it takes nothing but bools."""
        is_tester = self._raw[self._at].name in TRUTH_TESTERS and "TO_BOOL" in self._table.rules
        return [self._new("TO_BOOL")] if is_tester else []

    def _group(self) -> Sequence[Unit]:
        """Give the raw instructions that the instruction at the place is made of."""
        first = self._at - (self._raw[self._at].name == self._table.keyword_call)
        while self._raw[first - 1].name in CALL_HEADS:
            first -= 1
        return self._raw[first : self._at + 1]

    def _copied(self, unit: Unit) -> list[Unit]:
        """Copy an instruction so that what it leaves on the stack does not depend on values, and its jump leads to `JUMPED`."""
        if unit.name in UNCONDITIONAL_JUMPS:
            return []
        if unit.target is not None:
            name = unit.name.replace("BACKWARD", "FORWARD")
            return [msgspec.structs.replace(unit, name=name, target=JUMPED, label=None)]
        if unit.name == "PUSH_EXC_INFO":
            return [*self._kept(self._slots.handled[-1]), msgspec.structs.replace(unit, label=None)]
        load = plain_load(unit)
        if load is None:
            return self._renumbered(msgspec.structs.replace(unit, label=None))
        swap = [self._new("SWAP", 2)] if self._table.has_null_below else []
        return [load, self._new("PUSH_NULL"), *swap]

    def _loop_end(self, jumped: Place) -> list[Unit]:
        """Copy what stands at the target of a `FOR_ITER` and belongs to it: some versions skip a part of it, and run the rest."""
        jump = self._raw[self._at]
        if jump.name != "FOR_ITER" or jump.target is None:
            return []
        exit_offset = self._decoded.instructions[jumped.index].offset
        return [
            msgspec.structs.replace(unit, label=None)
            for unit in self._raw
            if unit.name in LOOP_ENDS and jump.target <= _offset_of(unit) < exit_offset
        ]

    def _renumbered_body(self) -> list[Unit]:
        return [made for unit in self._body for made in self._renumbered(unit)]

    def _renumbered(self, unit: Unit) -> list[Unit]:
        """Give an instruction of the original for the new slots."""
        numbers = self._slots.renumbered
        if unit.name in SLOT_OPCODES:
            return [msgspec.structs.replace(unit, arg=numbers[unit.arg])]
        if unit.name not in SLOT_PAIR_OPCODES:
            return [unit]
        first, second = numbers[unit.arg >> 4], numbers[unit.arg & 15]
        if max(first, second) <= MAX_PAIRED_SLOT:
            return [msgspec.structs.replace(unit, arg=first << 4 | second)]
        names = SLOT_PAIR_OPCODES[unit.name]
        return [
            msgspec.structs.replace(unit, name=names[0], arg=first),
            msgspec.structs.replace(unit, name=names[1], arg=second, label=None),
        ]

    def _copy_handler(self, end: Label, target: Label | None = None) -> list[Protected]:
        """Give the entry of the exception table for what is copied before the body, if it has one.

        Args:
            end: where the copy ends.
            target: where its exceptions lead; None: to the original's handler.
        """
        return [
            Protected(
                COPY_START,
                end,
                one.target if target is None else target,
                one.depth,
                one.pushes_position,
            )
            for one in iter_raw_handlers(self._code.co_exceptiontable)
            if one.start <= self._offset < one.end
        ]

    def _body_handlers(self) -> list[Protected]:
        """Give the exception table of the body."""
        start = _offset_of(self._body[0])
        return [
            Protected(max(start, one.start), one.end, one.target, one.depth, one.pushes_position)
            for one in iter_raw_handlers(self._code.co_exceptiontable)
            if one.end > start
        ]

    def _write(self, units: Sequence[Unit], handlers: Sequence[Protected]) -> CodeType:
        code, slots = self._code, self._slots
        made = assemble(
            units, handlers, first_line=code.co_firstlineno, end_label=len(code.co_code)
        )
        return code.replace(
            co_argcount=self._num_arguments,
            co_posonlyargcount=0,
            co_kwonlyargcount=0,
            co_nlocals=len(slots.names),
            co_stacksize=self._depth + 1,
            co_flags=code.co_flags & ~(CodeFlag.VARARGS | CodeFlag.VARKEYWORDS),
            co_code=made.bytecode,
            co_consts=self._consts,
            co_varnames=slots.names,
            co_freevars=code.co_cellvars + code.co_freevars,
            co_linetable=made.line_table,
            co_exceptiontable=made.exception_table,
        )


def _offset_of(unit: Unit) -> int:
    """Give where a unit of the original is in it."""
    assert unit.label is not None, f"{unit} is not of the original"
    return unit.label


def _starting_with(units: Sequence[Unit], label: Label) -> list[Unit]:
    """Give the units with a label before the first one."""
    return [
        unit if i else msgspec.structs.replace(unit, label=label) for i, unit in enumerate(units)
    ]
