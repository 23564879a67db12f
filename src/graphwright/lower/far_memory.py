"""What of far memory a kernel asks for ahead of its loads.

In: where a load reads, as an affine index over the program's atoms.   Out: how many elements ahead it should ask for, or 0.
Keeps: nothing is asked for but what is about to be read, save for a quarter of a run behind its end.

A processor fetches ahead by itself, but within a page and for as many instructions as it looks ahead at. Where a loop computes much
between two loads, these are few, and memory and arithmetic take turns instead of going on at the same time.
"""

from __future__ import annotations

import math
from typing import Final

from graphwright.lower.affine import Affine, run_length
from graphwright.lower.scalars import ScalarBuilder

FAR_BYTES: Final = 2 << 20
"""So much memory is not found in a core's own caches."""
MOST_AHEAD_BYTES: Final = 2048
"""Farther, nothing is gained: `sigmoid(x) * y + tanh(x - y)` of 16 million elements took 8.7 to 10.1 ms by itself, 7.7 with 512 bytes, 7.1
to 7.3 with 1024 to 4096 (Intel Xeon, AVX-512)."""
LEAST_AHEAD_BYTES: Final = 512
RUNS_OF_AHEAD: Final = 4
"""How many times longer a run at least is than what is asked for behind its end, which is lost."""


def reading_ahead(index: Affine, size_bytes: int, builder: ScalarBuilder) -> int:
    """Give how many elements ahead a load at `index` had better ask for; 0 where that would not serve.

    It serves where much memory is read along: where places are computed, or jump, the next one does not lie behind this one.
    """
    if any(atom in builder.dynamic for atom, _ in index.terms):
        return 0
    num_read = math.prod(builder.extents[atom] for atom, _ in index.terms)
    run_bytes = run_length(index, builder.extents) * size_bytes
    ahead_bytes = min(run_bytes // RUNS_OF_AHEAD, MOST_AHEAD_BYTES)
    if num_read * size_bytes < FAR_BYTES or ahead_bytes < LEAST_AHEAD_BYTES:
        return 0
    return ahead_bytes // size_bytes
