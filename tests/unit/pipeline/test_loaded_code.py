"""Machine code goes with the programs that use it."""

import collections
import gc

import torch

import graphwright as gw
from graphwright.pipeline.session import SESSION


def compile_one(number):
    compiled = gw.compile(lambda x: x * (number + 0.5) + number, dynamic=False)
    assert torch.equal(compiled(torch.ones(3)), torch.full((3,), 2.0 * number + 0.5))
    return compiled


def test_code_of_forgotten_programs_is_freed(monkeypatch):
    monkeypatch.setattr(SESSION, "_latest", collections.deque(maxlen=2))
    with gw.config.patch(disk_cache=False):
        kept = compile_one(1000)
        gc.collect()
        before = len(SESSION._loaded)
        for number in range(1001, 1011):
            compile_one(number)
        gc.collect()
        assert len(SESSION._loaded) <= before + 2
        assert torch.equal(kept(torch.ones(3)), torch.full((3,), 2000.5))


def test_equal_kernels_share_their_code():
    with gw.config.patch(disk_cache=False):
        first, second = compile_one(2000), compile_one(2000)
        gc.collect()
        before = len(SESSION._loaded)
        third = compile_one(2000)
        assert len(SESSION._loaded) == before
    assert first is not second is not third
