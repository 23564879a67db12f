"""The triples that fail, each with its reason, by op and form.

A triple that fails without being listed fails the tests, and so does one that is listed and passes in the slice. The page of operators
gives the reasons.
"""

from __future__ import annotations

from typing import Final

from opinfo.outcomes import Case

_PLACE: Final = "a view that begins before its input does is outside of what graphs read"
_SPARSE: Final = "graphs hold no sparse tensors; calls with them run eagerly"
_SHARED: Final = (
    "the memory of a call's arguments overlaps: refused as such, not in the words of the op"
)
_PHASE: Final = (
    "the phase of complex singular vectors is free, and hangs on the last bits of the matrix"
)
_ORDER: Final = (
    "sums in another order: 3.6e-5 from the exact value of 17.9, eager is 1.8e-5 from it"
)
_STRIDES: Final = "one gradient of complex numbers solved from the right has its columns side by side, and its rows in eager"

IN_SLICE: Final[dict[tuple[str, str], str]] = {
    ("as_strided.partial_views", "in place"): _PLACE,
    ("sparse.mm.reduce", "gradient"): _SPARSE,
    ("sparse.sampled_addmm", "gradient"): _SPARSE,
    ("sparse.mm.reduce", "function"): _SPARSE,
    ("sparse.sampled_addmm", "function"): _SPARSE,
    ("sparse.sampled_addmm", "out="): _SPARSE,
}
ELSEWHERE: Final[dict[tuple[str, str], str]] = {
    ("cat", "error"): _SHARED,
    ("gather", "error"): _SHARED,
    ("linalg.householder_product", "gradient"): _ORDER,
    ("linalg.solve_triangular", "gradient"): _STRIDES,
    ("svd_lowrank", "function"): _PHASE,
    ("svd_lowrank", "gradient"): _PHASE,
    ("take", "error"): _SHARED,
}
"""Only the whole database holds these."""

_ALL: Final = IN_SLICE | ELSEWHERE


def reason_of(case: Case) -> str | None:
    """Give the reason for which a triple fails, if it is known to."""
    return _ALL.get((case.op, case.variant.value))
