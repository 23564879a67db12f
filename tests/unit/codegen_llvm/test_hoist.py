"""What moves out of a loop, and what must stay."""

from __future__ import annotations

import pytest

from graphwright.codegen.llvm.hoist import hoist_invariants
from graphwright.ir.loops_parse import parse_kernel
from graphwright.ir.loops_text import iter_lines

HEAD = "kernel k<n>(a: f32 read, b: f32 read_write, c: f32 write):\n  serial i in 0..4:\n"

MOVES = {
    "constants, operations and loads": (
        """\
    vector j in 0..8:
      two = const 0x1.0p+1: f32
      v0 = load a[i]
      v1 = mul(v0, two): f32
      v2 = load a[j]
      v3 = mul(v1, v2): f32
      store c[j] = v3
""",
        ["two", "v0", "v1"],
    ),
    "no load of what the loop stores": (
        """\
    vector j in 0..8:
      v0 = load b[i]
      v1 = add(v0, v0): f32
      store b[j] = v1
""",
        [],
    ),
    "no load where the loop may not run": (
        """\
    vector j in 0..(n):
      p = index i*3
      v0 = load a[p]
      store c[j] = v0
""",
        ["p"],
    ),
    "nothing that uses a carry of an inner loop": (
        """\
    serial j in 0..8:
      unrolled l in 0..2:
        v0 = load a[l + j]
        carry s = sum(v0): f32
      v1 = mul(s, s): f32
      store c[j] = v1
""",
        [],
    ),
}


def defined_before_the_inner_loop(text: str) -> list[str]:
    """Give what stands before the inner loop after hoisting, in the outer loop or before it."""
    kernel = parse_kernel(HEAD + text)
    *outside, outer = hoist_invariants(kernel.body, {})
    return [stmt.name for stmt in (*outside, *outer.body[:-1])]


@pytest.mark.parametrize("name", MOVES)
def test_what_is_invariant_moves(name):
    text, expected = MOVES[name]

    assert defined_before_the_inner_loop(text) == expected


def test_nothing_leaves_a_parallel_loop():
    kernel = parse_kernel(
        """\
kernel k(a: f32 read, c: f32 write):
  parallel i in 0..4:
    two = const 0x1.0p+1: f32
    store c[i] = two
"""
    )

    assert hoist_invariants(kernel.body, {}) == kernel.body


def test_a_load_is_kept_where_another_name_of_its_buffer_is_stored():
    text = """\
kernel k(a: f32 read_write, b: f32 read_write aliases a):
  vector j in 0..8:
    v0 = load a[3]
    store b[j] = v0
"""
    kernel = parse_kernel(text)
    both = frozenset(("a", "b"))

    hoisted = hoist_invariants(kernel.body, {"a": both, "b": both})

    assert [line for _, line in iter_lines(hoisted, 1)] == text.splitlines()[1:]
