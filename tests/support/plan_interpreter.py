"""Run kernels and plans slowly: the loop IR statement by statement, calls through torch.

What a kernel computes here is its meaning; speed is no aim. Parallel loops run their iterations in reverse, and scratch starts
filled with nonsense, so that a kernel which relies on order or on old contents fails.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from graphwright.ir.arguments import make_argument
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Access,
    Compute,
    Const,
    If,
    IndexValue,
    Load,
    Loop,
    LoopKind,
    MatmulTile,
    Store,
    TransposeTile,
)
from graphwright.ir.loops_verify import verify_kernel
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.ir.overloads import find_overload
from graphwright.ir.plan import (
    ArenaPlace,
    CallExtern,
    ConstantPlace,
    ExternKind,
    ExternPlace,
    InputOutput,
    InputPlace,
    NewOutput,
    OutputPlace,
    Release,
    RunKernel,
    TensorArg,
    TupleArg,
    ViewOfInput,
    ViewOfOutput,
)
from graphwright.ir.plan_text import verify_plan

NUMPY = {
    DType.FLOAT64: np.float64,
    DType.FLOAT32: np.float32,
    DType.FLOAT16: np.float16,
    DType.BFLOAT16: np.float32,
    DType.INT64: np.int64,
    DType.INT32: np.int32,
    DType.INT16: np.int16,
    DType.INT8: np.int8,
    DType.UINT8: np.uint8,
    DType.BOOL: np.bool_,
}


def to_bfloat16(value):
    return np.float32(torch.tensor(float(value), dtype=torch.float32).bfloat16().float().item())


def cast(value, source, target):
    if target is DType.BOOL:
        return np.bool_(value != 0)
    if target is DType.BFLOAT16:
        return to_bfloat16(np.float32(value))
    if source.is_float and target.is_integer:
        return torch.tensor(float(value), dtype=torch.float64).to(target.torch_dtype).numpy()[()]
    return NUMPY[target](value)


class Memory:
    """The elements of a flat tensor."""

    def __init__(self, tensor, dtype):
        self.dtype = dtype
        self.is_bfloat16 = dtype is DType.BFLOAT16
        self.array = (tensor.view(torch.int16) if self.is_bfloat16 else tensor).numpy()

    def load(self, index):
        assert 0 <= index < len(self.array), f"index {index} of {len(self.array)}"
        if self.is_bfloat16:
            bits = int(self.array[index]) & 0xFFFF
            return np.array([bits << 16], dtype=np.uint32).view(np.float32)[0]
        return self.array[index]

    def store(self, index, value):
        assert 0 <= index < len(self.array), f"index {index} of {len(self.array)}"
        if self.is_bfloat16:
            bits = np.array([value], dtype=np.float32).view(np.uint32)[0] >> 16
            self.array[index] = np.array([bits], dtype=np.uint16).view(np.int16)[0]
        else:
            self.array[index] = value


def torch_function(function):
    def apply(*args):
        return function(*[torch.tensor(arg) for arg in args]).numpy()[()]

    return apply


UNARY = {
    ScalarOp.NORMAL_CDF: torch_function(torch.special.ndtr),
    ScalarOp.NEG: lambda a: -a,
    ScalarOp.ABS: abs,
    ScalarOp.LOGICAL_NOT: lambda a: not a,
    ScalarOp.BITWISE_NOT: lambda a: ~a,
    ScalarOp.SIGN: torch_function(torch.sign),
    ScalarOp.IS_NAN: np.isnan,
    ScalarOp.IS_INF: np.isinf,
    ScalarOp.RSQRT: torch_function(torch.rsqrt),
    ScalarOp.SIGNBIT: np.signbit,
}
BINARY = {
    ScalarOp.ADD: lambda a, b: a + b,
    ScalarOp.SUB: lambda a, b: a - b,
    ScalarOp.MUL: lambda a, b: a * b,
    ScalarOp.DIV: lambda a, b: a / b,
    ScalarOp.FLOOR_DIV: torch_function(lambda a, b: torch.div(a, b, rounding_mode="floor")),
    ScalarOp.TRUNC_DIV: torch_function(lambda a, b: torch.div(a, b, rounding_mode="trunc")),
    ScalarOp.MOD: torch_function(torch.remainder),
    ScalarOp.FMOD: torch_function(torch.fmod),
    ScalarOp.MAXIMUM: np.maximum,
    ScalarOp.MINIMUM: np.minimum,
    ScalarOp.FMAX: np.fmax,
    ScalarOp.FMIN: np.fmin,
    ScalarOp.POW: torch_function(torch.pow),
    ScalarOp.ATAN2: torch_function(torch.atan2),
    ScalarOp.COPYSIGN: np.copysign,
    ScalarOp.EQ: lambda a, b: a == b,
    ScalarOp.NE: lambda a, b: a != b,
    ScalarOp.LT: lambda a, b: a < b,
    ScalarOp.LE: lambda a, b: a <= b,
    ScalarOp.GT: lambda a, b: a > b,
    ScalarOp.GE: lambda a, b: a >= b,
    ScalarOp.BITWISE_AND: lambda a, b: a & b,
    ScalarOp.BITWISE_OR: lambda a, b: a | b,
    ScalarOp.BITWISE_XOR: lambda a, b: a ^ b,
}


def compute(op, args, operand_dtypes, dtype):
    if op is ScalarOp.CAST:
        return cast(args[0], operand_dtypes[0], dtype)
    if op is ScalarOp.WHERE:
        return args[1] if args[0] else args[2]
    if op is ScalarOp.BITCAST:
        source = torch.tensor(args[0]).to(operand_dtypes[0].torch_dtype)
        flat = source.reshape(1).view(dtype.torch_dtype)
        return Memory(flat, dtype).load(0)
    if op in BINARY:
        result = BINARY[op](*args)
    elif op in UNARY:
        result = UNARY[op](*args)
    else:
        result = torch_function(getattr(torch, op.value))(*args)
    if dtype is DType.BFLOAT16:
        return to_bfloat16(result)
    return NUMPY[dtype](result)


def constant(text, dtype):
    if dtype is DType.BOOL:
        return np.bool_(text == "true")
    if dtype.is_float:
        return NUMPY[dtype](float.fromhex(text))
    return NUMPY[dtype](int(text))


def identity(op, dtype):
    match op:
        case ReduceOp.SUM:
            return NUMPY[dtype](0)
        case ReduceOp.PROD:
            return NUMPY[dtype](1)
        case ReduceOp.ANY:
            return np.bool_(False)
        case ReduceOp.ALL:
            return np.bool_(True)
        case ReduceOp.MAX | ReduceOp.ARGMAX:
            return NUMPY[dtype](-math.inf) if dtype.is_float else np.iinfo(NUMPY[dtype]).min
        case _:
            return NUMPY[dtype](math.inf) if dtype.is_float else np.iinfo(NUMPY[dtype]).max


COMBINE = {
    ReduceOp.SUM: ScalarOp.ADD,
    ReduceOp.PROD: ScalarOp.MUL,
    ReduceOp.MAX: ScalarOp.MAXIMUM,
    ReduceOp.MIN: ScalarOp.MINIMUM,
    ReduceOp.ANY: ScalarOp.BITWISE_OR,
    ReduceOp.ALL: ScalarOp.BITWISE_AND,
}


class KernelRun:
    def __init__(self, kernel, buffers):
        self.kernel = kernel
        self.memory = dict(zip([param.name for param in kernel.params], buffers, strict=True))
        self.access = {param.name: param.access for param in kernel.params}

    def run(self):
        for param, buffer in zip(self.kernel.params, self.memory.values(), strict=True):
            assert param.dtype is buffer.dtype
        self.fill_scratch()
        with np.errstate(all="ignore"):
            self.block(self.kernel.body, {}, {})

    def fill_scratch(self):
        for scratch in self.kernel.scratch:
            tensor = torch.full((scratch.size,), 77, dtype=torch.float64).to(
                scratch.dtype.torch_dtype
            )
            self.memory[scratch.name] = Memory(tensor, scratch.dtype)

    def index(self, index, values):
        return index.const + sum(int(values[term.name]) * term.coeff for term in index.terms)

    def block(self, statements, values, dtypes):
        """Run statements; names they define go into `values`."""
        for statement in statements:
            match statement:
                case Const():
                    values[statement.name] = constant(statement.value, statement.dtype)
                    dtypes[statement.name] = statement.dtype
                case IndexValue():
                    values[statement.name] = np.int64(self.index(statement.index, values))
                    dtypes[statement.name] = DType.INT64
                case Load():
                    if statement.buffer in self.access:
                        assert self.access[statement.buffer] is not Access.WRITE
                    memory = self.memory[statement.buffer]
                    values[statement.name] = memory.load(self.index(statement.index, values))
                    dtypes[statement.name] = memory.dtype
                case Compute():
                    args = [values[arg] for arg in statement.args]
                    operand_dtypes = [dtypes[arg] for arg in statement.args]
                    values[statement.name] = compute(
                        statement.op, args, operand_dtypes, statement.dtype
                    )
                    dtypes[statement.name] = statement.dtype
                case Store():
                    if statement.buffer in self.access:
                        assert self.access[statement.buffer] is not Access.READ
                    memory = self.memory[statement.buffer]
                    assert dtypes[statement.value] is memory.dtype, (
                        statement,
                        dtypes[statement.value],
                    )
                    memory.store(self.index(statement.index, values), values[statement.value])
                case Loop():
                    self.loop(statement, values, dtypes)
                case If():
                    if values[statement.condition]:
                        self.block(statement.body, dict(values), dict(dtypes))
                case TransposeTile():
                    self.transpose(statement, values)
                case MatmulTile():
                    self.matmul(statement, values)

    def loop(self, loop, values, dtypes):
        start = self.index(loop.start, values)
        stop = min(self.index(end, values) for end in loop.stops)
        carried = [(identity(carry.op, carry.dtype), None) for carry in loop.carries]
        iterations = range(start, stop, loop.step)
        if loop.kind is LoopKind.PARALLEL:
            assert not loop.carries
            iterations = reversed(iterations)
        for value in iterations:
            if loop.kind is LoopKind.PARALLEL:
                self.fill_scratch()
            inner, inner_dtypes = dict(values), dict(dtypes)
            inner[loop.var] = value
            inner_dtypes[loop.var] = DType.INT64
            self.block(loop.body, inner, inner_dtypes)
            carried = [
                self.combine(carry, state, inner, inner_dtypes)
                for carry, state in zip(loop.carries, carried, strict=True)
            ]
        for carry, (value, position) in zip(loop.carries, carried, strict=True):
            is_arg = carry.index is not None
            values[carry.name] = position if is_arg else value
            dtypes[carry.name] = DType.INT64 if is_arg else carry.dtype

    def combine(self, carry, state, values, dtypes):
        best, position = state
        update = values[carry.update]
        assert dtypes[carry.update] is carry.dtype, (carry, dtypes[carry.update])
        if carry.index is None:
            op = COMBINE[carry.op]
            return compute(op, [best, update], [carry.dtype] * 2, carry.dtype), None
        if position is None:
            return update, values[carry.index]
        is_nan, was_nan = update != update, best != best
        better = update > best if carry.op is ReduceOp.ARGMAX else update < best
        if (is_nan and not was_nan) or (better and not was_nan):
            return update, values[carry.index]
        return state

    def transpose(self, tile, values):
        source, target = self.memory[tile.source], self.memory[tile.target]
        source_index = self.index(tile.source_index, values)
        target_index = self.index(tile.target_index, values)
        for row in range(tile.rows):
            for column in range(tile.cols):
                value = source.load(source_index + column * tile.source_stride + row)
                target.store(target_index + row * tile.target_stride + column, value)

    def matmul(self, tile, values):
        target, left, right = (self.memory[name] for name in (tile.target, tile.left, tile.right))
        target_index = self.index(tile.target_index, values)
        left_index = self.index(tile.left_index, values)
        right_index = self.index(tile.right_index, values)
        for row in range(tile.rows):
            for column in range(tile.cols):
                place = target_index + row * tile.target_stride + column
                total = np.float64(target.load(place)) if tile.accumulates else np.float64(0)
                for k in range(tile.depth):
                    one = left.load(
                        left_index + row * tile.left_row_stride + k * tile.left_depth_stride
                    )
                    two = right.load(right_index + k * tile.right_stride + column)
                    total += np.float64(one) * np.float64(two)
                target.store(place, NUMPY[target.dtype](total))


def flat_memory(tensor, numel):
    """Give `numel` elements from the tensor's first one on, sharing its memory."""
    return tensor.as_strided((numel,), (1,), tensor.storage_offset())


class PlanRun:
    def __init__(self, lowered, inputs, run_kernel=None):
        self.plan = lowered.plan
        self.kernels = lowered.kernels
        verify_plan(lowered.plan, lowered.kernels)
        for kernel in lowered.kernels:
            verify_kernel(kernel)
        self.inputs = inputs
        self.run_kernel = run_kernel or self.interpret
        arena = max(self.plan.arena_bytes, 1)
        self.arena = torch.full((arena,), 0x55, dtype=torch.uint8)
        self.tensors = {}
        for number, buffer in enumerate(self.plan.buffers):
            self.tensors[number] = self.make(buffer)

    def make(self, buffer):
        """Give the buffer's memory as a flat tensor."""
        numel = buffer.size_bytes // buffer.dtype.size_bytes
        match buffer.place:
            case InputPlace(index):
                return flat_memory(self.inputs[index], numel)
            case ArenaPlace(offset):
                assert offset % 64 == 0
                assert offset + buffer.size_bytes <= self.plan.arena_bytes
                part = self.arena[offset : offset + buffer.size_bytes]
                return part.view(buffer.dtype.torch_dtype)
            case OutputPlace():
                return torch.full((numel,), 99, dtype=torch.float64).to(buffer.dtype.torch_dtype)
            case ConstantPlace(index):
                constant = self.plan.constants[index]
                data = torch.frombuffer(bytearray(constant.data), dtype=torch.uint8)
                return data.view(buffer.dtype.torch_dtype)
            case ExternPlace():
                return None

    def run(self):
        for step in self.plan.steps:
            match step:
                case RunKernel():
                    assert not step.offsets_bytes
                    kernel = self.kernels[step.kernel]
                    assert kernel.name == self.plan.kernels[step.kernel].symbol
                    self.run_kernel(kernel, [self.tensors[number] for number in step.buffers])
                case CallExtern():
                    self.call(step)
                case Release():
                    assert isinstance(self.plan.buffers[step.buffer].place, ExternPlace)
                    self.tensors[step.buffer] = None
        outputs = []
        for output in self.plan.outputs:
            outputs.append(self.output(output, outputs))
        return outputs

    def interpret(self, kernel, tensors):
        memories = [
            Memory(tensor.view(param.dtype.torch_dtype), param.dtype)
            for tensor, param in zip(tensors, kernel.params, strict=True)
        ]
        KernelRun(kernel, memories).run()

    def output(self, output, earlier):
        match output:
            case NewOutput(number, meta):
                flat = self.tensors[number]
                return flat.as_strided(
                    meta.shape, meta.strides, flat.storage_offset() + meta.offset
                )
            case InputOutput(index):
                return self.inputs[index]
            case ViewOfInput(index, meta):
                base = self.inputs[index]
                return base.as_strided(
                    meta.shape, meta.strides, base.storage_offset() + meta.offset
                )
            case ViewOfOutput(index, meta):
                base = earlier[index]
                return base.as_strided(
                    meta.shape, meta.strides, base.storage_offset() + meta.offset
                )

    def tensor(self, arg):
        flat = self.tensors[arg.buffer]
        if flat.dtype != arg.dtype.torch_dtype:
            flat = flat.view(arg.dtype.torch_dtype)
        return flat.as_strided(arg.shape, arg.strides, flat.storage_offset() + arg.offset)

    def argument(self, arg):
        match arg:
            case TensorArg():
                return self.tensor(arg)
            case TupleArg():
                return [self.argument(item) for item in arg.items]
            case _:
                return make_argument(arg, ())

    def call(self, step):
        overload = find_overload(step.op)
        args = [self.argument(arg) for arg in step.args]
        kwargs = {kwarg.name: self.argument(kwarg.value) for kwarg in step.kwargs}
        if step.kind is ExternKind.OUT:
            names = [arg.name for arg in overload._schema.arguments if arg.is_out]
            outs = [self.tensor(out) for out in step.outs]
            before = [out.data_ptr() for out in outs]
            overload(*args, **kwargs, **dict(zip(names, outs, strict=True)))
            assert [out.data_ptr() for out in outs] == before
            return
        results = overload(*args, **kwargs)
        if step.kind in (ExternKind.INPLACE, ExternKind.CHECK):
            return
        flat = []
        for result in results if isinstance(results, (tuple, list)) else [results]:
            flat += result if isinstance(result, (tuple, list)) else [result]
        for out, result in zip(step.outs, flat, strict=True):
            if out is not None:
                buffer = self.plan.buffers[out.buffer]
                copy = torch.empty_strided(buffer.shape, buffer.strides, dtype=result.dtype)
                copy.copy_(result)
                numel = buffer.size_bytes // buffer.dtype.size_bytes
                self.tensors[out.buffer] = flat_memory(copy, numel)


def run_lowered(lowered, inputs, run_kernel=None):
    """Run a lowered graph on inputs, as the plan says."""
    return PlanRun(lowered, inputs, run_kernel).run()
