"""Rules for the fused fast paths of `torch.nn`'s attention layers, which are single opaque ops.

In: the arguments of the op.   Out: what it gives, recorded as the ordinary operations that it stands for, so that they can be fused.
Keeps: values within rounding, and the layout of the result, which is contiguous whatever the layout of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)

from graphwright.capture.machine import Machine, Rule

KEY_PADDING_MASK: Final = 1
"""The `mask_type` of a mask over keys; the others are masks over pairs of positions."""


def _attend(
    tensors: Sequence[torch.Tensor],
    sizes: tuple[int, int],
    weights: Sequence[torch.Tensor],
    mask: torch.Tensor | None,
    mask_type: int | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Do multi-head attention; `tensors`: query, key, value: [B, T, D]; `sizes`: D and the number of heads."""
    query, key, value = (x.transpose(0, 1) for x in tensors)
    is_padding = mask_type == KEY_PADDING_MASK
    pairs = None if is_padding else mask
    if pairs is not None and pairs.dim() == 4:
        pairs = pairs.flatten(0, 1)
    in_weight, in_bias, out_weight, out_bias = weights
    out, attention = F.multi_head_attention_forward(
        query,
        key,
        value,
        *sizes,
        in_weight,
        in_bias,
        None,
        None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=out_weight,
        out_proj_bias=out_bias,
        training=False,
        key_padding_mask=mask if is_padding else None,
        attn_mask=pairs,
        **options,
    )
    return out.transpose(0, 1).contiguous(), attention


def multi_head_attention(
    machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """`torch._native_multi_head_attention(query, key, value, …)`."""
    query, key, value, size, num_heads, *rest = args
    weights, (mask, need_weights, average, *mask_type) = rest[:4], (*rest[4:],)
    return _attend(
        (query, key, value),
        (size, num_heads),
        weights,
        mask,
        mask_type[0] if mask_type else None,
        need_weights=need_weights,
        average_attn_weights=average,
    )


def encoder_layer(machine: Machine, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """`torch._transformer_encoder_layer_fwd(src, …)`."""
    x: torch.Tensor = args[0]
    size, num_heads = args[1:3]
    weights = args[3:7]
    use_gelu, norm_first, eps = args[7:10]
    scale_1, shift_1, scale_2, shift_2, up, up_bias, down, down_bias = args[10:18]
    mask, mask_type = args[18:20]
    activation = F.gelu if use_gelu else F.relu

    def attend(y: torch.Tensor) -> torch.Tensor:
        out, _ = _attend((y, y, y), (size, num_heads), weights, mask, mask_type, need_weights=False)
        return out

    def feed_forward(y: torch.Tensor) -> torch.Tensor:
        return F.linear(activation(F.linear(y, up, up_bias)), down, down_bias)

    def norm_1(y: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(y, (size,), scale_1, shift_1, eps)

    def norm_2(y: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(y, (size,), scale_2, shift_2, eps)

    if norm_first:
        x = x + attend(norm_1(x))
        return (x + feed_forward(norm_2(x))).contiguous()
    x = norm_1(x + attend(x))
    return norm_2(x + feed_forward(x)).contiguous()


def make_rules() -> dict[Any, Rule]:
    """Give the rules."""
    return {
        torch._native_multi_head_attention: multi_head_attention,  # noqa: SLF001
        torch._transformer_encoder_layer_fwd: encoder_layer,  # noqa: SLF001
    }
