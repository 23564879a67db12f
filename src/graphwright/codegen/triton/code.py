"""A kernel as Triton source, with what a launch of it needs.

In: what `render.py` wrote.   Out: `TritonCode`, data that can be cached; the numbers of a launch follow from the size symbols.
"""

from __future__ import annotations

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.symint import Dim, SymExpr


class Pointer(msgspec.Struct, frozen=True):
    """A pointer argument: a buffer of the kernel, in the order of its params."""

    name: str
    dtype: DType


class GlobalScratch(msgspec.Struct, frozen=True):
    """Device memory that a launch must bring; its contents before and after are of no interest."""

    name: str
    dtype: DType
    num_elements: Dim


class Launch(msgspec.Struct, frozen=True):
    """One launch of a one-dimensional grid."""

    function: str
    num_programs: Dim
    num_warps: int


class TritonCode(msgspec.Struct, frozen=True):
    """A module of Triton source; its launches run in order, each after the one before has ended.

    All functions take the same arguments: pointers, scratch pointers, then `sizes` as int64.
    """

    text: str
    pointers: tuple[Pointer, ...]
    scratch: tuple[GlobalScratch, ...]
    sizes: tuple[SymExpr, ...]
    """Expressions over the size symbols, evaluated by the caller."""
    launches: tuple[Launch, ...]
    can_contract: bool = True
    """`a*b + c` may be rounded once."""
