"""Kernels are written as text and read back, unchanged."""

from __future__ import annotations

import msgspec
import pytest

from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.loops import (
    Access,
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    LoopKind,
    Param,
    Scratch,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.loops_hash import hash_kernel
from graphwright.ir.loops_parse import parse_kernel
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.symint_algebra import add, floordiv, minimum, mul, symbol

S0 = symbol("s0")
HERE = Index((Term("i0", S0), Term("i1", 1)))

SUM_OF_ROWS = """\
kernel sums<s0>(in0: f32 read, out0: f32 write align 64):
  # from aten.mul.Tensor, aten.sum.dim_IntList
  # model.py:3 in f
  # moves 128 bytes, computes 64
  scratch row: f32[16]
  parallel i0 in 0..(s0) grain 8:
    c0 = const 0x1.0p+1: f32
    vector i1 in 0..min((s0), 16):
      v0 = load in0[i0*(s0) + i1] ahead 128
      v1 = mul(v0, c0): f32
      carry total = sum(v1): f32
    stream out0[i0] = total
"""


def test_text_is_what_the_module_says():
    inner = Loop(
        "i1",
        Index(),
        (Index((), S0), Index((), 16)),
        LoopKind.VECTOR,
        (
            Load("v0", "in0", HERE, ahead=128),
            Compute("v1", ScalarOp.MUL, ("v0", "c0"), DType.FLOAT32),
        ),
        carries=(Carry("total", ReduceOp.SUM, "v1", DType.FLOAT32),),
    )
    body = (
        Const("c0", "0x1.0p+1", DType.FLOAT32),
        inner,
        Store("out0", Index((Term("i0", 1),)), "total", is_streaming=True),
    )
    kernel = Kernel(
        "sums",
        (
            Param("in0", DType.FLOAT32, Access.READ),
            Param("out0", DType.FLOAT32, Access.WRITE, align_bytes=64),
        ),
        (Scratch("row", DType.FLOAT32, 16),),
        ("s0",),
        (Loop("i0", Index(), (Index((), S0),), LoopKind.PARALLEL, body, grain=8),),
        ("aten.mul.Tensor", "aten.sum.dim_IntList"),
        Loc("model.py", 3, "f"),
        128,
        64,
    )

    assert render_kernel(kernel) == SUM_OF_ROWS
    assert parse_kernel(SUM_OF_ROWS) == kernel


def test_kernel_that_may_not_contract_is_another_kernel():
    kernel = parse_kernel(SUM_OF_ROWS)
    strict = msgspec.structs.replace(kernel, can_contract=False)

    assert parse_kernel(render_kernel(strict)) == strict
    assert hash_kernel(strict) != hash_kernel(kernel)


def test_every_statement_comes_back_as_it_was():
    strange = add(mul(floordiv(S0, 2), -3), minimum((S0, symbol("s1"))))
    kernel = Kernel(
        "all",
        (
            Param("a", DType.BFLOAT16, Access.READ_WRITE),
            Param("b", DType.BFLOAT16, Access.WRITE, aliases="a"),
            Param("flags", DType.BOOL, Access.READ),
        ),
        (),
        ("s0", "s1"),
        (
            Const("yes", "true", DType.BOOL),
            Const("bad", "nan", DType.FLOAT64),
            Const("few", "-3", DType.INT8),
            IndexValue("p", Index((), strange)),
            If("yes", (Load("v0", "a", Index((Term("p", strange),), -4)),)),
            TransposeTile("b", Index((Term("p", -1),), strange), strange, "a", Index(), 64, 16, 8),
            Loop(
                "k",
                Index((Term("p", 1),), 1),
                (Index((Term("p", 1),), 9),),
                LoopKind.UNROLLED,
                (Load("v1", "a", Index((Term("k", 2),))),),
                step=2,
                carries=(Carry("best", ReduceOp.ARGMAX, "v1", DType.BFLOAT16, "k"),),
            ),
            Compute("v2", ScalarOp.CAST, ("best",), DType.UINT8),
        ),
    )

    assert parse_kernel(render_kernel(kernel)) == kernel


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (SUM_OF_ROWS.replace("kernel sums", "sums"), "line 1 of a kernel is not a kernel's first"),
        (SUM_OF_ROWS.replace("mul(", "mull("), "about a known ScalarOp"),
        (SUM_OF_ROWS.replace("f32 read", "f31 read"), "about a known element type"),
        (SUM_OF_ROWS.replace("stream out0", "strew out0"), "not a statement"),
        (SUM_OF_ROWS.replace("i0*(s0)", "i0*(s0 +)"), "about sizes"),
    ],
)
def test_a_damaged_text_is_refused_with_its_line(damaged, message):
    with pytest.raises(ValueError, match=message):
        parse_kernel(damaged)
