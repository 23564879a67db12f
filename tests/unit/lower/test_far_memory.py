"""Far memory that is read along is asked for ahead; what is near, jumps, or lies at computed places is not."""

from __future__ import annotations

import pytest
import torch
from eager_graphs import graph_of

from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.target import Target
from graphwright.ir.loops_text import render_kernel
from graphwright.lower import lower_graph

LARGE = torch.empty(4096, 1024, device="meta")
NARROW = torch.empty(65536, 64, device="meta")
INDICES = torch.empty(65536, dtype=torch.int64, device="meta")

READ_ALONG = {
    "pointwise": (lambda x: x.sin(), LARGE, 512),
    "rows": (lambda x: x.exp().sum(1), LARGE, 512),
    "all of it": (lambda x: x.exp().sum(), LARGE, 512),
    "narrow elements": (lambda x: x * 2, LARGE.to(torch.bfloat16), 1024),
    "halves of rows": (lambda x: x[:, :512].sin(), LARGE, 128),
    "rows without gaps": (lambda x: x.sin(), NARROW, 512),
}
NOT_READ_ALONG = {
    "near": (lambda x: x.sin(), torch.empty(64, 1024, device="meta")),
    "short runs": (lambda x: x[:, :256].sin(), LARGE),
    "jumps": (lambda x: x[:, ::2].sin(), LARGE),
    "backwards": (lambda x: x.flip(1).sin(), LARGE),
    "tiles": (lambda x: x.t() + x.view(1024, 4096), LARGE),
}


def loads_of(program, *inputs):
    lowered = lower_graph(graph_of(program, *inputs), num_threads=2)
    lines = [line for kernel in lowered.kernels for line in render_kernel(kernel).splitlines()]
    return lowered, [line for line in lines if "= load p" in line]


@pytest.mark.parametrize("name", READ_ALONG)
def test_is_asked_for(name):
    program, x, ahead = READ_ALONG[name]

    _, loads = loads_of(program, x)

    assert any(line.endswith(f" ahead {ahead}") for line in loads), loads


@pytest.mark.parametrize("name", NOT_READ_ALONG)
def test_is_not_asked_for(name):
    _, loads = loads_of(*NOT_READ_ALONG[name])

    assert loads
    assert not any("ahead" in line for line in loads), loads


def test_rows_at_computed_places_are_not_asked_for():
    _, loads = loads_of(lambda x, at: x[at % 65536].sin(), NARROW, INDICES)

    table = [line for line in loads if "*64" in line]
    assert table
    assert not any("ahead" in line for line in table), loads


def test_what_is_near_beside_it_is_not_asked_for():
    _, loads = loads_of(lambda x, bias: (x + bias).sin(), LARGE, LARGE[0])

    assert sum("ahead" in line for line in loads) == 1


@pytest.mark.parametrize(("cpu", "asks"), [("sapphirerapids", True), ("znver4", False)])
def test_the_processor_decides(cpu, asks):
    lowered, _ = loads_of(lambda x: x.sin(), LARGE)
    target = Target("x86_64-unknown-linux-gnu", cpu, "", 512, has_masks=True, llvm_version="")

    text = render_module(lowered.kernels, target, num_threads=2)

    assert ("@llvm.prefetch" in text) is asks
