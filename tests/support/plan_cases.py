"""Plans written by hand: each with its eager function and inputs."""

from dataclasses import dataclass

import torch
from runtime_programs import KernelCode, ProgramMaker, buffer_of, floats, meta_of

from graphwright.ir.aten import ConstantTensor, FloatArg, GraphOutput, LiteralArg, TensorMeta
from graphwright.ir.dtypes import FROM_TORCH, DType
from graphwright.ir.plan import (
    ArenaPlace,
    CallExtern,
    ConstantPlace,
    ExternKind,
    ExternPlace,
    InputOutput,
    InputPlace,
    KernelRef,
    NamedArg,
    NewOutput,
    OutputPlace,
    Plan,
    Release,
    RunKernel,
    TensorArg,
    TupleArg,
    ViewOfInput,
    ViewOfOutput,
)
from graphwright.ir.program import SymbolBinding
from graphwright.ir.recipes import BuildTuple, FromOutput
from graphwright.ir.sources import ArgSource
from graphwright.ir.symint import Monomial, Power, Symbol, SymExpr


@dataclass
class PlanCase:
    """A plan and the eager function that it stands for."""

    name: str
    eager: object
    inputs: tuple
    plan: Plan
    code: KernelCode
    symbols: tuple = ()
    metas: tuple | None = None

    def program(self):
        """The program of a function of the inputs that returns a tuple of the outputs."""
        maker = ProgramMaker()
        sources = [ArgSource(i, f"x{i}") for i in range(len(self.inputs))]
        metas = self.metas or tuple(map(meta_of, self.inputs))
        for source, tensor, meta in zip(sources, self.inputs, metas, strict=True):
            maker.tensor(source, tensor, meta)
        outputs = tuple(FromOutput(i) for i in range(len(self.plan.outputs)))
        program = maker.program(
            len(sources),
            sources,
            metas,
            result=BuildTuple(outputs),
            outputs=tuple(GraphOutput(0, metas[0]) for _ in outputs),
            symbols=self.symbols,
            graph_symbols=self.plan.symbols,
        )
        return program, maker.live


def described(shape, strides=None, dtype=torch.float32):
    """A value's metadata; contiguous unless strides are given."""
    if strides is None:
        strides = torch.empty(shape, device="meta").stride()
    return TensorMeta(FROM_TORCH[dtype], tuple(shape), tuple(strides))


def over(number, meta, offset=0):
    """A tensor over a buffer."""
    return TensorArg(number, meta.dtype, meta.shape, meta.strides, offset)


def make_plan(metas, values, steps, outputs, **rest):
    """A plan; `values` are (meta, place) of the buffers behind the inputs."""
    arena = [
        place.offset_bytes + buffer_of(meta, place).size_bytes
        for meta, place in values
        if isinstance(place, ArenaPlace)
    ]
    buffers = [buffer_of(meta, InputPlace(i)) for i, meta in enumerate(metas)]
    buffers += [buffer_of(meta, place) for meta, place in values]
    kernels = rest.pop("kernels", ())
    return Plan(
        inputs=tuple(metas),
        symbols=rest.pop("symbols", ()),
        buffers=tuple(buffers),
        kernels=tuple(KernelRef(name, name) for name in kernels),
        steps=tuple(steps),
        outputs=tuple(outputs),
        mutated_inputs=(mutated := rest.pop("mutated", ())),
        arena_bytes=max(arena, default=0),
        versioned_inputs=mutated,
        **rest,
    )


def add_one(count):
    """A kernel: second buffer = first + 1."""

    def run(params, symbols):
        floats(params[1], count).copy_(floats(params[0], count) + 1)

    return run


def linear_case():
    """addmm into the arena, with a transposed weight; a kernel on its result."""
    x, weight, bias = torch.randn(4, 8), torch.randn(6, 8), torch.randn(6)
    metas = [meta_of(tensor) for tensor in (x, weight, bias)]
    hidden, out = described((4, 6)), described((4, 6))
    addmm = CallExtern(
        "aten.addmm.out",
        (
            over(2, metas[2]),
            over(0, metas[0]),
            TensorArg(1, DType.FLOAT32, (8, 6), (1, 8)),
        ),
        (NamedArg("beta", LiteralArg(1)), NamedArg("alpha", FloatArg((0.5).hex()))),
        ExternKind.OUT,
        (over(3, hidden),),
    )
    plan = make_plan(
        metas,
        [(hidden, ArenaPlace(64)), (out, OutputPlace())],
        [addmm, RunKernel(0, (3, 4))],
        [NewOutput(4, out)],
        kernels=("add_one",),
    )

    def eager(x, weight, bias):
        return (torch.addmm(bias, x, weight.t(), alpha=0.5) + 1,)

    return PlanCase("linear", eager, (x, weight, bias), plan, KernelCode(add_one=add_one(24)))


def matmul_case(op, shapes, eager):
    """An out-variant straight into the output."""
    tensors = [torch.randn(shape) for shape in shapes]
    metas = [meta_of(tensor) for tensor in tensors]
    out = meta_of(eager(*tensors)[0])
    call = CallExtern(
        op,
        tuple(over(i, meta) for i, meta in enumerate(metas)),
        (),
        ExternKind.OUT,
        (over(len(metas), out),),
        is_long=False,
    )
    plan = make_plan(
        metas, [(out, OutputPlace())], [call], [NewOutput(len(metas), out)], is_long=False
    )
    return PlanCase(op, eager, tuple(tensors), plan, KernelCode())


def convolution_case(bias):
    """A functional call of the C shim whose result is the output."""
    x, weight, offset = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3), torch.randn(5)
    tensors = (x, weight, offset)
    metas = [meta_of(tensor) for tensor in tensors]

    def eager(x, weight, offset):
        made = torch.convolution(
            x, weight, offset if bias else None, (2, 1), (1, 0), (1, 1), False, (0, 0), 1
        )
        return (made,)

    out = meta_of(eager(*tensors)[0])

    def numbers(*values):
        return TupleArg(tuple(map(LiteralArg, values)))

    call = CallExtern(
        "aten.convolution.default",
        (
            over(0, metas[0]),
            over(1, metas[1]),
            over(2, metas[2]) if bias else LiteralArg(None),
            numbers(2, 1),
            numbers(1, 0),
            numbers(1, 1),
            LiteralArg(False),
            numbers(0, 0),
            LiteralArg(1),
        ),
        (),
        ExternKind.FUNCTIONAL,
        (over(3, out),),
    )
    plan = make_plan(metas, [(out, ExternPlace())], [call], [NewOutput(3, out)])
    return PlanCase(f"convolution, bias {bias}", eager, tensors, plan, KernelCode())


def attention_case(mask):
    """Attention: a functional call with a result that is dropped; its result feeds a kernel and is released."""
    tensors = tuple(torch.randn(2, 4, 8, 16) for _ in range(3))
    if mask:
        tensors += (torch.randn(2, 1, 8, 8),)
    metas = [meta_of(tensor) for tensor in tensors]
    result = out = described((2, 4, 8, 16))
    kwargs = [NamedArg("scale", FloatArg((0.3).hex()))]
    if mask:
        kwargs.append(NamedArg("attn_mask", over(3, metas[3])))
    call = CallExtern(
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        tuple(over(i, metas[i]) for i in range(3)),
        tuple(kwargs),
        ExternKind.FUNCTIONAL,
        (over(len(tensors), result), None),
    )
    first = len(tensors)
    plan = make_plan(
        metas,
        [(result, ExternPlace()), (out, OutputPlace())],
        [call, RunKernel(0, (first, first + 1)), Release(first)],
        [NewOutput(first + 1, out)],
        kernels=("add_one",),
    )

    def eager(q, k, v, mask=None):
        op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
        return (op(q, k, v, attn_mask=mask, scale=0.3)[0] + 1,)

    return PlanCase(
        f"attention, mask {mask}", eager, tensors, plan, KernelCode(add_one=add_one(1024))
    )


def functional_case():
    """Functional calls by Python: several results, a scalar argument, a result used by a later call."""
    x = torch.randn(3, 5)
    metas = [meta_of(x)]
    values, places = described((3, 2)), described((3, 2), dtype=torch.int64)
    total = described((3,))
    topk = CallExtern(
        "aten.topk.default",
        (over(0, metas[0]), LiteralArg(2)),
        (),
        ExternKind.FUNCTIONAL,
        (over(1, values), over(2, places)),
    )
    total_call = CallExtern(
        "aten.sum.dim_IntList",
        (over(1, values), TupleArg((LiteralArg(1),))),
        (),
        ExternKind.FUNCTIONAL,
        (over(3, total),),
    )
    plan = make_plan(
        metas,
        [(values, ExternPlace()), (places, ExternPlace()), (total, ExternPlace())],
        [topk, total_call, Release(1)],
        [NewOutput(3, total), NewOutput(2, places)],
    )

    def eager(x):
        values, places = x.topk(2)
        return values.sum(1), places

    return PlanCase("functional", eager, (x,), plan, KernelCode())


def aliasing_case():
    """A functional call that returns a view of its argument, and one whose strides differ from the promise."""
    x = torch.randn(4, 6)
    metas = [meta_of(x)]
    turned = described((6, 4))
    call = CallExtern(
        "aten.t.default", (over(0, metas[0]),), (), ExternKind.FUNCTIONAL, (over(1, turned),)
    )
    plan = make_plan(metas, [(turned, ExternPlace())], [call], [NewOutput(1, turned)])
    return PlanCase("aliasing", lambda x: (x.t().contiguous(),), (x,), plan, KernelCode())


def mutation_case():
    """An input is written in place by a kernel and by an in-place call, and returned."""
    x, y = torch.randn(8), torch.randn(8)
    metas = [meta_of(x), meta_of(y)]
    call = CallExtern(
        "aten.mul_.Tensor", (over(1, metas[1]), over(0, metas[0])), (), ExternKind.INPLACE, ()
    )

    def run(params, symbols):
        floats(params[0], 8).add_(1)

    plan = make_plan(
        metas,
        [],
        [RunKernel(0, (0,)), call],
        [InputOutput(0), ViewOfInput(1, described((2, 2), (4, 1)))],
        kernels=("grow",),
        mutated=(0, 1),
    )

    def eager(x, y):
        x.add_(1)
        y.mul_(x)
        return x, y.as_strided((2, 2), (4, 1))

    return PlanCase("mutation", eager, (x, y), plan, KernelCode(grow=run))


def layout_case():
    """Outputs with a layout of their own: a view of fresh memory, a view of another output, two of one buffer."""
    x = torch.randn(4, 6)
    metas = [meta_of(x)]
    whole = described((4, 6))
    part = TensorMeta(DType.FLOAT32, (2, 6), (6, 1), offset=12)
    turned = TensorMeta(DType.FLOAT32, (6, 4), (1, 6))
    corner = TensorMeta(DType.FLOAT32, (2,), (1,), offset=3)
    plan = make_plan(
        metas,
        [(whole, OutputPlace()), (whole, OutputPlace())],
        [RunKernel(0, (0, 1)), RunKernel(0, (1, 2))],
        [NewOutput(1, part), NewOutput(2, turned), ViewOfOutput(1, corner)],
        kernels=("add_one",),
    )

    def eager(x):
        turned = (x + 2).t()
        return (x + 1)[2:], turned, turned.as_strided((2,), (1,), 3)

    return PlanCase("layouts", eager, (x,), plan, KernelCode(add_one=add_one(24)))


def constant_case():
    """A constant of the graph, a scalar input, kernels with byte offsets into their buffers."""
    x = torch.randn(8)
    metas = [meta_of(x)]
    data = torch.arange(8, dtype=torch.float32)
    held = ConstantTensor(described((8,)), data.numpy().tobytes())
    out = described((8,))

    def run(params, symbols):
        floats(params[2], 4).copy_(floats(params[0], 4) * floats(params[1], 4))

    plan = make_plan(
        metas,
        [(described((8,)), ConstantPlace(0)), (out, OutputPlace())],
        [
            RunKernel(0, (0, 1, 2)),
            RunKernel(0, (0, 1, 2), (16, 16, 16)),
        ],
        [NewOutput(2, out)],
        kernels=("times",),
        constants=(held,),
    )
    return PlanCase("constant", lambda x: (x * data,), (x,), plan, KernelCode(times=run))


def symbolic_case():
    """Symbolic sizes: in the arena, in an output, in a kernel's symbols, in an extern call."""
    n = SymExpr((Monomial(1, (Power(Symbol("n"), 1),)),))
    x, weight = torch.randn(3, 8), torch.randn(8, 6)
    metas = (TensorMeta(DType.FLOAT32, (n, 8), (8, 1)), meta_of(weight))
    hidden = TensorMeta(DType.FLOAT32, (n, 6), (6, 1))
    call = CallExtern(
        "aten.mm.out",
        (over(0, metas[0]), over(1, metas[1])),
        (),
        ExternKind.OUT,
        (over(2, hidden),),
    )

    def run(params, symbols):
        count = symbols[0] * 6
        floats(params[1], count).copy_(floats(params[0], count) + 1)

    plan = make_plan(
        metas,
        [(hidden, ArenaPlace(0)), (hidden, OutputPlace())],
        [call, RunKernel(0, (2, 3))],
        [NewOutput(3, hidden)],
        kernels=("add_one",),
        symbols=("n",),
    )
    return PlanCase(
        "symbolic",
        lambda x, weight: (x @ weight + 1,),
        (x, weight),
        plan,
        KernelCode(add_one=run),
        symbols=(SymbolBinding("n", ArgSource(0, "x0"), 0),),
        metas=metas,
    )


def all_plan_cases():
    """Every case."""
    return [
        linear_case(),
        matmul_case("aten.mm.out", [(3, 4), (4, 5)], lambda a, b: (a @ b,)),
        matmul_case("aten.bmm.out", [(2, 3, 4), (2, 4, 5)], lambda a, b: (a @ b,)),
        matmul_case(
            "aten.baddbmm.out",
            [(2, 3, 5), (2, 3, 4), (2, 4, 5)],
            lambda c, a, b: (torch.baddbmm(c, a, b),),
        ),
        matmul_case("aten.atan2.out", [(3, 4), (3, 4)], lambda a, b: (torch.atan2(a, b),)),
        convolution_case(bias=True),
        convolution_case(bias=False),
        attention_case(mask=False),
        attention_case(mask=True),
        functional_case(),
        aliasing_case(),
        mutation_case(),
        layout_case(),
        constant_case(),
        symbolic_case(),
    ]
