"""Generators that the program has made and not finished, as what makes them again.

In: a generator that the interpreter drives.   Out: `Suspended`: a function and values that give a real generator which stands where
this one does.

    def count(x):                 next(g) was called once, x and i are known
        for i in range(3):   →    resume_generator(True, entry, range_iterator, None, x)
            yield x + i

Keeps: what CPython does with it then (`send`, `throw`, `close`, its `finally` blocks) is what it does with the original.
Does not: make one again that is written in C, or has ended.
"""

from __future__ import annotations

import inspect
import types
from typing import Any, Final, NamedTuple

from graphwright.base.errors import Unsupported
from graphwright.capture.entering import make_generator_code
from graphwright.capture.frames import Frame
from graphwright.capture.liveness import live_slots
from graphwright.capture.machine import Machine
from graphwright.capture.opcodes.generators import drive
from graphwright.capture.opcodes.names import globals_source_of
from graphwright.capture.places import Place
from graphwright.ir.program import StackItem
from graphwright.runtime import resume_generator

_REMEDY: Final = "use the generator up, or call it outside the compiled function"


class Suspended(NamedTuple):
    """What makes a generator again: `resume_generator(has_begun, function, *values)`."""

    function: types.FunctionType
    has_begun: bool
    values: tuple[Any, ...]
    code: types.CodeType
    """The generator's own."""
    place: Place

    @property
    def call(self) -> tuple[Any, tuple[Any, ...]]:
        """The function to call, and its arguments."""
        return resume_generator, (self.has_begun, self.function, *self.values)


def suspended_state(machine: Machine, generator: types.GeneratorType[Any, Any, Any]) -> Suspended:
    """Give what makes a generator again.

    Raises:
        Unsupported: it cannot be made again.
    """
    frame = _frame_of(machine, generator)
    code, decoded = frame.info.code, frame.info.decoded
    has_begun = inspect.getgeneratorstate(generator) == inspect.GEN_SUSPENDED
    # Before its first step it stands behind RETURN_GENERATOR; its body begins after the pop of what is sent.
    index = frame.index if has_begun else frame.resume_at + 1
    live = live_slots(decoded, index)
    cells = (*code.co_cellvars, *code.co_freevars)
    names = tuple(name for name in frame.slots if name in live and name not in cells)
    place = Place(index, (*frame.stack_items(), StackItem.VALUE) if has_begun else (), names)
    globals_source_of(machine, frame.function)
    function = types.FunctionType(
        make_generator_code(code, place),
        frame.globals,
        generator.__name__,
        None,
        tuple(frame.slots.get(name) or types.CellType() for name in cells) or None,
    )
    function.__qualname__ = generator.__qualname__
    on_stack = (*frame.stack_values(), None) if has_begun else ()
    values = (*on_stack, *(frame.slots[name] for name in names))
    return Suspended(function, has_begun, values, code, place)


def _frame_of(machine: Machine, generator: types.GeneratorType[Any, Any, Any]) -> Frame:
    """Give the frame that a generator's body drives."""
    own = generator.gi_frame
    if own is None or generator.gi_code is not drive.__code__:
        raise _refusal(machine, generator, "it has ended, or PyTorch's own code runs it")
    frame = own.f_locals["frame"]
    assert isinstance(frame, Frame), "the interpreter drives a frame"
    return frame


def _refusal(
    machine: Machine, generator: types.GeneratorType[Any, Any, Any], why: str
) -> Unsupported:
    return machine.unmakeable(
        generator, f"the generator {generator.__qualname__} in the result", why=why, remedy=_REMEDY
    )
