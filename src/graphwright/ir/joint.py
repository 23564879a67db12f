"""Forward and backward in one graph, as data.

In: what `record/` observed of a program whose outputs have gradients.   Out: `Joint`, which `graph/partition.py` cuts in two.
"""

from __future__ import annotations

from graphwright.ir.aten import AtenGraph
from graphwright.ir.data import Data


class JointPart(Data, frozen=True):
    """Outputs whose gradients are sent back together: their histories, and those of no other outputs, have saved values in common."""

    num_tangents: int
    num_gradients: int


class Joint(Data, frozen=True):
    """Forward and backward in one graph.

    The graph's inputs are the program's, then a tangent for each differentiable output; its outputs are the program's, then gradients,
    for each part one for each input that it reaches.
    """

    graph: AtenGraph
    num_forward_outputs: int
    tangent_outputs: tuple[int, ...]
    """For each tangent, the number of the output that it belongs to."""
    gradient_inputs: tuple[int, ...]
    """For each gradient output, the number of the input that it belongs to; of several parts, each may have one for the same input."""
    parts: tuple[JointPart, ...]
    """How tangents and gradients are divided, in their order."""


def writes_to_history(graph: AtenGraph) -> bool:
    """Tell whether a program writes to a tensor that needs a gradient.

    Autograd keeps the history of such a tensor by the operations as they happen, which two graphs cannot stand for.
    """
    return any(graph.inputs[item.input_index].requires_grad for item in graph.mutations)
