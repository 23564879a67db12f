"""Element types, named once for every room.

In: nothing.   Out: `DType`, the closed set of element types, with their facts.
Keeps: the value of a member is PyTorch's leaf name (`torch.float32` is `DType.FLOAT32`).
"""

from __future__ import annotations

import enum
from typing import Final

import torch


class DType(enum.Enum):
    """An element type; `.value` is PyTorch's leaf name."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    COMPLEX32 = "complex32"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    INT64 = "int64"
    INT32 = "int32"
    INT16 = "int16"
    INT8 = "int8"
    UINT64 = "uint64"
    UINT32 = "uint32"
    UINT16 = "uint16"
    UINT8 = "uint8"
    BOOL = "bool"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The PyTorch dtype of the same name."""
        dtype: torch.dtype = getattr(torch, self.value)
        return dtype

    @property
    def size_bytes(self) -> int:
        """Bytes of one element in memory."""
        return self.torch_dtype.itemsize

    @property
    def is_float(self) -> bool:
        """True for real floating-point types."""
        return self.torch_dtype.is_floating_point

    @property
    def is_complex(self) -> bool:
        """True for complex types."""
        return self.torch_dtype.is_complex

    @property
    def is_integer(self) -> bool:
        """True for integers, `BOOL` excluded."""
        return not (self.is_float or self.is_complex or self is DType.BOOL)

    @property
    def is_signed(self) -> bool:
        """True where negative values exist."""
        return self.torch_dtype.is_signed

    def held(self, number: float) -> float:
        """Give a number as a tensor of this dtype holds it, rounded to it or infinite."""
        return torch.tensor(number, dtype=self.torch_dtype).item()


FROM_TORCH: Final = {dtype.torch_dtype: dtype for dtype in DType}
"""PyTorch dtype → `DType`; a missing key is a dtype that graphwright does not know (quantised ones)."""
