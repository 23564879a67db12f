# ruff: noqa: FBT001  (a rule takes the op's own arguments)

"""Shape rules of random ops.

In:  the tensor that is filled or sampled.   Out: the spec of the drawn numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import broadcast_shapes, contiguous_strides
from graphwright.record.shapes.pointwise import broadcast
from graphwright.record.shapes.reduction import fresh
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec


def _drawn(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return broadcast(self.dtype, self)


def _contiguous(self: TensorSpec, *_rest: object, **_options: object) -> TensorSpec:
    return fresh(self, self.shape)


def _randint(
    *bounds_and_size: Any,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    shape: tuple[Extent, ...] = tuple(
        next(part for part in bounds_and_size if isinstance(part, (list, tuple)))
    )
    return TensorSpec(
        shape, contiguous_strides(shape), dtype or torch.int64, device or torch.device("cpu")
    )


def _randperm(
    n: Extent,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **_options: object,
) -> TensorSpec:
    return TensorSpec((n,), (1,), dtype or torch.int64, device or torch.device("cpu"))


def _dropout(self: TensorSpec, _p: float, train: bool | None) -> tuple[TensorSpec, TensorSpec]:
    del train
    kept = broadcast(self.dtype, self)
    return kept, TensorSpec(kept.shape, kept.strides, torch.bool, kept.device)


def _multinomial(
    self: TensorSpec, num_samples: Extent, *_rest: object, **_options: object
) -> TensorSpec:
    return fresh(self, (*self.shape[:-1], num_samples), torch.int64)


def _normal(*operands: Any, **options: Any) -> TensorSpec:
    tensors = [operand for operand in operands if isinstance(operand, TensorSpec)]
    if not tensors:
        sizes: Sequence[Extent] = next(part for part in operands if isinstance(part, (list, tuple)))
        return _randint(sizes, **{"dtype": torch.get_default_dtype(), **options})
    return fresh(tensors[0], broadcast_shapes(*(tensor.shape for tensor in tensors)))


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.bernoulli": _contiguous,
    "aten.bernoulli.Tensor": _drawn,
    "aten.uniform": _drawn,
    "aten.normal_functional": _drawn,
    "aten.random": _drawn,
    "aten.exponential": _drawn,
    "aten.cauchy": _drawn,
    "aten.geometric": _drawn,
    "aten.log_normal": _drawn,
    "aten.poisson": _contiguous,
    "aten.randint": _randint,
    "aten.randperm": _randperm,
    "aten.native_dropout": _dropout,
    "aten.multinomial": _multinomial,
    "aten.normal": _normal,
}
