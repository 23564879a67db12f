# ruff: noqa: FBT001, FBT002, PLR0913  (a rule takes the op's own arguments)

"""Shape rules of recurrent layers and of bags of embeddings.

In:  the layer's input, weights and states.   Out: outputs, states, and the workspace that backward needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.record.shapes.reduction import fresh
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec


def _rnn_layer(
    self: TensorSpec,
    _weight0: TensorSpec,
    _weight1: TensorSpec,
    _weight2: TensorSpec,
    _weight3: TensorSpec,
    hx: TensorSpec,
    cx: TensorSpec,
    *options: Any,
) -> tuple[TensorSpec | None, ...]:
    """Give output, hidden state and cell state; there is no workspace where nothing is differentiated."""
    hidden_size: int = options[3]
    is_lstm = options[2] == _LSTM
    length, batch, _ = self.shape
    output = fresh(self, (length, batch, hidden_size))
    cell = fresh(cx, cx.shape) if is_lstm else fresh(cx, (0,))
    return output, fresh(hx, hx.shape), cell, None


_LSTM: Final = 2
_SUM: Final = 0
_MAX: Final = 2


_FAST_SUMS: Final = (torch.float32, torch.float16, torch.bfloat16)


def _embedding_bag(
    weight: TensorSpec,
    indices: TensorSpec,
    offsets: TensorSpec,
    _scale_grad_by_freq: bool = False,
    mode: int = 0,
    _sparse: bool = False,
    per_sample_weights: TensorSpec | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[TensorSpec, TensorSpec, TensorSpec, TensorSpec]:
    """Give the specs of the bags, the bag of each index, the bags' sizes, and where a maximum is the indices of it.

    What `meta` kernels tell of the last three is those of other devices.
    """
    num_bags = offsets.shape[0] - int(include_last_offset)
    bags = fresh(weight, (num_bags, weight.shape[1]))
    is_fast = (
        mode == _SUM
        and weight.dtype in _FAST_SUMS
        and weight.strides[1] == 1
        and (per_sample_weights is None or per_sample_weights.strides[0] == 1)
        and padding_idx < 0
    )
    places = fresh(offsets, (0,) if is_fast else (indices.shape[0],), indices.dtype)
    largest = bags.shape if mode == _MAX else (num_bags,)
    sizes = fresh(offsets, (num_bags,), indices.dtype)
    return bags, places, sizes, fresh(offsets, largest, indices.dtype)


def _embedding_bag_backward(
    grad: TensorSpec,
    _indices: TensorSpec,
    _offsets: TensorSpec,
    _offset2bag: TensorSpec,
    _bag_size: TensorSpec,
    _maximum_indices: TensorSpec,
    num_weights: Extent,
    *_rest: Any,
) -> TensorSpec:
    return fresh(grad, (num_weights, grad.shape[1]))


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.mkldnn_rnn_layer": _rnn_layer,
    "aten._embedding_bag": _embedding_bag,
    "aten._embedding_bag_backward": _embedding_bag_backward,
}
