"""A plan with no program around it.

In: a `Plan` and machine code.   Out: `PlanRun`, which runs it on the graph's inputs: a half of a differentiable program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from graphwright.ir.plan import Plan
from graphwright.runtime.entry import Part, Run
from graphwright.runtime.plan_code import Code, PlanCode
from graphwright.runtime.tensors import make_constant_tensor


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


def make_plan_run(plan: Plan, code: Code) -> PlanRun:
    """Make what runs `plan`, whose kernels are in `code`."""
    constants = tuple(map(make_constant_tensor, plan.constants))
    text = PlanCode(plan, code, constants)
    part = Part("plan", text.render(), text.namespace)
    return PlanRun(call=part.function("call"), code=code)
