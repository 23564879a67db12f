"""Triples of the slice that fail, each with its reason. A triple that passes must leave the list."""

from typing import Final

_PLACE: Final = "a view that begins before its input does is outside of what graphs read"
_SPARSE: Final = "calls with sparse tensors run eagerly"
_PHASE: Final = (
    "eager's backward half looks at values, to tell whether the result depends on the phase"
)

KNOWN: Final[dict[tuple[str, str], str]] = {
    ("as_strided.partial_views", "in place"): _PLACE,
    ("index_put", "gradient"): "the gradient's size depends on the values of a mask",
    ("linalg.svd", "gradient"): _PHASE,
    ("ormqr", "gradient"): "the gradient's strides are those of the argument, not of eager's steps",
    ("sparse.mm.reduce", "gradient"): _SPARSE,
    ("sparse.sampled_addmm", "gradient"): _SPARSE,
    ("svd_lowrank", "gradient"): _PHASE,
    ("sparse.mm.reduce", "function"): _SPARSE,
    ("sparse.sampled_addmm", "function"): _SPARSE,
    ("sparse.sampled_addmm", "out="): _SPARSE,
}
"""By op and form."""
