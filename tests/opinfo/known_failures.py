"""Triples of the slice that fail, each with its reason. A triple that passes must leave the list."""

from typing import Final

KNOWN: Final[dict[tuple[str, str], str]] = {
    ("sparse.mm.reduce", "function"): "calls with sparse tensors run eagerly",
    ("sparse.sampled_addmm", "function"): "calls with sparse tensors run eagerly",
    ("sparse.sampled_addmm", "out="): "calls with sparse tensors run eagerly",
}
"""By op and form."""
