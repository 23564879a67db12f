"""One compiled variant of a program: its guards and its call.

In: a `Program` with a `Plan` and machine code (or with a function that runs the graph), and the live pins if they are known.
Out: `Entry`: try it on a call, ask why it does not serve one, read its source.
Keeps: everything is made from the data alone; live pins only save the search for the objects.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch

from graphwright.ir.plan import Plan
from graphwright.ir.program import CallPattern, GlobalStateGuard, GlobalStateKind, Program
from graphwright.runtime.failures import Evaluator, GuardFailure, describe_failure
from graphwright.runtime.global_state import OFF
from graphwright.runtime.guard_steps import GuardSteps, lower_guards
from graphwright.runtime.guards_text import GuardsText
from graphwright.runtime.pins import PinTable
from graphwright.runtime.plan_code import Code, PlanCode
from graphwright.runtime.reading import MISSING
from graphwright.runtime.recipes_text import RecipesText

Run = Callable[[Sequence[torch.Tensor], tuple[int, ...]], Sequence[torch.Tensor]]
"""Runs a graph: inputs and the values of the size symbols → outputs."""
Found = tuple[tuple[torch.Tensor, ...], tuple[int, ...], tuple[object, ...]]
"""What passed guards give: the graph's inputs, the size symbols, the objects that recipes read."""

_AUTOCAST: Final = (GlobalStateKind.AUTOCAST_CPU, GlobalStateKind.AUTOCAST_CUDA)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """A compiled variant.

    Calling its parts does what the text in `source` says.
    """

    program: Program
    plan: Plan | None
    """None when a backend's function runs the graph."""
    steps: GuardSteps
    pins: PinTable
    target: object
    source: str
    """Readable Python: `guards`, `call`, `build`."""
    guards: Callable[[Sequence[object], Mapping[str, object]], int | Found]
    """Gives the number of the first guard that fails, or what the call needs."""
    call: Run
    """Runs the graph."""
    build: Callable[[Sequence[torch.Tensor], tuple[int, ...], tuple[object, ...]], Any]
    """Makes the result and replays the effects."""
    code: Code | None
    """The machine code of the plan's kernels; held so that it stays in memory."""
    constants: tuple[torch.Tensor, ...]
    """The plan's constants."""

    def try_call(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:  # noqa: ANN401
        """Check the guards and run the program; `MISSING` when this entry does not serve the call."""
        if not fits_pattern(self.program.pattern, args, kwargs):
            return MISSING
        found = self.guards(args, kwargs)
        if isinstance(found, int):
            return MISSING
        inputs, symbols, sources = found
        return self.build(self.call(inputs, self._plan_symbols(symbols)), symbols, sources)

    def failed_guard(self, args: Sequence[object], kwargs: Mapping[str, object]) -> int | None:
        """Give the number of the first guard that a call of the right pattern fails; None when all hold."""
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

    def _plan_symbols(self, symbols: tuple[int, ...]) -> tuple[int, ...]:
        names = self.program.graph.symbols if self.plan is None else self.plan.symbols
        if names == self.steps.symbols:
            return symbols
        values = dict(zip(self.steps.symbols, symbols, strict=True))
        return tuple(values[name] for name in names)


def make_entry(
    program: Program,
    plan: Plan,
    code: Code,
    *,
    target: object,
    live_pins: Sequence[object] | None = None,
    kernel_texts: Sequence[str] = (),
) -> Entry:
    """Make an entry whose graph is run by a plan.

    Args:
        program: what was captured.
        plan: what `lower/` made of its graph.
        code: machine code of the plan's kernels.
        target: the object that was compiled.
        live_pins: the objects of `program.pins`, where they are known.
        kernel_texts: for each kernel, what to say of it in the readable source.

    Raises:
        InternalError: the data contradict each other.
    """
    states = [guard for guard in program.guards if isinstance(guard, GlobalStateGuard)]
    has_autocast = any(guard.kind in _AUTOCAST and guard.text != OFF for guard in states)
    plan_code = PlanCode(plan, code, kernel_texts, turns_off_autocast=has_autocast)
    text = plan_code.render()
    parts = _Parts(program, target, live_pins)
    namespace = parts.run(text, plan_code.namespace)
    return parts.entry(namespace, namespace["call"], plan, code, tuple(plan_code.constants))


def make_plan_run(plan: Plan, code: Code, kernel_texts: Sequence[str] = ()) -> PlanRun:
    """Make what runs a plan, with no program around it.

    Args:
        plan: the steps.
        code: machine code of the plan's kernels; kept in memory as long as the run.
        kernel_texts: for each kernel, what to say of it in the readable source.
    """
    plan_code = PlanCode(plan, code, kernel_texts)
    namespace = run_source("plan", plan_code.render(), plan_code.namespace)
    return PlanRun(call=namespace["call"], code=code)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanRun:
    """Runs a plan."""

    call: Run
    code: Code
    """The machine code of the plan's kernels; held so that it stays in memory."""

    def __call__(
        self, inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]
    ) -> Sequence[torch.Tensor]:
        """Run the plan on `inputs`."""
        return self.call(inputs, symbols)


def make_backend_entry(
    program: Program,
    run: Run,
    *,
    target: object,
    live_pins: Sequence[object] | None = None,
) -> Entry:
    """Make an entry whose graph is run by a function: a user's backend, eager kernels, autograd at call time.

    Args:
        program: what was captured.
        run: gets the graph's inputs and the values of `program.graph.symbols`; gives the graph's outputs.
        target: the object that was compiled.
        live_pins: the objects of `program.pins`, where they are known.
    """
    parts = _Parts(program, target, live_pins)
    namespace = parts.run("", {})
    return parts.entry(namespace, run, None, None, ())


def run_source(name: str, source: str, names: Mapping[str, object]) -> dict[str, Any]:
    """Run generated source, so that tracebacks show its lines; gives the namespace it ran in."""
    namespace = dict(names)
    filename = f"<graphwright {name} {id(namespace):x}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    exec(compile(source, filename, "exec"), namespace)
    return namespace


@final
class _Parts:
    def __init__(
        self, program: Program, target: object, live_pins: Sequence[object] | None
    ) -> None:
        self.program: Final = program
        self.target: Final = target
        self.pins: Final = PinTable(program.pins, live_pins)
        self.steps: Final = lower_guards(program)
        self.source = ""

    def run(self, call_text: str, names: Mapping[str, object]) -> dict[str, Any]:
        guards = GuardsText(self.program, self.steps, self.pins, self.target)
        recipes = RecipesText(self.program, self.steps, self.pins)
        texts = [guards.render(), call_text, recipes.render()]
        title = f"# {self.program.name}"
        if self.program.loc:
            title += f", from {self.program.loc.render()}"
        self.source = "\n\n".join([title, *filter(None, texts)])
        namespace = {**guards.namespace, **recipes.namespace, **names}
        return run_source(self.program.name, self.source, namespace)

    def entry(
        self,
        namespace: Mapping[str, Any],
        call: Run,
        plan: Plan | None,
        code: Code | None,
        constants: tuple[torch.Tensor, ...],
    ) -> Entry:
        return Entry(
            program=self.program,
            plan=plan,
            steps=self.steps,
            pins=self.pins,
            target=self.target,
            source=self.source,
            guards=namespace["guards"],
            call=call,
            build=namespace["build"],
            code=code,
            constants=constants,
        )


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
