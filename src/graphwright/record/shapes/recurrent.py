"""Shape rules of recurrent layers and of bags of embeddings.

In:  the layer's input, weights and states.   Out: outputs, states, and the workspace that backward needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

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
    "aten._embedding_bag_backward": _embedding_bag_backward,
}
