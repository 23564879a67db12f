"""A plan with no program around it.

In: a `Plan` and machine code.   Out: `PlanRun`, which runs it on the graph's inputs: a half of a differentiable program.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, final

import torch

from graphwright.base.config import Wrapper
from graphwright.ir.aten import AtenGraph
from graphwright.ir.guards import TensorGuard
from graphwright.ir.lookups import comes_first
from graphwright.ir.plan import Plan
from graphwright.ir.program import CallPattern, Program, SymbolBinding
from graphwright.ir.recipes import BuildTuple, FromOutput
from graphwright.ir.refusals import refuses_first
from graphwright.ir.sources import ArgSource, Source
from graphwright.runtime.again import RunFailed, is_refusal
from graphwright.runtime.construction import make_entry
from graphwright.runtime.entry import Run
from graphwright.runtime.native import ANY_TENSOR
from graphwright.runtime.plan_code import Code
from graphwright.runtime.reading import MISSING


@final
class PlanRun:
    """Runs a plan.

    Args:
        plan: the steps.
        code: machine code of the plan's kernels; kept in memory as long as the run.
        kernel_texts: for each kernel, what to say of it in the readable source.
        wrapper: the form that runs it.
    """

    def __init__(
        self, plan: Plan, code: Code, kernel_texts: Sequence[str], wrapper: Wrapper
    ) -> None:
        self._entry: Final = make_entry(
            _program_of(plan),
            plan,
            code,
            target=None,
            live_pins=(),
            kernel_texts=kernel_texts,
            wrapper=wrapper,
        )
        native = self._entry.native
        self._serve: Final = None if native is None else native.function

    def __del__(self) -> None:
        """Let the constants go with it, and not when garbage is next looked for."""
        entry = getattr(self, "_entry", None)
        if entry is not None and not sys.is_finalizing():
            entry.release()

    @property
    def source(self) -> str:
        """Readable Python that does the same."""
        return self._entry.call_source

    def __call__(
        self, inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]
    ) -> Sequence[torch.Tensor]:
        """Run the plan on `inputs`."""
        if self._serve is not None:
            outputs = self._serve(*inputs, *symbols)
            if outputs is not MISSING:
                made: Sequence[torch.Tensor] = outputs
                return made
        return self._entry.call(inputs, symbols)


def telling(run: PlanRun, plan: Plan) -> Run:
    """Give a run that tells where it raises before anything has changed: it raises `RunFailed` then.

    Args:
        run: what runs the plan.
        plan: the plan; where it may refuse values behind what it changes (`ir/refusals.py`), its first checks alone tell.
    """

    def run_and_tell(
        inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]
    ) -> Sequence[torch.Tensor]:
        try:
            return run(inputs, symbols)
        except Exception as error:
            if comes_first(error) or (is_refusal(error) and refuses_first(plan)):
                raise RunFailed(error) from None
            raise

    return run_and_tell


def make_plan_run(
    plan: Plan,
    code: Code,
    kernel_texts: Sequence[str] = (),
    *,
    wrapper: Wrapper = Wrapper.NATIVE,
) -> PlanRun:
    """Make what runs `plan`, whose kernels are in `code`."""
    return PlanRun(plan, code, kernel_texts, wrapper)


def _program_of(plan: Plan) -> Program:
    """Make the program of a function that takes the plan's inputs, then the values of its size symbols."""
    num_inputs = len(plan.inputs)
    sources: list[Source] = [ArgSource(number, f"input{number}") for number in range(num_inputs)]
    symbols = [
        SymbolBinding(name, ArgSource(num_inputs + number, name), None)
        for number, name in enumerate(plan.symbols)
    ]
    return Program(
        name="plan",
        pattern=CallPattern(num_inputs + len(symbols)),
        pins=(),
        guards=tuple(
            TensorGuard(source, meta, ANY_TENSOR)
            for source, meta in zip(sources, plan.inputs, strict=True)
        ),
        symbols=tuple(symbols),
        inputs=tuple(sources),
        graph=AtenGraph(plan.inputs, plan.symbols, (), ()),
        built=(),
        result=BuildTuple(tuple(FromOutput(number) for number in range(len(plan.outputs)))),
    )
