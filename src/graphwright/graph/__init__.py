"""ATen graph → ATen graph: passes that make it simpler, and the eager interpreter of it.

In: an `AtenGraph` as `record/` gives it.   Out: an equal `AtenGraph` with fewer, simpler nodes; from `specialise`, the one for
given sizes; or, from `execute`, the tensors that it computes.

Read first: `execute.py` (what a graph means), `passes.py` (the passes, in order).
"""

from typing import TYPE_CHECKING

from graphwright.base.loading import load_when_asked
from graphwright.graph.execute import execute
from graphwright.graph.freezing import Frozen, freeze, run_fold
from graphwright.graph.packing import packing
from graphwright.graph.partition import BackwardHalf, Partition, partition
from graphwright.graph.scaling import scaling
from graphwright.graph.specialise import specialise

if TYPE_CHECKING:
    from graphwright.graph.passes import PASSES, Pass, simplify
else:
    __getattr__ = load_when_asked(
        __name__, {"graphwright.graph.passes": ("PASSES", "Pass", "simplify")}
    )

__all__ = [
    "PASSES",
    "BackwardHalf",
    "Frozen",
    "Partition",
    "Pass",
    "execute",
    "freeze",
    "packing",
    "partition",
    "run_fold",
    "scaling",
    "simplify",
    "specialise",
]
