"""The machine: what every part of the interpreter can reach.

In: nothing.   Out: `Machine`, an object that is passed to every opcode and rule. Its operations (`call`, `load_attr`, …) live in modules
of their own and are put in place by `assembly.py`; so those modules need only this one, and none of them needs the others.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch

from graphwright.base.errors import Unsupported
from graphwright.capture.frames import CodeTable, Frame, Outermost
from graphwright.capture.guards import Guards
from graphwright.capture.missing import Unmakeable
from graphwright.capture.policy import is_torch_module_name
from graphwright.capture.settings import Settings
from graphwright.capture.world import World
from graphwright.ir.locations import Loc
from graphwright.ir.sources import Source
from graphwright.record import Recorder

Rule = Callable[["Machine", Sequence[Any], Mapping[str, Any]], Any]
"""How a known function is called during a capture: `rule(machine, args, kwargs)`."""


class ComptimeBlocks(Protocol):
    """What comptime code gave (see `comptime/blocks.py`)."""

    def take(self) -> Any:
        """Give the outcome of the next piece of code, or `ABSENT`."""

    def keep(self, outcome: Any) -> None:
        """Keep the outcome of the piece of code that was asked for last."""


class LateCaller(Protocol):
    """What calls native functions (see `late_calls.py`)."""

    @property
    def results(self) -> Sequence[Any]:
        """The late results so far, in the order of their calls."""

    @property
    def may_be_texts(self) -> bool:
        """Whether texts may be late."""

    def call(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call one now or late."""

    def make(self, function: Any, args: tuple[Any, ...], *, sample: Any) -> Any:
        """Make the result of a late call that changes and raises nothing."""


@dataclasses.dataclass(slots=True)
class Raised:
    """An exception that existed before the call and that the program raised."""

    error: BaseException
    has_changed: bool
    """Whether CPython, too, would have changed its traceback: raised again in the frame that handles it, it stays as it is."""
    traceback: types.TracebackType | None
    cause: BaseException | None
    context: BaseException | None
    hides_context: bool

    def restore(self) -> None:
        """Make it as it was before it was raised."""
        self.error.__traceback__, self.error.__cause__ = self.traceback, self.cause
        self.error.__context__, self.error.__suppress_context__ = self.context, self.hides_context


class Machine:
    """The state of one capture, and the interpreter's operations on it.

    Attributes that are functions are the operations; each is documented where it is defined.
    """

    world: World
    guards: Guards
    codes: CodeTable
    tensor_type: type[torch.Tensor]
    """The exact type of abstract tensors."""
    plain_types: frozenset[type]
    """Exact types whose values native code may see as they are."""
    late_calls: LateCaller
    """Calls native functions, late where they ask for values."""
    blocks: ComptimeBlocks
    """What comptime code gave in earlier attempts to capture the call."""
    rules: Mapping[int, Rule]
    """How functions known by identity are called, by `id`."""
    recorder: Recorder
    """Records what is called on abstract tensors."""
    target: object
    """What was compiled, as the user gave it."""

    is_over: bool = True
    """The capture has ended: nothing is interpreted any more, and nothing else is left here."""

    call: Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]
    inline: Callable[[types.FunctionType, Sequence[Any], Mapping[str, Any]], Any]
    call_native: Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]
    construct: Callable[[type, Sequence[Any], Mapping[str, Any]], Any]
    run_frame: Callable[..., Any]
    load_attr: Callable[[Any, str], Any]
    load_raw_attr: Callable[[Any, str], Any]
    store_attr: Callable[[Any, str, Any], None]
    store_raw_attr: Callable[[Any, str, Any], None]
    delete_attr: Callable[[Any, str], None]
    find: Callable[[type, str], Any]
    special: Callable[[Any, str], Any]
    load_global: Callable[[Frame, str], Any]
    getitem: Callable[[Any, Any], Any]
    setitem: Callable[[Any, Any, Any], None]
    delitem: Callable[[Any, Any], None]
    truth: Callable[[Any], bool]
    iterate: Callable[[Any], Any]
    native_iterable: Callable[[Any], Any]
    members: Callable[[Any], Any]
    next_item: Callable[[Any], Any]
    contains: Callable[[Any, Any], bool]
    length: Callable[[Any], int]
    binary: Callable[[Any, Any, Any], Any]
    compare: Callable[[Any, Any, Any], Any]
    text: Callable[[Callable[..., str], Sequence[Any]], str]
    show: Callable[[Any], Any]
    is_same: Callable[[Any, Any], bool]
    materialise: Callable[[Any], Any]

    def __init__(self) -> None:
        self.frame: Frame | None = None
        """The innermost frame."""
        self.outermost = Outermost()
        """The frame that the capture began with."""
        self.callers: list[Frame] = []
        """The frames below it, outermost first."""
        self.handled: BaseException | None = None
        """The exception that is being handled (`sys.exc_info()`)."""
        self.settings = Settings()
        self.rendering: set[int] = set()
        """Containers whose text is being made, by `id`."""
        self.allowed: Any = None
        """The function that runs natively as one node, whatever it does (`gw.allow_in_graph`)."""
        self.comptime: object = None
        """The object `gw.comptime`, once the program has used it."""
        self.has_symbols = False
        """Some ints of the program are symbolic (see `symbolic_ints.py`)."""
        self.is_over = False
        self.entered: list[Any] = []
        """Context managers of PyTorch's that the program is inside of, and generators of its functions; they run for real."""
        self.entered_for: dict[int, tuple[Any, Any]] = {}
        """By the identity of what was entered for another manager: itself (which must live on), and that other one."""
        self.freed_histories: list[Any] = []
        """The gradients for whose sake histories were let go of (`torch.autograd.grad` without `retain_graph`)."""
        self.cached_results: dict[int, tuple[Any, dict[Any, Any]]] = {}
        """What functions that keep their results gave, by `id`: the function, and by arguments these and the result."""
        self.kept_results: dict[int, Any] = {}
        """Those among them that may change, by `id`: in plain Python each call of the program gets the same object."""
        self.natively: dict[int, tuple[Any, bool]] = {}
        """Whether a callable may run natively at all, by `id`."""
        self.native_functions: dict[int, tuple[Any, bool]] = {}
        """Whether a Python function runs natively on plain arguments, by `id`."""
        self.class_attrs: dict[tuple[type, str], Any] = {}
        """What `find` found."""
        self.globals_read: dict[tuple[int, str], Any] = {}
        """What `load_global` found, but for names that the program stores."""
        self.globals_written: dict[int, tuple[dict[str, Any], Any, dict[str, Any]]] = {}
        """Globals that the program stored: the dict, its source, the names."""
        self.globals_sources: dict[int, tuple[dict[str, Any], Source]] = {}
        """Sources of globals that are not those of an imported module."""
        self.own_classes: set[type] = set()
        """Classes that the program made."""
        self.written_sets: dict[int, tuple[set[Any], tuple[Any, ...]]] = {}
        """The members of sets that the program wrote out, in its order, which a set does not keep; for people."""
        self.raised: list[Raised] = []
        """Exceptions that existed before the call and that the program raised."""
        self.ready_modules: dict[int, Any] = {}
        """The `forward` of each module whose call was looked at."""

    def loc(self) -> Loc | None:
        """Give the innermost line that is not PyTorch's own, or the innermost one."""
        frame = self.frame
        if frame is None:
            return None
        if not is_torch_module_name(frame.globals.get("__name__")):
            return frame.loc()
        for caller in reversed(self.callers):
            if not is_torch_module_name(caller.globals.get("__name__")):
                return caller.loc()
        return frame.loc()

    def locate(self, error: Unsupported) -> None:
        """Note the user's line, and those that led there, in what cannot be captured, unless that was done."""
        if error.frames:
            return
        error.frames = tuple(loc.render() for loc in self.locs())
        if not error.location:
            loc = self.loc()
            error.location = loc.render() if loc is not None else ""

    def are_plain(self, values: Iterable[Any]) -> bool:
        """Tell whether native code may see all values as they are."""
        plain = self.plain_types
        return all(type(value) in plain for value in values)

    def module_name(self) -> str | None:
        """Give the name of the module that the innermost frame's code belongs to: that of the classes it makes."""
        return None if self.frame is None else self.frame.globals.get("__name__")

    def locs(self) -> list[Loc]:
        """Give the lines that frames are at, PyTorch's own left out, outermost first."""
        frames = [*self.callers, self.frame]
        return [
            frame.loc()
            for frame in frames
            if frame is not None and not is_torch_module_name(frame.globals.get("__name__"))
        ]

    def note_raised(self, error: BaseException, *, is_new: bool) -> None:
        """Keep what raising changes of an exception that existed before the call.

        Args:
            error: the exception.
            is_new: it is not raised again by the frame that handles it.
        """
        if self.world.source_of(error) is not None:
            links = (error.__traceback__, error.__cause__, error.__context__)
            self.raised.append(Raised(error, is_new, *links, error.__suppress_context__))

    def note_left(self, error: BaseException) -> None:
        """Note that an exception has left a frame, for the traceback of one that existed before."""
        for one in self.raised:
            one.has_changed |= one.error is error

    def check_raised(self) -> None:
        """Check that no exception from before the call, which the program has caught, has another traceback now.

        Raises:
            Unsupported: one has.
        """
        for one in self.raised:
            if one.has_changed:
                raise self.unsupported(
                    f"a {type(one.error).__qualname__} that existed before the call, raised and caught",
                    why="raising it changes its traceback, which is not replayed",
                    remedy="make the exception where it is raised",
                )

    def restore_raised(self) -> None:
        """Make the exceptions that existed before the call as they were."""
        for one in reversed(self.raised):
            one.restore()
        self.raised.clear()

    def unmakeable(self, value: object, met: str, *, why: str, remedy: str) -> Unmakeable:
        """Make the error for something that cannot be made again at the program's end."""
        loc = self.loc()
        location = loc.render() if loc else ""
        return Unmakeable(value, met, why=why, remedy=remedy, location=location)

    def unsupported(
        self, met: str, *, why: str, remedy: str, kind: type[Unsupported] = Unsupported
    ) -> Unsupported:
        """Make the error for something that cannot be captured, with the user's line."""
        loc = self.loc()
        return kind(met, why=why, remedy=remedy, location=loc.render() if loc else "")
