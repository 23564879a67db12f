"""Element types in Triton's words.

In: `DType`.   Out: Triton's names for values (`tl.float32`) and for pointers (`*fp32`), or `NotExpressible`.
"""

from __future__ import annotations

from typing import Final

from graphwright.base.errors import GraphwrightError
from graphwright.ir.dtypes import DType


class NotExpressible(GraphwrightError):  # noqa: N818  (an answer, not a fault: the kernel is run in another way)
    """A kernel, or a part of it, cannot be written in Triton.

    Args:
        what: the part, in the words of the loop IR.
        why: the reason.
    """

    def __init__(self, *, what: str, why: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why

    def __str__(self) -> str:
        return f"{self.what} cannot be written in Triton: {self.why}"


_NAMES: Final = {
    DType.FLOAT64: ("tl.float64", "fp64"),
    DType.FLOAT32: ("tl.float32", "fp32"),
    DType.FLOAT16: ("tl.float16", "fp16"),
    DType.BFLOAT16: ("tl.bfloat16", "bf16"),
    DType.INT64: ("tl.int64", "i64"),
    DType.INT32: ("tl.int32", "i32"),
    DType.INT16: ("tl.int16", "i16"),
    DType.INT8: ("tl.int8", "i8"),
    DType.UINT64: ("tl.uint64", "u64"),
    DType.UINT32: ("tl.uint32", "u32"),
    DType.UINT16: ("tl.uint16", "u16"),
    DType.UINT8: ("tl.uint8", "u8"),
    DType.BOOL: ("tl.int1", "i1"),
    DType.FLOAT8_E4M3FN: ("tl.float8e4nv", "fp8e4nv"),
    DType.FLOAT8_E5M2: ("tl.float8e5", "fp8e5"),
}


def value_type(dtype: DType) -> str:
    """Name the type of a value in Triton source.

    Raises:
        NotExpressible: Triton has no such type (complex numbers).
    """
    return _names(dtype)[0]


def pointer_type(dtype: DType) -> str:
    """Name the type of a pointer in a signature.

    Raises:
        NotExpressible: Triton has no such type (complex numbers).
    """
    return f"*{_names(dtype)[1]}"


def is_small_float(dtype: DType) -> bool:
    """True for floats that are computed in float32 and rounded back."""
    return dtype.is_float and dtype.size_bytes < DType.FLOAT32.size_bytes


def _names(dtype: DType) -> tuple[str, str]:
    if dtype not in _NAMES:
        raise NotExpressible(what=f"an element of {dtype.value}", why="Triton has no such type")
    return _NAMES[dtype]
