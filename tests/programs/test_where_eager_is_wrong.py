"""What docs/numerics.md says of eager: where it is wrong, compiled programs keep to the formula in float64."""

import pytest
import torch
from torch.nn import functional as F

import graphwright as gw


def normalised(x):
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


VIEWS = {
    "as it is": lambda y: y,
    "in rows": lambda y: y.flatten(2),
    "transposed": lambda y: y.flatten(2).transpose(1, 2),
    "channels last": lambda y: y.permute(0, 2, 3, 1),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("num_images", [1, 2])
def test_gradient_of_batch_norm_is_that_of_its_formula(view, num_images):
    x = torch.randn(num_images, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.linspace(0.5, 1.5, x.numel(), dtype=torch.float64)

    def gradient(norm):
        result = view(norm(x))
        return torch.autograd.grad((result * weights.view(result.shape)).sum(), x)[0]

    compiled = gw.compile(lambda x: view(F.batch_norm(x, None, None, training=True)))
    result = compiled(x)
    (actual,) = torch.autograd.grad((result * weights.view(result.shape)).sum(), x)
    torch.testing.assert_close(actual, gradient(normalised))
