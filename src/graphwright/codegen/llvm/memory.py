"""Loads and stores: scalar, contiguous, reversed, gathered; under a mask or not.

In: a buffer, a place, the frame's lanes and mask.   Out: instructions.
The alignment of masked accesses is written as an operand, which all LLVM versions in use read (22 turns it into an attribute).
A store that streams goes past the caches where its address is known to be a multiple of a vector: that saves reading what is overwritten
(a layer norm took 1.6 instead of 2.6 ms). On some processors it does so only where a loop computes little, or asks for what it reads ahead.
Keeps: no byte is touched that the loop IR does not name: lanes outside the mask read and write nothing.
"""

from __future__ import annotations

import math
from typing import Final

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.builder import Builder, Int
from graphwright.codegen.llvm.frame import Frame, Memory, Place
from graphwright.codegen.llvm.types import MEMORY_KIND, Kind, Value, mangled, type_text
from graphwright.ir.dtypes import DType

LONGEST_STREAMING: Final = 15
"""Instructions for each load and store of a loop that stores past the caches, on processors that do not always gain by it."""
LINE_BYTES: Final = 64
"""Of the caches."""
_SECOND_CACHE: Final = 2
"""Where memory that was asked for ahead goes: the first cache is full of what is worked on."""
MAX_SHUFFLED_STRIDE: Final = 4
"""Elements up to this distance apart are loaded and stored as whole vectors with shuffles."""


def emit_load(frame: Frame, memory: Memory, place: Place, ahead: int = 0) -> Value:
    """Load the element (or the vector of elements) at `place`, as a register value; ask for those `ahead` elements behind it."""
    kind = MEMORY_KIND[memory.dtype]
    if place.is_uniform:
        loaded = _load_scalar(frame.builder, memory, place)
    elif place.vector is None and place.stride == 1:
        if ahead and frame.mask is None and frame.target.asks_ahead:
            _ask_for_vector(frame, memory, frame.builder.index_add(place.base, ahead))
        loaded = _load_contiguous(frame, memory, place, kind)
    elif place.vector is None and place.stride == -1 and frame.mask is None:
        loaded = _load_reversed(frame, memory, place, kind)
    elif _is_narrow_stride(frame, place):
        loaded = _load_strided(frame, memory, place, kind)
    else:
        loaded = _gather(frame, memory, place, kind)
    if memory.dtype is DType.BOOL:
        return frame.builder.compare("icmp ne", loaded, frame.builder.const(0, Kind.I8))
    return loaded


def emit_store(
    frame: Frame, memory: Memory, place: Place, value: Value, *, is_streaming: bool
) -> None:
    """Store a register value at `place`."""
    builder = frame.builder
    if memory.dtype is DType.BOOL:
        value = builder.convert("zext", value, Kind.I8)
    if place.is_uniform:
        pointer = element_pointer(builder, memory, place)
        builder.lines.append(f"store {value!r}, ptr {pointer}, align {memory.dtype.size_bytes}")
        return
    value = builder.splat(value, frame.lanes)
    if place.vector is None and place.stride == 1:
        _store_contiguous(frame, memory, place, value, is_streaming=is_streaming)
    elif _is_narrow_stride(frame, place) and frame.target.has_masks:
        _store_strided(frame, memory, place, value)
    else:
        _scatter(frame, memory, place, value)


def element_pointer(builder: Builder, memory: Memory, place: Place) -> str:
    """Give the address of the first lane's element."""
    if place.base == 0:
        return memory.pointer
    name = builder.fresh()
    element = MEMORY_KIND[memory.dtype].value
    builder.lines.append(
        f"{name} = getelementptr inbounds {element}, ptr {memory.pointer}, i64 {place.base}"
    )
    return name


def emit_prefetch(builder: Builder, memory: Memory, index: Int) -> None:
    """Ask for an element, which need not exist."""
    builder.declare("llvm.prefetch.p0", "void", ["ptr", *["i32 immarg"] * 3])
    pointer, element = builder.fresh(), MEMORY_KIND[memory.dtype].value
    builder.lines += [
        f"{pointer} = getelementptr {element}, ptr {memory.pointer}, i64 {index}",
        f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 {_SECOND_CACHE}, i32 1)",
    ]


def _ask_for_vector(frame: Frame, memory: Memory, index: Int) -> None:
    """Ask for as many elements as the frame has lanes: one in each line."""
    for offset in range(0, frame.lanes, LINE_BYTES // memory.dtype.size_bytes):
        emit_prefetch(frame.builder, memory, frame.builder.index_add(index, offset))


def _load_scalar(builder: Builder, memory: Memory, place: Place) -> Value:
    kind = MEMORY_KIND[memory.dtype]
    pointer = element_pointer(builder, memory, place)
    return builder.emit(
        f"load {kind.value}, ptr {pointer}, align {memory.dtype.size_bytes}", kind, 1
    )


def _load_contiguous(frame: Frame, memory: Memory, place: Place, kind: Kind) -> Value:
    builder, lanes = frame.builder, frame.lanes
    pointer = element_pointer(builder, memory, place)
    align = memory.dtype.size_bytes
    wide = type_text(kind, lanes)
    if frame.mask is None:
        return builder.emit(f"load {wide}, ptr {pointer}, align {align}", kind, lanes)
    mask = f"<{lanes} x i1> {frame.mask.text}"
    name = f"llvm.masked.load.{mangled(kind, lanes)}.p0"
    builder.declare(name, wide, ["ptr", "i32", f"<{lanes} x i1>", wide])
    zero = f"{wide} zeroinitializer"
    return builder.emit(
        f"call {wide} @{name}(ptr {pointer}, i32 {align}, {mask}, {zero})", kind, lanes
    )


def _load_reversed(frame: Frame, memory: Memory, place: Place, kind: Kind) -> Value:
    builder, lanes = frame.builder, frame.lanes
    lowest = Place(builder.index_subtract(place.base, lanes - 1))
    pointer = element_pointer(builder, memory, lowest)
    text = f"load {type_text(kind, lanes)}, ptr {pointer}, align {memory.dtype.size_bytes}"
    return builder.shuffle(builder.emit(text, kind, lanes), None, list(reversed(range(lanes))))


def _is_narrow_stride(frame: Frame, place: Place) -> bool:
    """True if a few whole vectors hold all lanes' elements."""
    is_affine = place.vector is None and frame.mask is None
    return is_affine and 1 < place.stride <= MAX_SHUFFLED_STRIDE


def _window_starts(lanes: int, stride: int) -> list[int]:
    """Give where vectors begin that cover the elements 0, stride, … and nothing past the last of them."""
    last = (lanes - 1) * stride
    return [*range(0, last + 1 - lanes, lanes), last + 1 - lanes]


def _load_strided(frame: Frame, memory: Memory, place: Place, kind: Kind) -> Value:
    """Load whole vectors, and choose the lanes' elements: a few shuffles, where a gather takes its time for each lane."""
    builder, lanes, stride = frame.builder, frame.lanes, place.stride
    starts = _window_starts(lanes, stride)
    chosen: Value | None = None
    for number, start in enumerate(starts):
        window = _load_contiguous(
            frame, memory, Place(builder.index_add(place.base, start), 1), kind
        )
        own = [_window_of(lane * stride, starts, lanes) == number for lane in range(lanes)]
        if chosen is None:
            lanes_of_first = [min(lane * stride, lanes - 1) for lane in range(lanes)]
            chosen = builder.shuffle(window, None, lanes_of_first)
            continue
        pick = [
            lanes + lane * stride - start if is_own else lane for lane, is_own in enumerate(own)
        ]
        chosen = builder.shuffle(chosen, window, pick)
    if chosen is None:
        msg = "a strided load of no lanes"
        raise InternalError(msg)
    return chosen


def _window_of(position: int, starts: list[int], lanes: int) -> int:
    """Give the first window that holds an element."""
    return next(number for number, start in enumerate(starts) if start <= position < start + lanes)


def _store_strided(frame: Frame, memory: Memory, place: Place, value: Value) -> None:
    """Spread the lanes over whole vectors, and store those under masks that leave out what lies between."""
    builder, lanes, stride = frame.builder, frame.lanes, place.stride
    starts = _window_starts(lanes, stride)
    for number, start in enumerate(starts):
        sources = [0] * lanes
        is_set = [False] * lanes
        for lane in range(lanes):
            if _window_of(lane * stride, starts, lanes) == number:
                sources[lane * stride - start], is_set[lane * stride - start] = lane, True
        spread = builder.shuffle(value, None, sources)
        flags = ", ".join(f"i1 {'true' if one else 'false'}" for one in is_set)
        with frame.in_lanes(lanes, Value(f"<{flags}>", Kind.I1, lanes)):
            target = Place(builder.index_add(place.base, start), 1)
            _store_contiguous(frame, memory, target, spread, is_streaming=False)


def _pointers(frame: Frame, memory: Memory, place: Place) -> str:
    """Give the typed operands of a gather or scatter: the lanes' addresses and their alignment."""
    builder, lanes = frame.builder, frame.lanes
    pointer = element_pointer(builder, memory, place)
    offsets = builder.splat(frame.offsets(place), lanes)
    name = builder.fresh()
    element = MEMORY_KIND[memory.dtype].value
    builder.lines.append(
        f"{name} = getelementptr inbounds {element}, ptr {pointer}, <{lanes} x i64> {offsets.text}"
    )
    return f"<{lanes} x ptr> {name}, i32 {memory.dtype.size_bytes}"


def _full_mask(frame: Frame) -> str:
    lanes = frame.lanes
    return f"<{lanes} x i1> {'splat (i1 true)' if frame.mask is None else frame.mask.text}"


def _gather(frame: Frame, memory: Memory, place: Place, kind: Kind) -> Value:
    builder, lanes = frame.builder, frame.lanes
    wide = type_text(kind, lanes)
    pointers = _pointers(frame, memory, place)
    name = f"llvm.masked.gather.{mangled(kind, lanes)}.v{lanes}p0"
    builder.declare(name, wide, [f"<{lanes} x ptr>", "i32", f"<{lanes} x i1>", wide])
    zero = f"{wide} zeroinitializer"
    return builder.emit(
        f"call {wide} @{name}({pointers}, {_full_mask(frame)}, {zero})", kind, lanes
    )


def _store_contiguous(
    frame: Frame, memory: Memory, place: Place, value: Value, *, is_streaming: bool
) -> None:
    builder, lanes = frame.builder, frame.lanes
    pointer = element_pointer(builder, memory, place)
    align = memory.dtype.size_bytes
    if frame.mask is None:
        suffix = ""
        vector_bytes = frame.target.vector_bits // 8
        known_align = math.gcd(memory.align_bytes or align, place.divisor * align)
        if is_streaming and known_align % vector_bytes == 0 and _gains_by_streaming(frame):
            align, suffix = vector_bytes, ", !nontemporal !1"
        builder.lines.append(f"store {value!r}, ptr {pointer}, align {align}{suffix}")
        return
    wide = type_text(value.kind, lanes)
    name = f"llvm.masked.store.{mangled(value.kind, lanes)}.p0"
    builder.declare(name, "void", [wide, "ptr", "i32", f"<{lanes} x i1>"])
    mask = f"<{lanes} x i1> {frame.mask.text}"
    builder.lines.append(f"call void @{name}({value!r}, ptr {pointer}, i32 {align}, {mask})")


def _gains_by_streaming(frame: Frame) -> bool:
    """Tell whether a store past the caches is quicker at the end of the present loop."""
    if frame.target.streams_always:
        return True
    lines = frame.builder.lines_of_block()
    if any("@llvm.prefetch" in line for line in lines):
        return True
    num_accesses = 1 + sum(" load " in line for line in lines)
    num_addresses = sum("getelementptr" in line for line in lines)
    return len(lines) - num_addresses <= LONGEST_STREAMING * num_accesses


def _scatter(frame: Frame, memory: Memory, place: Place, value: Value) -> None:
    builder, lanes = frame.builder, frame.lanes
    wide = type_text(value.kind, lanes)
    pointers = _pointers(frame, memory, place)
    name = f"llvm.masked.scatter.{mangled(value.kind, lanes)}.v{lanes}p0"
    builder.declare(name, "void", [wide, f"<{lanes} x ptr>", "i32", f"<{lanes} x i1>"])
    builder.lines.append(f"call void @{name}({value!r}, {pointers}, {_full_mask(frame)})")
