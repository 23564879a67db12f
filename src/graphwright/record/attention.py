"""Which attention kernel eager takes.

In:  the operands' specs.   Out: whether the flash kernel for the CPU takes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch._C import _get_flash_sdp_enabled

from graphwright.record.specs import TensorSpec


def can_use_flash(
    specs: Sequence[TensorSpec], mask: TensorSpec | None, dropout: float, *, mask_needs_grad: bool
) -> bool:
    """Tell whether eager's flash kernel for the CPU takes these operands."""
    query, key, value = specs
    if any(spec.device.type != "cpu" or spec.ndim != 4 for spec in specs) or dropout != 0.0:
        return False
    if query.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return False
    if not _get_flash_sdp_enabled() or mask_needs_grad:
        return False
    if any(extent == 0 for spec in specs for extent in spec.shape):
        return False
    if (
        query.shape[0] != key.shape[0]
        or query.shape[1] != key.shape[1]
        or key.shape[:2] != value.shape[:2]
    ):
        return False
    if query.shape[3] != key.shape[3] or key.shape[3] != value.shape[3]:
        return False
    if any(spec.strides[3] != 1 for spec in specs):
        return False
    return mask is None or _mask_fits(query, key, mask)


def _mask_fits(query: TensorSpec, key: TensorSpec, mask: TensorSpec) -> bool:
    if mask.dtype not in (torch.bool, torch.float32) and mask.dtype is not query.dtype:
        return False
    if mask.ndim not in (2, 4):
        return False
    lengths = (query.shape[2], key.shape[2])
    if any(
        own != 1 and own != wanted for own, wanted in zip(mask.shape[-2:], lengths, strict=True)
    ):
        return False
    outer = zip(mask.shape[:-2], query.shape[:2], strict=False)
    return mask.ndim == 2 or all(own == 1 or own == wanted for own, wanted in outer)
