"""Hand-written loop kernels, timed against eager and against the machine's copy bandwidth.

In:  nothing.   Out: a table on the terminal: for each kernel the compile time, the time of a call, eager's time, the
bandwidth reached as a share of a plain copy's, and the largest difference from eager.

The machine may be shared, so the figures to look at are the ratios; each is of the quickest of many interleaved calls.

Run: python benchmarks/kernels.py [name …]
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Sequence

import msgspec
import torch

from graphwright.codegen.llvm import compile_kernels, load_object
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
    Stmt,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.ops import ReduceOp, ScalarOp

F32 = DType.FLOAT32


def at(*terms: str | tuple[str, int], const: int = 0) -> Index:
    """Give the index `const + Σ name * coeff`; a bare name has coefficient 1."""
    pairs = (Term(term, 1) if isinstance(term, str) else Term(*term) for term in terms)
    return Index(tuple(pairs), const)


def constant(name: str, value: float) -> Const:
    """Give a float32 constant."""
    return Const(name, value.hex(), F32)


def op(name: str, operation: ScalarOp, *args: str) -> Compute:
    """Give a float32 operation."""
    return Compute(name, operation, args, F32)


def vector(var: str, start: Index, stop: Index, *body: Stmt, carries: Sequence[Carry] = ()) -> Loop:
    """Give a vector loop."""
    return Loop(var, start, (stop,), LoopKind.VECTOR, tuple(body), carries=tuple(carries))


def reads(name: str, dtype: DType = F32) -> Param:
    """Give a param that is read."""
    return Param(name, dtype, Access.READ)


def writes(name: str, dtype: DType = F32) -> Param:
    """Give a param that is written."""
    return Param(name, dtype, Access.WRITE, align_bytes=64)


class Case(msgspec.Struct, frozen=True):
    """A kernel, its inputs, and what eager computes."""

    kernel: Kernel
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[torch.Tensor, ...]
    eager: Callable[..., torch.Tensor]
    bytes_moved: int


def softmax_gelu(rows: int = 4096, cols: int = 1024) -> Case:
    """softmax(gelu(x) * x + 1) along the rows."""
    row, here = ("i0", cols), at(("i0", cols), "i1")
    first = vector(
        "i1",
        at(),
        at(const=cols),
        Load("x", "in0", here),
        op("scaled", ScalarOp.MUL, "x", "root_half"),
        op("erf", ScalarOp.ERF, "scaled"),
        op("erf1", ScalarOp.ADD, "erf", "one"),
        op("half_x", ScalarOp.MUL, "x", "half"),
        op("gelu", ScalarOp.MUL, "half_x", "erf1"),
        op("square", ScalarOp.MUL, "gelu", "x"),
        op("y", ScalarOp.ADD, "square", "one"),
        Store("row", at("i1"), "y"),
        carries=[Carry("top", ReduceOp.MAX, "y", F32)],
    )
    second = vector(
        "i2",
        at(),
        at(const=cols),
        Load("y2", "row", at("i2")),
        op("low", ScalarOp.SUB, "y2", "top"),
        op("power", ScalarOp.EXP, "low"),
        Store("row", at("i2"), "power"),
        carries=[Carry("total", ReduceOp.SUM, "power", F32)],
    )
    third = vector(
        "i3",
        at(),
        at(const=cols),
        Load("p3", "row", at("i3")),
        op("share", ScalarOp.MUL, "p3", "inverse"),
        Store("out0", at(row, "i3"), "share", is_streaming=True),
    )
    body = (
        constant("root_half", 0.7071067811865476),
        constant("half", 0.5),
        constant("one", 1.0),
        first,
        second,
        op("inverse", ScalarOp.RECIPROCAL, "total"),
        third,
    )
    outer = Loop("i0", at(), (at(const=rows),), LoopKind.PARALLEL, body, grain=8)
    kernel = Kernel(
        "softmax_gelu", (reads("in0"), writes("out0")), (Scratch("row", F32, cols),), (), (outer,)
    )
    x = torch.randn(rows, cols)

    def eager(x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.nn.functional.gelu(x) * x + 1, dim=-1)

    return Case(kernel, (x,), (torch.empty_like(x),), eager, 2 * x.nbytes)


def layer_norm_residual(rows: int = 4096, cols: int = 1024) -> Case:
    """layer_norm(x + r) * w + b along the rows."""
    here = at(("i0", cols), "i1")
    first = vector(
        "i1",
        at(),
        at(const=cols),
        Load("x", "in0", here),
        Load("r", "in1", here),
        op("h", ScalarOp.ADD, "x", "r"),
        Store("row", at("i1"), "h"),
        carries=[Carry("total", ReduceOp.SUM, "h", F32)],
    )
    second = vector(
        "i2",
        at(),
        at(const=cols),
        Load("h2", "row", at("i2")),
        op("d2", ScalarOp.SUB, "h2", "mean"),
        op("sq", ScalarOp.MUL, "d2", "d2"),
        carries=[Carry("spread", ReduceOp.SUM, "sq", F32)],
    )
    third = vector(
        "i3",
        at(),
        at(const=cols),
        Load("h3", "row", at("i3")),
        Load("w", "in2", at("i3")),
        Load("b", "in3", at("i3")),
        op("d3", ScalarOp.SUB, "h3", "mean"),
        op("n", ScalarOp.MUL, "d3", "inverse"),
        op("nw", ScalarOp.MUL, "n", "w"),
        op("y", ScalarOp.ADD, "nw", "b"),
        Store("out0", at(("i0", cols), "i3"), "y", is_streaming=True),
    )
    body = (
        constant("per", 1 / cols),
        constant("eps", 1e-5),
        first,
        op("mean", ScalarOp.MUL, "total", "per"),
        second,
        op("var", ScalarOp.MUL, "spread", "per"),
        op("var_eps", ScalarOp.ADD, "var", "eps"),
        op("inverse", ScalarOp.RSQRT, "var_eps"),
        third,
    )
    outer = Loop("i0", at(), (at(const=rows),), LoopKind.PARALLEL, body, grain=8)
    params = (reads("in0"), reads("in1"), reads("in2"), reads("in3"), writes("out0"))
    kernel = Kernel("layer_norm_residual", params, (Scratch("row", F32, cols),), (), (outer,))
    x, r, w, b = (torch.randn(*shape) for shape in ((rows, cols), (rows, cols), (cols,), (cols,)))

    def eager(x: torch.Tensor, r: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x + r, (cols,), w, b)

    return Case(kernel, (x, r, w, b), (torch.empty_like(x),), eager, 3 * x.nbytes)


def column_sums(rows: int = 4096, cols: int = 4096) -> Case:
    """Sums down the columns; each thread takes strips of columns."""
    inner = Loop(
        "i2",
        at(),
        (at(const=rows),),
        LoopKind.SERIAL,
        (Load("x", "in0", at(("i2", cols), "i1")),),
        carries=(Carry("total", ReduceOp.SUM, "x", F32),),
    )
    strip = vector("i1", at("i0"), at("i0", const=64), inner, Store("out0", at("i1"), "total"))
    outer = Loop("i0", at(), (at(const=cols),), LoopKind.PARALLEL, (strip,), step=64)
    kernel = Kernel("column_sums", (reads("in0"), writes("out0")), (), (), (outer,))
    x = torch.randn(rows, cols)
    return Case(kernel, (x,), (torch.empty(cols),), lambda x: x.sum(0), x.nbytes)


def transposed_add(rows: int = 4096, cols: int = 4096, tile: int = 64) -> Case:
    """Compute x + y.T, by tiles that are transposed into scratch."""
    copy = TransposeTile(
        "tile",
        at(),
        tile,
        "in1",
        at(("i1", rows), "i0"),
        rows,
        tile,
        tile,
    )
    add = Loop(
        "i2",
        at(),
        (at(const=tile),),
        LoopKind.SERIAL,
        (
            vector(
                "i3",
                at(),
                at(const=tile),
                Load("t", "tile", at(("i2", tile), "i3")),
                Load("x", "in0", at(("i0", cols), ("i2", cols), "i1", "i3")),
                op("y", ScalarOp.ADD, "x", "t"),
                Store("out0", at(("i0", cols), ("i2", cols), "i1", "i3"), "y", is_streaming=True),
            ),
        ),
    )
    across = Loop("i1", at(), (at(const=cols),), LoopKind.SERIAL, (copy, add), step=tile)
    outer = Loop("i0", at(), (at(const=rows),), LoopKind.PARALLEL, (across,), step=tile)
    params = (reads("in0"), reads("in1"), writes("out0"))
    kernel = Kernel("transposed_add", params, (Scratch("tile", F32, tile * tile),), (), (outer,))
    x, y = torch.randn(rows, cols), torch.randn(cols, rows)
    return Case(kernel, (x, y), (torch.empty_like(x),), lambda x, y: x + y.T, 3 * x.nbytes)


def pointwise(numel: int = 1 << 24) -> Case:
    """relu(x * 2 + 1).sin() on a large tensor."""
    body = vector(
        "i1",
        at("i0"),
        at("i0", const=4096),
        Load("x", "in0", at("i1")),
        op("x2", ScalarOp.MUL, "x", "two"),
        op("x21", ScalarOp.ADD, "x2", "one"),
        op("r", ScalarOp.MAXIMUM, "x21", "zero"),
        op("y", ScalarOp.SIN, "r"),
        Store("out0", at("i1"), "y", is_streaming=True),
    )
    constants = (constant("one", 1.0), constant("two", 2.0), constant("zero", 0.0))
    outer = Loop(
        "i0", at(), (at(const=numel),), LoopKind.PARALLEL, (*constants, body), step=4096, grain=4
    )
    kernel = Kernel("pointwise", (reads("in0"), writes("out0")), (), (), (outer,))
    x = torch.randn(numel)
    return Case(
        kernel, (x,), (torch.empty_like(x),), lambda x: (x * 2 + 1).relu().sin(), 2 * x.nbytes
    )


def small_pointwise() -> Case:
    """relu(x * 2 + 1).sin() on 8 × 8: what a call costs."""
    body = vector(
        "i1",
        at(),
        at(const=64),
        Load("x", "in0", at("i1")),
        op("x2", ScalarOp.MUL, "x", "two"),
        op("x21", ScalarOp.ADD, "x2", "one"),
        op("r", ScalarOp.MAXIMUM, "x21", "zero"),
        op("y", ScalarOp.SIN, "r"),
        Store("out0", at("i1"), "y"),
    )
    constants = (constant("one", 1.0), constant("two", 2.0), constant("zero", 0.0))
    kernel = Kernel("small_pointwise", (reads("in0"), writes("out0")), (), (), (*constants, body))
    x = torch.randn(64)
    return Case(
        kernel, (x,), (torch.empty_like(x),), lambda x: (x * 2 + 1).relu().sin(), 2 * x.nbytes
    )


def arg_max(rows: int = 4096, cols: int = 1024) -> Case:
    """Index of the greatest element of each row."""
    inner = vector(
        "i1",
        at(),
        at(const=cols),
        Load("x", "in0", at(("i0", cols), "i1")),
        IndexValue("position", at("i1")),
        carries=[Carry("best", ReduceOp.ARGMAX, "x", F32, "position")],
    )
    outer = Loop(
        "i0",
        at(),
        (at(const=rows),),
        LoopKind.PARALLEL,
        (inner, Store("out0", at("i0"), "best")),
        grain=8,
    )
    params = (reads("in0"), writes("out0", DType.INT64))
    kernel = Kernel("arg_max", params, (), (), (outer,))
    x = torch.randn(rows, cols)
    output = torch.empty(rows, dtype=torch.int64)
    return Case(kernel, (x,), (output,), lambda x: x.argmax(-1), x.nbytes)


def bfloat16_gelu(numel: int = 1 << 24) -> Case:
    """Compute gelu in bfloat16: loads and stores of 16 bits, arithmetic in float32."""
    body = vector(
        "i1",
        at("i0"),
        at("i0", const=4096),
        Load("raw", "in0", at("i1")),
        Compute("x", ScalarOp.CAST, ("raw",), F32),
        op("scaled", ScalarOp.MUL, "x", "root_half"),
        op("erf", ScalarOp.ERF, "scaled"),
        op("erf1", ScalarOp.ADD, "erf", "one"),
        op("half_x", ScalarOp.MUL, "x", "half"),
        op("gelu", ScalarOp.MUL, "half_x", "erf1"),
        Compute("y", ScalarOp.CAST, ("gelu",), DType.BFLOAT16),
        Store("out0", at("i1"), "y", is_streaming=True),
    )
    constants = (
        constant("root_half", 0.7071067811865476),
        constant("half", 0.5),
        constant("one", 1.0),
    )
    outer = Loop(
        "i0", at(), (at(const=numel),), LoopKind.PARALLEL, (*constants, body), step=4096, grain=4
    )
    params = (reads("in0", DType.BFLOAT16), writes("out0", DType.BFLOAT16))
    kernel = Kernel("bfloat16_gelu", params, (), (), (outer,))
    x = torch.randn(numel, dtype=torch.bfloat16)
    return Case(kernel, (x,), (torch.empty_like(x),), torch.nn.functional.gelu, 2 * x.nbytes)


CASES: dict[str, Callable[[], Case]] = {
    make.__name__: make
    for make in (
        softmax_gelu,
        layer_norm_residual,
        column_sums,
        transposed_add,
        pointwise,
        small_pointwise,
        arg_max,
        bfloat16_gelu,
    )
}


class Result(msgspec.Struct, frozen=True):
    """What was measured of one case; times in seconds."""

    compile: float
    compiled: float
    eager: float
    copy: float
    largest_difference: float


def quickest(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Give the quickest time of each function, called in turns."""
    best = [float("inf")] * len(functions)
    for _ in range(repeats):
        for position, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[position] = min(best[position], time.perf_counter() - start)
    return best


def measure(case: Case, *, repeats: int = 20) -> Result:
    """Compile a case's kernel, check it against eager, and time both."""
    (compile_time,) = quickest([lambda: compile_kernels([case.kernel], num_threads=2)], 3)
    code = load_object(compile_kernels([case.kernel], num_threads=2))
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    function = prototype(code.address(case.kernel.name))
    tensors = (*case.inputs, *case.outputs)
    params = (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors])
    function(params, None)
    expected = case.eager(*case.inputs)
    difference = (expected.double() - case.outputs[0].double()).abs().max().item()
    source = torch.empty(max(1, case.bytes_moved // 8))
    target = torch.empty_like(source)
    compiled, eager, copy = quickest(
        [
            lambda: function(params, None),
            lambda: case.eager(*case.inputs),
            lambda: target.copy_(source),
        ],
        repeats,
    )
    return Result(compile_time, compiled, eager, copy, difference)


def main(names: Sequence[str]) -> None:
    """Measure the named cases, or all, and print the table."""
    print(f"{torch.get_num_threads()} threads")
    print(f"{'kernel':22}{'compile':>10}{'call':>12}{'eager':>12}{'ratio':>8}{'of copy':>9}  diff")
    for name in names or CASES:
        result = measure(CASES[name]())
        print(
            f"{name:22}{result.compile * 1e3:7.1f} ms{result.compiled * 1e6:9.1f} µs"
            f"{result.eager * 1e6:9.1f} µs{result.compiled / result.eager:8.2f}"
            f"{result.copy / result.compiled:8.0%}  {result.largest_difference:.1e}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
