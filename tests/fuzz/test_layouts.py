"""Layouts of results: operators on tensors in all orders of dimensions, with gaps, repeated and of extent 1, against eager.

Where an extent is 1, several formats fit the strides of one tensor, and PyTorch has its ways to choose among them.
"""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from layouts import make_layouts, strides_that_matter
from torch.utils._pytree import tree_flatten

import graphwright as gw

_CALLS = [
    "F.max_pool2d(x, 2, 2, 1, return_indices=True)",
    "F.avg_pool2d(x, 2, 1, 1)",
    "F.adaptive_avg_pool2d(x, (2, 3))",
    "F.adaptive_avg_pool2d(x, 1)",
    "F.adaptive_max_pool2d(x, 2)",
    "F.batch_norm(x, None, None, training=True)",
    "F.batch_norm(x, torch.zeros(x.shape[1], dtype=x.dtype), torch.ones(x.shape[1], dtype=x.dtype))",
    "F.group_norm(x, 1)",
    "F.instance_norm(x)",
    "F.layer_norm(x, x.shape[1:])",
    "F.layer_norm(x, x.shape[-1:])",
    "F.interpolate(x, scale_factor=2)",
    "F.interpolate(x, scale_factor=2, mode='bilinear')",
    "F.interpolate(x, size=(3, 7), mode='bicubic')",
    "F.interpolate(x, size=(3, 2), mode='area')",
    "F.interpolate(x, size=(3, 2), mode='nearest-exact')",
    "F.pad(x, (1, 2, 0, 1))",
    "F.pad(x, (0, 0, 1, 0), mode='replicate')",
    "F.pad(x, (1, 0, 0, 1), mode='circular')",
    "torch.cat([x, y])",
    "torch.cat([x, y], 1)",
    "torch.stack([x, y])",
    "torch.cat([y, x * 2], 2)",
    "x + y",
    "x + y[:1, :, :1]",
    "torch.where(x > 0, x, y)",
    "F.relu(x)",
    "F.gelu(x)",
    "torch.addcmul(x, y, x)",
    "torch.lerp(x, y, 0.3)",
    "x < y",
    "2 - x",
    "torch.maximum(y, x)",
    "x.softmax(1)",
    "F.log_softmax(y, 3)",
    "x.cumsum(1)",
    "x.sum(2, keepdim=True)",
    "x.sum(1)",
    "x.mean((2, 3))",
    "x.var(1, keepdim=True)",
    "x.amax(1)",
    "x.argmax(2)",
    "x.max(1)",
    "x.prod(3)",
    "torch.std_mean(x, (0, 2))",
    "x.clone()",
    "x.contiguous()",
    "x.contiguous(memory_format=torch.channels_last)",
    "x.clone(memory_format=torch.channels_last)",
    "x.to(torch.float16)",
    "torch.zeros_like(x)",
    "torch.ones_like(x, dtype=torch.int32)",
    "torch.full_like(x, 2.0)",
    "x.new_zeros(x.shape)",
    "x.to(memory_format=torch.channels_last)",
    "x.to(torch.float64, memory_format=torch.contiguous_format)",
    "x.flip(2)",
    "x.roll(1, 3)",
    "x.sort(1)",
    "x.topk(1, 1)",
    "x.gather(0, torch.zeros_like(x, dtype=torch.long))",
    "x.index_select(1, torch.tensor([0]))",
    "x[:, torch.tensor([0, 0])]",
    "x[torch.tensor([0]), :, torch.tensor([0])]",
    "x.repeat(1, 2, 1, 1)",
    "x.tile(2, 1)",
    "x.repeat_interleave(2, 1)",
    "F.pixel_shuffle(torch.cat([x] * 4, 1), 2)",
    "F.pixel_unshuffle(torch.cat([torch.cat([x, x], 2)] * 2, 3), 2)",
    "F.channel_shuffle(torch.cat([x, x], 1), 2)",
    "F.unfold(x, 1)",
    "x.reshape(x.shape[0], -1)",
    "x.flatten(2).transpose(1, 2).contiguous()",
    "x.permute(0, 2, 3, 1).contiguous()",
    "x.permute(0, 2, 3, 1) + 1",
    "torch.einsum('bchw,bdhw->bcd', x, y)",
    "x @ y.transpose(2, 3)",
    "x.transpose(1, 3) * 2",
    "x.squeeze() * 2",
    "x.unsqueeze(1) * 2",
    "x.expand(2, *x.shape) * 1",
    "x.masked_fill(y > 0, 1.0)",
    "x.clamp(min=y)",
    "x.scatter(1, torch.zeros_like(x, dtype=torch.long), y)",
    "x.index_add(1, torch.zeros(x.shape[1], dtype=torch.long), y)",
    "x.tril()",
    "F.prelu(x, torch.ones(1, dtype=x.dtype))",
    "F.glu(torch.cat([x, x], 1), 1)",
    "F.normalize(x, dim=1)",
    "F.cosine_similarity(x, y, dim=1)",
    "torch.cdist(x, y)",
    "F.hardtanh(x)",
    "F.leaky_relu(x)",
    "x.pow(2)",
    "torch.div(x, y, rounding_mode='floor')",
    "F.mse_loss(x, y, reduction='none')",
    "F.binary_cross_entropy_with_logits(x, y, reduction='none')",
    "F.kl_div(x, y, reduction='none')",
    "F.smooth_l1_loss(x, y, reduction='none')",
    "F.grid_sample(x, torch.zeros(x.shape[0], 2, 3, 2, dtype=x.dtype))",
    "F.local_response_norm(x, 2)",
    "F.lp_pool2d(x, 2, 1)",
    "torch.rsub(x, y)",
    "x.cumprod(2)",
    "x.logcumsumexp(1)",
    "x.logsumexp(1)",
    "x.diagonal(dim1=2, dim2=3) * 1",
    "x.median(1)",
    "x.kthvalue(1, 1)",
    "[t * 1 for t in x.unbind(1)]",
    "[t + 1 for t in x.chunk(2, 1)]",
    "x.movedim(1, -1) * 2",
    "F.conv2d(x, torch.ones(2, x.shape[1], 1, 1, dtype=x.dtype))",
    "(x * 1).add_(y)",
    "torch.empty_like(x).copy_(y)",
    "torch.complex(x, y)",
    "torch.polar(x.abs(), y)",
    "torch.view_as_real(torch.complex(x, y)) * 1",
    "x.int() // 2",
    "(x > 0) & (y > 0)",
    "(x > 0).any(1)",
    "x.isnan()",
    "x.nan_to_num()",
    "torch.frexp(x)",
    "torch.bmm(x.flatten(0, 1), y.flatten(0, 1).transpose(1, 2))",
    "F.linear(x, torch.ones(3, x.shape[-1], dtype=x.dtype))",
    "F.scaled_dot_product_attention(x, y, y)",
    "F.embedding((x > 0).long(), torch.ones(2, 3))",
    "F.one_hot((x > 0).long(), 2)",
    "torch.bucketize(x, torch.tensor([0.0, 1.0], dtype=x.dtype))",
    "x.diff(dim=2)",
    "torch.linalg.vector_norm(x, dim=1)",
    "x.as_strided((2, 2), (1, 1)) * 1",
]
_OF_SEQUENCES = [
    "F.batch_norm(x, None, None, training=True)",
    "F.batch_norm(x, torch.zeros(x.shape[1]), torch.ones(x.shape[1]))",
    "F.max_pool1d(x, 2, 2, 1)",
    "F.avg_pool1d(x, 2, 1, 1)",
    "F.conv1d(x, torch.ones(2, x.shape[1], 1))",
    "F.conv1d(x, torch.ones(2, x.shape[1], 2), padding=1)",
    "F.conv1d(x, torch.ones(2, 2, x.shape[1]).transpose(1, 2), padding=1)",
    "F.conv_transpose1d(x, torch.ones(x.shape[1], 2, 2))",
    "torch.cat([x, y], 1)",
    "torch.stack([x, y], 2)",
    "torch.stack([x, y], 3)",
    "torch.bmm(x, y.transpose(1, 2))",
    "torch.baddbmm(x @ y.transpose(1, 2), x, y.transpose(1, 2))",
    "F.linear(x, torch.ones(3, x.shape[2]), torch.ones(3))",
    "x @ torch.ones(x.shape[2])",
    "torch.einsum('bij,bij->ji', x, y)",
    "x[:, torch.tensor([0])]",
    "x[torch.tensor([[0, 0]])]",
    "x[torch.tensor([0, 0]), :, torch.tensor([0, 0])]",
    "torch.cdist(x, y)",
    "F.scaled_dot_product_attention(x, y, y)",
    "torch.fft.fft(x, dim=1)",
    "torch.linalg.qr(x)",
    "torch.linalg.solve(torch.eye(x.shape[1]) * 2, x)",
    "torch.linalg.cholesky(x @ x.transpose(1, 2) + torch.eye(x.shape[1]) * 3)",
    "F.cross_entropy(x, torch.zeros(x.shape[0], x.shape[2], dtype=torch.long), reduction='none')",
    "torch.addmm(x[0], x[0], torch.ones(x.shape[2], x.shape[2]))",
    "x[0].t() @ y[0]",
    "torch.diag_embed(x)",
]
_OF_VOLUMES = [
    "F.batch_norm(x, None, None, training=True)",
    "F.max_pool3d(x, 2, 2, 1)",
    "F.avg_pool3d(x, 2, 1, 1)",
    "F.adaptive_avg_pool3d(x, 2)",
    "F.adaptive_max_pool3d(x, 2)",
    "F.interpolate(x, scale_factor=2)",
    "F.interpolate(x, scale_factor=2, mode='trilinear')",
    "F.pad(x, (1, 0, 1, 1))",
    "F.pad(x, (1, 0, 0, 1, 1, 0), mode='replicate')",
    "F.conv3d(x, torch.ones(2, x.shape[1], 1, 1, 1))",
    "F.conv_transpose3d(x, torch.ones(x.shape[1], 2, 2, 2, 2))",
    "torch.cat([x, y], 1)",
    "torch.stack([x, y], 2)",
    "x.roll(1, 2)",
    "x + y",
    "x.sum(2, keepdim=True)",
    "F.group_norm(x, 1)",
    "x[:, :, torch.tensor([0, 0])]",
    "F.grid_sample(x, torch.zeros(x.shape[0], 2, 3, 2, 3))",
    "x.permute(0, 2, 3, 4, 1) + 1",
]
_NUM_LAYOUTS = 6
_EXTENTS = {
    3: [(1, 2), (1, 2, 3), (1, 2, 3)],
    4: [(1, 2), (1, 2, 3), (1, 2, 4), (1, 3, 4)],
    5: [(1, 2), (1, 2, 3), (1, 2), (1, 2, 3), (1, 3)],
}


def _described(result: Any) -> list[Any]:
    return [
        (tuple(one.shape), strides_that_matter(one), one)
        for one in tree_flatten(result)[0]
        if isinstance(one, torch.Tensor)
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of degenerate sizes
@pytest.mark.parametrize(
    ("ndim", "text"),
    [
        *((4, text) for text in _CALLS),
        *((3, text) for text in _OF_SEQUENCES),
        *((5, text) for text in _OF_VOLUMES),
    ],
)
def test_results_are_laid_out_as_in_eager(ndim: int, text: str) -> None:
    names: dict[str, Any] = {"torch": torch, "F": F}
    exec(f"def program(x, y):\n    return {text}\n", names)
    program = names["program"]
    choose = random.Random(zlib.crc32(text.encode()))
    torch.manual_seed(0)
    for _ in range(_NUM_LAYOUTS):
        shape = tuple(choose.choice(extents) for extents in _EXTENTS[ndim])
        x, y = (choose.choice(make_layouts(shape))() for _ in "xy")
        try:
            expected = _described(program(x, y))
        except (RuntimeError, ValueError):
            continue  # eager refuses the sizes
        found = _described(gw.compile(program)(x, y))
        where = f"{shape}, {x.stride()}, {y.stride()}"
        assert [one[:2] for one in found] == [one[:2] for one in expected], where
        for (*_, one), (*_, other) in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, equal_nan=True, rtol=1e-3, atol=1e-4)
