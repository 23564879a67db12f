"""Statements of the loop IR as instructions.

In: a frame and a list of statements.   Out: instructions at the frame's lanes and mask.
Keeps: loops other than the vectorised one run uniformly: all lanes together. An `If` on a condition that differs
between lanes becomes a mask, with a branch around it for when no lane takes it.
"""

from __future__ import annotations

from typing import assert_never

from graphwright.codegen.llvm.builder import Builder, bfloat16_bits
from graphwright.codegen.llvm.frame import Frame, Local
from graphwright.codegen.llvm.integers import any_lane
from graphwright.codegen.llvm.loops import emit_range, loop_range
from graphwright.codegen.llvm.matmul import emit_matmul_tile
from graphwright.codegen.llvm.memory import emit_load, emit_store
from graphwright.codegen.llvm.scalar import emit_op
from graphwright.codegen.llvm.transpose import emit_transpose_tile
from graphwright.codegen.llvm.types import REGISTER_KIND, Kind, Value
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Compute,
    Const,
    If,
    IndexValue,
    Load,
    Loop,
    MatmulTile,
    Stmt,
    Store,
    TransposeTile,
)
from graphwright.ir.ops import ScalarOp


def emit_body(frame: Frame, body: tuple[Stmt, ...]) -> None:
    """Write a list of statements."""
    for stmt in body:
        _emit_statement(frame, stmt)


def _emit_statement(frame: Frame, stmt: Stmt) -> None:
    match stmt:
        case Const(name, value, dtype):
            frame.locals[name] = Local(dtype, literal(frame.builder, value, dtype))
        case IndexValue(name, index):
            frame.locals[name] = Local(DType.INT64, frame.place(index))
        case Load(name, buffer, index, ahead):
            memory = frame.buffers[buffer]
            loaded = emit_load(frame, memory, frame.place(index), ahead)
            frame.locals[name] = Local(memory.dtype, loaded)
        case Compute():
            _emit_compute(frame, stmt)
        case Store(buffer, index, value, is_streaming):
            operand = frame.operand(value)
            emit_store(
                frame, frame.buffers[buffer], frame.place(index), operand, is_streaming=is_streaming
            )
        case Loop():
            emit_loop(frame, stmt)
        case If():
            _emit_if(frame, stmt)
        case TransposeTile():
            emit_transpose_tile(frame, stmt)
        case MatmulTile():
            emit_matmul_tile(frame, stmt)
        case _:
            assert_never(stmt)


def literal(builder: Builder, text: str, dtype: DType) -> Value:
    """Read a `Const`'s text as an operand."""
    if dtype is DType.BOOL:
        return builder.const(text == "true", Kind.I1)
    if dtype is DType.BFLOAT16:
        return builder.const(bfloat16_bits(float.fromhex(text)), Kind.I16)
    if dtype.is_float:
        return builder.const(float.fromhex(text), REGISTER_KIND[dtype])
    return builder.const(int(text), REGISTER_KIND[dtype])


def _emit_compute(frame: Frame, stmt: Compute) -> None:
    args = [frame.operand(arg) for arg in stmt.args]
    source = frame.local(stmt.args[1 if stmt.op is ScalarOp.WHERE else 0]).dtype
    result = emit_op(frame.builder, stmt.op, args, source, stmt.dtype)
    frame.locals[stmt.name] = Local(stmt.dtype, result)


def _emit_if(frame: Frame, stmt: If) -> None:
    builder = frame.builder
    condition = frame.operand(stmt.condition)
    then, done = builder.label("then"), builder.label("endif")
    if condition.lanes == 1:
        builder.branch_if(condition.text, then, done)
        builder.start_block(then)
        emit_body(frame, stmt.body)
    else:
        mask = condition if frame.mask is None else builder.binary("and", frame.mask, condition)
        builder.branch_if(any_lane(builder, mask).text, then, done)
        builder.start_block(then)
        with frame.in_lanes(frame.lanes, mask):
            emit_body(frame, stmt.body)
    builder.branch(done)
    builder.start_block(done)


def emit_loop(frame: Frame, loop: Loop) -> None:
    """Write a loop that is not split over threads."""
    emit_range(frame, loop, loop_range(frame, loop), emit_body)
