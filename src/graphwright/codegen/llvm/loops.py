"""Loops as instructions: uniform, unrolled, or vectorised with a masked (or scalar) tail.

In: a frame, a loop, and how its body is written.   Out: instructions; the loop's carries are defined in the frame.

A vectorised loop over [start, stop) is written in phases, each a loop of its own where it runs more than once:

    wide steps      several vectors at a time, where accumulators would otherwise wait for each other
    vector steps    only where there are no masks
    the tail        vector steps under a mask of the lanes below `stop`; one by one where there are no masks

Accumulators go from phase to phase, and are folded from many lanes to fewer in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from graphwright.codegen.llvm import reductions
from graphwright.codegen.llvm.builder import Builder, Int, index_value
from graphwright.codegen.llvm.frame import Frame, Local, Place
from graphwright.codegen.llvm.reductions import Accumulator
from graphwright.codegen.llvm.types import Kind, Value, type_text
from graphwright.codegen.llvm.widths import Width, choose_width
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Loop, LoopKind, Stmt

MAX_UNROLLED: Final = 64
"""An `UNROLLED` loop of more iterations is left as a loop."""

Accumulators = tuple[Accumulator, ...]
BodyEmitter = Callable[[Frame, tuple[Stmt, ...]], None]


class Range:
    """The iterations to write: bounds, and what is known to divide them (as in `Place`)."""

    __slots__ = ("divisor", "start", "stop", "stop_divisor")

    def __init__(self, start: Int, stop: Int, divisor: int = 1, stop_divisor: int = 1) -> None:
        self.start = start
        self.stop = stop
        self.divisor = start if isinstance(start, int) else divisor
        self.stop_divisor = stop if isinstance(stop, int) else stop_divisor

    def is_whole(self, stride: int) -> bool:
        """True if the range is surely a whole number of steps of `stride`."""
        return self.divisor % stride == 0 and self.stop_divisor % stride == 0

    @property
    def constant(self) -> tuple[int, int] | None:
        """The bounds, if both are known."""
        if isinstance(self.start, int) and isinstance(self.stop, int):
            return self.start, self.stop
        return None


def loop_range(frame: Frame, loop: Loop) -> Range:
    """Evaluate the bounds of a loop."""
    start = frame.uniform(loop.start)
    stops = [frame.uniform(stop) for stop in loop.stops]
    least = stops[0].base
    for stop in stops[1:]:
        least = frame.builder.index_min(least, stop.base)
    return Range(start.base, least, start.divisor, math.gcd(*(stop.divisor for stop in stops)))


def emit_range(frame: Frame, loop: Loop, bounds: Range, emit_body: BodyEmitter) -> None:
    """Write the iterations of `loop` for its variable in `range(start, stop, loop.step)`; define its carries."""
    writer = _LoopWriter(frame, loop, emit_body)
    count = None
    if bounds.constant is not None:
        count = max(0, -(-(bounds.constant[1] - bounds.constant[0]) // loop.step))
    if frame.lanes == 1 and loop.kind in (LoopKind.VECTOR, LoopKind.PARALLEL):
        dtypes = {name: local.dtype for name, local in frame.locals.items()}
        buffers = {name: memory.dtype for name, memory in frame.buffers.items()}
        width = choose_width(loop, count, dtypes, buffers, frame.target)
        if width is not None:
            writer.emit_vectorised(bounds, width)
            return
    if loop.kind is LoopKind.UNROLLED and count is not None and count <= MAX_UNROLLED:
        writer.emit_unrolled(bounds, count)
    else:
        writer.emit_uniform(bounds)


class _LoopWriter:
    """Writes one loop."""

    def __init__(self, frame: Frame, loop: Loop, emit_body: BodyEmitter) -> None:
        self._frame = frame
        self._builder = frame.builder
        self._loop = loop
        self._emit_body = emit_body

    def emit_uniform(self, bounds: Range) -> None:
        """Write the loop with all lanes of the frame sharing its variable."""
        accumulators = self._emit_phase(bounds, self._identities(), 0)
        self._define_carries(accumulators)

    def emit_unrolled(self, bounds: Range, count: int) -> None:
        """Write the body once for each iteration."""
        accumulators = self._identities()
        var = bounds.start
        for _ in range(count):
            accumulators = self._emit_iteration(Place(var), accumulators)
            var = self._builder.index_add(var, self._loop.step)
        self._define_carries(accumulators)

    def emit_vectorised(self, bounds: Range, width: Width) -> None:
        """Write wide steps, then vector steps, then what is left under a mask or one by one."""
        frame, step = self._frame, self._loop.step
        has_masks = frame.target.has_masks
        phases = [width.wide_lanes]
        if width.lanes != width.wide_lanes and not has_masks:
            phases.append(width.lanes)
        accumulators: Accumulators | None = None
        rest, is_whole = bounds, False
        for lanes in phases:
            with frame.in_lanes(lanes, None):
                accumulators = self._narrowed(accumulators)
                is_whole = rest.is_whole(lanes * step)
                end = rest.stop if is_whole else self._whole_steps_end(rest, lanes * step)
                whole = Range(rest.start, end, rest.divisor)
                accumulators = self._emit_phase(whole, accumulators, step)
                divisor = math.gcd(rest.divisor, lanes * step)
                rest = Range(end, bounds.stop, divisor, bounds.stop_divisor)
                if is_whole:
                    break
        is_done = is_whole or (rest.constant is not None and rest.constant[0] >= rest.constant[1])
        tail_lanes = width.lanes if has_masks and not is_done else 1
        with frame.in_lanes(tail_lanes, None):
            accumulators = self._narrowed(accumulators)
            is_tail = tail_lanes > 1
            if not is_done:
                accumulators = self._emit_phase(
                    rest, accumulators, step if is_tail else 0, is_tail=is_tail
                )
        with frame.in_lanes(1, None):
            self._define_carries(self._narrowed(accumulators))

    def _identities(self) -> Accumulators:
        builder, lanes = self._builder, self._frame.lanes
        return tuple(
            tuple(builder.splat(part, lanes) for part in reductions.identity(builder, carry))
            for carry in self._loop.carries
        )

    def _define_carries(self, accumulators: Accumulators) -> None:
        for carry, accumulator in zip(self._loop.carries, accumulators, strict=True):
            value, dtype = reductions.finish(self._builder, carry, accumulator)
            self._frame.locals[carry.name] = Local(dtype, value)

    def _narrowed(self, accumulators: Accumulators | None) -> Accumulators:
        """Bring accumulators to the frame's lanes; fresh ones if there are none yet."""
        if accumulators is None:
            return self._identities()
        pairs = zip(self._loop.carries, accumulators, strict=True)
        lanes = self._frame.lanes
        return tuple(
            reductions.narrow(self._builder, carry, parts, lanes) for carry, parts in pairs
        )

    def _whole_steps_end(self, bounds: Range, stride: int) -> Int:
        """Give where the last whole step of `stride` ends."""
        builder = self._builder
        if bounds.constant is not None:
            start, stop = bounds.constant
            return start + max(0, stop - start) // stride * stride
        length = builder.index_max(builder.index_subtract(bounds.stop, bounds.start), 0)
        if stride & (stride - 1) == 0:
            mask = builder.const(-stride, Kind.I64)
            whole: Int = builder.binary("and", index_value(length), mask).text
        else:
            rest = builder.binary("urem", index_value(length), index_value(stride)).text
            whole = builder.index_subtract(length, rest)
        return builder.index_add(bounds.start, whole)

    def _emit_iteration(self, var: Place, before: Accumulators) -> Accumulators:
        """Write the body once, at the frame's lanes; give the accumulators with it taken in."""
        builder, frame = self._builder, self._frame
        frame.locals[self._loop.var] = Local(DType.INT64, var)
        self._emit_body(frame, self._loop.body)
        after = []
        for carry, accumulator in zip(self._loop.carries, before, strict=True):
            update = builder.splat(frame.operand(carry.update), frame.lanes)
            index = None
            if carry.index is not None:
                index = builder.splat(frame.operand(carry.index), frame.lanes)
            taken = reductions.taken_in(builder, carry, update, index)
            joined = reductions.combine(builder, carry, accumulator, taken)
            if frame.mask is not None and not var.is_uniform:
                pairs = zip(joined, accumulator, strict=True)
                joined = tuple(builder.select(frame.mask, new, old) for new, old in pairs)
            after.append(joined)
        return tuple(after)

    def _emit_phase(
        self, bounds: Range, before: Accumulators, lane_step: int, *, is_tail: bool = False
    ) -> Accumulators:
        """Write a loop over a range.

        Args:
            bounds: a whole number of steps, unless `is_tail`.
            before: the accumulators so far.
            lane_step: distance of the loop variable from lane to lane; 0 if the lanes share it.
            is_tail: lanes past the end are masked off.

        Returns:
            The accumulators after it.
        """
        builder = self._builder
        stride = self._loop.step * (self._frame.lanes if lane_step else 1)
        if bounds.constant is not None:
            start, stop = bounds.constant
            if start >= stop:
                return before
            if start + stride >= stop:
                return self._emit_step(bounds, Place(start, lane_step), before, is_tail=is_tail)
        header, done = builder.label("loop"), builder.label("done")
        guard = builder.block
        if bounds.constant is not None:
            builder.branch(header)
        else:
            is_any = builder.compare(
                "icmp slt", index_value(bounds.start), index_value(bounds.stop)
            )
            builder.branch_if(is_any.text, header, done)
        builder.start_block(header)
        hole = len(builder.lines)
        name, phis = builder.fresh(), _phi_names(builder, before)
        var = Place(name, lane_step, divisor=math.gcd(bounds.divisor, stride))
        after = self._emit_step(bounds, var, phis, is_tail=is_tail)
        following = builder.index_add(name, stride)
        latch = builder.block
        builder.lines[hole:hole] = [
            f"{name} = phi i64 [ {bounds.start}, %{guard} ], [ {following}, %{latch} ]",
            *_phi_lines(phis, before, guard, after, latch),
        ]
        is_more = builder.compare("icmp slt", index_value(following), index_value(bounds.stop))
        builder.branch_if(is_more.text, header, done)
        builder.start_block(done)
        if bounds.constant is not None:
            return after
        results = _phi_names(builder, before)
        builder.lines.extend(_phi_lines(results, before, guard, after, latch))
        return results

    def _emit_step(
        self, bounds: Range, var: Place, before: Accumulators, *, is_tail: bool
    ) -> Accumulators:
        """Write one step of a phase, under the mask of the lanes below the end if it is the tail."""
        if not is_tail:
            return self._emit_iteration(var, before)
        left = self._builder.index_subtract(bounds.stop, var.base)
        if self._loop.step != 1:
            rounded = self._builder.index_add(left, self._loop.step - 1)
            quotient = self._builder.binary(
                "udiv", index_value(rounded), index_value(self._loop.step)
            )
            left = quotient.text
        lanes = self._frame.lanes
        with self._frame.in_lanes(lanes, _mask_of_first(self._builder, left, lanes)):
            return self._emit_iteration(var, before)


def _mask_of_first(builder: Builder, count: Int, lanes: int) -> Value:
    """Give the mask of the first `count` lanes (at least one), by shifting ones out of an integer of `lanes` bits."""
    dead = builder.index_subtract(lanes, builder.index_min(count, lanes))
    bits = f"i{lanes}"
    distance = str(dead)
    if lanes != Kind.I64.bits and isinstance(dead, str):
        distance = builder.fresh()
        resize = "trunc" if lanes < Kind.I64.bits else "zext"
        builder.lines.append(f"{distance} = {resize} i64 {dead} to {bits}")
    shifted = builder.fresh()
    builder.lines.append(f"{shifted} = lshr {bits} -1, {distance}")
    return builder.emit(f"bitcast {bits} {shifted} to <{lanes} x i1>", Kind.I1, lanes)


def _phi_names(builder: Builder, like: Accumulators) -> Accumulators:
    return tuple(
        tuple(Value(builder.fresh(), part.kind, part.lanes) for part in parts) for parts in like
    )


def _phi_lines(
    phis: Accumulators, first: Accumulators, guard: str, after: Accumulators, latch: str
) -> list[str]:
    return [
        f"{phi.text} = phi {type_text(phi.kind, phi.lanes)}"
        f" [ {old.text}, %{guard} ], [ {new.text}, %{latch} ]"
        for phi_parts, old_parts, new_parts in zip(phis, first, after, strict=True)
        for phi, old, new in zip(phi_parts, old_parts, new_parts, strict=True)
    ]
