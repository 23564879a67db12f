"""What the types of this room are made of.

In: nothing.   Out: `Data`, the base of plain frozen data.
"""

from __future__ import annotations

import msgspec


class Data(msgspec.Struct, frozen=True, gc=False):
    """Data that cannot be changed, made of its like, so without cycles: Python's garbage collector need not look at it.

    A program of a model holds tens of thousands of these. Each counts as an object that may be garbage where it is not left out.
    """
