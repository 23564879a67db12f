"""Triples of the slice that fail, each with its reason. A triple that passes must leave the list."""

from typing import Final

_PLACE: Final = "a view that begins before its input does is outside of what graphs read"

KNOWN: Final[dict[tuple[str, str], str]] = {
    ("as_strided", "in place"): _PLACE,
    ("as_strided.partial_views", "in place"): _PLACE,
    (
        "index_select",
        "error",
    ): "an input with gaps in its memory is not resized; refused, not raised",
    ("sparse.mm.reduce", "function"): "calls with sparse tensors run eagerly",
    ("sparse.sampled_addmm", "function"): "calls with sparse tensors run eagerly",
    ("sparse.sampled_addmm", "out="): "calls with sparse tensors run eagerly",
}
"""By op and form."""
