"""Random kernels, compiled and interpreted, give the same."""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from hypothesis import HealthCheck, given, settings
from loop_interpreter import interpret
from loop_kernels import at, kernel, reads, run, writes

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Carry,
    Compute,
    Const,
    If,
    IndexValue,
    Load,
    Loop,
    LoopKind,
    Stmt,
    Store,
)
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.symint_algebra import symbol

EXACT_UNARY = (
    ScalarOp.NEG,
    ScalarOp.ABS,
    ScalarOp.FLOOR,
    ScalarOp.CEIL,
    ScalarOp.ROUND,
    ScalarOp.TRUNC,
    ScalarOp.SIGN,
)
EXACT_BINARY = (
    ScalarOp.ADD,
    ScalarOp.SUB,
    ScalarOp.MUL,
    ScalarOp.MAXIMUM,
    ScalarOp.MINIMUM,
    ScalarOp.FMAX,
    ScalarOp.FMIN,
)
COMPARISONS = (ScalarOp.EQ, ScalarOp.NE, ScalarOp.LT, ScalarOp.LE, ScalarOp.GT, ScalarOp.GE)
DTYPES = (
    DType.FLOAT32,
    DType.FLOAT64,
    DType.FLOAT16,
    DType.BFLOAT16,
    DType.INT64,
    DType.INT32,
    DType.INT16,
    DType.INT8,
    DType.UINT8,
)


class Draft:
    """A loop body that is being made up: statements, and the values of each dtype so far."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.body: list[Stmt] = []
        self.values: dict[str, DType] = {}
        self.count = 0

    def fresh(self) -> str:
        """Give a new name."""
        self.count += 1
        return f"v{self.count}"

    def add(self, stmt: Stmt, name: str, dtype: DType) -> None:
        """Append a statement that defines `name`."""
        self.body.append(stmt)
        self.values[name] = dtype

    def pick(self, dtype: DType) -> str:
        """Choose a value of a dtype."""
        return self.draw(
            st.sampled_from([name for name, own in self.values.items() if own is dtype])
        )

    def compute(self, op: ScalarOp, args: tuple[str, ...], dtype: DType) -> str:
        """Append an operation."""
        name = self.fresh()
        self.add(Compute(name, op, args, dtype), name, dtype)
        return name

    def step(self) -> None:
        """Append a random operation on the values there are."""
        dtype = self.draw(
            st.sampled_from(sorted(set(self.values.values()) - {DType.BOOL}, key=str))
        )
        kind = self.draw(st.sampled_from(("unary", "binary", "select", "cast")))
        if kind == "unary":
            self.compute(self.draw(st.sampled_from(EXACT_UNARY)), (self.pick(dtype),), dtype)
        elif kind == "binary":
            op = self.draw(st.sampled_from(EXACT_BINARY))
            self.compute(op, (self.pick(dtype), self.pick(dtype)), dtype)
        elif kind == "select":
            op = self.draw(st.sampled_from(COMPARISONS))
            condition = self.compute(op, (self.pick(dtype), self.pick(dtype)), DType.BOOL)
            self.compute(ScalarOp.WHERE, (condition, self.pick(dtype), self.pick(dtype)), dtype)
        else:
            target = self.draw(
                st.sampled_from((DType.FLOAT32, DType.INT32, DType.FLOAT64, DType.INT64))
            )
            if target is not dtype and (target.is_float or not dtype.is_float):
                self.compute(ScalarOp.CAST, (self.pick(dtype),), target)


@st.composite
def pointwise_kernels(draw: st.DrawFn):
    """Give a kernel of two loops over random dtypes, and the extents of its loops."""
    dtypes = draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3))
    rows, cols = draw(st.integers(1, 5)), draw(st.integers(1, 150))
    is_dynamic = draw(st.booleans())
    extent = symbol("s0") if is_dynamic else cols
    strides = draw(
        st.lists(st.sampled_from((0, 1, 1, 1, 2, 3)), min_size=len(dtypes), max_size=len(dtypes))
    )
    draft = Draft(draw)
    constant = Const("c0", "1" if not dtypes[0].is_float else (1.5).hex(), dtypes[0])
    draft.add(constant, "c0", dtypes[0])
    if draw(st.booleans()):
        draft.add(IndexValue("p0", at("i1", const=2)), "p0", DType.INT64)
    for number, (dtype, stride) in enumerate(zip(dtypes, strides, strict=True)):
        index = at(("i0", cols * 3), ("i1", stride))
        draft.add(Load(f"l{number}", f"in{number}", index), f"l{number}", dtype)
    for _ in range(draw(st.integers(1, 8))):
        draft.step()
    name, dtype = draw(
        st.sampled_from([item for item in draft.values.items() if item[1] is not DType.BOOL])
    )
    store: Stmt = Store("out0", at(("i0", cols), "i1"), name)
    if draw(st.booleans()):
        condition = draft.compute(
            ScalarOp.GT, (draft.pick(dtypes[0]), draft.pick(dtypes[0])), DType.BOOL
        )
        store = If(condition, (store,))
    inner = Loop("i1", at(), (at(const=extent),), LoopKind.VECTOR, (*draft.body, store))
    outer_kind = draw(st.sampled_from((LoopKind.PARALLEL, LoopKind.SERIAL, LoopKind.UNROLLED)))
    outer = Loop("i0", at(), (at(const=rows),), outer_kind, (inner,))
    params = [
        *(reads(f"in{number}", dtype) for number, dtype in enumerate(dtypes)),
        writes("out0", dtype),
    ]
    made = kernel("random", params, outer, symbols=("s0",) if is_dynamic else ())
    return made, rows, cols


def values_of(dtype: DType, numel: int, generator: torch.Generator) -> torch.Tensor:
    """Give random elements, small enough that sums and products of a few stay exact or overflow alike."""
    raw = torch.randint(-8, 8, (numel,), generator=generator)
    if dtype.is_float:
        values = raw.to(dtype.torch_dtype) / 2
        values[torch.rand(numel, generator=generator) < 0.05] = float("nan")
        values[torch.rand(numel, generator=generator) < 0.05] = float("inf")
        return values
    return raw.abs().to(dtype.torch_dtype) if dtype is DType.UINT8 else raw.to(dtype.torch_dtype)


@given(case=pointwise_kernels(), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pointwise_kernel_gives_what_the_interpreter_gives(case, seed):
    made, rows, cols = case
    generator = torch.Generator().manual_seed(seed)
    inputs = [values_of(param.dtype, rows * cols * 3, generator) for param in made.params[:-1]]
    output = torch.ones(rows * cols, dtype=made.params[-1].dtype.torch_dtype)
    expected = output.clone()

    interpret(made, [*inputs, expected], {"s0": cols})
    run(made, [*inputs, output], {"s0": cols})

    torch.testing.assert_close(output, expected, equal_nan=True)


REDUCTIONS = (
    ReduceOp.SUM,
    ReduceOp.PROD,
    ReduceOp.MAX,
    ReduceOp.MIN,
    ReduceOp.ARGMAX,
    ReduceOp.ARGMIN,
)


@given(
    dtype=st.sampled_from((*DTYPES, DType.BOOL)),
    op=st.sampled_from((*REDUCTIONS, ReduceOp.ANY, ReduceOp.ALL)),
    cols=st.integers(1, 200),
    is_dynamic=st.booleans(),
    has_nan=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=120, deadline=None)
def test_reduction_gives_what_the_interpreter_gives(dtype, op, cols, is_dynamic, has_nan, seed):
    if op in (ReduceOp.ANY, ReduceOp.ALL):
        dtype = DType.BOOL
    elif dtype is DType.BOOL:
        op = ReduceOp.MAX
    generator = torch.Generator().manual_seed(seed)
    data = torch.randint(0, 2, (3 * cols,), generator=generator).to(dtype.torch_dtype)
    if dtype.is_float:
        data = torch.randn(3 * cols, generator=generator).to(dtype.torch_dtype)
        if has_nan:
            data[torch.randint(3 * cols, (2,), generator=generator)] = float("nan")
    if op is ReduceOp.PROD and dtype in (DType.FLOAT16, DType.BFLOAT16):
        data = data.sign()
    is_arg = op in (ReduceOp.ARGMAX, ReduceOp.ARGMIN)
    carry = Carry("total", op, "v0", dtype, "i1" if is_arg else None)
    extent = symbol("s0") if is_dynamic else cols
    inner = Loop(
        "i1",
        at(),
        (at(const=extent),),
        LoopKind.VECTOR,
        (Load("v0", "in0", at(("i0", extent), "i1")),),
        carries=(carry,),
    )
    outer = Loop(
        "i0", at(), (at(const=3),), LoopKind.PARALLEL, (inner, Store("out0", at("i0"), "total"))
    )
    out_dtype = DType.INT64 if is_arg else dtype
    symbols = ("s0",) if is_dynamic else ()
    made = kernel(
        "reduce", [reads("in0", dtype), writes("out0", out_dtype)], outer, symbols=symbols
    )
    output, expected = (torch.zeros(3, dtype=out_dtype.torch_dtype) for _ in range(2))

    interpret(made, [data, expected], {"s0": cols})
    run(made, [data, output], {"s0": cols})

    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype is DType.FLOAT32 else {}
    torch.testing.assert_close(output, expected, equal_nan=True, **tolerance)
