"""Graph breaks: what is left of a frame when its capture ends early, and captures that begin in the middle of one.

In: the outermost frame, stopped before an instruction that cannot be captured.   Out: its state as values that `Recipes` can make,
and the `Break`. A program that ends so gives `(function, *values)`: the function has the frame's globals and cells, and code that is
never run.

    prefix (a program) → the instruction, in plain CPython → a `Continuation`, captured in its turn

Keeps: what the continuation reads of the frame's slots is guarded when it is read; slots that are only handed on are not looked at.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any, Final, assert_never

from graphwright.base.errors import Unsupported
from graphwright.capture.controls import disabled_alone
from graphwright.capture.entering import make_carrier_code
from graphwright.capture.frames import Frame, Outermost
from graphwright.capture.instructions import Op
from graphwright.capture.liveness import live_slots
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT, UNUSED, Handled, Unmakeable, Unread
from graphwright.capture.opcodes.names import globals_source_of
from graphwright.capture.places import Place, exits_of
from graphwright.capture.recipes import Recipes
from graphwright.capture.targets import WITHOUT_CALL, Continuation, is_compiled_alone
from graphwright.ir.program import Break, StackItem
from graphwright.ir.recipes import BuildTuple, Recipe
from graphwright.ir.sources import ArgSource


def can_break(target: object) -> bool:
    """Tell whether a call of `target` is a call of one Python function with nothing to do after it."""
    if isinstance(target, functools.partial):
        return can_break(target.func)
    if isinstance(target, type):
        return False
    is_function = isinstance(target, types.FunctionType | types.MethodType)
    return is_function or isinstance(getattr(type(target), "__call__", None), types.FunctionType)  # noqa: B004  (the function itself)


class Stops:
    """Steps of the outermost frame to stop at, where a capture has to end early: first one, then earlier ones.

    What there is no recipe for (a class, an exception that was raised, an iterator of C's, a mode of PyTorch's) is not made by the
    program where it would have to be handed over: the frame stops at the instruction that makes it, which then runs in plain CPython.

    Args:
        first: the step to try first.
    """

    def __init__(self, first: int | None) -> None:
        self.next = first
        """The step to try next; None where there is none."""
        self._has_guessed = False

    def refuse(self, outermost: Outermost, error: Unsupported) -> None:
        """Go on to an earlier step, as the frame could not stop at this one."""
        self.next = outermost.origin_of(error.value) if isinstance(error, Unmakeable) else None
        if self.next is None and not self._has_guessed:
            self._has_guessed = True
            earlier = [step for step in outermost.with_empty_stack if step < outermost.stop_at]
            self.next = earlier[-1] if earlier else None


class Stopped:
    """The state of a stopped frame.

    Args:
        machine: the machine, at the end of the capture.

    Raises:
        Unsupported: the frame is in a state that cannot be made anew.
    """

    def __init__(self, machine: Machine) -> None:
        frame = machine.outermost.frame
        assert frame is not None, "no frame has stopped"
        self._machine = machine
        self._frame: Final[Frame] = frame
        if frame.info.code.co_flags & WITHOUT_CALL:
            raise self._refusal("in a generator", "a generator that has begun")
        if frame.namespace is not None:
            raise self._refusal("in the body of a class", "a class that is being made")
        code = frame.info.code
        live = live_slots(frame.info.decoded, frame.index)
        cells = {*code.co_cellvars, *code.co_freevars}
        names = tuple(name for name in frame.slots if name in live and name not in cells)
        self.place: Final = Place(frame.index, frame.stack_items(), names)
        exits_of(frame.info.decoded, self.place)  # refuses what cannot be entered or left
        self.values: Final[tuple[Any, ...]] = (
            *frame.stack_values(),
            *(raw_slot(frame.slots, name) for name in names),
        )
        self.function: Final = self._make_function()

    def _refusal(self, where: str, what: str) -> Unsupported:
        return self._machine.unsupported(
            f"a graph break {where}",
            why=f"{what} cannot be handed over to plain Python",
            remedy="move the code that breaks the graph out of it",
        )

    def _make_function(self) -> types.FunctionType:
        """Make the function that has the frame's globals and cells."""
        frame = self._frame
        code = frame.info.code
        globals_source_of(self._machine, frame.function)
        cells = tuple(
            frame.slots.get(name) or types.CellType()
            for name in (*code.co_cellvars, *code.co_freevars)
        )
        carrier = make_carrier_code(code)
        function = types.FunctionType(carrier, frame.globals, code.co_name, None, cells or None)
        function.__qualname__ = code.co_qualname
        return function

    def make(self, recipes: Recipes) -> Recipe:
        """Give the recipe of the program's result."""
        return BuildTuple((recipes.make_function(self.function), *map(recipes.make, self.values)))

    def describe(self, error: Unsupported, was_nested: bool) -> Break:  # noqa: FBT001  (a field)
        """Give the break, for what could not be captured.

        Args:
            error: what was met.
            was_nested: it was met in a function that the instruction calls.
        """
        guards = self._machine.guards
        return Break(
            code_pin=guards.pin(self._frame.info.code),
            carrier_pin=guards.pin(self.function.__code__),
            index=self.place.index,
            stack=self.place.stack,
            names=self.place.names,
            callee=self._find_callee(was_nested=was_nested),
            met=error.met,
            why=error.why,
            remedy=error.remedy,
            location=error.location,
            frames=error.frames,
        )

    def _find_callee(self, *, was_nested: bool) -> int | None:
        """Give the number, among the values, of the function that the frame stands at the call of, if it is to be compiled on its own.

        Args:
            was_nested: the frame was in the function when the capture ended.
        """
        frame = self._frame
        step = frame.info.decoded.instructions[frame.index]
        if step.op is Op.CALL:
            first = len(frame.stack) - step.arg[0] - 2
        elif step.op is Op.CALL_EX:
            first = len(frame.stack) - 3 - bool(step.arg)
        else:
            return None
        place = next(place for place in (first, first + 1) if frame.stack[place] is not ABSENT)
        function = frame.stack[place]
        is_redirected = disabled_alone(getattr(function, "__func__", function)) is not None
        if not (is_redirected or (was_nested and is_compiled_alone(function))):
            return None
        return sum(item.is_passed for item in self.place.stack[:place])


class ResumedSlots(dict[str, Any]):
    """The slots of a continued frame: a value is let in, with its guards, when it is first read.

    Args:
        machine: the machine.
        unread: the values, by name.
    """

    def __init__(self, machine: Machine, unread: dict[str, Unread]) -> None:
        super().__init__()
        self._machine = machine
        self.unread: Final = unread

    def __missing__(self, name: str) -> Any:
        found = self.unread.pop(name, None)
        if found is None:
            raise KeyError(name)
        value = self._machine.world.enter(found.value, found.source)
        dict.__setitem__(self, name, value)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.unread.pop(name, None)
        dict.__setitem__(self, name, value)

    def __delitem__(self, name: str) -> None:
        if self.unread.pop(name, None) is None:
            dict.__delitem__(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.unread or dict.__contains__(self, name)

    def __iter__(self) -> Iterator[str]:
        yield from (*dict.__iter__(self), *self.unread)

    def get(self, name: str, default: Any = None) -> Any:
        """Give what a slot holds."""
        try:
            return self[name]
        except KeyError:
            return default

    def pop(self, name: str, default: Any = None) -> Any:
        """Take what a slot holds."""
        value = self.get(name, default)
        dict.pop(self, name, None)
        return value

    def items(self) -> Any:
        """Give what all slots hold."""
        return [(name, self[name]) for name in list(self)]


def raw_slot(slots: dict[str, Any], name: str) -> Any:
    """Give what a slot holds; an `Unread` where nothing was looked at."""
    unread = slots.unread.get(name) if isinstance(slots, ResumedSlots) else None
    return slots[name] if unread is None else unread


def resume(machine: Machine, target: Continuation, args: Sequence[Any]) -> Any:
    """Run a frame from the middle on.

    Args:
        machine: the machine.
        target: what goes on.
        args: what it was called with.
    """
    function, *values = args
    place, code = target.place, target.code
    machine.world.enter_continued(function, ArgSource(0, "continued"))
    slots = ResumedSlots(machine, {})
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        slots[name] = cell
    for number, name in enumerate(place.names, start=place.num_values):
        slots.unread[name] = Unread(values[number], ArgSource(number + 1, name))
    frame = Frame(machine.codes.info(code), slots, function.__globals__, function)
    frame.resume_at = frame.index = place.index
    _fill_stack(machine, frame, place, values)
    _store_unread(frame, slots)
    frame.stack[:] = [
        machine.world.enter(value.value, value.source) if isinstance(value, Unread) else value
        for value in frame.stack
    ]
    return machine.run_frame(frame)


def _fill_stack(machine: Machine, frame: Frame, place: Place, values: Sequence[Any]) -> None:
    """Put on the stack what the place says, and handle the exceptions that are being handled there."""
    on_stack = iter(
        Unread(value, ArgSource(number + 1, f"stack{number}"))
        for number, value in enumerate(values[: place.num_values])
    )
    for item in place.stack:
        match item:
            case StackItem.VALUE:
                frame.stack.append(next(on_stack))
            case StackItem.NULL:
                frame.stack.append(ABSENT)
            case StackItem.UNUSED:
                frame.stack.append(UNUSED)
            case StackItem.HANDLED:
                unread = next(on_stack)
                frame.stack.append(Handled(frame.handled))
                frame.handled = machine.world.enter(unread.value, unread.source)
            case _:
                assert_never(item)


def _store_unread(frame: Frame, slots: ResumedSlots) -> None:
    """Run the stores that come first: what they store (the item of a loop, the result of a call) need not be looked at yet."""
    for step in frame.info.decoded.instructions[frame.resume_at :]:
        if step.op is not Op.STORE_FAST or not isinstance(frame.stack[-1], Unread):
            return
        dict.pop(slots, step.arg, None)
        slots.unread[step.arg] = frame.stack.pop()
        frame.index = frame.resume_at = frame.resume_at + 1
