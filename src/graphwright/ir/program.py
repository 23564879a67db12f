"""The captured program: guards, graph inputs, result and effects, as data.

In: what `capture/` found out about one call.   Out: `Program`, which `runtime/` turns into a callable.

A program belongs to one *call pattern* (number of positional arguments, keyword names in order): arguments are
addressed by position or keyword, so nothing is bound at call time.

Keeps: all guards hold before anything runs; `inputs` lists where each input of the ATen graph comes from.
Its parts are in modules of their own: `sources.py`, `guards.py`, `recipes.py`.
"""

from __future__ import annotations

import enum

from graphwright.ir.aten import AtenGraph
from graphwright.ir.data import Data
from graphwright.ir.guards import Guard
from graphwright.ir.locations import Loc
from graphwright.ir.recipes import Effect, Recipe
from graphwright.ir.sources import Pin, Source


class CallPattern(Data, frozen=True):
    """The form of the calls that a program serves."""

    num_positional: int
    keywords: tuple[str, ...] = ()
    """In the order of the call."""


class SymbolBinding(Data, frozen=True):
    """Where a size symbol gets its value: dimension `dim` of the tensor `source`, or (`dim` None) the int `source`."""

    symbol: str
    source: Source
    dim: int | None


class StackItem(enum.Enum):
    """What a place on the stack of a frame is taken by."""

    VALUE = "value"
    NULL = "null"
    """One of CPython's empty places."""
    HANDLED = "handled"
    """`PUSH_EXC_INFO` has put there what was handled before. What is handed over is what is handled from there on."""
    UNUSED = "unused"
    """The program takes no notice of it any more: the position below an exception in a handler, what was handled before when that is
    restored from a copy. It is not handed over; any int will do."""

    @property
    def is_passed(self) -> bool:
        """Whether a value is handed over for it."""
        return self in (StackItem.VALUE, StackItem.HANDLED)


class EnteredCode(Data, frozen=True):
    """Code that was made from a generator's, to go on in the middle of it."""

    pin: int
    code_pin: int
    """The generator's own code."""
    index: int
    """Number of the instruction (of its normalised form) that it goes on at."""
    stack: tuple[StackItem, ...]
    """As in `Break`."""
    names: tuple[str, ...]


class Break(Data, frozen=True):
    """Where a program ends before its function does, and why.

    The program's result is then a tuple: a function with the closure and the globals of the frame, the values on the frame's stack,
    and those of the slots `names`.
    """

    code_pin: int
    """The code of the frame."""
    carrier_pin: int
    """The code of the function in the result, which is never run; it is made from that of the frame."""
    index: int
    """Number of the instruction (of its normalised form) that runs in plain CPython."""
    stack: tuple[StackItem, ...]
    """The stack there, bottom first."""
    names: tuple[str, ...]
    callee: int | None
    """Number of the value on the stack that the instruction calls, if it is to be compiled on its own."""
    met: str
    why: str
    remedy: str
    location: str
    """The line that could not be captured, which may be in a function that the frame called."""
    frames: tuple[str, ...] = ()
    """The lines that the user's frames were at then, outermost first."""


class Program(Data, frozen=True):
    """One captured program: what must hold, what is computed, what comes back."""

    name: str
    """Name of the function, for people."""
    pattern: CallPattern
    pins: tuple[Pin, ...]
    guards: tuple[Guard, ...]
    symbols: tuple[SymbolBinding, ...]
    inputs: tuple[Source, ...]
    """Source of each input of `graph`."""
    graph: AtenGraph
    built: tuple[Recipe, ...]
    """Objects made by the program that are used more than once. One may refer to any other, and from its attributes or
    contents to itself."""
    result: Recipe
    effects: tuple[Effect, ...] = ()
    loc: Loc | None = None
    ends_at: Break | None = None
    entered: tuple[EnteredCode, ...] = ()
    """Of the generators that are made in the middle of their bodies."""
