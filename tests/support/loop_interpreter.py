"""The meaning of the loop IR, in plain Python: each statement run on torch scalars, one iteration after the other.

In: a kernel, its buffers as flat tensors, the values of its size symbols.   Out: the buffers, changed.
Slow and obvious: what the compiled kernels are tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

import torch

from graphwright.ir.dims import evaluate_dim as evaluate
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    MatmulTile,
    Stmt,
    Store,
    TransposeTile,
)
from graphwright.ir.ops import ReduceOp, ScalarOp

OPS: dict[ScalarOp, Callable[..., torch.Tensor]] = {
    ScalarOp.ADD: torch.add,
    ScalarOp.SUB: torch.sub,
    ScalarOp.MUL: torch.mul,
    ScalarOp.DIV: torch.div,
    ScalarOp.FLOOR_DIV: lambda a, b: _guarded(torch.floor_divide, a, b),
    ScalarOp.TRUNC_DIV: lambda a, b: _guarded(
        lambda x, y: torch.div(x, y, rounding_mode="trunc"), a, b
    ),
    ScalarOp.MOD: lambda a, b: _guarded(torch.remainder, a, b),
    ScalarOp.FMOD: lambda a, b: _guarded(torch.fmod, a, b),
    ScalarOp.NEG: torch.neg,
    ScalarOp.ABS: torch.abs,
    ScalarOp.RECIPROCAL: torch.reciprocal,
    ScalarOp.SQRT: torch.sqrt,
    ScalarOp.RSQRT: torch.rsqrt,
    ScalarOp.EXP: torch.exp,
    ScalarOp.EXP2: torch.exp2,
    ScalarOp.EXPM1: torch.expm1,
    ScalarOp.LOG: torch.log,
    ScalarOp.LOG2: torch.log2,
    ScalarOp.LOG10: torch.log10,
    ScalarOp.LOG1P: torch.log1p,
    ScalarOp.SIN: torch.sin,
    ScalarOp.COS: torch.cos,
    ScalarOp.TAN: torch.tan,
    ScalarOp.ASIN: torch.asin,
    ScalarOp.ACOS: torch.acos,
    ScalarOp.ATAN: torch.atan,
    ScalarOp.ATAN2: torch.atan2,
    ScalarOp.SINH: torch.sinh,
    ScalarOp.COSH: torch.cosh,
    ScalarOp.TANH: torch.tanh,
    ScalarOp.ERF: torch.erf,
    ScalarOp.ERFC: torch.erfc,
    ScalarOp.NORMAL_CDF: torch.special.ndtr,
    ScalarOp.SIGMOID: torch.sigmoid,
    ScalarOp.POW: torch.pow,
    ScalarOp.MAXIMUM: torch.maximum,
    ScalarOp.MINIMUM: torch.minimum,
    ScalarOp.FMAX: torch.fmax,
    ScalarOp.FMIN: torch.fmin,
    ScalarOp.FLOOR: torch.floor,
    ScalarOp.CEIL: torch.ceil,
    ScalarOp.ROUND: torch.round,
    ScalarOp.TRUNC: torch.trunc,
    ScalarOp.SIGN: torch.sign,
    ScalarOp.COPYSIGN: torch.copysign,
    ScalarOp.SIGNBIT: torch.signbit,
    ScalarOp.IS_NAN: torch.isnan,
    ScalarOp.IS_INF: torch.isinf,
    ScalarOp.EQ: torch.eq,
    ScalarOp.NE: torch.ne,
    ScalarOp.LT: torch.lt,
    ScalarOp.LE: torch.le,
    ScalarOp.GT: torch.gt,
    ScalarOp.GE: torch.ge,
    ScalarOp.LOGICAL_NOT: torch.logical_not,
    ScalarOp.BITWISE_AND: torch.bitwise_and,
    ScalarOp.BITWISE_OR: torch.bitwise_or,
    ScalarOp.BITWISE_XOR: torch.bitwise_xor,
    ScalarOp.BITWISE_NOT: torch.bitwise_not,
    ScalarOp.SHIFT_LEFT: torch.bitwise_left_shift,
    ScalarOp.SHIFT_RIGHT: torch.bitwise_right_shift,
    ScalarOp.WHERE: torch.where,
}
"""What eager calls each operation; `CAST` and `BITCAST` take a dtype and are apart."""


def _guarded(
    function: Callable[..., torch.Tensor], a: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    """Call an integer division, or give 0 where it would divide by zero."""
    if not a.dtype.is_floating_point and b.item() == 0:
        return torch.zeros((), dtype=a.dtype)
    return function(a, b)


def apply(op: ScalarOp, args: list[torch.Tensor], dtype: DType) -> torch.Tensor:
    """Apply an operation to scalars (or tensors of one shape)."""
    if op is ScalarOp.CAST:
        return args[0].to(dtype.torch_dtype)
    if op is ScalarOp.BITCAST:
        return args[0].view(dtype.torch_dtype)
    return OPS[op](*args)


def _reduce(carry: Carry, updates: list[torch.Tensor], indices: list[int]) -> torch.Tensor:
    dtype = carry.dtype.torch_dtype
    values = torch.stack(updates) if updates else torch.empty(0, dtype=dtype)
    wide = values.double() if dtype.is_floating_point else values
    match carry.op:
        case ReduceOp.SUM:
            return wide.sum().to(dtype)
        case ReduceOp.PROD:
            return wide.prod().to(dtype)
        case ReduceOp.ANY:
            return values.any()
        case ReduceOp.ALL:
            return values.all()
        case ReduceOp.MAX | ReduceOp.MIN:
            is_max = carry.op is ReduceOp.MAX
            if not updates:
                return torch.tensor(_limit(dtype, is_max), dtype=dtype)
            return values.amax() if is_max else values.amin()
        case ReduceOp.ARGMAX:
            return torch.tensor(indices[int(_first_extreme(values, is_max=True))])
        case ReduceOp.ARGMIN:
            return torch.tensor(indices[int(_first_extreme(values, is_max=False))])
        case _:
            assert_never(carry.op)


def _first_extreme(values: torch.Tensor, *, is_max: bool) -> int:
    if values.dtype.is_floating_point and bool(values.isnan().any()):
        return int(values.isnan().int().argmax())
    best = values.amax() if is_max else values.amin()
    return int((values == best).int().argmax())


def _limit(dtype: torch.dtype, is_max: bool) -> float:
    if dtype is torch.bool:
        return not is_max
    if dtype.is_floating_point:
        return float("-inf") if is_max else float("inf")
    info = torch.iinfo(dtype)
    return info.min if is_max else info.max


class Interpreter:
    """Runs one kernel on flat buffers."""

    def __init__(
        self, kernel: Kernel, buffers: Mapping[str, torch.Tensor], symbols: Mapping[str, int]
    ) -> None:
        self.kernel = kernel
        self.symbols = symbols
        self.buffers = dict(buffers)
        for scratch in kernel.scratch:
            self.buffers[scratch.name] = torch.zeros(scratch.size, dtype=scratch.dtype.torch_dtype)
        self.values: dict[str, torch.Tensor | int] = {}

    def run(self) -> None:
        """Run the kernel's statements."""
        self.run_body(self.kernel.body)

    def run_body(self, body: tuple[Stmt, ...]) -> None:
        """Run a list of statements."""
        for stmt in body:
            self.run_statement(stmt)

    def index(self, index: Index) -> int:
        """Evaluate an index."""
        total = evaluate(index.const, self.symbols)
        for term in index.terms:
            total += int(self.values[term.name]) * evaluate(term.coeff, self.symbols)
        return total

    def value(self, name: str) -> torch.Tensor:
        """Give a value as a scalar tensor."""
        value = self.values[name]
        return value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.int64)

    def run_statement(self, stmt: Stmt) -> None:
        """Run one statement."""
        match stmt:
            case Const(name, text, dtype):
                self.values[name] = _literal(text, dtype)
            case IndexValue(name, index):
                self.values[name] = self.index(index)
            case Load(name, buffer, index):
                self.values[name] = self.element(buffer, self.index(index)).clone()
            case Compute(name, op, args, dtype):
                self.values[name] = apply(op, [self.value(arg) for arg in args], dtype)
                assert self.values[name].dtype is dtype.torch_dtype, (
                    f"{op} gave {self.values[name].dtype}"
                )
            case Store(buffer, index, value):
                self.element(buffer, self.index(index)).copy_(self.value(value))
            case Loop():
                self.run_loop(stmt)
            case If(condition, body):
                if bool(self.value(condition)):
                    self.run_body(body)
            case TransposeTile():
                self.run_transpose(stmt)
            case MatmulTile():
                self.run_matmul(stmt)
            case _:
                assert_never(stmt)

    def element(self, buffer: str, index: int) -> torch.Tensor:
        """Give one element as a view."""
        memory = self.buffers[buffer]
        assert 0 <= index < memory.numel(), f"{buffer}[{index}] of {memory.numel()}"
        return memory[index]

    def run_loop(self, loop: Loop) -> None:
        """Run all iterations of a loop."""
        start = self.index(loop.start)
        stop = min(self.index(bound) for bound in loop.stops)
        updates: list[list[torch.Tensor]] = [[] for _ in loop.carries]
        indices: list[list[int]] = [[] for _ in loop.carries]
        for number in range(start, stop, loop.step):
            self.values[loop.var] = number
            self.run_body(loop.body)
            for position, carry in enumerate(loop.carries):
                updates[position].append(self.value(carry.update))
                if carry.index is not None:
                    indices[position].append(int(self.values[carry.index]))
        for position, carry in enumerate(loop.carries):
            self.values[carry.name] = _reduce(carry, updates[position], indices[position])

    def run_transpose(self, stmt: TransposeTile) -> None:
        """Copy a tile, transposed."""
        target, source = self.index(stmt.target_index), self.index(stmt.source_index)
        target_stride = evaluate(stmt.target_stride, self.symbols)
        source_stride = evaluate(stmt.source_stride, self.symbols)
        for row in range(stmt.rows):
            for col in range(stmt.cols):
                value = self.element(stmt.source, source + col * source_stride + row)
                self.element(stmt.target, target + row * target_stride + col).copy_(value)

    def run_matmul(self, stmt: MatmulTile) -> None:
        """Multiply two tiles in float64; the sums are rounded once."""
        target_stride = evaluate(stmt.target_stride, self.symbols)
        row_stride = evaluate(stmt.left_row_stride, self.symbols)
        depth_stride = evaluate(stmt.left_depth_stride, self.symbols)
        right_stride = evaluate(stmt.right_stride, self.symbols)
        target, left = self.index(stmt.target_index), self.index(stmt.left_index)
        right = self.index(stmt.right_index)
        for row in range(stmt.rows):
            for col in range(stmt.cols):
                place = self.element(stmt.target, target + row * target_stride + col)
                total = place.double() if stmt.accumulates else torch.zeros((), dtype=torch.double)
                for k in range(stmt.depth):
                    one = self.element(stmt.left, left + row * row_stride + k * depth_stride)
                    two = self.element(stmt.right, right + k * right_stride + col)
                    total += one.double() * two.double()
                place.copy_(total)


def _literal(text: str, dtype: DType) -> torch.Tensor:
    if dtype is DType.BOOL:
        return torch.tensor(text == "true")
    number = float.fromhex(text) if dtype.is_float else int(text)
    return torch.tensor(number, dtype=dtype.torch_dtype)


def interpret(
    kernel: Kernel, buffers: list[torch.Tensor], symbols: Mapping[str, int] | None = None
) -> None:
    """Run `kernel` on its params' tensors (flat views of them are changed in place)."""
    flat = {
        param.name: tensor.view(-1) for param, tensor in zip(kernel.params, buffers, strict=True)
    }
    Interpreter(kernel, flat, symbols or {}).run()
