"""Names of size symbols, as PyTorch would give them.

In:  the source of a tensor as PyTorch writes it (`L['x']`), and the dimension.   Out: a name like `s77`.
PyTorch numbers a symbol by a hash of its source, modulo 100, so that the name is the same in every process; the next free
number is taken where two meet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container

_NUMBERS = 100


def size_symbol(source: str, dim: int | None, taken: Container[str]) -> str:
    """Give the name of the symbol for dimension `dim` of the tensor `source`, or for the int `source`.

    Args:
        source: how PyTorch writes the tensor's source, e.g. `L['x']` or `L['self'].weight`.
        dim: the dimension; None if the source is an int itself.
        taken: names that stand for something else already.
    """
    text = source if dim is None else f"{source}.size()[{dim}]"
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16) % _NUMBERS
    while f"s{number}" in taken:
        number += 1
    return f"s{number}"
