"""Loops of every form, compiled and interpreted."""

from __future__ import annotations

import itertools

import msgspec
import pytest
import torch
from loop_interpreter import interpret
from loop_kernels import at, run

from graphwright.codegen.llvm import compiling, objects, target
from graphwright.ir.loops import Kernel
from graphwright.ir.loops_parse import parse_kernel
from graphwright.ir.loops_verify import verify_kernel

NARROW = {
    "avx2": ("haswell", "+avx,+avx2,+fma,+f16c,+bmi,+bmi2", 256),
    "sse": ("nehalem", "+sse4.2", 128),
}

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i8": torch.int8,
    "bf16": torch.bfloat16,
    "bool": torch.bool,
    "i64": torch.int64,
}


@pytest.fixture(params=["host", *NARROW])
def processor(request, monkeypatch):
    """Make code for the host, and for lesser processors that it can stand in for."""
    host = target.host_target()
    if request.param != "host":
        cpu, features, bits = NARROW[request.param]
        lesser = msgspec.structs.replace(
            host, cpu=cpu, features=features, vector_bits=bits, has_masks=False
        )
        for module in (objects, compiling):
            monkeypatch.setattr(module, "host_target", lambda: lesser)
    return request.param


def check(text: str, buffers: list[torch.Tensor], symbols: dict[str, int] | None = None) -> None:
    """Run a kernel both ways on copies of the buffers, and compare all of them."""
    kernel = parse_kernel(text)
    verify_kernel(kernel)
    check_kernel(kernel, buffers, symbols)


def check_kernel(
    kernel: Kernel, buffers: list[torch.Tensor], symbols: dict[str, int] | None = None
) -> None:
    """Run a kernel both ways on copies of the buffers, and compare all of them."""
    expected = [buffer.clone() for buffer in buffers]
    result = [buffer.clone() for buffer in buffers]
    interpret(kernel, expected, symbols or {})
    run(kernel, result, symbols)
    for one, other in zip(result, expected, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


@pytest.mark.parametrize("numel", [1, 2, 15, 16, 17, 31, 64, 100, 257])
def test_vector_loop_of_any_length(processor, numel):
    text = f"""\
kernel k(in0: f32 read, out0: f32 write):
  vector i in 0..{numel}:
    v0 = load in0[i]
    v1 = mul(v0, v0): f32
    store out0[i] = v1
"""

    check(text, [torch.randn(numel), torch.zeros(numel)])


LENGTHS = (1, 15, 16, 17, 100, 257)


@pytest.mark.parametrize(
    ("op", "numel"),
    [("sum", 0), ("max", 0), *itertools.product(("sum", "max", "argmin"), LENGTHS)],
)
def test_reduction_of_any_length_known_at_the_call(processor, op, numel):
    index = ", i" if op == "argmin" else ""
    dtype = "i64" if op == "argmin" else "f32"
    text = f"""\
kernel k<n>(in0: f32 read, out0: {dtype} write):
  vector i in 0..(n):
    v0 = load in0[i]
    carry best = {op}(v0{index}): f32
  store out0[0] = best
"""
    output = torch.zeros(1, dtype=torch.int64 if op == "argmin" else torch.float32)

    check(text, [torch.randn(max(numel, 1)), output], {"n": numel})


@pytest.mark.parametrize("step", [2, 3, 16])
@pytest.mark.parametrize("stop", [16, 61, 200])
def test_vector_loop_with_a_step(processor, step, stop):
    text = f"""\
kernel k(in0: f32 read, out0: f32 write, out1: f32 write):
  vector i in 3..{stop} step {step}:
    v0 = load in0[i]
    v1 = add(v0, v0): f32
    store out0[i] = v1
    carry total = sum(v0): f32
  store out1[0] = total
"""

    check(text, [torch.randn(stop), torch.zeros(stop), torch.zeros(1)])


@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "bf16"])
@pytest.mark.parametrize("stride", [-2, -1, 2, 3, 4, 5])
def test_strided_and_reversed_access(processor, stride, dtype):
    first = -99 * stride if stride < 0 else 0
    text = f"""\
kernel k(in0: {dtype} read, out0: {dtype} write):
  vector i in 0..100:
    v0 = load in0[i*{stride} + {first}]
    store out0[i*{stride} + {first}] = v0
"""

    torch_dtype = DTYPES[dtype]
    source = torch.randint(-100, 100, (99 * abs(stride) + 1,)).to(torch_dtype)
    check(text, [source, torch.zeros_like(source)])


def test_gather_and_scatter_through_values(processor):
    text = """\
kernel k(rows: i64 read, table: f32 read, out0: f32 write):
  vector i in 0..50:
    r = load rows[i]
    v0 = load table[r*3 + 1]
    store out0[r*2] = v0
"""
    rows = torch.randperm(50)

    check(text, [rows, torch.randn(150), torch.zeros(100)])


def test_condition_that_differs_between_lanes_masks_loads_and_stores(processor):
    text = """\
kernel k(in0: f32 read, few: f32 read, out0: f32 write):
  ten = const 10: i64
  vector i in 0..40:
    v0 = load in0[i]
    i1 = index i
    small = lt(i1, ten): bool
    if small:
      v1 = load few[i]
      v2 = add(v0, v1): f32
      store out0[i] = v2
"""

    check(text, [torch.randn(40), torch.randn(10), torch.zeros(40)])


def test_condition_that_is_the_same_for_all_lanes(processor):
    text = """\
kernel k(flags: bool read, in0: f32 read, out0: f32 write):
  parallel i in 0..8:
    f = load flags[i]
    if f:
      vector j in 0..20:
        v0 = load in0[i*20 + j]
        store out0[i*20 + j] = v0
"""

    check(text, [torch.arange(8) % 3 == 0, torch.randn(160), torch.zeros(160)])


def test_outer_loop_vectorised_over_a_serial_reduction(processor):
    text = """\
kernel k(in0: f32 read, out0: f32 write):
  parallel b in 0..96 step 32:
    vector j in b..min(b + 32, 90):
      serial i in 0..13:
        v0 = load in0[i*90 + j]
        carry total = sum(v0): f32
      store out0[j] = total
"""

    check(text, [torch.randn(13 * 90), torch.zeros(90)])


def test_unrolled_window_inside_a_vector_loop(processor):
    text = """\
kernel k(in0: f32 read, out0: f32 write):
  vector j in 0..37:
    unrolled w in 0..3:
      v0 = load in0[j + w]
      carry top = max(v0): f32
    store out0[j] = top
"""

    check(text, [torch.randn(39), torch.zeros(37)])


def test_bounds_that_differ_between_lanes_run_one_by_one(processor):
    text = """\
kernel k(in0: f32 read, out0: f32 write):
  vector i in 0..20:
    serial j in i..20:
      v0 = load in0[j]
      carry total = sum(v0): f32
    store out0[i] = total
"""

    check(text, [torch.randn(20), torch.zeros(20)])


def test_scratch_is_private_to_an_iteration(processor):
    text = """\
kernel k(in0: f32 read, out0: f32 write):
  scratch row: f32[33]
  parallel i in 0..40:
    vector j in 0..33:
      v0 = load in0[i*33 + j]
      store row[j] = v0
      carry top = max(v0): f32
    vector l in 0..33:
      v1 = load row[l]
      v2 = sub(v1, top): f32
      store out0[i*33 + l] = v2
"""

    check(text, [torch.randn(40 * 33), torch.zeros(40 * 33)])


def test_values_and_scratch_from_before_a_parallel_loop_reach_it(processor):
    text = """\
kernel k<n>(in0: f32 read, flag: bool read, out0: f32 write):
  scratch weights: f32[16]
  half = const 0x1.0p-1: f32
  start = index 3
  f = load flag[0]
  vector w in 0..16:
    v0 = load in0[w]
    v1 = mul(v0, half): f32
    store weights[w] = v1
    carry total = sum(v0): f32
  parallel i in 0..(n):
    x = load in0[i + start]
    vector j in 0..16:
      v2 = load weights[j]
      v3 = mul(v2, x): f32
      v4 = add(v3, total): f32
      v5 = where(f, v4, half): f32
      store out0[i*16 + j] = v5
"""

    check(text, [torch.randn(64), torch.tensor([True]), torch.zeros(61 * 16)], {"n": 61})


def test_later_statements_see_what_a_parallel_loop_stored(processor):
    text = """\
kernel k(in0: f32 read, part: f32 read_write, out0: f32 write):
  parallel i in 0..1000:
    v0 = load in0[i]
    v1 = mul(v0, v0): f32
    store part[i] = v1
  vector j in 0..1000:
    v2 = load part[j]
    carry total = sum(v2): f32
  store out0[0] = total
"""

    check(text, [torch.rand(1000), torch.zeros(1000), torch.zeros(1)])


def test_symbolic_sizes_in_indices_and_bounds(processor):
    text = """\
kernel k<n, m>(in0: f32 read, out0: f32 write):
  parallel i in 0..(n // 2):
    vector j in 0..min((m), (max(n, 3)*2 - 1)):
      v0 = load in0[i*(m) + j + (n % 3)]
      store out0[i*(m) + j] = v0
"""

    for n, m in ((4, 7), (9, 40), (2, 3)):
        check(text, [torch.randn(n * m + 8), torch.zeros(n * m)], {"n": n, "m": m})


def test_param_that_is_updated_in_place(processor):
    text = """\
kernel k(x: f32 read_write, y: f32 read_write aliases x):
  one = const 0x1.0p+0: f32
  vector i in 0..50:
    v0 = load x[i]
    v1 = add(v0, one): f32
    store y[i] = v1
"""
    kernel = parse_kernel(text)
    data = torch.randn(50)
    expected = data + 1

    run(kernel, [data, data])

    assert torch.equal(data, expected)


def test_bools_are_loaded_stored_and_reduced(processor):
    text = """\
kernel k(in0: bool read, out0: bool write, out1: bool write):
  vector i in 0..77:
    v0 = load in0[i]
    v1 = logical_not(v0): bool
    store out0[i] = v1
    carry some = any(v0): bool
    carry each = all(v0): bool
  both = bitwise_xor(some, each): bool
  store out1[0] = some
  store out1[1] = each
  store out1[2] = both
"""

    check(
        text,
        [torch.rand(77) > 0.5, torch.zeros(77, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)],
    )


@pytest.mark.parametrize("dtype", ["f32", "f64", "i8", "bf16", "bool", "i64"])
@pytest.mark.parametrize("shape", [(16, 16), (64, 32), (8, 8), (40, 24), (5, 3), (1, 7), (20, 16)])
def test_tile_is_transposed(processor, dtype, shape):
    rows, cols = shape
    torch_dtype = DTYPES[dtype]
    text = f"""\
kernel k<s>(in0: {dtype} read, out0: {dtype} write):
  transpose out0[2] by {cols + 3} = in0[1] by (s), {rows} x {cols}
"""
    source = torch.randint(0, 100, ((rows + 2) * cols + 1,)).to(torch_dtype)
    target_ = torch.zeros(rows * (cols + 3) + 2, dtype=torch_dtype)

    check(text, [source, target_], {"s": rows + 2})


def test_streaming_stores_at_known_alignment(processor):
    text = """\
kernel k(in0: f32 read, out0: f32 write align 64, out1: f32 write):
  parallel i in 0..9:
    vector j in 0..70:
      v0 = load in0[i*70 + j]
      stream out0[i*80 + j] = v0
      stream out1[i*80 + j] = v0
"""

    check(text, [torch.randn(630), torch.zeros(720), torch.zeros(720)])


@pytest.mark.parametrize("stride", [19, 20, 24, 32, 70])
@pytest.mark.parametrize("offset", [0, 1, 4, 8])
def test_streaming_stores_at_any_address(processor, stride, offset):
    """A row's distance may be longer than a vector and no multiple of one, and a buffer may begin anywhere."""
    text = f"""\
kernel k(in0: f32 read, out0: f32 write):
  serial i in 0..9:
    vector j in 0..19:
      v0 = load in0[i*19 + j]
      stream out0[i*{stride} + j] = v0
"""

    kernel = parse_kernel(text)
    source = torch.randn(171)
    found, expected = (torch.zeros(9 * stride + 8)[offset:] for _ in range(2))
    interpret(kernel, [source, expected], {})
    run(kernel, [source, found], None)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [64, 128, 96])
def test_blocks_of_whole_vectors_need_no_tail(processor, size):
    text = f"""\
kernel k(in0: f32 read, out0: f32 write, out1: f32 write):
  parallel b in 0..7:
    vector i in b*{size}..min(b*{size} + {size}, {size * 7}):
      v0 = load in0[i]
      v1 = add(v0, v0): f32
      store out0[i] = v1
      carry total = sum(v0): f32
    store out1[b] = total
"""

    check(text, [torch.randn(size * 7), torch.zeros(size * 7), torch.zeros(7)])


def test_index_helper_builds_what_the_text_says():
    assert (
        at("i", ("j", 3), const=2)
        == parse_kernel(
            "kernel k(a: f32 read):\n  serial i in 0..1:\n    serial j in 0..1:\n"
            "      v = load a[i + j*3 + 2]\n"
        )
        .body[0]
        .body[0]
        .body[0]
        .index
    )
