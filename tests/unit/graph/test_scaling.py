"""Scales and shifts of channels that go into the weights of convolutions change no values."""

from __future__ import annotations

import pytest
import torch

from graphwright.graph import execute, scaling
from graphwright.ir.aten_text import parse_graph
from graphwright.ir.aten_verify import verify_graph

SOURCES = "%0: f64[2, 3, 5, 5] = [75, 25, 5, 1], %1: f64[4, 3, 3, 3] = [27, 9, 3, 1], %2: f64[4] = [1], %3: f64[4, 1, 1] = [1, 1, 1]"
IMAGES = "f64[2, 4, 5, 5] = [100, 25, 5, 1]"
BARE = "aten.convolution.default(%0, %1, none, [1, 1], [1, 1], [1, 1], false, [0, 0], 1)"
BIASED = BARE.replace("none", "%2")


def graph_of(*lines: str, result: int, images: str = IMAGES) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return f"graph({SOURCES}):\n{body}\n  return (%{result}: {images})\n"


FOLDED = {
    "scale and shift": graph_of(
        f"%4: {IMAGES} = {BARE}",
        f"%5: {IMAGES} = aten.mul.Tensor(%4, %3)",
        "%6: f64[1, 4, 1, 1] = [4, 1, 1, 1] = aten.view.default(%2, [1, 4, 1, 1])",
        f"%7: {IMAGES} = aten.add.Tensor(%5, %6)",
        result=7,
    ),
    "bias, the scale first": graph_of(
        f"%4: {IMAGES} = {BIASED}",
        f"%5: {IMAGES} = aten.mul.Tensor(%3, %4)",
        result=5,
    ),
    "shift, then scale": graph_of(
        f"%4: {IMAGES} = {BIASED}",
        f"%5: {IMAGES} = aten.add.Tensor(%4, %3)",
        f"%6: {IMAGES} = aten.mul.Tensor(%5, %3)",
        result=6,
    ),
}
KEPT = {
    "read twice": graph_of(
        f"%4: {IMAGES} = {BARE}",
        f"%5: {IMAGES} = aten.mul.Tensor(%4, %3)",
        f"%6: {IMAGES} = aten.sub.Tensor(%5, %4)",
        result=6,
    ),
    "by itself": graph_of(
        f"%4: {IMAGES} = {BARE}",
        f"%5: {IMAGES} = aten.mul.Tensor(%4, %4)",
        result=5,
    ),
    "shift with a factor": graph_of(
        f"%4: {IMAGES} = {BARE}",
        f"%5: {IMAGES} = aten.add.Tensor(%4, %3, alpha=2)",
        result=5,
    ),
    "lines, not channels": graph_of(
        f"%4: {IMAGES} = {BARE}",
        "%5: f64[4, 1] = [1, 1] = aten.view.default(%2, [4, 1])",
        "%6: f64[5, 1] = [1, 1] = aten.constant_pad_nd.default(%5, [0, 0, 0, 1])",
        f"%7: {IMAGES} = aten.mul.Tensor(%4, %6)",
        result=7,
    ),
    "transposed": """
graph(%0: f64[2, 4, 5, 5] = [100, 25, 5, 1], %1: f64[4, 4, 3, 3] = [36, 9, 3, 1], %2: f64[4, 1, 1] = [1, 1, 1]):
  %3: f64[2, 4, 5, 5] = [100, 25, 5, 1] = aten.convolution.default(%0, %1, none, [1, 1], [1, 1], [1, 1], true, [0, 0], 1)
  %4: f64[2, 4, 5, 5] = [100, 25, 5, 1] = aten.mul.Tensor(%3, %2)
  return (%4: f64[2, 4, 5, 5] = [100, 25, 5, 1])
""".strip(),
}


def check_values(graph, changed) -> None:
    inputs = [
        torch.randn([int(extent) for extent in meta.shape], dtype=torch.float64)
        for meta in graph.inputs
    ]
    for found, wanted in zip(execute(changed, inputs), execute(graph, inputs), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", FOLDED)
def test_scales_and_shifts_go_into_weight_and_bias(name):
    graph = parse_graph(FOLDED[name])

    folded = scaling(graph, range(1, len(graph.inputs)))

    verify_graph(folded)
    assert folded.nodes[-1].op == "aten.convolution.default"
    assert [node.op for node in folded.nodes].count("aten.convolution.default") == 1
    check_values(graph, folded)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_a_channels_own_is_kept(name):
    graph = parse_graph(KEPT[name])

    assert scaling(graph, range(1, len(graph.inputs))) is graph


@pytest.mark.parametrize("fixed", [(), (1,), (3,), (2, 3)])
def test_only_what_is_known_beforehand_is_folded(fixed):
    graph = parse_graph(FOLDED["bias, the scale first"])

    assert scaling(graph, fixed) is graph
