"""Operators with every kind of number where a size, a step or a place belongs: eager's result, or eager's error."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import graphwright as gw

NUMBERS = (-100, -3, -2, -1, 0, 1, 2, 3, 5, 100)
LINE, IMAGE, VOLUME = (2, 4, 12), (2, 4, 12, 10), (1, 2, 6, 5, 4)
WEIGHT = {3: (6, 4, 3), 4: (6, 4, 3, 3), 5: (4, 2, 2, 2, 2)}


def weight_of(x, *, is_transposed=False):
    shape = WEIGHT[x.ndim]
    shape = (shape[1], shape[0], *shape[2:]) if is_transposed else shape
    return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)


CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
TRANSPOSED = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
AVERAGES = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}
MAXIMA = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
ADAPTIVE = {3: F.adaptive_avg_pool1d, 4: F.adaptive_avg_pool2d, 5: F.adaptive_avg_pool3d}
ADAPTIVE_MAXIMA = {3: F.adaptive_max_pool1d, 4: F.adaptive_max_pool2d, 5: F.adaptive_max_pool3d}

OF_IMAGES = {
    "convolution, stride": lambda x, n: CONVOLUTIONS[x.ndim](x, weight_of(x), stride=n),
    "convolution, padding": lambda x, n: CONVOLUTIONS[x.ndim](x, weight_of(x), padding=n),
    "convolution, dilation": lambda x, n: CONVOLUTIONS[x.ndim](x, weight_of(x), dilation=n),
    "convolution, groups": lambda x, n: CONVOLUTIONS[x.ndim](x, weight_of(x), groups=n),
    "transposed, stride": lambda x, n: TRANSPOSED[x.ndim](
        x, weight_of(x, is_transposed=x.ndim < 5), stride=n
    ),
    "transposed, padding": lambda x, n: TRANSPOSED[x.ndim](
        x, weight_of(x, is_transposed=x.ndim < 5), padding=n
    ),
    "transposed, output padding": lambda x, n: TRANSPOSED[x.ndim](
        x, weight_of(x, is_transposed=x.ndim < 5), stride=2, output_padding=n
    ),
    "average, window": lambda x, n: AVERAGES[x.ndim](x, n),
    "average, stride": lambda x, n: AVERAGES[x.ndim](x, 2, n),
    "average, padding": lambda x, n: AVERAGES[x.ndim](x, 3, 2, n),
    "maximum, window": lambda x, n: MAXIMA[x.ndim](x, n),
    "maximum, stride": lambda x, n: MAXIMA[x.ndim](x, 2, n),
    "maximum, padding": lambda x, n: MAXIMA[x.ndim](x, 3, 2, n),
    "maximum, dilation": lambda x, n: MAXIMA[x.ndim](x, 2, 1, 0, n),
    "adaptive average": lambda x, n: ADAPTIVE[x.ndim](x, n),
    "adaptive maximum": lambda x, n: ADAPTIVE_MAXIMA[x.ndim](x, n),
    "pad": lambda x, n: F.pad(x, (n, 1)),
    "pad, reflected": lambda x, n: F.pad(x, (n, 1) * (x.ndim - 2), "reflect"),
    "pad, replicated": lambda x, n: F.pad(x, (1, n) * (x.ndim - 2), "replicate"),
    "pad, circular": lambda x, n: F.pad(x, (1, n) * (x.ndim - 2), "circular"),
    "interpolate, size": lambda x, n: F.interpolate(x, size=n),
    "interpolate, factor": lambda x, n: F.interpolate(x, scale_factor=n / 4),
}
OF_ANY = {
    "split": lambda x, n: x.split(n, -1),
    "split in two": lambda x, n: x.split([n, x.shape[-1] - n], -1),
    "chunk": lambda x, n: x.chunk(n, -1),
    "tensor_split": lambda x, n: x.tensor_split(n, -1),
    "unfold": lambda x, n: x.unfold(-1, n, 1),
    "unfold, step": lambda x, n: x.unfold(-1, 2, n),
    "narrow": lambda x, n: x.narrow(-1, n, 2),
    "narrow, length": lambda x, n: x.narrow(-1, 1, n),
    "select": lambda x, n: x.select(-1, n),
    "index": lambda x, n: x[..., n],
    "slice": lambda x, n: x[..., n:],
    "slice, end": lambda x, n: x[..., :n],
    "slice, step": lambda x, n: x[..., ::n],
    "sum": lambda x, n: x.sum(n),
    "sum over two": lambda x, n: x.sum((0, n)),
    "amax": lambda x, n: x.amax(n),
    "argmax": lambda x, n: x.argmax(n),
    "softmax": lambda x, n: x.softmax(n),
    "cumsum": lambda x, n: x.cumsum(n),
    "flip": lambda x, n: x.flip(n),
    "roll": lambda x, n: x.roll(n, -1),
    "roll along": lambda x, n: x.roll(1, n),
    "transpose": lambda x, n: x.transpose(0, n),
    "permute": lambda x, n: x[0].permute(n, *range(1, x.ndim - 1)),
    "unsqueeze": lambda x, n: x.unsqueeze(n),
    "squeeze": lambda x, n: x.squeeze(n),
    "view": lambda x, n: x.view(2, n),
    "reshape": lambda x, n: x.reshape(n, -1),
    "expand": lambda x, n: x.unsqueeze(0).expand(n, *x.shape),
    "repeat": lambda x, n: x.repeat(n, *[1] * (x.ndim - 1)),
    "repeat_interleave": lambda x, n: x[0].repeat_interleave(min(n, 5), -1),
    "tile": lambda x, n: x.tile(min(n, 5)),
    "unflatten": lambda x, n: x.unflatten(-1, (n, -1)),
    "flatten": lambda x, n: x.flatten(n),
    "movedim": lambda x, n: x.movedim(0, n),
    "diagonal": lambda x, n: x.diagonal(n, -2, -1),
    "tril": lambda x, n: x.tril(n),
    "triu": lambda x, n: x.triu(n),
    "cat": lambda x, n: torch.cat([x, x], n),
    "stack": lambda x, n: torch.stack([x, x], n),
    "unbind": lambda x, n: x.unbind(n),
    "topk": lambda x, n: x.topk(n, -1).values,
    "kthvalue": lambda x, n: x.kthvalue(n, -1).values,
    "sort": lambda x, n: x.sort(n).values,
    "glu": lambda x, n: F.glu(x, n),
    "norm": lambda x, n: x.norm(n),
    "layer norm": lambda x, n: F.layer_norm(x, (n,)),
    "group norm": lambda x, n: F.group_norm(x, n),
    "dropout": lambda x, n: F.dropout(x, n / 10, training=False),
    "one_hot": lambda x, n: F.one_hot(x.long().abs().clamp(max=1), n),
    "select_scatter": lambda x, n: x.select_scatter(x[..., 0], -1, n),
    "slice_scatter": lambda x, n: x.slice_scatter(x[..., :2], -1, n, n + 2),
    "as_strided": lambda x, n: x.as_strided((2, 2), (n, 1)),
    "as_strided, size": lambda x, n: x.as_strided((n,), (1,)),
    "var, correction": lambda x, n: x.var(-1, correction=n),
    "pixel_shuffle": lambda x, n: F.pixel_shuffle(x, n),
    "pixel_unshuffle": lambda x, n: F.pixel_unshuffle(x, n),
    "channel_shuffle": lambda x, n: F.channel_shuffle(x, n),
}
MADE = {
    "zeros": lambda x, n: torch.zeros(n),
    "full": lambda x, n: torch.full((2, n), 1.5),
    "arange": lambda x, n: torch.arange(n),
    "arange, step": lambda x, n: torch.arange(0, 10, n),
    "linspace": lambda x, n: torch.linspace(0, 1, n),
    "eye": lambda x, n: torch.eye(n),
    "tri": lambda x, n: torch.tril_indices(n, 3),
    "new_zeros": lambda x, n: x.new_zeros(n, 2),
    "vander": lambda x, n: torch.vander(x[0, 0].flatten()[:4], n),
}


def run(function, x, number):
    try:
        return function(x, number)
    except Exception as error:  # noqa: BLE001  (whatever eager raises is what is asked for)
        return error


def check_against_eager(function, x):
    wrong = []
    for number in NUMBERS:
        expected = run(function, x, number)
        gw.reset()
        actual = run(gw.compile(function, dynamic=False), x, number)
        if not is_same(actual, expected):
            wrong.append((number, expected, actual))
    assert not wrong


def is_same(actual, expected):
    if isinstance(expected, Exception):
        return type(actual) is type(expected) and first_line(actual) == first_line(expected)
    try:
        torch.testing.assert_close(actual, expected, equal_nan=True)
    except AssertionError:
        return False
    return True


def first_line(error):
    """What follows is, in some of PyTorch's errors, its own stack."""
    return str(error).partition("\n")[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", [LINE, IMAGE, VOLUME], ids=["line", "image", "volume"])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_windows_take_every_number_as_in_eager(name, shape):
    check_against_eager(
        OF_IMAGES[name], torch.linspace(-2, 3, torch.Size(shape).numel()).reshape(shape)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*OF_ANY, *MADE])
def test_places_and_sizes_take_every_number_as_in_eager(name):
    x = torch.linspace(-2, 3, torch.Size(IMAGE).numel()).reshape(IMAGE)
    check_against_eager((OF_ANY | MADE)[name], x)
