"""Ops that are expressed by simpler ones, one module a family, joined here.

In: nothing.   Out: `DECOMPOSITIONS`, overload name → `Decomposition`.

Read first: `rules.py` (what a decomposition is), `softmax.py`.
"""

from graphwright.graph.decomps.attention import ATTENTION
from graphwright.graph.decomps.likelihoods import LIKELIHOODS
from graphwright.graph.decomps.lookups import LOOKUPS
from graphwright.graph.decomps.losses import LOSSES
from graphwright.graph.decomps.norms import NORMS
from graphwright.graph.decomps.pools import POOLS
from graphwright.graph.decomps.powers import POWERS
from graphwright.graph.decomps.rearrangements import REARRANGEMENTS
from graphwright.graph.decomps.resampling import RESAMPLING
from graphwright.graph.decomps.rules import Decomposition, rows
from graphwright.graph.decomps.scans import SCANS
from graphwright.graph.decomps.scatters import SCATTERS
from graphwright.graph.decomps.softmax import SOFTMAX
from graphwright.graph.decomps.statistics import STATISTICS
from graphwright.graph.decomps.vectors import VECTORS
from graphwright.graph.decomps.views import VIEWS

DECOMPOSITIONS = rows(
    *SOFTMAX.values(),
    *NORMS.values(),
    *POWERS.values(),
    *STATISTICS.values(),
    *LOSSES.values(),
    *LIKELIHOODS.values(),
    *SCATTERS.values(),
    *VECTORS.values(),
    *ATTENTION.values(),
    *POOLS.values(),
    *VIEWS.values(),
    *SCANS.values(),
    *LOOKUPS.values(),
    *REARRANGEMENTS.values(),
    *RESAMPLING.values(),
)

__all__ = ["DECOMPOSITIONS", "Decomposition"]
