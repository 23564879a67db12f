"""One compiled variant of a program: its guards and its call.

In: a `Program` with a `Plan` and machine code (or with a function that runs the graph), and the live pins if they are known.
Out: `Entry`: try it on a call, ask why it does not serve one, read its source.
Keeps: everything is made from the data alone; live pins only save the search for the objects.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, final

import torch

from graphwright.base.counters import counters
from graphwright.base.errors import InternalError
from graphwright.base.logging import LogName, log
from graphwright.ir.guards import FrozenGuard, GlobalStateGuard, GlobalStateKind
from graphwright.ir.lookups import comes_first
from graphwright.ir.plan import Plan
from graphwright.ir.program import CallPattern, Program
from graphwright.runtime.again import RunFailed, can_run_again, is_refusal, never_refuses_late
from graphwright.runtime.failures import Evaluator, GuardFailure, describe_failure
from graphwright.runtime.frozen import Compute, FrozenTensors
from graphwright.runtime.global_state import OFF
from graphwright.runtime.guard_steps import lower_guards
from graphwright.runtime.guards_text import GuardsText
from graphwright.runtime.pins import PinTable
from graphwright.runtime.plan_code import Code, PlanCode
from graphwright.runtime.reading import MISSING
from graphwright.runtime.recipes_text import RecipesText
from graphwright.runtime.source_parts import SourcePart
from graphwright.runtime.tensors import make_constant_tensor

Run = Callable[[Sequence[torch.Tensor], tuple[int, ...]], Sequence[torch.Tensor]]
"""Runs a graph: inputs and the values of the size symbols → outputs."""
Found = tuple[tuple[torch.Tensor, ...], tuple[int, ...], tuple[object, ...]]
"""What passed guards give: the graph's inputs, the size symbols, the objects that recipes read."""

_AUTOCAST: Final = (GlobalStateKind.AUTOCAST_CPU, GlobalStateKind.AUTOCAST_CUDA)


class NativeForm(Protocol):
    """The native form of an entry."""

    @property
    def function(self) -> Callable[..., Any]:
        """What `try_call` calls, with the arguments as they are: nothing stands between a caller and native code."""

    def try_call(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:
        """Check the guards and run the program; `MISSING` when the entry does not serve the call."""

    def failed_guard(self, args: Sequence[object], kwargs: Mapping[str, object]) -> int | None:
        """Give the number of the first guard that a call of the right pattern fails; None when all hold."""

    @property
    def num_active(self) -> int:
        """How many calls are under way."""

    def release(self) -> None:
        """Serve no call from now on, and let go of all that it holds."""


@final
class Entry:
    """A compiled variant. The readable source is made when it is asked for, or run.

    Args:
        program: what was captured.
        plan: the steps of its graph; None when a function runs it.
        code: machine code of the plan's kernels; held so that it stays in memory.
        run: the function that runs the graph; None when the plan does.
        target: the object that was compiled.
        live_pins: the objects of `program.pins`, where they are known.
        kernel_texts: for each kernel, what to say of it in the readable source.
        go_on: called with the result's items, and giving the call's result, where the program ends before its function does.
        compute: runs the plan's fold, where it has one.

    Attributes:
        steps: the guards, lowered.
        pins: the live pins.
        constants: the plan's constants.
        frozen: the tensors that the folded ones among the constants are made from; None where there are none.
        runs_again: where the graph raises, the call is made in plain Python.
        on_failure: makes it; gets what the graph raised, and the call's arguments.
        native: the native form, where there is one; it serves calls in the place of the readable source.
        refusal: why there is none although it was asked for; else empty.
    """

    def __init__(  # noqa: PLR0913  (see `make_entry` and `make_backend_entry`)
        self,
        program: Program,
        *,
        plan: Plan | None,
        code: Code | None,
        run: Run | None,
        target: object,
        live_pins: Sequence[object] | None,
        kernel_texts: Sequence[str] = (),
        go_on: Callable[..., Any] | None = None,
        compute: Compute | None = None,
    ) -> None:
        if program.ends_at is not None and go_on is None:
            message = f"nothing goes on after the graph break of {program.name}"
            raise InternalError(message)
        self.program: Final = program
        self.plan: Final = plan
        self.code: Final = code
        self.target: Final = target
        self.pins: Final = PinTable(program.pins, live_pins)
        self.steps: Final = lower_guards(program)
        constants = () if plan is None else plan.constants
        self.constants: Final = tuple(map(make_constant_tensor, constants))
        self.frozen: Final = (
            None
            if plan is None or plan.fold is None
            else FrozenTensors(plan, self.constants, compute)
        )
        self._run = run
        self._go_on = go_on
        self.runs_again: Final = can_run_again(program)
        self.on_failure: Callable[..., Any] | None = None
        self._calls = _CallCount()
        self._kernel_texts = tuple(kernel_texts)
        self.native: NativeForm | None = None
        self.refusal = ""

    @property
    def source(self) -> str:
        """Readable Python: `guards`, `call`, `build`."""
        loc = self.program.loc
        title = f"# {self.program.name}{f', from {loc.render()}' if loc else ''}"
        texts = [self._guards_part.text, self._build_part.text]
        if self._call_part is not None:
            texts.insert(1, self._call_part.text)
        return "\n\n".join([title, *texts])

    @property
    def call_source(self) -> str:
        """Readable Python: `call` alone; empty when a function runs the graph."""
        return self._call_part.text if self._call_part is not None else ""

    @property
    def has_autocast(self) -> bool:
        """True when the program runs with autocast on, which its graph has already applied."""
        return has_autocast(self.program)

    @functools.cached_property
    def _guards_part(self) -> SourcePart:
        are_unchanged = None if self.frozen is None else self.frozen.matches
        guards = GuardsText(self.program, self.steps, self.pins, self.target, are_unchanged)
        return SourcePart(f"guards of {self.program.name}", guards.render(), guards.namespace)

    @functools.cached_property
    def _call_part(self) -> SourcePart | None:
        if self.plan is None or self.code is None:
            return None
        call = PlanCode(
            self.plan,
            self.code,
            self.constants,
            self._kernel_texts,
            turns_off_autocast=self.has_autocast,
        )
        return SourcePart(f"call of {self.program.name}", call.render(), call.namespace)

    @functools.cached_property
    def _build_part(self) -> SourcePart:
        recipes = RecipesText(
            self.program, self.steps, self.pins, self._go_on, runs_again=self.runs_again
        )
        return SourcePart(f"result of {self.program.name}", recipes.render(), recipes.namespace)

    @functools.cached_property
    def guards(self) -> Callable[[Sequence[object], Mapping[str, object]], int | Found]:
        """The function that gives the number of the first guard that fails, or what the call needs."""
        function: Callable[..., int | Found] = self._guards_part.function("guards")
        return function

    @functools.cached_property
    def call(self) -> Run:
        """The function that runs the graph."""
        if self._call_part is not None:
            function: Run = self._call_part.function("call")
            return function
        if self._run is None:
            message = f"nothing runs the graph of {self.program.name}"
            raise InternalError(message)
        return self._run

    @functools.cached_property
    def build(self) -> Callable[[Sequence[torch.Tensor], tuple[int, ...], tuple[object, ...]], Any]:
        """The function that makes the result and replays the effects."""
        function: Callable[..., Any] = self._build_part.function("build")
        return function

    def try_call(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:
        """Check the guards and run the program; `MISSING` when this entry does not serve the call."""
        if not fits_pattern(self.program.pattern, args, kwargs):
            return MISSING
        if self.native is not None:
            return self.native.try_call(args, kwargs)
        with self._calls:
            found = self.guards(args, kwargs)
            if isinstance(found, int):
                return MISSING
            inputs, symbols, sources = found
            try:
                return self.run(inputs, symbols, sources)
            except RunFailed as failed:
                failure = failed
        try:
            return self.run_again(failure, args, kwargs)
        finally:
            del failure  # as in `run_again`

    def run(
        self,
        inputs: Sequence[torch.Tensor],
        symbols: tuple[int, ...],
        sources: tuple[object, ...],
    ) -> Any:
        """Run the graph on what passed guards have given, and make the result.

        Raises:
            RunFailed: the graph raised, and the call is to be made in plain Python.
        """
        try:
            outputs = self.call(inputs, self.plan_symbols(symbols))
        except RunFailed:
            raise
        except Exception as error:
            if not self._is_untouched_by(error):
                raise
            raise RunFailed(error) from None
        return self.build(outputs, symbols, sources)

    def run_again(
        self, error: BaseException, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Any:
        """Make a call in plain Python whose graph has raised.

        Raises:
            Exception: what plain Python raises, as a rule; what the graph raised where nobody makes such calls.
        """
        is_untouched = isinstance(error, RunFailed) or self._is_untouched_by(error)
        error = error.error if isinstance(error, RunFailed) else error
        try:
            is_interrupt = not isinstance(error, Exception)
            if self.on_failure is None or is_interrupt or not is_untouched:
                raise error
            return self.on_failure(error, args, kwargs)
        finally:
            del error  # it would be part of a cycle with its own traceback

    def _is_untouched_by(self, error: BaseException) -> bool:
        """Tell whether a call whose graph raised has changed nothing."""
        if self.runs_again or comes_first(error):
            return True
        plan = self.plan
        return plan is not None and is_refusal(error) and never_refuses_late(self.program, plan)

    def release(self) -> None:
        """Let go of the native form, whose memory holds the entry; no call is under way. Python serves whoever calls all the same."""
        native, self.native = self.native, None
        self.on_failure = None
        self.pins.on_bind = None
        if native is not None:
            native.release()

    @property
    def num_active(self) -> int:
        """How many calls are under way, from before their guards to their end."""
        return self._calls.count if self.native is None else self.native.num_active

    def serves(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
        """Tell whether the entry serves a call; where only frozen tensors are in the way, make its constants from the call's.

        One thread at a time asks this.
        """
        if not fits_pattern(self.program.pattern, args, kwargs):
            return False
        index = self.failed_guard(args, kwargs)
        if index is None or index >= len(self.program.guards):
            return index is None
        guard = self.program.guards[index]
        if not isinstance(guard, FrozenGuard):
            return False
        evaluator = Evaluator(self.target, self.pins, args, kwargs)
        return self._try_fold([evaluator.evaluate(source) for source in guard.sources])

    def _try_fold(self, tensors: Sequence[object]) -> bool:
        found = [tensor for tensor in tensors if isinstance(tensor, torch.Tensor)]
        assert self.frozen is not None, "a program with the guard has a plan with the fold"
        assert len(found) == len(tensors), "guards before this one found tensors"
        is_first = not self.frozen.has_values
        if not is_first and not self.frozen.are_spent():
            return False
        # From here on no call passes the guards; one that has passed them counts as active, and may be reading the constants.
        self.frozen.forget()
        if self.num_active > 0:
            return False
        with_name = f"{self.program.name}: {len(self.frozen)} frozen tensors"
        log(LogName.FREEZING).info(
            "%s %s", with_name, "fold" if is_first else "changed, fold again"
        )
        counters.add("freezing", "fold" if is_first else "refold")
        return self.frozen.try_fold(found)

    def failed_guard(self, args: Sequence[object], kwargs: Mapping[str, object]) -> int | None:
        """Give the number of the first guard that a call of the right pattern fails; None when all hold."""
        if self.native is not None:
            return self.native.failed_guard(args, kwargs)
        found = self.guards(args, kwargs)
        return found if isinstance(found, int) else None

    def explain_failure(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> GuardFailure | None:
        """Tell which guard a call fails, what it expects and what it found; None when the entry serves the call."""
        if not fits_pattern(self.program.pattern, args, kwargs):
            return _describe_pattern(self.program.pattern, args, kwargs)
        index = self.failed_guard(args, kwargs)
        if index is None:
            return None
        evaluator = Evaluator(self.target, self.pins, args, kwargs)
        return describe_failure(self.program, index, evaluator)

    def plan_symbols(self, symbols: tuple[int, ...]) -> tuple[int, ...]:
        """Put the values of the program's size symbols into the order of the plan's; a function takes the program's."""
        if self.plan is None or self.plan.symbols == self.steps.symbols:
            return symbols
        values = dict(zip(self.steps.symbols, symbols, strict=True))
        return tuple(values[name] for name in self.plan.symbols)


@final
class _CallCount:
    """Counts the calls that Python serves while they are under way."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1


def has_autocast(program: Program) -> bool:
    """Tell whether a program runs with autocast on."""
    states = [guard for guard in program.guards if isinstance(guard, GlobalStateGuard)]
    return any(guard.kind in _AUTOCAST and guard.text != OFF for guard in states)


def fits_pattern(
    pattern: CallPattern, args: Sequence[object], kwargs: Mapping[str, object]
) -> bool:
    """Tell whether a call has the form that a program serves."""
    return len(args) == pattern.num_positional and tuple(kwargs) == pattern.keywords


def _describe_pattern(
    pattern: CallPattern, args: Sequence[object], kwargs: Mapping[str, object]
) -> GuardFailure:
    def render(count: int, names: Sequence[str]) -> str:
        named = f" and keywords {', '.join(names)}" if names else ""
        return f"{count} positional arguments{named}"

    return GuardFailure(
        index=-1,
        guard=None,
        text="the form of the call",
        expected=render(pattern.num_positional, pattern.keywords),
        actual=render(len(args), tuple(kwargs)),
        location="",
    )
