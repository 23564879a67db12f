"""Convolutions of tensors in all layouts: values and strides, of the result and of the gradients, against eager."""

from __future__ import annotations

import random

import pytest
import torch
from layouts import make_layouts, strides_that_matter

import graphwright as gw

_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def _laid_out(choose: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return choose.choice(make_layouts(shape, dtype)[:4])()


def _run(run, x: torch.Tensor, weight: torch.Tensor, *, has_gradients: bool) -> list[torch.Tensor]:
    leaves = [tensor.detach().requires_grad_(has_gradients) for tensor in (x, weight)]
    result = run(*leaves)
    if not has_gradients:
        return [result]
    return [result, *torch.autograd.grad(result.square().sum(), leaves)]


@pytest.mark.parametrize("seed", range(100))
def test_convolutions_in_any_layout_do_what_eager_does(seed: int) -> None:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    dtype = choose.choice([torch.float32, torch.float32, torch.float64])
    groups, reach = choose.choice([1, 1, 1, 2, 3]), choose.choice([1, 1, 2, 3])
    inner, outer = choose.choice([1, 2, 3]), choose.choice([1, 2, 4])
    is_transposed = choose.random() < 0.25
    kernel = (inner * groups, outer) if is_transposed else (outer * groups, inner)
    count = choose.choice([1, 2, 2, 3])
    extents = choose.choices([1, 4, 5], k=count)
    x = _laid_out(choose, (choose.choice([1, 2]), inner * groups, *extents), dtype)
    weight = _laid_out(choose, (*kernel, *[reach] * count), dtype)

    def program(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ones, none, padding = [1] * count, [0] * count, [reach // 2] * count
        return torch.convolution(x, weight, None, ones, padding, ones, is_transposed, none, groups)

    for has_gradients in (False, True):
        try:
            expected = _run(program, x, weight, has_gradients=has_gradients)
        except RuntimeError:
            pytest.skip("eager refuses the layout or the sizes")
        found = _run(gw.compile(program), x, weight, has_gradients=has_gradients)
        for one, other in zip(expected, found, strict=True):
            assert strides_that_matter(one) == strides_that_matter(other)
            tolerance = _TOLERANCE[dtype]
            torch.testing.assert_close(other, one, rtol=tolerance, atol=tolerance)
