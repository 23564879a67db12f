"""Machine code for a GPU that need not be there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from graphwright.codegen.triton import GpuTarget, compile_code, render_kernel
from graphwright.codegen.triton.scalar import BOOL, COMPARISON, FLOAT, FLOAT32, INTEGER
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Access,
    Carry,
    Compute,
    Const,
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
from graphwright.ir.ops import FACTS, ReduceOp, ScalarOp
from graphwright.ir.symint_algebra import symbol

TABLES = {
    DType.FLOAT64: FLOAT | FLOAT32,
    DType.FLOAT32: FLOAT | FLOAT32,
    DType.BFLOAT16: FLOAT | FLOAT32,
    DType.INT64: INTEGER,
    DType.UINT8: INTEGER,
    DType.BOOL: BOOL,
}


@pytest.fixture(autouse=True, scope="module")
def triton_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton_cache")))
        yield


def at(const=0, **coeffs) -> Index:
    return Index(tuple(Term(name, coeff) for name, coeff in coeffs.items()), const)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TABLES)
def test_every_operation_of_the_table_compiles(dtype) -> None:
    body = [Load("a0", "a", at(i=1)), Load("b0", "b", at(i=1))]
    params = [Param("a", dtype, Access.READ), Param("b", dtype, Access.READ)]
    for op in {**TABLES[dtype], **COMPARISON}:
        result = DType.BOOL if FACTS[op].gives_bool else dtype
        body.append(Compute(f"v_{op.value}", op, ("a0", "b0")[: FACTS[op].arity], result))
        body.append(Store(f"o_{op.value}", at(i=1), f"v_{op.value}"))
        params.append(Param(f"o_{op.value}", result, Access.WRITE))
    loop = Loop("i", at(), (at(symbol("s0")),), LoopKind.VECTOR, tuple(body))
    kernel = Kernel("all", tuple(params), (), ("s0",), (loop,))

    (launch,) = compile_code(render_kernel(kernel), "all")

    assert launch.image.startswith(b"\x7fELF")
    assert launch.symbol == "k_all"


def reductions(dtype: DType) -> Kernel:
    """Each reduction over rows of symbolic length, by a scratch row kept in registers and by one in memory."""
    params = [Param("a", dtype, Access.READ)]
    length = symbol("s0")
    store = (Load("x", "a", at(r=length, i=1)), Store("row", at(i=1), "x"))
    ops = list(ReduceOp)
    read = [Load("y", "row", at(j=1)), Load("z", "mirror", at(99, j=-1)), IndexValue("n", at(j=1))]
    carries = tuple(
        Carry(f"t_{op.value}", op, "y", dtype, "n" if op.value.startswith("arg") else None)
        for op in ops
        if dtype is DType.BOOL or op not in {ReduceOp.ANY, ReduceOp.ALL}
    )
    row = [
        Loop("i", at(), (at(length),), LoopKind.VECTOR, store),
        Loop(
            "m",
            at(),
            (at(100),),
            LoopKind.VECTOR,
            (
                Load("w", "a", at(r=length, m=1)),
                Store("mirror", at(m=1), "w"),
            ),
        ),
        Loop("j", at(), (at(length),), LoopKind.VECTOR, tuple(read), carries=carries),
    ]
    for carry in carries:
        result = DType.INT64 if carry.index else dtype
        row.append(Store(f"o_{carry.name}", at(r=1), carry.name))
        params.append(Param(f"o_{carry.name}", result, Access.WRITE))
    loop = Loop("r", at(), (at(symbol("s1")),), LoopKind.PARALLEL, tuple(row))
    scratch = (Scratch("row", dtype, 500), Scratch("mirror", dtype, 100))
    return Kernel("reductions", tuple(params), scratch, ("s0", "s1"), (loop,))


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", [DType.FLOAT32, DType.FLOAT64, DType.INT64, DType.INT8, DType.BOOL]
)
def test_every_reduction_compiles(dtype) -> None:
    code = render_kernel(reductions(dtype))

    (launch,) = compile_code(code, "reductions")

    assert [scratch.name for scratch in code.scratch] == ["mirror"]
    assert launch.image.startswith(b"\x7fELF")


def test_constants_loops_and_tiles_compile_for_another_gpu() -> None:
    body = [
        Const("c", "-0x1.8p+0", DType.FLOAT32),
        Const("n", str(-(2**63)), DType.INT64),
        Const("nan", "nan", DType.FLOAT32),
        Const("yes", "true", DType.BOOL),
        Compute("y", ScalarOp.WHERE, ("yes", "c", "nan"), DType.FLOAT32),
        Store("b", at(), "y"),
        Store("d", at(), "n"),
        Loop(
            "r",
            at(),
            (at(5),),
            LoopKind.SERIAL,
            (TransposeTile("b", at(1, r=40), 8, "a", at(r=5), 30, 5, 8),),
        ),
        Loop(
            "i",
            at(),
            (at(20000),),
            LoopKind.VECTOR,
            (
                Load("x", "a", at(i=1)),
                Store("e", at(i=1), "x"),
            ),
        ),
    ]
    params = [
        Param("a", DType.FLOAT32, Access.READ),
        Param("b", DType.FLOAT32, Access.WRITE),
        Param("d", DType.INT64, Access.WRITE),
        Param("e", DType.FLOAT32, Access.WRITE),
    ]

    (launch,) = compile_code(
        render_kernel(Kernel("mixed", tuple(params), (), (), tuple(body))), "mixed", GpuTarget(80)
    )

    assert launch.image.startswith(b"\x7fELF")


NO_IMPORT = """
import sys
import graphwright.codegen.triton as room
assert room.is_triton_installed()
print("triton" in sys.modules)
"""


def test_room_is_imported_without_triton() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_IMPORT], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "False"
