"""Rule tables of the lowering, one module a family, joined here.

In: nothing.   Out: `POINTWISE`, `CHOICES`, `ELEMENTS`, `REDUCTIONS`, `SCANS`, `SCATTERS`, `OUT_VARIANTS`: overload name → row.

Read first: `rows.py` (what a row is), `pointwise.py`.
"""

from graphwright.lower.rules.choices import CHOICES as NUMBERED
from graphwright.lower.rules.creation import CREATION
from graphwright.lower.rules.extern import OUT_VARIANTS
from graphwright.lower.rules.images import IMAGES
from graphwright.lower.rules.index import INDEX
from graphwright.lower.rules.lookup import LOOKUPS
from graphwright.lower.rules.loss import LOSSES
from graphwright.lower.rules.pointwise import POINTWISE as PLAIN
from graphwright.lower.rules.pool_gradients import POOL_GRADIENTS
from graphwright.lower.rules.pools import POOLS
from graphwright.lower.rules.reduction import REDUCTIONS
from graphwright.lower.rules.resampling import RESAMPLING
from graphwright.lower.rules.resampling_gradients import RESAMPLING_GRADIENTS
from graphwright.lower.rules.rows import rows
from graphwright.lower.rules.sampling import SAMPLING
from graphwright.lower.rules.scan import SCANS, scan_axis
from graphwright.lower.rules.scatter import SCATTERS as PLACED
from graphwright.lower.rules.search import SEARCHES
from graphwright.lower.rules.special import SPECIAL, SPECIAL_CHOICES
from graphwright.lower.rules.unpooling import UNPOOLING

POINTWISE = rows(*PLAIN.values(), *SPECIAL.values())
CHOICES = rows(*NUMBERED.values(), *LOSSES.values(), *SPECIAL_CHOICES.values())
ELEMENTS = rows(
    *CREATION.values(),
    *INDEX.values(),
    *LOOKUPS.values(),
    *IMAGES.values(),
    *POOLS.values(),
    *POOL_GRADIENTS.values(),
    *RESAMPLING.values(),
    *SEARCHES.values(),
    *RESAMPLING_GRADIENTS.values(),
    *SAMPLING.values(),
)
SCATTERS = rows(*PLACED.values(), *UNPOOLING.values())

__all__ = [
    "CHOICES",
    "ELEMENTS",
    "IMAGES",
    "LOOKUPS",
    "OUT_VARIANTS",
    "POINTWISE",
    "POOLS",
    "POOL_GRADIENTS",
    "REDUCTIONS",
    "SCANS",
    "SCATTERS",
    "scan_axis",
]
