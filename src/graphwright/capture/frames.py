"""Frames of the interpreter: one call of a Python function that is being captured.

In: a code object in normalised form, and a function's arguments.   Out: `Frame`, on which the opcodes work; `CodeInfo`, what is
known of a code object once and for all; `CodeTable`, which keeps it.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any, Final

from graphwright.base.errors import Unsupported
from graphwright.capture.decode import Decoder, running_decoder
from graphwright.capture.foreseen import CallPlace, Foreseen
from graphwright.capture.instructions import Decoded, Op
from graphwright.capture.missing import ABSENT, UNUSED, Handled
from graphwright.ir.locations import Loc
from graphwright.ir.program import StackItem

LEAVE: Final = -1
"""What an opcode gives when the frame returns: its value is in `Frame.value`."""
SUSPEND: Final = -2
"""What an opcode gives when the frame yields: the value is in `Frame.value`."""
STOP: Final = -3
"""What the loop of the outermost frame gives when it has come to where it is to stop."""

Opcode = Callable[..., "int | None"]
"""`opcode(machine, frame, arg)`: works on the frame; gives None to go on, the index to jump to, `LEAVE` or `SUSPEND`."""


_MAKERS: Final = frozenset(
    {
        Op.CALL,
        Op.CALL_EX,
        Op.LOAD_ATTR,
        Op.LOAD_SUPER_ATTR,
        Op.UNARY_OP,
        Op.BINARY_OP,
        Op.COMPARE_OP,
        Op.GET_ITER,
        Op.FOR_ITER,
    }
)


class CodeInfo:
    """What is known of one code object; made once and shared by all its frames."""

    __slots__ = (
        "args",
        "code",
        "decoded",
        "has_varargs",
        "has_varkw",
        "is_coroutine",
        "kwonly",
        "makes",
        "met",
        "num_posonly",
        "opcodes",
        "params",
        "plain_arity",
        "starts",
        "user_locs",
        "varargs_name",
        "varkw_name",
    )

    def __init__(self, code: types.CodeType, decoder: Decoder, table: Sequence[Opcode]) -> None:
        self.code = code
        self.decoded: Decoded = decoder.decode(code)
        self.opcodes: list[Opcode] = [table[step.op] for step in self.decoded.instructions]
        self.args: list[Any] = [step.arg for step in self.decoded.instructions]
        names = code.co_varnames
        count, num_kwonly = code.co_argcount, code.co_kwonlyargcount
        self.params = names[:count]
        self.kwonly = names[count : count + num_kwonly]
        self.num_posonly = code.co_posonlyargcount
        self.has_varargs = bool(code.co_flags & inspect.CO_VARARGS)
        self.has_varkw = bool(code.co_flags & inspect.CO_VARKEYWORDS)
        rest = count + num_kwonly
        self.varargs_name = names[rest] if self.has_varargs else ""
        self.varkw_name = names[rest + self.has_varargs] if self.has_varkw else ""
        is_plain = not (self.has_varargs or self.has_varkw or num_kwonly)
        self.plain_arity = count if is_plain else -1
        self.is_coroutine = bool(
            code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
        )
        self.user_locs: dict[int, Loc] = {}
        steps = self.decoded.instructions
        self.starts = [i == 0 or step.offset != steps[i - 1].offset for i, step in enumerate(steps)]
        """Whether an instruction is the first that one of CPython's was turned into."""
        self.makes = [step.op in _MAKERS for step in steps]
        """Whether an instruction may leave an object on top of the stack that was not there before."""
        self.met: dict[int, Unsupported] = {}
        """What frames that a capture had entered asked of the values of tensors, by instruction."""

    def loc_at(self, index: int) -> Loc:
        """Give the user's line of instruction `index`; one the compiler made up has that of the one before."""
        known = self.user_locs.get(index)
        if known is None:
            steps = self.decoded.instructions
            line = next((steps[i].line for i in range(index, -1, -1) if steps[i].line), 0)
            line = line or self.code.co_firstlineno
            known = Loc(self.code.co_filename, line, self.code.co_name)
            self.user_locs[index] = known
        return known


class CodeTable:
    """The `CodeInfo` of each code object seen; may outlive a capture, and is then shared by the next ones.

    Args:
        opcodes: the function of each opcode, by number.
    """

    def __init__(self, opcodes: Sequence[Opcode]) -> None:
        self._opcodes = opcodes
        self._decoder = running_decoder()
        self._infos: dict[int, CodeInfo] = {}

    def info(self, code: types.CodeType) -> CodeInfo:
        """Give what is known of `code`."""
        known = self._infos.get(id(code))
        if known is None:
            known = self._infos[id(code)] = CodeInfo(code, self._decoder, self._opcodes)
        return known


class Frame:
    """One call in progress. `slots` holds what each local name holds now (a cell for a cell variable); a name without entry is unbound."""

    __slots__ = (
        "closure",
        "function",
        "globals",
        "handled",
        "index",
        "info",
        "is_generator",
        "namespace",
        "num_calls",
        "resume_at",
        "slots",
        "stack",
        "value",
    )

    def __init__(
        self,
        info: CodeInfo,
        slots: dict[str, Any],
        module_globals: dict[str, Any],
        function: types.FunctionType,
    ) -> None:
        self.info = info
        self.slots = slots
        self.stack: list[Any] = []
        self.globals = module_globals
        self.function = function
        self.closure = function.__closure__
        self.index = 0
        """The instruction that is being run."""
        self.resume_at = 0
        """Where `run_frame` goes on."""
        self.value: Any = None
        self.handled: BaseException | None = None
        """Where it has stopped: the exception that it is handling."""
        self.is_generator = False
        self.namespace: dict[str, Any] | None = None
        self.num_calls = 0
        """How many calls of Python functions it has made."""

    def loc(self) -> Loc:
        """Give the user's line that this frame is at."""
        return self.info.loc_at(self.index)

    @property
    def call_place(self) -> CallPlace:
        """The call that it makes."""
        return CallPlace(self.info.code, self.index, self.num_calls)

    @property
    def is_handling(self) -> bool:
        """Whether it is in a handler of its own."""
        return any(type(value) is Handled for value in self.stack)

    def stack_items(self) -> tuple[StackItem, ...]:
        """Give what the places on the stack are taken by."""
        return tuple(map(_item_of, self.stack))

    def stack_values(self) -> tuple[Any, ...]:
        """Give what is handed over for the stack of a frame that has stopped, bottom first."""
        handled = self.handled
        values: list[Any] = []
        for value in reversed(self.stack):
            if type(value) is Handled:
                values.append(handled)
                handled = value.before
            elif _item_of(value).is_passed:
                values.append(value)
        return tuple(reversed(values))


def _item_of(value: object) -> StackItem:
    if type(value) is Handled:
        return StackItem.HANDLED
    if value is ABSENT:
        return StackItem.NULL
    return StackItem.UNUSED if value is UNUSED else StackItem.VALUE


class Outermost:
    """The frame that a capture began with: how far it got, and where it is to stop.

    Args:
        stop_at: the number of the step before which the frame stops (steps are counted as they begin; one is an instruction of
            CPython's); -1: it runs to its end.
        may_stop: asked where something cannot be captured: whether the frame may stop there.
    """

    __slots__ = (
        "_made_at",
        "_raised_at",
        "foreseen",
        "frame",
        "has_late_calls",
        "is_before_callee",
        "is_over",
        "is_stopped",
        "may_stop",
        "met",
        "met_in",
        "num_steps",
        "stack_before",
        "stop_at",
        "was_nested",
        "with_empty_stack",
    )

    def __init__(self, stop_at: int = -1, may_stop: Callable[[], bool] = bool) -> None:
        self.stop_at = stop_at
        self.may_stop = may_stop
        self.met: Unsupported | None = None
        """What it has stopped for, without having been told where."""
        self.stack_before: list[Any] = []
        """The stack at the beginning of the current step."""
        self.frame: Frame | None = None
        self.num_steps = 0
        self.with_empty_stack: list[int] = []
        """The steps that began with nothing on the stack."""
        self.was_nested = False
        """What could not be captured was met in a function that the frame called."""
        self.met_in: list[CallPlace] = []
        """The places in such functions, innermost first."""
        self.foreseen: Foreseen | None = None
        """What is known of the frame's call."""
        self.is_before_callee = False
        """It stops before the call of a function that breaks the graph in any case."""
        self.has_late_calls = False
        """Something that asks for values was called late (see `late_calls.py`)."""
        self.is_stopped = False
        self.is_over = False
        """The frame has returned or raised."""
        self._made_at: dict[int, int] = {}
        self._raised_at: dict[int, int] = {}

    def begin_step(self, stack: list[Any]) -> bool:
        """Count a step; tell whether the frame is to stop before it.

        Args:
            stack: the frame's.
        """
        if self.num_steps == self.stop_at:
            return True
        if not stack:
            self.with_empty_stack.append(self.num_steps)
        self.num_steps += 1
        self.stack_before = stack[:]
        return False

    def stop(self, frame: Frame, met: Unsupported) -> None:
        """Stop before the current step, which was refused before it had done anything."""
        frame.stack[:] = self.stack_before
        met.__cause__ = met.__context__ = None
        self.met = met.with_traceback(None)
        self.stop_at = self.num_steps - 1

    @property
    def last_step(self) -> int | None:
        """The last step that has begun, or None where the frame has not begun or has ended."""
        return None if self.frame is None or self.is_over else self.num_steps - 1

    def note_made(self, value: object) -> None:
        """Note that the current step has made a value, or (of a context manager) entered it; several, if it gave a tuple or list."""
        self._made_at[id(value)] = self.num_steps - 1
        if isinstance(value, tuple | list):
            for item in value:
                self._made_at[id(item)] = self.num_steps - 1

    def note_raised(self, error: BaseException) -> None:
        """Note that the current step has raised an exception, which one of the frame's handlers gets."""
        self._raised_at.setdefault(id(error), self.num_steps - 1)

    def origin_of(self, value: object) -> int | None:
        """Give the step before which there was no such value, or the exception had not been raised; None where that is not known."""
        return self._raised_at.get(id(value), self._made_at.get(id(value)))


def make_opcode_table(*families: dict[Op, Opcode]) -> list[Opcode]:
    """Join the opcodes of the families into a dispatch table.

    Raises:
        ValueError: an opcode is there twice, or missing.
    """
    joined: dict[Op, Opcode] = {}
    for family in families:
        twice = joined.keys() & family.keys()
        if twice:
            msg = f"opcodes set twice: {sorted(op.name for op in twice)}"
            raise ValueError(msg)
        joined.update(family)
    missing = [op.name for op in Op if op not in joined]
    if missing:
        msg = f"opcodes without a function: {missing}"
        raise ValueError(msg)
    return [joined[op] for op in Op]
