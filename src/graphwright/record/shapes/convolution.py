# ruff: noqa: FBT001, FBT002, PLR0913  (a rule takes the op's own arguments)

"""Shape rules of convolutions, pooling, resizing and padding of images.

In:  [N, C, *] tensors (or [C, *] where the op takes them), window parameters.   Out: specs.
Keeps: channels-last inputs give channels-last results where eager's kernels do.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch

from graphwright.record.layout import (
    Shape,
    channels_last_strides,
    contiguous_strides,
    is_channels_last,
    is_contiguous,
    is_known_empty,
    prefers_channels_last,
)
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

Window = int | Sequence[Extent]
Rule = Callable[..., Any]


def _suggested(like: TensorSpec, shape: Shape, dtype: torch.dtype | None = None) -> TensorSpec:
    """Give a new tensor in the memory format that `like` suggests."""
    is_last = len(shape) == like.ndim and prefers_channels_last(like.shape, like.strides)
    strides = channels_last_strides(shape) if is_last else contiguous_strides(shape)
    return TensorSpec(shape, strides, dtype or like.dtype, like.device)


def _spread(
    window: Window, count: int, default: Sequence[Extent] | None = None
) -> tuple[Extent, ...]:
    """Give one number for each of `count` dimensions."""
    if isinstance(window, int):
        return (window,) * count
    if not window and default is not None:
        return tuple(default)
    return tuple(window) if len(window) == count else tuple(window) * count


def _convolution(
    self: TensorSpec,
    weight: TensorSpec,
    bias: TensorSpec | None,
    stride: Window,
    padding: Window,
    dilation: Window,
    transposed: bool,
    output_padding: Window,
    groups: int,
) -> TensorSpec:
    del bias
    count = weight.ndim - 2
    if self.ndim != count + 2 or self.dtype is not weight.dtype:
        msg = f"convolution: input {list(self.shape)} {self.dtype} and weight {list(weight.shape)} {weight.dtype}"
        raise ValueError(msg)
    channels = self.shape[1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        msg = f"convolution: input has {channels} channels, the weight expects {expected}"
        raise ValueError(msg)
    steps, pads, gaps = _spread(stride, count), _spread(padding, count), _spread(dilation, count)
    more = _spread(output_padding, count)
    if min((*steps, *gaps)) <= 0 or min((*pads, *more)) < 0:
        msg = f"convolution: each {steps}, {gaps} apart, padded by {pads} and {more}"
        raise ValueError(msg)
    inner: list[Extent] = []
    for axis in range(count):
        reach = gaps[axis] * (weight.shape[axis + 2] - 1) + 1
        extent = self.shape[axis + 2]
        if transposed:
            inner.append((extent - 1) * steps[axis] - 2 * pads[axis] + reach + more[axis])
        else:
            inner.append((extent + 2 * pads[axis] - reach) // steps[axis] + 1)
    least = 0 if transposed else 1
    if any(extent < least for extent in inner):
        msg = f"convolution: the kernel {list(weight.shape[2:])} does not fit the padded input {list(self.shape)}"
        raise ValueError(msg)
    out_channels = weight.shape[1] * groups if transposed else weight.shape[0]
    is_last = _runs_channels_last(self, weight, steps, gaps, more, groups, is_transposed=transposed)
    return _laid_out(self, (self.shape[0], out_channels, *inner), is_last=is_last)


def _laid_out(like: TensorSpec, shape: Shape, *, is_last: bool) -> TensorSpec:
    """Give the spec of a result; of one image dimension, as the row that it is computed as."""
    if not is_last:
        return _contiguous(like, shape)
    if len(shape) == 3:
        outer, channels, _, inner = channels_last_strides((*shape[:2], 1, shape[2]))
        return TensorSpec(shape, (outer, channels, inner), like.dtype, like.device)
    return TensorSpec(shape, channels_last_strides(shape), like.dtype, like.device)


def _runs_channels_last(
    self: TensorSpec,
    weight: TensorSpec,
    steps: Shape,
    gaps: Shape,
    more: Shape,
    groups: int,
    *,
    is_transposed: bool,
) -> bool:
    """Tell whether the kernel that PyTorch chooses gives channels last.

    Of three image dimensions, only that of oneDNN does (source: `ConvParams::use_mkldnn` in ATen's `Convolution.cpp`).
    """
    if weight.ndim == 3 and not is_contiguous(self.shape, self.strides):
        self = _contiguous(self, self.shape)  # as eager calls `contiguous()` on sequences
    if not any(map(_suggests_channels_last, (self, weight))):
        return False
    if weight.ndim != 5 or self.dtype in (torch.bfloat16, torch.float16):
        return True
    is_big = is_transposed and any(map(operator.ge, more, steps))
    if self.dtype is not torch.float32 or is_big:
        return False
    is_simple = all(step == 1 for step in (*steps, *gaps)) and self.shape[0] < 16
    if is_simple and weight.shape[-1] == weight.shape[-2] == 1 and torch.get_num_threads() == 1:
        return False
    outer = self.shape[0] * self.shape[1] * self.shape[2] * self.shape[3]
    is_wide = weight.shape[-1] > 3 and weight.shape[-2] > 3
    return bool(groups > 1 or is_wide or self.shape[0] > 1 or outer > _FEW_ELEMENTS)


_FEW_ELEMENTS: Final = 20480


def _suggests_channels_last(spec: TensorSpec) -> bool:
    if spec.ndim != 3:
        return prefers_channels_last(spec.shape, spec.strides)
    (batch, channels, length), (outer, inner, step) = spec.shape, spec.strides
    return prefers_channels_last((batch, channels, 1, length), (outer, inner, step * length, step))


def _convolution_backward(
    grad_output: TensorSpec,
    self: TensorSpec,
    weight: TensorSpec,
    bias_sizes: Sequence[int] | None,
    *rest: Any,
) -> tuple[TensorSpec | None, ...]:
    stride, _padding, dilation, transposed, output_padding, groups, output_mask = rest
    count = weight.ndim - 2
    steps, gaps = _spread(stride, count), _spread(dilation, count)
    more = _spread(output_padding, count)
    is_last = _runs_channels_last(self, weight, steps, gaps, more, groups, is_transposed=transposed)

    def gradient(spec: TensorSpec) -> TensorSpec:
        return _laid_out(spec, spec.shape, is_last=is_last)

    channels: Shape = tuple(bias_sizes) if bias_sizes else (grad_output.shape[1],)
    bias = TensorSpec(channels, (1,), grad_output.dtype, grad_output.device)
    return (
        gradient(self) if output_mask[0] else None,
        gradient(weight) if output_mask[1] else None,
        bias if output_mask[2] else None,
    )


def _pooled_extent(
    extent: Extent, kernel: Extent, pad: Extent, step: Extent, gap: Extent, *, is_ceil: bool
) -> Extent:
    room = extent + 2 * pad - gap * (kernel - 1) - 1
    count = (room + (step - 1 if is_ceil else 0)) // step + 1
    if is_ceil and (count - 1) * step >= extent + pad:
        count = count - 1
    if count < 1:
        msg = f"pooling: a window of {kernel} does not fit {extent} elements padded by {pad}"
        raise ValueError(msg)
    return count


def _pooled_shape(
    self: TensorSpec, count: int, windows: tuple[Window, Window, Window, Window], *, is_ceil: bool
) -> Shape:
    kernel, stride, padding, dilation = windows
    kernels = _spread(kernel, count)
    steps = _spread(stride, count, kernels)
    pads, gaps = _spread(padding, count), _spread(dilation, count)
    windows_reach = [gap * (kernel - 1) + 1 for gap, kernel in zip(gaps, kernels, strict=True)]
    is_usual = min((*kernels, *steps, *gaps)) > 0 and all(
        0 <= 2 * pad <= reach for pad, reach in zip(pads, windows_reach, strict=True)
    )
    if not is_usual:
        msg = f"pooling: windows of {kernels} each {steps}, {gaps} apart, padded by {pads}"
        raise ValueError(msg)
    first = self.ndim - count
    inner = tuple(
        _pooled_extent(
            self.shape[first + axis],
            kernels[axis],
            pads[axis],
            steps[axis],
            gaps[axis],
            is_ceil=is_ceil,
        )
        for axis in range(count)
    )
    return (*self.shape[:first], *inner)


def _max_pool(count: int) -> Rule:
    def rule(
        self: TensorSpec,
        kernel_size: Window,
        stride: Window = (),
        padding: Window = 0,
        dilation: Window = 1,
        ceil_mode: bool = False,
    ) -> tuple[TensorSpec, TensorSpec]:
        shape = _pooled_shape(
            self, count, (kernel_size, stride, padding, dilation), is_ceil=ceil_mode
        )
        return _suggested(self, shape), _suggested(self, shape, torch.int64)

    return rule


def _avg_pool(count: int) -> Rule:
    def rule(
        self: TensorSpec,
        kernel_size: Window,
        stride: Window = (),
        padding: Window = 0,
        ceil_mode: bool = False,
        *_rest: object,
        **_options: object,
    ) -> TensorSpec:
        shape = _pooled_shape(self, count, (kernel_size, stride, padding, 1), is_ceil=ceil_mode)
        return _suggested(self, shape) if count < 3 else _contiguous(self, shape)

    return rule


def _adaptive_avg_pool(self: TensorSpec, output_size: Sequence[Extent]) -> TensorSpec:
    return _suggested(self, (*self.shape[: self.ndim - len(output_size)], *output_size))


def _adaptive_avg_pool3d(self: TensorSpec, output_size: Sequence[Extent]) -> TensorSpec:
    return _contiguous(self, (*self.shape[:-3], *output_size))


def _adaptive_max_pool(
    self: TensorSpec, output_size: Sequence[Extent]
) -> tuple[TensorSpec, TensorSpec]:
    pooled = _adaptive_avg_pool(self, output_size)
    return pooled, TensorSpec(pooled.shape, pooled.strides, torch.int64, pooled.device)


def _like_input(
    _grad_output: TensorSpec, self: TensorSpec, *_rest: object, **_options: object
) -> TensorSpec:
    return _suggested(self, self.shape)


def _contiguous_like_input(
    _grad_output: TensorSpec, self: TensorSpec, *_rest: object, **_options: object
) -> TensorSpec:
    return TensorSpec(self.shape, contiguous_strides(self.shape), self.dtype, self.device)


def _unpool(self: TensorSpec, _indices: TensorSpec, output_size: Sequence[Extent]) -> TensorSpec:
    return _suggested(self, (*self.shape[: self.ndim - 2], *output_size))


def _upsample(self: TensorSpec, output_size: Sequence[Extent], *_rest: object) -> TensorSpec:
    return _suggested(self, (*self.shape[:2], *output_size))


def _upsample_backward(
    grad_output: TensorSpec, _output_size: object, input_size: Sequence[Extent], *_rest: object
) -> TensorSpec:
    made = _suggested(grad_output, tuple(input_size))
    return made if made.ndim == 4 else _contiguous(made, made.shape)


def _pad(count: int, *, is_reflected: bool = False) -> Rule:
    def rule(self: TensorSpec, padding: Sequence[Extent]) -> TensorSpec:
        first = self.ndim - count
        for place, width in enumerate(padding):
            if is_reflected and width >= self.shape[self.ndim - 1 - place // 2]:
                msg = f"reflection: {width} of {list(self.shape)}"
                raise ValueError(msg)
        inner = tuple(
            self.shape[first + axis]
            + padding[2 * (count - 1 - axis)]
            + padding[2 * (count - 1 - axis) + 1]
            for axis in range(count)
        )
        shape = (*self.shape[:first], *inner)
        if self.ndim in (4, 5) and prefers_channels_last(self.shape, self.strides):
            return _suggested(self, shape)
        return TensorSpec(shape, contiguous_strides(shape), self.dtype, self.device)

    return rule


def _pixel_shuffle(self: TensorSpec, factor: int) -> TensorSpec:
    *outer, channels, height, width = self.shape
    shape = (*outer, channels // (factor * factor), height * factor, width * factor)
    return (
        _suggested(self, shape)
        if is_channels_last(self.shape, self.strides)
        else _contiguous(self, shape)
    )


def _pixel_unshuffle(self: TensorSpec, factor: int) -> TensorSpec:
    if is_known_empty(self.shape):
        return _contiguous(self, self.shape)
    *outer, channels, height, width = self.shape
    shape = (*outer, channels * factor * factor, height // factor, width // factor)
    return (
        _suggested(self, shape)
        if is_channels_last(self.shape, self.strides)
        else _contiguous(self, shape)
    )


def _contiguous(self: TensorSpec, shape: Shape) -> TensorSpec:
    return TensorSpec(shape, contiguous_strides(shape), self.dtype, self.device)


def _grid_sampler(self: TensorSpec, grid: TensorSpec, *_rest: object) -> TensorSpec:
    return _contiguous(self, (*self.shape[:2], *grid.shape[1:-1]))


def _im2col(
    self: TensorSpec, kernel: Window, dilation: Window, padding: Window, stride: Window
) -> TensorSpec:
    kernels, gaps = _spread(kernel, 2), _spread(dilation, 2)
    pads, steps = _spread(padding, 2), _spread(stride, 2)
    *outer, channels, height, width = self.shape
    blocks: Extent = 1
    for axis, extent in enumerate((height, width)):
        blocks = blocks * (
            (extent + 2 * pads[axis] - gaps[axis] * (kernels[axis] - 1) - 1) // steps[axis] + 1
        )
    return _contiguous(self, (*outer, channels * kernels[0] * kernels[1], blocks))


def _col2im(
    self: TensorSpec, output_size: Sequence[Extent], kernel: Window, *_rest: object
) -> TensorSpec:
    kernels = _spread(kernel, 2)
    *outer, rows, _ = self.shape
    return _contiguous(self, (*outer, rows // (kernels[0] * kernels[1]), *output_size))


RULES: Final[dict[str, Callable[..., Any]]] = {
    "aten.convolution": _convolution,
    "aten.convolution_backward": _convolution_backward,
    "aten.max_pool2d_with_indices": _max_pool(2),
    "aten.max_pool3d_with_indices": _max_pool(3),
    "aten.max_pool2d_with_indices_backward": _like_input,
    "aten.fractional_max_pool3d_backward": _contiguous_like_input,
    "aten.max_unpool2d": _unpool,
    "aten.avg_pool2d": _avg_pool(2),
    "aten.avg_pool3d": _avg_pool(3),
    "aten.avg_pool2d_backward": _like_input,
    "aten._adaptive_avg_pool2d": _adaptive_avg_pool,
    "aten._adaptive_avg_pool3d": _adaptive_avg_pool3d,
    "aten._adaptive_avg_pool2d_backward": _like_input,
    "aten.adaptive_max_pool2d": _adaptive_max_pool,
    "aten.adaptive_max_pool2d_backward": _like_input,
    **{
        f"aten.{name}": _upsample
        for name in (
            "upsample_nearest1d.default",
            "upsample_nearest2d.default",
            "upsample_nearest3d.default",
            "_upsample_nearest_exact1d.default",
            "_upsample_nearest_exact2d.default",
            "_upsample_nearest_exact3d.default",
            "upsample_linear1d.default",
            "upsample_bilinear2d.default",
            "upsample_trilinear3d.default",
            "upsample_bicubic2d.default",
            "_upsample_bilinear2d_aa.default",
            "_upsample_bicubic2d_aa.default",
        )
    },
    **{
        f"aten.{name}_backward": _upsample_backward
        for name in (
            "upsample_nearest1d",
            "upsample_nearest2d",
            "upsample_nearest3d",
            "upsample_linear1d",
            "upsample_bilinear2d",
            "upsample_trilinear3d",
            "upsample_bicubic2d",
        )
    },
    "aten.reflection_pad1d": _pad(1, is_reflected=True),
    "aten.reflection_pad2d": _pad(2, is_reflected=True),
    "aten.reflection_pad3d": _pad(3, is_reflected=True),
    "aten.replication_pad1d": _pad(1),
    "aten.replication_pad2d": _pad(2),
    "aten.replication_pad3d": _pad(3),
    "aten.reflection_pad1d_backward": _contiguous_like_input,
    "aten.reflection_pad2d_backward": _like_input,
    "aten.replication_pad1d_backward": _contiguous_like_input,
    "aten.replication_pad2d_backward": _like_input,
    "aten.pixel_shuffle": _pixel_shuffle,
    "aten.pixel_unshuffle": _pixel_unshuffle,
    "aten.grid_sampler_2d": _grid_sampler,
    "aten.grid_sampler_3d": _grid_sampler,
    "aten.im2col": _im2col,
    "aten.col2im": _col2im,
}
