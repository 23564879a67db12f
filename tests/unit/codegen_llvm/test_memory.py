"""Loads and stores touch what the loop IR names, and no byte beyond."""

from __future__ import annotations

import ctypes
import mmap

import pytest
import torch
from loop_kernels import run

from graphwright.ir.loops_parse import parse_kernel

PROT_NONE = 0
PAGE = mmap.PAGESIZE

KERNELS = {
    "contiguous": ("v0 = load in0[i]", "store out0[i] = v0", 1),
    "strided": ("v0 = load in0[i*3]", "store out0[i*3] = v0", 3),
    "reversed": ("v0 = load in0[i*-1 + {last}]", "store out0[i*-1 + {last}] = v0", 1),
    "far apart": ("v0 = load in0[i*7]", "store out0[i*7] = v0", 7),
    "half": ("v0 = load in0[i*2]", "store out0[i*2] = v0", 2),
}


class Guarded:
    """Memory that ends where the next page may not be touched."""

    def __init__(self, size_bytes: int) -> None:
        pages = -(-size_bytes // PAGE)
        self.memory = mmap.mmap(-1, (pages + 1) * PAGE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(ctypes.c_void_p(self.base + pages * PAGE), PAGE, PROT_NONE) == 0
        self.offset = pages * PAGE - size_bytes

    def tensor(self, dtype: torch.dtype, numel: int) -> torch.Tensor:
        """Give the last elements before the forbidden page."""
        return torch.frombuffer(self.memory, dtype=dtype, count=numel, offset=self.offset)


@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "bf16"])
@pytest.mark.parametrize("numel", [1, 15, 16, 48, 100])
@pytest.mark.parametrize("name", KERNELS)
def test_nothing_past_the_last_element_is_touched(name, numel, dtype):
    load, store, spread = KERNELS[name]
    lines = (load.format(last=numel - 1), store.format(last=numel - 1))
    text = f"""\
kernel k(in0: {dtype} read, out0: {dtype} write):
  vector i in 0..{numel}:
    {lines[0]}
    {lines[1]}
"""
    torch_dtype = {"f32": torch.float32, "f64": torch.float64, "i8": torch.int8}.get(
        dtype, torch.bfloat16
    )
    size = (numel - 1) * spread + 1
    guards = [Guarded(size * torch_dtype.itemsize) for _ in range(2)]
    source, target = (guard.tensor(torch_dtype, size) for guard in guards)
    source.copy_(torch.randint(1, 100, (size,)))
    target.zero_()

    run(parse_kernel(text), [source, target])

    assert torch.equal(target[::spread], source[::spread])
    assert int((target != 0).sum()) == numel
