"""The context: what a comptime function is handed.

In: the machine, in the middle of a capture.   Out: what is known so far, as values and as text.
Keeps: looking changes nothing and guards nothing; `force_static`, `graph_break` and operations on proxies do what they say.
"""

from __future__ import annotations

import builtins
import dis
import time
import traceback
from collections.abc import Sequence
from typing import Any, Final, NoReturn, TextIO, final

import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.comptime.graph_text import render_torch_graph
from graphwright.capture.comptime.guard_text import render_guards
from graphwright.capture.comptime.value_text import describe
from graphwright.capture.comptime.values import ComptimeValue, slot_content
from graphwright.capture.frames import Frame
from graphwright.capture.machine import Machine
from graphwright.capture.missing import ABSENT


def _print(text: object, file: TextIO | None) -> None:
    builtins.print(text, file=file)


@final
class ComptimeContext:
    """The program that is being captured, seen from one of its frames.

    Where a method takes `stacklevel`, it looks from that many callers further up; where it takes `file`, it prints there, and
    else to standard output.
    """

    __slots__ = ("_frames", "_machine")

    def __init__(self, machine: Machine, frames: Sequence[Frame]) -> None:
        self._machine: Final = machine
        self._frames: Final = tuple(frames)

    def parent(self) -> ComptimeContext:
        """Give the context of the caller.

        Raises:
            IndexError: there is none.
        """
        return ComptimeContext(self._machine, self._outer(1))

    def get_local(self, name: str, *, stacklevel: int = 0) -> ComptimeValue:
        """Give what is known of a local variable; a closure's is looked up in its cell.

        Raises:
            KeyError: there is none of that name, or nothing is bound to it.
        """
        frame = self._outer(stacklevel)[-1]
        value = slot_content(self._machine, frame.slots[name])
        if value is ABSENT:
            raise KeyError(name)
        return ComptimeValue(self._machine, value)

    def graph(self) -> torch.fx.Graph:
        """Give the torch-level graph so far, in a copy."""
        return self._machine.recorder.torch_graph

    def graph_break(self, msg: str = "") -> NoReturn:
        """End the graph here."""
        raise self._machine.unsupported(
            "a graph break that a comptime block asks for",
            why=msg or "the block asks for the graph to end here",
            remedy="take the call of graph_break() away to have one graph",
        )

    def is_dynamic(self, value: ComptimeValue) -> bool:
        """Tell whether a number is symbolic."""
        return value.is_dynamic()

    def force_static(self, value: ComptimeValue) -> None:
        """Make a symbolic number a constant, guarded to have the value that it has in this call.

        Raises:
            TypeError: it is neither a number nor a constant.
        """
        value.force_static()

    def assert_static(self, value: ComptimeValue) -> None:
        """Fail where a number is symbolic.

        Raises:
            AssertionError: it is.
        """
        if value.is_dynamic():
            message = f"expected static but got dynamic: {value!r}"
            raise AssertionError(message)

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def breakpoint(self) -> None:
        """Enter the debugger; the context is `ctx` there."""
        ctx = self  # noqa: F841  (for the debugger)
        builtins.breakpoint()

    # Printing

    def print(self, value: object, *, file: TextIO | None = None) -> None:
        """Print what is known of a value."""
        _print(repr(value), file)

    def print_graph(self, *, verbose: bool = True, file: TextIO | None = None) -> None:
        """Print the torch-level graph so far, with dtypes, shapes and the user's lines if `verbose`."""
        try:
            text = render_torch_graph(self._machine.recorder.trace, is_verbose=verbose)
        except Unsupported as error:
            text = f"# {error}".replace("\n", "\n# ")
        _print(text, file)

    def print_disas(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the bytecode of the function, with `-->` at the instruction that is being captured."""
        frame = self._outer(stacklevel)[-1]
        offset = frame.info.decoded.instructions[frame.index].offset
        _print(dis.Bytecode(frame.info.code, current_offset=offset).dis(), file)

    def print_value_stack(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the operands that wait on Python's value stack, the top one last."""
        for value in self._outer(stacklevel)[-1].stack:
            _print(f"- {describe(self._machine, value)}", file)

    def print_value_stack_and_return(
        self, value: Any, *, file: TextIO | None = None, stacklevel: int = 0
    ) -> Any:
        """Print the value stack and give `value`."""
        self.print_value_stack(file=file, stacklevel=stacklevel)
        return value

    def print_locals(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the local variables, in the order in which they were bound."""
        for name, slot in self._outer(stacklevel)[-1].slots.items():
            value = slot_content(self._machine, slot)
            if value is not ABSENT:
                _print(f"{name} = {describe(self._machine, value)}", file)

    def print_bt(self, *, file: TextIO | None = None, stacklevel: int = 0) -> None:
        """Print the calls that are being captured, the outermost first, as a traceback does."""
        locs = [frame.loc() for frame in self._outer(stacklevel)]
        lines = [traceback.FrameSummary(loc.file, loc.line, loc.function) for loc in locs]
        _print("".join(traceback.StackSummary.from_list(lines).format()), file)

    def print_guards(self, *, file: TextIO | None = None) -> None:
        """Print the guards so far. What is not read yet is not guarded yet."""
        _print(render_guards(self._machine), file)

    def _outer(self, num_callers: int) -> tuple[Frame, ...]:
        """Give the frames without the innermost `num_callers`.

        Raises:
            IndexError: there are no more.
        """
        frames = self._frames[: len(self._frames) - num_callers]
        if not frames:
            message = f"{num_callers} callers up there is no frame: {len(self._frames)} are being captured"
            raise IndexError(message)
        return frames
