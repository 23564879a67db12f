"""Single operators, compiled, against eager and (asked for) torch.compile: which are own code, and which of them are slower.

In:  nothing.   Out: a table on the terminal: for each op, shape and dtype whether it is own code or a call of ATen, the time of
a call, eager's, torch.compile's, and the ratios; at the end those that are more than 10 % slower than eager.

The machine may be shared, so the figures to look at are the ratios; each is of the quickest of many interleaved calls.

Run: python benchmarks/operators.py [--torch-compile] [--slower] [--floor-us 30] [name or family …]
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import torch
from torch.nn import functional as F  # noqa: N812  (PyTorch's own custom)

import graphwright as gw
from graphwright.pipeline import collect_observers

A = torch.ops.aten
Tensors = tuple[Any, ...]
BF16, F32, F64, I64 = torch.bfloat16, torch.float32, torch.float64, torch.int64
FLOATS = (F32, BF16)
SLOWER: Final = 1.1
_EXTERN_STEP = re.compile(r"^  (?:out|functional|inplace) ([\w:.]+)\(", re.MULTILINE)


class Case(msgspec.Struct, frozen=True):
    """An op on tensors of one shape and dtype."""

    family: str
    name: str
    run: Callable[..., Any]
    make: Callable[[torch.dtype], Tensors]
    dtypes: tuple[torch.dtype, ...] = FLOATS


class Timing(msgspec.Struct, frozen=True):
    """The quickest calls, in µs, and the ops that are called as they are."""

    own_us: float
    eager_us: float
    other_us: float | None
    externs: tuple[str, ...]


def drawn(*shape: int, dtype: torch.dtype = F32) -> torch.Tensor:
    """Give a tensor of normal numbers, or of small integers."""
    if not dtype.is_floating_point:
        return torch.randint(0, 100, shape, dtype=dtype)
    return torch.randn(shape).to(dtype)


def tensors(*shapes: tuple[int, ...]) -> Callable[[torch.dtype], Tensors]:
    """Give a maker of tensors of these shapes."""
    return lambda dtype: tuple(drawn(*shape, dtype=dtype) for shape in shapes)


def with_indices(
    shapes: Sequence[tuple[int, ...]], extent: int, indices: tuple[int, ...]
) -> Callable[[torch.dtype], Tensors]:
    """Give a maker of tensors, the last one of indices below `extent`."""
    return lambda dtype: (
        *(drawn(*shape, dtype=dtype) for shape in shapes),
        torch.randint(0, extent, indices),
    )


def channels_last(*shape: int) -> Callable[[torch.dtype], Tensors]:
    """Give a maker of one image batch, channels last in memory."""
    return lambda dtype: (drawn(*shape, dtype=dtype).contiguous(memory_format=torch.channels_last),)


def _pointwise() -> Iterable[Case]:
    unary = {
        "gelu": F.gelu,
        "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "exp": torch.exp,
        "log": lambda x: torch.log(x.abs()),
        "sin": torch.sin,
        "erf": torch.erf,
        "sqrt": lambda x: torch.sqrt(x.abs()),
        "relu": torch.relu,
        "abs": torch.abs,
        "round": torch.round,
        "pow 3": lambda x: x**3,
        "clamp": lambda x: x.clamp(-1, 1),
        "softplus": F.softplus,
        "mish": F.mish,
        "elu": F.elu,
        "celu": F.celu,
        "logit": lambda x: torch.logit(x, 1e-3),
        "sinc": torch.sinc,
        "asinh": torch.asinh,
        "atanh": torch.atanh,
        "to float64": lambda x: x.double(),
        "to bfloat16": lambda x: x.bfloat16(),
        "to int64": lambda x: x.long(),
    }
    binary = {
        "add": torch.add,
        "mul": torch.mul,
        "div": torch.div,
        "maximum": torch.maximum,
        "atan2": torch.atan2,
        "hypot": torch.hypot,
        "xlogy": lambda x, y: torch.xlogy(x, y.abs()),
        "logaddexp": torch.logaddexp,
        "logaddexp2": torch.logaddexp2,
        "heaviside": torch.heaviside,
        "pow": lambda x, y: torch.pow(x.abs(), y),
        "where": lambda x, y: torch.where(x > 0, x, y),
        "masked_fill": lambda x, y: x.masked_fill(y > 0, 1.0),
    }
    for name, run in unary.items():
        for size in (1 << 14, 1 << 20):
            yield Case("pointwise", f"{name} {size}", run, tensors((size,)))
    for name, run in binary.items():
        yield Case("pointwise", f"{name} 1M", run, tensors((1 << 20,), (1 << 20,)))
    yield Case("pointwise", "add row 1024×1024", torch.add, tensors((1024, 1024), (1024,)))
    yield Case("pointwise", "add column 1024×1024", torch.add, tensors((1024, 1024), (1024, 1)))
    yield Case(
        "pointwise", "add transposed 1024×1024", lambda x, y: x + y.t(),
        tensors((1024, 1024), (1024, 1024)),
    )  # fmt: skip
    yield Case("pointwise", "add int64 1M", torch.add, tensors((1 << 20,), (1 << 20,)), (I64,))
    yield Case("pointwise", "prelu", F.prelu, tensors((32, 64, 32, 32), (64,)))


def _views() -> Iterable[Case]:
    square = tensors((1024, 1024))
    yield Case("views", "transpose 1024×1024", lambda x: x.t().contiguous(), square)
    yield Case("views", "transpose 4096×16", lambda x: x.t().contiguous(), tensors((4096, 16)))
    yield Case("views", "heads 8×128×12×64", lambda x: x.transpose(1, 2).contiguous(),
               tensors((8, 128, 12, 64)))  # fmt: skip
    yield Case("views", "cat last", lambda x, y: torch.cat([x, y], -1),
               tensors((1024, 512), (1024, 512)))  # fmt: skip
    yield Case("views", "cat first", lambda x, y: torch.cat([x, y]),
               tensors((512, 1024), (512, 1024)))  # fmt: skip
    yield Case("views", "stack last", lambda x, y: torch.stack([x, y], -1),
               tensors((512, 1024), (512, 1024)))  # fmt: skip
    yield Case("views", "roll", lambda x: torch.roll(x, (3, 5), (0, 1)), square)
    yield Case("views", "roll flat", lambda x: torch.roll(x, 5), square)
    yield Case("views", "flip", lambda x: torch.flip(x, (1,)), square)
    yield Case("views", "flip rows", lambda x: torch.flip(x, (0,)), square)
    yield Case("views", "rot90", lambda x: torch.rot90(x), square)
    yield Case("views", "repeat", lambda x: x.repeat(2, 3), tensors((512, 512)))
    yield Case(
        "views", "repeat_interleave", lambda x: x.repeat_interleave(3, 1), tensors((512, 512))
    )
    yield Case("views", "tril", torch.tril, square)
    yield Case("views", "diag_embed", torch.diag_embed, tensors((64, 128)))
    yield Case("views", "pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), tensors((8, 64, 32, 32)))
    yield Case(
        "views", "pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), tensors((8, 16, 64, 64))
    )
    yield Case(
        "views", "channel_shuffle", lambda x: F.channel_shuffle(x, 4), tensors((8, 64, 32, 32))
    )
    yield Case("views", "unfold 3", lambda x: F.unfold(x, 3, padding=1), tensors((4, 16, 32, 32)))


def _reductions() -> Iterable[Case]:
    shapes = [(1024, 1024), (1 << 16, 16), (1 << 18, 3), (16, 1 << 16), (64, 512), (1 << 20, 1)]
    for rows, cols in shapes:
        for name, op in (("sum", torch.sum), ("mean", torch.mean), ("amax", torch.amax)):
            for axis in (0, 1):
                yield Case(
                    "reductions", f"{name} axis {axis} {rows}×{cols}",
                    lambda x, op=op, axis=axis: op(x, axis), tensors((rows, cols)),
                )  # fmt: skip
    for rows, cols in ((1024, 1024), (1 << 16, 16), (64, 512)):
        for axis in (0, 1):
            at = f"axis {axis} {rows}×{cols}"
            make = tensors((rows, cols))
            for name, run in {
                "argmax": lambda x, axis=axis: x.argmax(axis),
                "max dim": lambda x, axis=axis: x.max(axis),
                "prod": lambda x, axis=axis: x.prod(axis),
                "var": lambda x, axis=axis: x.var(axis),
                "norm": lambda x, axis=axis: torch.linalg.vector_norm(x, dim=axis),
                "logsumexp": lambda x, axis=axis: x.logsumexp(axis),
                "any": lambda x, axis=axis: (x > 3).any(axis),
                "nansum": lambda x, axis=axis: x.nansum(axis),
                "count_nonzero": lambda x, axis=axis: x.count_nonzero(axis),
                "aminmax": lambda x, axis=axis: torch.aminmax(x, dim=axis),
            }.items():
                yield Case("reductions", f"{name} {at}", run, make)
    yield Case("reductions", "sum all 1M", torch.sum, tensors((1 << 20,)))
    yield Case("reductions", "max all 1M", torch.max, tensors((1 << 20,)))
    yield Case("reductions", "sum int64 rows", lambda x: x.sum(1), tensors((1024, 1024)), (I64,))
    yield Case(
        "reductions", "sum of channels", lambda x: x.sum((0, 2, 3)), tensors((16, 64, 32, 32))
    )
    yield Case("reductions", "mean of images", lambda x: x.mean((2, 3)), tensors((16, 64, 32, 32)))
    yield Case(
        "reductions", "mean channels last", lambda x: x.mean((2, 3)), channels_last(16, 64, 32, 32)
    )


def _scans() -> Iterable[Case]:
    for rows, cols in ((1024, 1024), (1 << 14, 16), (1, 1 << 20)):
        for axis in (0, 1):
            at = f"axis {axis} {rows}×{cols}"
            for name, run in {
                "cumsum": lambda x, axis=axis: x.cumsum(axis),
                "cumprod": lambda x, axis=axis: x.cumprod(axis),
                "cummax": lambda x, axis=axis: x.cummax(axis),
                "logcumsumexp": lambda x, axis=axis: x.logcumsumexp(axis),
            }.items():
                yield Case("scans", f"{name} {at}", run, tensors((rows, cols)))
    yield Case("scans", "cumsum int64", lambda x: x.cumsum(1), tensors((1024, 1024)), (I64,))
    yield Case(
        "scans", "cumsum of mask 8×128", lambda x: (x > 3).cumsum(1), tensors((8, 128)), (I64,)
    )


def _indexing() -> Iterable[Case]:
    wide = (30000, 256)
    yield Case("indexing", "embedding 1024", lambda w, i: F.embedding(i, w),
               with_indices([wide], 30000, (8, 128)))  # fmt: skip
    yield Case("indexing", "embedding backward",
               lambda g, i: A.embedding_dense_backward(g, i, 30000, -1, False),
               with_indices([(1024, 256)], 30000, (1024,)))  # fmt: skip
    yield Case("indexing", "gather", lambda x, i: torch.gather(x, 1, i),
               with_indices([(1024, 1024)], 1024, (1024, 512)))  # fmt: skip
    yield Case("indexing", "index_select rows", lambda x, i: x.index_select(0, i),
               with_indices([(4096, 256)], 4096, (2048,)))  # fmt: skip
    yield Case("indexing", "index rows", lambda x, i: x[i],
               with_indices([(4096, 256)], 4096, (2048,)))  # fmt: skip
    yield Case("indexing", "index_add rows", lambda x, y, i: x.index_add(0, i, y),
               with_indices([(4096, 256), (2048, 256)], 4096, (2048,)))  # fmt: skip
    yield Case("indexing", "index_copy rows", lambda x, y, i: x.index_copy(0, i, y),
               with_indices([(4096, 256), (2048, 256)], 4096, (2048,)))  # fmt: skip
    yield Case("indexing", "index_put accumulate",
               lambda x, y, i: torch.index_put(x, (i,), y, accumulate=True),
               with_indices([(4096, 256), (2048, 256)], 4096, (2048,)))  # fmt: skip
    yield Case("indexing", "scatter", lambda x, y, i: x.scatter(1, i, y),
               with_indices([(1024, 1024), (1024, 512)], 1024, (1024, 512)))  # fmt: skip
    yield Case("indexing", "scatter_add", lambda x, y, i: x.scatter_add(1, i, y),
               with_indices([(1024, 1024), (1024, 512)], 1024, (1024, 512)))  # fmt: skip
    yield Case("indexing", "one_hot", lambda i: F.one_hot(i, 1000),
               lambda _dtype: (torch.randint(0, 1000, (512,)),), (I64,))  # fmt: skip
    yield Case("indexing", "bucketize",
               lambda x, edges: torch.bucketize(x, edges),
               lambda dtype: (drawn(1 << 18, dtype=dtype), drawn(64, dtype=dtype).sort().values))  # fmt: skip
    yield Case(
        "indexing", "histc", lambda x: torch.histc(x, 64, -3, 3), tensors((1 << 20,)), (F32,)
    )


def _pooling() -> Iterable[Case]:
    image = (16, 64, 56, 56)
    for kind, make in (("", tensors(image)), (" channels last", channels_last(*image))):
        yield Case("pooling", f"max_pool2d 3/2{kind}", lambda x: F.max_pool2d(x, 3, 2, 1), make)
        yield Case("pooling", f"max_pool2d 2/2{kind}", lambda x: F.max_pool2d(x, 2), make)
        yield Case("pooling", f"max_pool2d positions{kind}",
                   lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), make)  # fmt: skip
        yield Case("pooling", f"avg_pool2d 2/2{kind}", lambda x: F.avg_pool2d(x, 2), make)
        yield Case("pooling", f"avg_pool2d 3/1{kind}", lambda x: F.avg_pool2d(x, 3, 1, 1), make)
        yield Case("pooling", f"adaptive_avg 7{kind}", lambda x: F.adaptive_avg_pool2d(x, 7), make)
        yield Case("pooling", f"adaptive_avg 1{kind}", lambda x: F.adaptive_avg_pool2d(x, 1), make)
        yield Case("pooling", f"adaptive_avg 5{kind}", lambda x: F.adaptive_avg_pool2d(x, 5), make)
        yield Case("pooling", f"adaptive_max 7{kind}", lambda x: F.adaptive_max_pool2d(x, 7), make)
    yield Case("pooling", "max_pool1d", lambda x: F.max_pool1d(x, 2), tensors((16, 64, 4096)))
    yield Case("pooling", "avg_pool1d", lambda x: F.avg_pool1d(x, 2), tensors((16, 64, 4096)))
    yield Case("pooling", "max_pool3d", lambda x: F.max_pool3d(x, 2), tensors((2, 16, 32, 32, 32)))
    yield Case("pooling", "avg_pool3d", lambda x: F.avg_pool3d(x, 2), tensors((2, 16, 32, 32, 32)))
    small = (16, 64, 28, 28)
    yield Case("pooling", "max_pool2d backward",
               lambda g, x, i: A.max_pool2d_with_indices_backward(g, x, [2, 2], [2, 2], [0, 0], [1, 1], False, i),
               lambda dtype: (drawn(*small, dtype=dtype), *_with_pool_indices(drawn(*image, dtype=dtype))))  # fmt: skip
    yield Case("pooling", "avg_pool2d backward",
               lambda g, x: A.avg_pool2d_backward(g, x, [2, 2], [2, 2], [0, 0], False, True, None),
               tensors(small, image))  # fmt: skip
    yield Case("pooling", "adaptive_avg backward",
               lambda g, x: A._adaptive_avg_pool2d_backward(g, x), tensors((16, 64, 7, 7), image))  # fmt: skip


def _with_pool_indices(x: torch.Tensor) -> Tensors:
    return x, A.max_pool2d_with_indices(x, [2, 2], [2, 2])[1]


def _padding() -> Iterable[Case]:
    image = tensors((16, 32, 56, 56))
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield Case(
            "padding", f"{mode} 2d", lambda x, mode=mode: F.pad(x, (1, 2, 3, 4), mode), image
        )
    yield Case("padding", "reflect 1d", lambda x: F.pad(x, (3, 3), "reflect"), tensors((64, 4096)))
    yield Case("padding", "replicate 3d", lambda x: F.pad(x, (1,) * 6, "replicate"),
               tensors((2, 8, 16, 32, 32)))  # fmt: skip
    yield Case("padding", "reflect 2d backward",
               lambda g, x: A.reflection_pad2d_backward(g, x, [1, 2, 3, 4]),
               tensors((16, 32, 63, 59), (16, 32, 56, 56)))  # fmt: skip


def _upsampling() -> Iterable[Case]:
    image = (8, 32, 28, 28)
    for kind, make in (("", tensors(image)), (" channels last", channels_last(*image))):
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
            yield Case("upsampling", f"{mode} ×2{kind}",
                       lambda x, mode=mode: F.interpolate(x, scale_factor=2, mode=mode), make)  # fmt: skip
        yield Case("upsampling", f"bilinear 50{kind}",
                   lambda x: F.interpolate(x, size=(50, 50), mode="bilinear", align_corners=True), make)  # fmt: skip
    yield Case("upsampling", "linear 1d", lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
               tensors((16, 32, 1024)))  # fmt: skip
    yield Case(
        "upsampling",
        "nearest 1d",
        lambda x: F.interpolate(x, scale_factor=2),
        tensors((16, 32, 1024)),
    )
    yield Case("upsampling", "nearest backward",
               lambda g: A.upsample_nearest2d_backward(g, [56, 56], [8, 32, 28, 28], 2.0, 2.0),
               tensors((8, 32, 56, 56)))  # fmt: skip
    yield Case("upsampling", "bilinear backward",
               lambda g: A.upsample_bilinear2d_backward(g, [56, 56], [8, 32, 28, 28], False, 2.0, 2.0),
               tensors((8, 32, 56, 56)))  # fmt: skip


def _norms() -> Iterable[Case]:
    rows = (1024, 768)
    image = (16, 64, 32, 32)
    yield Case("norms", "softmax", lambda x: x.softmax(-1), tensors(rows))
    yield Case("norms", "softmax columns", lambda x: x.softmax(0), tensors(rows))
    yield Case("norms", "softmax narrow", lambda x: x.softmax(-1), tensors((1 << 16, 8)))
    yield Case("norms", "log_softmax", lambda x: x.log_softmax(-1), tensors(rows))
    yield Case("norms", "softmax backward",
               lambda g, y: A._softmax_backward_data(g, y, -1, y.dtype), tensors(rows, rows))  # fmt: skip
    yield Case("norms", "layer_norm", lambda x, w, b: F.layer_norm(x, (768,), w, b),
               tensors(rows, (768,), (768,)))  # fmt: skip
    yield Case("norms", "layer_norm backward",
               lambda g, x, m, r, w, b: A.native_layer_norm_backward(g, x, [768], m, r, w, b, [True] * 3),
               tensors(rows, rows, (1024, 1), (1024, 1), (768,), (768,)), (F32,))  # fmt: skip
    yield Case("norms", "rms_norm", lambda x, w: F.rms_norm(x, (768,), w), tensors(rows, (768,)))
    yield Case("norms", "group_norm", lambda x, w, b: F.group_norm(x, 8, w, b),
               tensors(image, (64,), (64,)))  # fmt: skip
    yield Case(
        "norms", "group_norm channels last", lambda x: F.group_norm(x, 8), channels_last(*image)
    )
    yield Case("norms", "group_norm backward",
               lambda g, x, m, r, w: A.native_group_norm_backward(g, x, m, r, w, 16, 64, 1024, 8, [True] * 3),
               tensors(image, image, (16, 8), (16, 8), (64,)))  # fmt: skip
    yield Case("norms", "batch_norm", lambda x, m, v: F.batch_norm(x, m, v.abs()),
               tensors(image, (64,), (64,)), (F32,))  # fmt: skip
    yield Case("norms", "batch_norm training",
               lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
               tensors(image, (64,), (64,)), (F32,))  # fmt: skip
    yield Case("norms", "batch_norm backward",
               lambda g, x, w, m, r: A.native_batch_norm_backward(g, x, w, None, None, m, r, True, 1e-5, [True] * 3),
               tensors(image, image, (64,), (64,), (64,)), (F32,))  # fmt: skip
    yield Case("norms", "instance_norm", F.instance_norm, tensors(image), (F32,))
    yield Case("norms", "weight norm", A._weight_norm,
               tensors((512, 512), (512, 1)), (F32,))  # fmt: skip


def _losses() -> Iterable[Case]:
    pair = tensors((1 << 18,), (1 << 18,))
    yield Case(
        "losses", "cross_entropy", F.cross_entropy, with_indices([(1024, 1000)], 1000, (1024,))
    )
    yield Case("losses", "nll_loss", F.nll_loss, with_indices([(1024, 1000)], 1000, (1024,)))
    yield Case(
        "losses", "nll_loss 2d", F.nll_loss, with_indices([(8, 21, 64, 64)], 21, (8, 64, 64))
    )
    yield Case("losses", "nll_loss backward",
               lambda g, x, w, i: A.nll_loss_backward(g, x, i, None, 1, -100, w),
               with_indices([(), (1024, 1000), ()], 1000, (1024,)), (F32,))  # fmt: skip
    yield Case("losses", "mse", F.mse_loss, pair)
    yield Case("losses", "mse backward", lambda g, x, y: A.mse_loss_backward(g, x, y, 1),
               tensors((), (1 << 18,), (1 << 18,)))  # fmt: skip
    yield Case("losses", "l1", F.l1_loss, pair)
    yield Case("losses", "smooth_l1", F.smooth_l1_loss, pair)
    yield Case("losses", "smooth_l1 backward", lambda g, x, y: A.smooth_l1_loss_backward(g, x, y, 1, 1.0),
               tensors((), (1 << 18,), (1 << 18,)))  # fmt: skip
    yield Case("losses", "huber", F.huber_loss, pair)
    yield Case("losses", "huber backward", lambda g, x, y: A.huber_loss_backward(g, x, y, 1, 1.0),
               tensors((), (1 << 18,), (1 << 18,)))  # fmt: skip
    yield Case("losses", "kl_div", lambda x, y: F.kl_div(x, y.abs(), reduction="batchmean"),
               tensors((1024, 256), (1024, 256)))  # fmt: skip
    yield Case("losses", "bce", lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()), pair)
    yield Case("losses", "bce backward",
               lambda g, x, y: A.binary_cross_entropy_backward(g, x.sigmoid(), y.sigmoid(), None, 1),
               tensors((), (1 << 18,), (1 << 18,)), (F32,))  # fmt: skip
    yield Case(
        "losses",
        "bce with logits",
        lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()),
        pair,
    )
    yield Case("losses", "soft_margin", lambda x, y: F.soft_margin_loss(x, y.sign()), pair)
    yield Case("losses", "hinge", lambda x, y: F.hinge_embedding_loss(x, y.sign()), pair)
    yield Case("losses", "glu", lambda x: F.glu(x), tensors((1024, 1024)))
    yield Case("losses", "glu backward", lambda g, x: A.glu_backward(g, x, -1),
               tensors((1024, 512), (1024, 1024)))  # fmt: skip
    yield Case("losses", "log_sigmoid", F.logsigmoid, tensors((1 << 18,)))
    yield Case("losses", "log_sigmoid backward",
               lambda g, x: A.log_sigmoid_backward(g, x, (-x.abs()).exp()), pair)  # fmt: skip
    yield Case("losses", "mish backward", A.mish_backward, pair)
    yield Case("losses", "softshrink backward", lambda g, x: A.softshrink_backward(g, x, 0.5), pair)
    yield Case("losses", "hardshrink backward", lambda g, x: A.hardshrink_backward(g, x, 0.5), pair)
    yield Case("losses", "gelu backward", A.gelu_backward, pair)
    yield Case(
        "losses", "cosine_similarity", F.cosine_similarity, tensors((1024, 768), (1024, 768))
    )


FAMILIES: Final = (
    *(_pointwise, _views, _reductions, _scans, _indexing),
    *(_pooling, _padding, _upsampling, _norms, _losses),
)


def quickest(functions: Sequence[Callable[[], object]], budget_s: float) -> list[float]:
    """Give the least time of a call of each function in µs, over interleaved rounds that fill the budget."""
    best = [float("inf")] * len(functions)
    end = time.perf_counter() + budget_s
    rounds = 0
    while time.perf_counter() < end or rounds < 5:
        rounds += 1
        for number, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[number] = min(best[number], time.perf_counter() - start)
    return [least * 1e6 for least in best]


def measure(case: Case, dtype: torch.dtype, *, has_other: bool, budget_s: float) -> Timing:
    """Compile and time one case."""
    torch.manual_seed(0)
    args = case.make(dtype)
    gw.reset()

    def program(*given: Any) -> Any:
        return case.run(*given)

    compiled = gw.compile(program, fullgraph=True)
    with torch.no_grad(), collect_observers("plan") as observers:
        compiled(*args)
    plans = [artifact.text for observer in observers for artifact in observer.artifacts]
    externs = tuple(name for plan in plans for name in _EXTERN_STEP.findall(plan))
    functions: list[Callable[[], object]] = [lambda: compiled(*args), lambda: program(*args)]
    with torch.no_grad():
        if has_other:
            torch.compiler.reset()
            other = torch.compile(program)
            other(*args)
            functions.append(lambda: other(*args))
        times = quickest(functions, budget_s)
    return Timing(times[0], times[1], times[2] if has_other else None, externs)


def main() -> None:
    """Measure the chosen cases and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="families, or parts of names")
    parser.add_argument("--torch-compile", action="store_true")
    parser.add_argument(
        "--slower", action="store_true", help="print only what is slower than eager"
    )
    parser.add_argument(
        "--floor-us", type=float, default=30.0, help="quicker calls are no slow ones"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--budget-s", type=float, default=0.1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{torch.get_num_threads()} threads; times in µs")
    print("| family | op | dtype | compiled as | own | eager | ratio | torch.compile | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    slow = []
    for case in (case for family in FAMILIES for case in family()):
        if options.names and not any(n == case.family or n in case.name for n in options.names):
            continue
        for dtype in case.dtypes:
            if not _runs_eagerly(case, dtype):
                continue
            timing = measure(
                case, dtype, has_other=options.torch_compile, budget_s=options.budget_s
            )
            line = _line(case, dtype, timing)
            is_slow = timing.own_us > max(SLOWER * timing.eager_us, options.floor_us)
            slow += [line] if is_slow else []
            if is_slow or not options.slower:
                print(line, flush=True)
    print(f"\n{len(slow)} more than {SLOWER - 1:.0%} slower than eager:")
    print("\n".join(slow))


def _runs_eagerly(case: Case, dtype: torch.dtype) -> bool:
    """Tell whether eager has a kernel for the dtype."""
    try:
        case.run(*case.make(dtype))
    except NotImplementedError:
        return False
    return True


def _line(case: Case, dtype: torch.dtype, timing: Timing) -> str:
    kind = ", ".join(dict.fromkeys(timing.externs)) or "own"
    ratio = timing.own_us / timing.eager_us
    other = "| |"
    if timing.other_us is not None:
        other = f"{timing.other_us:.0f} | {timing.own_us / timing.other_us:.2f} |"
    name = str(dtype).removeprefix("torch.")
    return (
        f"| {case.family} | {case.name} | {name} | {kind} | {timing.own_us:.0f} "
        f"| {timing.eager_us:.0f} | {ratio:.2f} | {other}"
    )


if __name__ == "__main__":
    main()
