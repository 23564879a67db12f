"""Pools of images that the program makes: of what is known of an element, each tap of a window counts."""

import pytest
import torch
import torch.nn.functional as F

import graphwright as gw

POOLS = {
    "avg1d": lambda x: F.avg_pool1d(x[0], 2),
    "avg2d": lambda x: F.avg_pool2d(x, 2),
    "padded": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "not counting": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "avg3d": lambda x: F.avg_pool3d(x[None], 2, padding=1),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 2),
    "adaptive3d": lambda x: F.adaptive_avg_pool3d(x[None], (1, 2, 2)),
    "power": lambda x: F.lp_pool2d(x, 2, 2),
    "max": lambda x: F.max_pool2d(x, 3, 1, 1),
    "max with places": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "unfold": lambda x: F.unfold(x, 2, padding=1),
    "convolution": lambda x: F.conv2d(x, x.new_ones(1, 2, 3, 3), padding=1),
}
MAKERS = {
    "ones": lambda size: torch.ones(1, 2, size, size),
    "halves": lambda size: torch.full((1, 2, size, size), 0.5),
    "zeros": lambda size: torch.zeros(1, 2, size, size),
    "expanded": lambda size: torch.full((1, 2, 1, 1), -3.0).expand(1, 2, size, size),
    "range": lambda size: torch.arange(2.0 * size * size).reshape(1, 2, size, size),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("pool", POOLS)
def test_pools_of_made_images(pool, maker, dtype):
    if pool == "avg3d" and dtype is torch.bfloat16:
        pytest.skip("eager has no kernel")

    def program(x):
        return x.sum(), POOLS[pool](MAKERS[maker](4).to(dtype))

    x = torch.ones(2)
    assert gw.testing.same(gw.compile(program, fullgraph=True)(x), program(x))
