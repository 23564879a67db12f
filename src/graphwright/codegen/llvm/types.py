"""What a value is in LLVM: a scalar kind and a number of lanes.

In: `DType`s of the loop IR.   Out: `Kind`, `Value`, and the two maps from a dtype to its kind in registers and in memory.
Keeps: a `Value` with one lane is the same for every lane of the vector loop around it (uniform); one with more lanes is
a vector. Booleans are `i1` in registers and `i8` in memory; bfloat16 is its 16 bits, `i16`, in both.
"""

from __future__ import annotations

import enum
from typing import Final

from graphwright.ir.dtypes import DType


class Kind(enum.Enum):
    """A scalar type of LLVM; `.value` is its text."""

    I1 = "i1"
    I8 = "i8"
    I16 = "i16"
    I32 = "i32"
    I64 = "i64"
    F16 = "half"
    F32 = "float"
    F64 = "double"

    @property
    def bits(self) -> int:
        """Width in a register."""
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        """True for half, float and double."""
        return self in (Kind.F16, Kind.F32, Kind.F64)

    @property
    def suffix(self) -> str:
        """The name that overloaded intrinsics use: `f32`, `i64`."""
        return _SUFFIX[self]


_BITS: Final = {
    Kind.I1: 1,
    Kind.I8: 8,
    Kind.I16: 16,
    Kind.I32: 32,
    Kind.I64: 64,
    Kind.F16: 16,
    Kind.F32: 32,
    Kind.F64: 64,
}
_SUFFIX: Final = {
    kind: ("f" if kind.value[0] in "hfd" else "i") + str(bits) for kind, bits in _BITS.items()
}

INT_OF_BITS: Final = {8: Kind.I8, 16: Kind.I16, 32: Kind.I32, 64: Kind.I64}
"""The integer kind of a width."""

REGISTER_KIND: Final = {
    DType.FLOAT64: Kind.F64,
    DType.FLOAT32: Kind.F32,
    DType.FLOAT16: Kind.F16,
    DType.BFLOAT16: Kind.I16,
    DType.INT64: Kind.I64,
    DType.INT32: Kind.I32,
    DType.INT16: Kind.I16,
    DType.INT8: Kind.I8,
    DType.UINT64: Kind.I64,
    DType.UINT32: Kind.I32,
    DType.UINT16: Kind.I16,
    DType.UINT8: Kind.I8,
    DType.BOOL: Kind.I1,
}
"""Kind of a value of a dtype. A dtype that is not here has no scalar arithmetic in this back end."""

MEMORY_KIND: Final = {**REGISTER_KIND, DType.BOOL: Kind.I8}
"""Kind of an element in memory."""


class Value:
    """An operand: its text (`%t3`, `7`, `0x3FF0000000000000`), kind and lanes. A literal has one lane."""

    __slots__ = ("is_literal", "kind", "lanes", "text")

    def __init__(self, text: str, kind: Kind, lanes: int = 1, *, is_literal: bool = False) -> None:
        self.text = text
        self.kind = kind
        self.lanes = lanes
        self.is_literal = is_literal

    def __repr__(self) -> str:
        return f"{type_text(self.kind, self.lanes)} {self.text}"


def type_text(kind: Kind, lanes: int) -> str:
    """Give the LLVM type: `float` for one lane, else `<16 x float>`."""
    return kind.value if lanes == 1 else f"<{lanes} x {kind.value}>"


def mangled(kind: Kind, lanes: int) -> str:
    """Give the type as intrinsic names spell it: `f32`, `v16f32`."""
    return kind.suffix if lanes == 1 else f"v{lanes}{kind.suffix}"
