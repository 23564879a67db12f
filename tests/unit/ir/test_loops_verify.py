"""A malformed kernel is refused, with the fault at its line."""

from __future__ import annotations

import pytest

from graphwright.base.errors import InternalError
from graphwright.ir.loops_parse import parse_kernel
from graphwright.ir.loops_verify import verify_kernel

SOUND = """\
kernel sums(in0: f32 read, flags: bool read, out0: f32 write, best0: i64 write):
  scratch row: f32[16]
  parallel i0 in 0..64 grain 8:
    two = const 0x1.0p+1: f32
    vector i1 in 0..16:
      v0 = load in0[i0*16 + i1]
      v1 = mul(v0, two): f32
      f0 = load flags[i1]
      n0 = const 3: i64
      if f0:
        store row[i1] = v1
      carry total = sum(v1): f32
      carry best = argmax(v1, i1): f32
    store out0[i0] = total
    store best0[i0] = best
"""

FAULTS = {
    "undefined value": ("mul(v0, two)", "mul(v9, two)", "v9 is not defined here"),
    "value of an ended list": ("out0[i0] = total", "out0[i0] = v1", "v1 is not defined here"),
    "name given twice": ("v1 = mul", "v0 = mul", "v0 is defined twice"),
    "unknown buffer": ("load in0", "load in9", "there is no buffer in9"),
    "store to what is read": ("store out0", "store in0", "declared as read"),
    "store of another dtype": ("out0[i0] = total", "out0[i0] = best", "not of the buffer's dtype"),
    "mixed operands": ("mul(v0, two)", "mul(v0, n1)", "n1 is not defined"),
    "wrong number of operands": ("mul(v0, two)", "mul(v0)", "mul takes 2 operands"),
    "wrong result": ("mul(v0, two): f32", "mul(v0, two): f64", "gives float32, not float64"),
    "bits of a float": ("mul(v0, two)", "bitwise_and(v0, two)", "bitwise_and of float32"),
    "condition that is no bool": ("if f0", "if v1", "the condition v1 is no bool"),
    "parallel loop inside": ("vector i1", "parallel i1", "stands at the top only"),
    "symbol out of nowhere": ("in0[i0*16 + i1]", "in0[i0*(s0) + i1]", "s0 is not among"),
    "index of another dtype": ("in0[i0*16 + i1]", "in0[i0*16 + two]", "two is no int64"),
    "literal of another dtype": ("const 3: i64", "const 3.5: i64", "no literal of int64"),
    "empty step": ("0..16:", "0..16 step 0:", "the step is 0"),
    "arg-reduction without index": ("argmax(v1, i1)", "argmax(v1)", "argmax needs an index"),
    "index of a plain reduction": ("sum(v1)", "sum(v1, i1)", "sum has no index"),
    "empty scratch": ("row: f32[16]", "row: f32[0]", "scratch row has 0 elements"),
    "alias of nothing": ("f32 write,", "f32 write aliases in9,", "aliases in9"),
}


def test_a_sound_kernel_passes():
    verify_kernel(parse_kernel(SOUND))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name):
    old, new, message = FAULTS[name]
    assert old in SOUND

    with pytest.raises(InternalError, match=message):
        verify_kernel(parse_kernel(SOUND.replace(old, new)))


def test_the_fault_stands_below_its_line():
    broken = parse_kernel(SOUND.replace("mul(v0, two)", "mul(v0)"))

    with pytest.raises(InternalError) as caught:
        verify_kernel(broken)

    lines = str(caught.value).splitlines()
    place = next(number for number, line in enumerate(lines) if "v1 = mul(v0)" in line)
    assert lines[place + 1].startswith(">")
    assert "mul takes 2 operands" in lines[place + 1]
