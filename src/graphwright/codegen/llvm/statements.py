"""Statements of the loop IR as instructions.

In: a frame and a list of statements.   Out: instructions at the frame's lanes and mask.
Keeps: loops other than the vectorised one run uniformly: all lanes together. An `If` on a condition that differs
between lanes becomes a mask, with a branch around it for when no lane takes it.
"""

from __future__ import annotations

from typing import Final, assert_never

from graphwright.codegen.llvm import reductions
from graphwright.codegen.llvm.builder import Builder, Int, bfloat16_bits, index_value
from graphwright.codegen.llvm.frame import Frame, Local, Place
from graphwright.codegen.llvm.integers import any_lane
from graphwright.codegen.llvm.memory import emit_load, emit_store
from graphwright.codegen.llvm.reductions import Accumulator
from graphwright.codegen.llvm.scalar import emit_op
from graphwright.codegen.llvm.transpose import emit_transpose_tile
from graphwright.codegen.llvm.types import REGISTER_KIND, Kind, Value, type_text
from graphwright.codegen.llvm.widths import Width, choose_width
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Compute,
    Const,
    If,
    IndexValue,
    Load,
    Loop,
    LoopKind,
    Stmt,
    Store,
    TransposeTile,
)
from graphwright.ir.ops import ScalarOp

MAX_UNROLLED: Final = 64
"""An `UNROLLED` loop of more iterations is left as a loop."""

Accumulators = tuple[Accumulator, ...]


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
        case Load(name, buffer, index):
            memory = frame.buffers[buffer]
            frame.locals[name] = Local(memory.dtype, emit_load(frame, memory, frame.place(index)))
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
    builder = frame.builder
    start = frame.uniform(loop.start)
    stop = frame.uniform(loop.stops[0])
    for other in loop.stops[1:]:
        stop = builder.index_min(stop, frame.uniform(other))
    emit_range(frame, loop, start, stop)


def emit_range(frame: Frame, loop: Loop, start: Int, stop: Int) -> None:
    """Write the iterations of `loop` for its variable in `range(start, stop, loop.step)`; define its carries."""
    count = None
    if isinstance(start, int) and isinstance(stop, int):
        count = max(0, -(-(stop - start) // loop.step))
    if frame.lanes == 1 and loop.kind in (LoopKind.VECTOR, LoopKind.PARALLEL):
        dtypes = {name: local.dtype for name, local in frame.locals.items()}
        buffers = {name: memory.dtype for name, memory in frame.buffers.items()}
        width = choose_width(loop, count, dtypes, buffers, frame.target)
        if width is not None:
            _emit_vectorised(frame, loop, start, stop, width)
            return
    first = _identities(frame, loop)
    if (
        loop.kind is LoopKind.UNROLLED
        and count is not None
        and count <= MAX_UNROLLED
        and isinstance(start, int)
    ):
        accumulators = first
        for number in range(count):
            accumulators = _emit_iteration(frame, loop, start + number * loop.step, accumulators, 0)
    else:
        accumulators = _emit_phase(frame, loop, start, stop, first, 0)
    _define_carries(frame, loop, accumulators)


def _identities(frame: Frame, loop: Loop) -> Accumulators:
    builder = frame.builder
    return tuple(
        tuple(builder.splat(part, frame.lanes) for part in reductions.identity(builder, carry))
        for carry in loop.carries
    )


def _define_carries(frame: Frame, loop: Loop, accumulators: Accumulators) -> None:
    for carry, accumulator in zip(loop.carries, accumulators, strict=True):
        value, dtype = reductions.finish(frame.builder, carry, accumulator)
        frame.locals[carry.name] = Local(dtype, value)


def _emit_iteration(
    frame: Frame, loop: Loop, var: Int, before: Accumulators, lane_step: int
) -> Accumulators:
    """Write the body once, at the frame's lanes.

    Args:
        frame: where.
        loop: whose body.
        var: the loop variable of the first lane.
        before: the accumulators so far.
        lane_step: distance of the loop variable from lane to lane; 0 if all lanes share it.

    Returns:
        The accumulators with this iteration taken in.
    """
    builder = frame.builder
    frame.locals[loop.var] = Local(DType.INT64, Place(var, lane_step))
    emit_body(frame, loop.body)
    after = []
    for carry, accumulator in zip(loop.carries, before, strict=True):
        update = builder.splat(frame.operand(carry.update), frame.lanes)
        index = (
            None if carry.index is None else builder.splat(frame.operand(carry.index), frame.lanes)
        )
        joined = reductions.combine(
            builder, carry, accumulator, reductions.taken_in(builder, carry, update, index)
        )
        if frame.mask is not None and lane_step != 0:
            pairs = zip(joined, accumulator, strict=True)
            joined = tuple(builder.select(frame.mask, new, old) for new, old in pairs)
        after.append(joined)
    return tuple(after)


def _emit_phase(
    frame: Frame,
    loop: Loop,
    start: Int,
    stop: Int,
    before: Accumulators,
    lane_step: int,
    *,
    is_tail: bool = False,
) -> Accumulators:
    """Write a loop over `[start, stop)` in steps of the frame's lanes (of one iteration, where `lane_step` is 0).

    With `is_tail`, the last lanes past `stop` are masked off; otherwise the range is a multiple of the step.
    """
    builder = frame.builder
    stride = loop.step * (frame.lanes if lane_step else 1)
    if isinstance(start, int) and isinstance(stop, int):
        if start >= stop:
            return before
        if start + stride >= stop:
            return _emit_step(frame, loop, start, stop, before, lane_step, is_tail=is_tail)
    header, done = builder.label("loop"), builder.label("done")
    guard = builder.block
    if isinstance(start, int) and isinstance(stop, int):
        builder.branch(header)
    else:
        is_any = builder.compare("icmp slt", index_value(start), index_value(stop))
        builder.branch_if(is_any.text, header, done)
    builder.start_block(header)
    hole = len(builder.lines)
    var, phis = builder.fresh(), _phi_names(builder, before)
    after = _emit_step(frame, loop, var, stop, phis, lane_step, is_tail=is_tail)
    following = builder.index_add(var, stride)
    latch = builder.block
    builder.lines[hole:hole] = [
        f"{var} = phi i64 [ {start}, %{guard} ], [ {following}, %{latch} ]",
        *_phi_lines(phis, before, guard, after, latch),
    ]
    is_more = builder.compare("icmp slt", index_value(following), index_value(stop))
    builder.branch_if(is_more.text, header, done)
    builder.start_block(done)
    if isinstance(start, int) and isinstance(stop, int):
        return after
    results = _phi_names(builder, before)
    builder.lines.extend(_phi_lines(results, before, guard, after, latch))
    return results


def _emit_step(
    frame: Frame,
    loop: Loop,
    var: Int,
    stop: Int,
    before: Accumulators,
    lane_step: int,
    *,
    is_tail: bool,
) -> Accumulators:
    """Write one step of a phase, under the mask of the lanes below `stop` if it is the tail."""
    if not is_tail:
        return _emit_iteration(frame, loop, var, before, lane_step)
    builder, lanes = frame.builder, frame.lanes
    left = builder.index_subtract(stop, var)
    if loop.step != 1:
        rounded = builder.index_add(left, loop.step - 1)
        left = builder.binary("udiv", index_value(rounded), index_value(loop.step)).text
    live = builder.index_min(left, lanes)
    dead = builder.index_subtract(lanes, live)
    bits = f"i{lanes}"
    dead_name, mask_bits = builder.fresh(), builder.fresh()
    if lanes == 64:
        builder.lines.append(f"{dead_name} = add i64 {dead}, 0")
    elif lanes < 64:
        builder.lines.append(f"{dead_name} = trunc i64 {dead} to {bits}")
    else:
        builder.lines.append(f"{dead_name} = zext i64 {dead} to {bits}")
    builder.lines.append(f"{mask_bits} = lshr {bits} -1, {dead_name}")
    mask = builder.emit(f"bitcast {bits} {mask_bits} to <{lanes} x i1>", Kind.I1, lanes)
    with frame.in_lanes(lanes, mask):
        return _emit_iteration(frame, loop, var, before, lane_step)


def _phi_names(builder: Builder, like: Accumulators) -> Accumulators:
    return tuple(
        tuple(Value(builder.fresh(), part.kind, part.lanes) for part in parts) for parts in like
    )


def _phi_lines(
    phis: Accumulators, first: Accumulators, guard: str, after: Accumulators, latch: str
) -> list[str]:
    return [
        f"{phi.text} = phi {type_text(phi.kind, phi.lanes)} [ {old.text}, %{guard} ], [ {new.text}, %{latch} ]"
        for phi_parts, old_parts, new_parts in zip(phis, first, after, strict=True)
        for phi, old, new in zip(phi_parts, old_parts, new_parts, strict=True)
    ]


def _emit_vectorised(frame: Frame, loop: Loop, start: Int, stop: Int, width: Width) -> None:
    """Write a vector loop: wide steps, then vector steps, then what is left under a mask or one by one."""
    builder = frame.builder
    phases = [width.wide_lanes]
    if width.lanes != width.wide_lanes and not frame.target.has_masks:
        phases.append(width.lanes)
    accumulators: Accumulators | None = None
    position = start
    for lanes in phases:
        with frame.in_lanes(lanes, None):
            accumulators = _narrowed(frame, loop, accumulators)
            end = _whole_steps_end(builder, position, stop, lanes * loop.step)
            accumulators = _emit_phase(frame, loop, position, end, accumulators, loop.step)
            position = end
    tail_lanes = width.lanes if frame.target.has_masks else 1
    if isinstance(position, int) and isinstance(stop, int) and position >= stop:
        tail_lanes = 1
    with frame.in_lanes(tail_lanes, None):
        accumulators = _narrowed(frame, loop, accumulators)
        is_tail = tail_lanes > 1
        accumulators = _emit_phase(
            frame, loop, position, stop, accumulators, loop.step if is_tail else 0, is_tail=is_tail
        )
    with frame.in_lanes(1, None):
        _define_carries(frame, loop, _narrowed(frame, loop, accumulators))


def _narrowed(frame: Frame, loop: Loop, accumulators: Accumulators | None) -> Accumulators:
    """Bring accumulators to the frame's lanes; fresh ones if there are none yet."""
    if accumulators is None:
        return _identities(frame, loop)
    pairs = zip(loop.carries, accumulators, strict=True)
    return tuple(
        reductions.narrow(frame.builder, carry, parts, frame.lanes) for carry, parts in pairs
    )


def _whole_steps_end(builder: Builder, start: Int, stop: Int, stride: int) -> Int:
    """Give where the last whole step of `stride` from `start` ends."""
    if isinstance(start, int) and isinstance(stop, int):
        return start + max(0, stop - start) // stride * stride
    length = builder.index_max(builder.index_subtract(stop, start), 0)
    if stride & (stride - 1) == 0:
        whole = builder.binary("and", index_value(length), builder.const(-stride, Kind.I64)).text
    else:
        rest = builder.binary("urem", index_value(length), index_value(stride)).text
        whole = str(builder.index_subtract(length, rest))
    return builder.index_add(start, whole)
