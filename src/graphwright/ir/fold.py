"""What constants of a plan are computed from, before it is run.

In: what `graph/freezing.py` found to depend on frozen inputs alone.   Out: `Fold`, which `runtime/` runs when it has the tensors.
Keeps: weights are no part of it, so it may be kept on disk.
"""

from __future__ import annotations

from graphwright.ir.aten import AtenGraph
from graphwright.ir.data import Data


class Fold(Data, frozen=True):
    """The part of a graph that depends on frozen inputs alone."""

    graph: AtenGraph
    """Its outputs are the values of the constants that name them (`ConstantTensor.folded`)."""
    inputs: tuple[int, ...]
    """Which of the whole graph's inputs its inputs are."""
