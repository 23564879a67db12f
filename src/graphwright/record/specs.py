"""What an abstract tensor knows about itself.

In:  nothing.   Out: `TensorSpec`, which shape rules take and give.
"""

from __future__ import annotations

import msgspec
import torch

from graphwright.record.layout import Shape, is_contiguous, numel_of
from graphwright.record.sizes import Extent


class TensorSpec(msgspec.Struct, frozen=True):
    """Shape, strides and offset (in elements), dtype and device of one tensor."""

    shape: Shape
    strides: Shape
    dtype: torch.dtype
    device: torch.device
    offset: Extent = 0

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def numel(self) -> Extent:
        """Number of elements."""
        return numel_of(self.shape)

    def is_contiguous(self) -> bool:
        """Row-major without gaps, as `Tensor.is_contiguous()` defines it."""
        return is_contiguous(self.shape, self.strides)
