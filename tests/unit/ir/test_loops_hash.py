"""Kernels have one hash exactly if they do the same."""

from __future__ import annotations

import pytest

from graphwright.ir.loops_hash import canonical_kernel, hash_kernel
from graphwright.ir.loops_parse import parse_kernel
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.loops_verify import verify_kernel

KERNEL = """\
kernel sums<n>(x: f32 read, y: f32 write):
  # from aten.sum.default
  # model.py:3 in f
  # moves 128 bytes, computes 64
  scratch row: f32[16]
  parallel i in 0..(n):
    two = const 0x1.0p+1: f32
    vector j in 0..16:
      a = load x[i*16 + j]
      b = mul(a, two): f32
      store row[j] = b
      carry total = sum(b): f32
    store y[i] = total
"""

RENAMED = """\
kernel other<s7>(in0: f32 read, out0: f32 write):
  scratch t: f32[16]
  parallel i0 in 0..(s7):
    c = const 0x1.0p+1: f32
    vector i1 in 0..16:
      v0 = load in0[i0*16 + i1]
      v1 = mul(v0, c): f32
      store t[i1] = v1
      carry s = sum(v1): f32
    store out0[i0] = s
"""


def test_names_origins_and_estimates_play_no_part():
    assert hash_kernel(parse_kernel(KERNEL)) == hash_kernel(parse_kernel(RENAMED))


def test_the_canonical_kernel_is_sound():
    canonical = canonical_kernel(parse_kernel(KERNEL))

    verify_kernel(canonical)
    assert parse_kernel(render_kernel(canonical)) == canonical


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0x1.0p+1", "0x1.8p+1"),
        ("i*16 + j", "i*17 + j"),
        ("mul(a, two)", "mul(two, a)"),
        ("mul(a, two)", "add(a, two)"),
        ("sum(b)", "prod(b)"),
        ("vector j", "serial j"),
        ("f32[16]", "f32[17]"),
        ("y: f32 write", "y: f32 write align 64"),
        ("store y[i]", "stream y[i]"),
        ("x[i*16 + j]", "x[i*16 + j] ahead 512"),
    ],
)
def test_what_changes_the_code_changes_the_hash(old, new):
    assert old in KERNEL

    assert hash_kernel(parse_kernel(KERNEL)) != hash_kernel(parse_kernel(KERNEL.replace(old, new)))
