"""The backend `"graphwright"` of `torch.compile`.

In: the graph that torch.compile captured, with example inputs.   Out: a function that runs it compiled by graphwright.

torch finds `graphwright_backend` by the entry point `graphwright` of the group `torch_dynamo_backends` (`pyproject.toml`),
so that `torch.compile(model, backend="graphwright")` works without an import of graphwright. Nothing else imports this
module, and it imports nothing of torch's compile stack: that has called it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphwright.pipeline import compile_fx


def graphwright_backend(
    gm: torch.fx.GraphModule, example_inputs: Sequence[torch.Tensor]
) -> Callable[..., Any]:
    """Compile a graph for torch.compile.

    Args:
        gm: the graph; its parameters are its inputs, or attributes of it.
        example_inputs: one tensor (or symbolic int) for each input.

    Returns:
        A function of the same inputs that gives what `gm` gives.
    """
    # torch.compile's graph modules write their `forward` when they are called first; a plain one has it from the start.
    return compile_fx(torch.fx.GraphModule(gm, gm.graph), example_inputs)
