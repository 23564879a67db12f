"""Special functions, one module a family, joined here.

In: nothing.   Out: `SPECIAL` and `SPECIAL_CHOICES`, overload name → row.
Keeps: computed in float64 where float32 would lose digits on the way, and rounded once. Ranges are blended: what another range's
formula gives is thrown away, be it NaN.
"""

from collections.abc import Mapping
from typing import Final

from graphwright.lower.rules.rows import ChoiceRow, PointwiseRow, rows
from graphwright.lower.rules.special.bessel import FALLING, GROWING
from graphwright.lower.rules.special.bessel_waves import WAVES
from graphwright.lower.rules.special.gamma import GAMMA
from graphwright.lower.rules.special.hyperbolic import HYPERBOLIC, LENGTHS
from graphwright.lower.rules.special.normal import NORMAL, TAILS
from graphwright.lower.rules.special.orthogonal import ORTHOGONAL

SPECIAL: Final[Mapping[str, PointwiseRow]] = rows(*HYPERBOLIC, *TAILS)
SPECIAL_CHOICES: Final[Mapping[str, ChoiceRow]] = rows(
    *LENGTHS, *GAMMA, *NORMAL, *GROWING, *FALLING, *WAVES, *ORTHOGONAL
)

__all__ = ["SPECIAL", "SPECIAL_CHOICES"]
