"""Whole models of the common families, recorded and run against eager, without one op left to `meta` tensors."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphwright.graph import execute
from graphwright.ir.aten_verify import verify_graph
from graphwright.record import Recorder


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.relu(self.first_norm(self.stem(x))))
        kept = x
        x = self.second_norm(self.conv(x))
        x += kept
        pooled = functional.adaptive_avg_pool2d(self.relu(x), 1)
        return self.head(torch.flatten(pooled, 1))


class Upscaler(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 8, 2, 2)
        self.out = nn.Conv2d(16, 3, 1)

    def forward(self, x):
        wide = functional.silu(self.norm(self.down(x)))
        narrow = self.up(functional.avg_pool2d(wide, 2))
        joined = self.out(torch.cat([wide, narrow], 1))
        return functional.interpolate(joined, scale_factor=2, mode="bilinear")


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 4, batch_first=True)

    def forward(self, x):
        return self.gru(self.lstm(x)[0])[0]


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 6, padding_idx=0)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 12, batch_first=True), 2, enable_nested_tensor=False
        )

    def forward(self, x):
        numbers = (x.detach().abs() * 5).long().clamp(0, 5)
        hidden = self.encoder(self.words(numbers[..., 0]))
        weights = functional.one_hot(numbers[..., 1], 6).to(hidden.dtype)
        pooled = functional.normalize((hidden * weights).sum(1), dim=-1)
        labels = torch.arange(pooled.shape[0])
        return functional.cross_entropy(pooled, labels, label_smoothing=0.1) + pooled.var()


CASES = {
    "residual": (Residual, lambda: torch.randn(2, 3, 32, 32)),
    "residual channels last": (
        Residual,
        lambda: torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last),
    ),
    "upscaler": (Upscaler, lambda: torch.randn(2, 3, 8, 8)),
    "tagger": (Tagger, lambda: torch.randn(2, 5, 6)),
    "classifier": (Classifier, lambda: torch.randn(3, 5, 6)),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.PReLU()),
        lambda: torch.randn(3, 6),
    ),
}


def record(module, x):
    """Record `module(x)`; give the graph, the real inputs, and the ops that had no rule."""
    inputs, without_rule = [x], []

    def on_real_tensor(tensor):
        inputs.append(tensor)
        return recorder.add_input(tensor)

    recorder = Recorder(on_real_tensor=on_real_tensor, on_fallback=without_rule.append)
    with recorder:
        output = module(recorder.add_input(x))
        graph = recorder.finish([output])
    return graph, inputs, without_rule


@pytest.mark.parametrize("is_training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", CASES)
def test_model_equals_eager(name, is_training):
    make, make_input = CASES[name]
    module, x = make().train(is_training), make_input()
    with torch.set_grad_enabled(is_training):
        graph, inputs, without_rule = record(module, x)
    verify_graph(graph)

    given = [tensor.detach().clone(memory_format=torch.preserve_format) for tensor in inputs]
    torch.manual_seed(1)
    (found,) = execute(graph, given)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = module(x)

    # The LSTM is unrolled where it is differentiated: other products, other rounding.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert found.stride() == expected.stride()
    for ours, eagers in zip(given[1:], inputs[1:], strict=True):
        torch.testing.assert_close(ours, eagers.detach())
    # What gives nothing has no shape.
    assert set(without_rule) <= {"aten._assert_async.msg"}
