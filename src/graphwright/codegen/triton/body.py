"""Write the statements of one stage as the body of a Triton function.

In: a `Stage` and where its scratch lives.   Out: lines of Python.

Keeps: inside lanes a value is a block or, where it is alike for all lanes, a scalar; a store that some lanes must not do
is masked; accesses of shared memory by different statements have a barrier between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, assert_never

import msgspec

from graphwright.codegen.triton.carries import render_finish, render_identity, render_step
from graphwright.codegen.triton.elements import NotExpressible, value_type
from graphwright.codegen.triton.extents import (
    LANES_PER_PROGRAM,
    SizeArguments,
    block_lanes,
    is_one_block,
    longest_extent,
    static_extent,
)
from graphwright.codegen.triton.scalar import render_compute
from graphwright.codegen.triton.stages import Spread, Stage
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
    LoopKind,
    MatmulTile,
    Scratch,
    Stmt,
    Store,
    TransposeTile,
)
from graphwright.ir.ops import ScalarOp

_INDENT: Final = "    "


class Places(msgspec.Struct, frozen=True):
    """Where the scratch of a kernel lives."""

    registers: tuple[Scratch, ...]
    memory: tuple[Scratch, ...]
    shared: frozenset[str]
    """Buffers whose accesses need barriers."""


class Lanes(msgspec.Struct, frozen=True):
    """The lanes that statements are written for."""

    count: int
    mask: str | None = None
    """Name of the block that tells which lanes run; None when all do."""
    is_any_sure: bool = True
    """At least one lane runs."""


class BodyWriter:
    """Writes one function; used once."""

    def __init__(self, kernel: Kernel, places: Places, sizes: SizeArguments) -> None:
        self.lines: list[str] = []
        self.widest_block = 1
        self._places = places
        self._sizes = sizes
        self._dtypes: dict[str, DType] = {}
        self._varying: set[str] = set()
        self._buffer_dtypes = {param.name: param.dtype for param in kernel.params}
        self._buffer_dtypes |= {scratch.name: scratch.dtype for scratch in kernel.scratch}
        self._scratch_sizes = {scratch.name: scratch.size for scratch in kernel.scratch}
        self._in_registers = {scratch.name for scratch in places.registers}
        self._in_memory = {scratch.name for scratch in places.memory}
        self._is_flat = False
        self._depth = 1

    def write_stage(self, stage: Stage) -> None:
        """Write a stage.

        Raises:
            NotExpressible: Triton has no way to say a part of it.
        """
        self._line("gw_program = tl.program_id(0).to(tl.int64)")
        self._write_all(stage.prologue, None)
        match stage.spread:
            case Spread.SINGLE:
                self._write_registers(stage.body)
                self._write_all(stage.body, None)
            case Spread.ROWS:
                loop = stage.loop
                self._line(f"{loop.var} = {self._iteration(loop, 'gw_program')}")
                self._dtypes[loop.var] = DType.INT64
                self._write_registers(loop.body)
                self._write_all(loop.body, None)
            case Spread.LANES:
                self._write_flat(stage.loop)
            case _:
                assert_never(stage.spread)

    def _write_flat(self, loop: Loop) -> None:
        lanes = LANES_PER_PROGRAM
        self._is_flat = True
        self._line(f"gw_lane = gw_program * {lanes} + tl.arange(0, {lanes})")
        self._line(f"{loop.var} = {self._iteration(loop, 'gw_lane')}")
        extent = static_extent(loop)
        is_full = extent is not None and extent % lanes == 0
        self._write_lanes(loop, Lanes(lanes, None if is_full else f"{loop.var}_mask"))

    def _write_registers(self, body: Sequence[Stmt]) -> None:
        for scratch in self._places.registers:
            lanes = _lanes_of(scratch.name, body, self._scratch_sizes)
            if lanes is not None:
                self._line(f"{scratch.name} = tl.zeros([{lanes}], {value_type(scratch.dtype)})")

    def _write_all(self, body: Sequence[Stmt], lanes: Lanes | None) -> None:
        for stmt in body:
            self._write(stmt, lanes)

    def _write(self, stmt: Stmt, lanes: Lanes | None) -> None:
        match stmt:
            case Const(name, value, dtype):
                self._define(name, dtype, _render_const(value, dtype), ())
            case IndexValue(name, index):
                text = f"tl.cast({self._sizes.render_index(index)}, tl.int64)"
                self._define(name, DType.INT64, text, _names(index))
            case Load():
                self._write_load(stmt, lanes)
            case Compute(name, op, args, dtype):
                self._require(args)
                operand = self._dtypes[args[1] if op is ScalarOp.WHERE else args[0]]
                self._define(name, dtype, render_compute(op, args, operand, dtype), args)
            case Store():
                self._write_store(stmt, lanes)
            case Loop():
                self._write_loop(stmt, lanes)
            case If():
                self._write_if(stmt, lanes)
            case TransposeTile():
                self._write_tile(stmt, lanes)
            case MatmulTile():
                why = "products on this device are calls of its library"
                raise NotExpressible(what="a product of tiles", why=why)
            case _:
                assert_never(stmt)

    def _write_load(self, load: Load, lanes: Lanes | None) -> None:
        dtype = self._buffer_dtypes[load.buffer]
        if load.buffer in self._in_registers:
            self._define(load.name, dtype, load.buffer, ())
            self._varying.add(load.name)
            return
        self._write_barrier({load.buffer}, lanes)
        index, mask = self._place(load.buffer, load.index, lanes)
        text = f"tl.load({load.buffer} + ({index}){mask})"
        self._define(load.name, dtype, text, _names(load.index))
        if mask or (self._is_flat and load.buffer in self._in_memory):
            self._varying.add(load.name)

    def _write_register_store(self, store: Store, lanes: Lanes | None) -> None:
        self._require((store.value,))
        if lanes is None:
            raise NotExpressible(
                what=f"a store to {store.buffer}", why="it stands outside of lanes"
            )
        if lanes.mask is not None:
            self._line(f"{store.buffer} = tl.where({lanes.mask}, {store.value}, {store.buffer})")
        elif store.value in self._varying:
            self._line(f"{store.buffer} = {store.value}")
        else:
            self._line(f"{store.buffer} = tl.broadcast_to({store.value}, [{lanes.count}])")

    def _write_store(self, store: Store, lanes: Lanes | None) -> None:
        if store.buffer in self._in_registers:
            self._write_register_store(store, lanes)
        else:
            self._write_memory_store(store, lanes)

    def _write_memory_store(self, store: Store, lanes: Lanes | None) -> None:
        self._require((store.value, *_names(store.index)))
        is_own = self._is_flat and store.buffer in self._in_memory
        if lanes is not None and not is_own and not self._is_varying(store.index):
            raise NotExpressible(
                what=f"a store to {store.buffer}", why="all lanes store to one element"
            )
        self._write_barrier({store.buffer}, lanes)
        index, mask = self._place(store.buffer, store.index, lanes)
        self._line(f"tl.store({store.buffer} + ({index}), {store.value}{mask})")

    def _place(self, buffer: str, index: Index, lanes: Lanes | None) -> tuple[str, str]:
        """Give the text of an index into a buffer, and of the mask argument."""
        text = self._sizes.render_index(index)
        is_block = self._is_varying(index)
        if buffer in self._in_memory:
            owner = "gw_lane" if self._is_flat else "gw_program"
            text = f"{owner} * {self._scratch_sizes[buffer]} + {text}"
            is_block = is_block or self._is_flat
        if lanes is None or lanes.mask is None:
            return text, ""
        if is_block:
            return text, f", mask={lanes.mask}"
        if lanes.is_any_sure:
            return text, ""
        return f"{text} + tl.zeros([{lanes.count}], tl.int64)", f", mask={lanes.mask}"

    def _write_loop(self, loop: Loop, lanes: Lanes | None) -> None:
        bounds = (loop.start, *loop.stops)
        self._require(name for index in bounds for name in _names(index))
        if any(map(self._is_varying, bounds)):
            raise NotExpressible(what=f"the loop {loop.var}", why="its bounds differ between lanes")
        match loop.kind:
            case LoopKind.VECTOR:
                self._write_vector(loop)
            case LoopKind.SERIAL | LoopKind.UNROLLED:
                self._write_serial(loop, lanes)
            case LoopKind.PARALLEL:
                raise NotExpressible(
                    what=f"the parallel loop {loop.var}", why="it is not at the top level"
                )
            case _:
                assert_never(loop.kind)

    def _write_serial(self, loop: Loop, lanes: Lanes | None) -> None:
        for carry in loop.carries:
            self._lines(render_identity(carry, None if lanes is None else lanes.count))
        is_unrolled = loop.kind is LoopKind.UNROLLED and static_extent(loop) is not None
        kind = "tl.static_range" if is_unrolled and not loop.start.terms else "range"
        start = self._sizes.render_index(loop.start)
        self._line(f"for {loop.var}_step in {kind}({start}, {self._stop(loop)}, {loop.step}):")
        self._depth += 1
        self._line(f"{loop.var} = tl.cast({loop.var}_step, tl.int64)")
        self._dtypes[loop.var] = DType.INT64
        self._write_all(loop.body, lanes)
        for carry in loop.carries:
            self._lines(render_step(carry, None))
        self._depth -= 1
        for carry in loop.carries:
            self._define_carry(carry)
            if lanes is not None:
                self._varying.add(carry.name)

    def _write_vector(self, loop: Loop) -> None:
        longest = longest_extent(loop, self._scratch_sizes)
        lanes = block_lanes(longest)
        start = self._sizes.render_index(loop.start)
        offsets = _scaled(f"tl.arange(0, {lanes}).to(tl.int64)", loop.step)
        mask = f"{loop.var}_mask"
        self._write_barrier(_buffers(loop.body), None)
        for carry in loop.carries:
            self._lines(render_identity(carry, lanes))
        if is_one_block(longest):
            extent = static_extent(loop)
            self._line(f"{loop.var} = {_sum(start, offsets)}")
            is_full = extent == lanes
            self._write_lanes(
                loop, Lanes(lanes, None if is_full else mask, is_any_sure=bool(extent))
            )
        else:
            chunk = f"{loop.var}_chunk"
            self._line(f"for {chunk} in range({start}, {self._stop(loop)}, {lanes * loop.step}):")
            self._depth += 1
            self._line(f"{loop.var} = {chunk} + {offsets}")
            self._write_lanes(loop, Lanes(lanes, mask))
            self._depth -= 1
        for carry in loop.carries:
            self._lines(render_finish(carry))
            self._define_carry(carry)

    def _write_lanes(self, loop: Loop, lanes: Lanes) -> None:
        self.widest_block = max(self.widest_block, lanes.count)
        self._dtypes[loop.var] = DType.INT64
        self._varying.add(loop.var)
        if lanes.mask is not None:
            tests = [f"{loop.var} < {self._sizes.render_index(stop)}" for stop in loop.stops]
            text = tests[0] if len(tests) == 1 else " & ".join(f"({test})" for test in tests)
            self._line(f"{lanes.mask} = {text}")
        self._write_all(loop.body, lanes)
        for carry in loop.carries:
            self._lines(render_step(carry, lanes.mask))

    def _write_if(self, stmt: If, lanes: Lanes | None) -> None:
        self._require((stmt.condition,))
        if lanes is None or stmt.condition not in self._varying:
            self._line(f"if {stmt.condition}:")
            self._depth += 1
            self._write_all(stmt.body, lanes)
            self._depth -= 1
            return
        name = f"{stmt.condition}_lanes"
        mask = stmt.condition if lanes.mask is None else f"{lanes.mask} & {stmt.condition}"
        self._line(f"{name} = {mask}")
        self._write_all(stmt.body, Lanes(lanes.count, name, is_any_sure=False))

    def _write_tile(self, tile: TransposeTile, lanes: Lanes | None) -> None:
        if lanes is not None:
            raise NotExpressible(what="a transposed tile", why="it stands inside lanes")
        self._write_barrier({tile.source, tile.target}, None)
        rows, columns = block_lanes(tile.rows), block_lanes(tile.cols)
        self.widest_block = max(self.widest_block, rows * columns)
        self._line(f"gw_row = tl.arange(0, {rows})[:, None].to(tl.int64)")
        self._line(f"gw_column = tl.arange(0, {columns})[None, :].to(tl.int64)")
        self._line(f"gw_tile = (gw_row < {tile.rows}) & (gw_column < {tile.cols})")
        source, _ = self._place(tile.source, tile.source_index, None)
        target, _ = self._place(tile.target, tile.target_index, None)
        source += f" + gw_column*{self._sizes.render(tile.source_stride)} + gw_row"
        target += f" + gw_row*{self._sizes.render(tile.target_stride)} + gw_column"
        self._line(f"gw_values = tl.load({tile.source} + ({source}), mask=gw_tile)")
        self._line(f"tl.store({tile.target} + ({target}), gw_values, mask=gw_tile)")

    def _write_barrier(self, buffers: set[str], lanes: Lanes | None) -> None:
        """Let all threads of a program arrive; a vector loop has its barrier before it."""
        if buffers & self._places.shared and (lanes is None or self._is_flat):
            self._line("tl.debug_barrier()")

    def _define(self, name: str, dtype: DType, text: str, used: Sequence[str]) -> None:
        self._require(used)
        self._dtypes[name] = dtype
        if any(other in self._varying for other in used):
            self._varying.add(name)
        self._line(f"{name} = {text}")

    def _require(self, used: Iterable[str]) -> None:
        for name in used:
            if name not in self._dtypes:
                raise NotExpressible(
                    what=f"the use of {name}", why="it is computed in an earlier launch"
                )

    def _define_carry(self, carry: Carry) -> None:
        self._dtypes[carry.name] = DType.INT64 if carry.index else carry.dtype

    def _is_varying(self, index: Index) -> bool:
        return any(name in self._varying for name in _names(index))

    def _iteration(self, loop: Loop, number: str) -> str:
        return _sum(self._sizes.render_index(loop.start), _scaled(number, loop.step))

    def _stop(self, loop: Loop) -> str:
        text = self._sizes.render_index(loop.stops[0])
        for stop in loop.stops[1:]:
            text = f"min({text}, {self._sizes.render_index(stop)})"
        return text

    def _line(self, text: str) -> None:
        self.lines.append(_INDENT * self._depth + text)

    def _lines(self, texts: Sequence[str]) -> None:
        for text in texts:
            self._line(text)


def _lanes_of(scratch: str, body: Sequence[Stmt], sizes: Mapping[str, int]) -> int | None:
    """Give the lanes of the blocks that touch `scratch`, None where `body` does not."""
    for stmt in body:
        match stmt:
            case Loop(kind=LoopKind.VECTOR) if scratch in _buffers(stmt.body):
                return block_lanes(longest_extent(stmt, sizes))
            case Loop(body=inner) | If(body=inner):
                lanes = _lanes_of(scratch, inner, sizes)
                if lanes is not None:
                    return lanes
            case _:
                continue
    return None


def _buffers(body: Sequence[Stmt]) -> set[str]:
    found: set[str] = set()
    for stmt in body:
        match stmt:
            case Load(buffer=buffer) | Store(buffer=buffer):
                found.add(buffer)
            case TransposeTile(target=target, source=source):
                found |= {target, source}
            case MatmulTile(target=target, left=left, right=right):
                found |= {target, left, right}
            case Loop(body=inner) | If(body=inner):
                found |= _buffers(inner)
            case Const() | IndexValue() | Compute():
                continue
    return found


def _names(index: Index) -> tuple[str, ...]:
    return tuple(term.name for term in index.terms)


def _render_const(value: str, dtype: DType) -> str:
    if dtype is DType.BOOL:
        text = "True" if value == "true" else "False"
    elif dtype.is_float:
        number = float.fromhex(value)
        text = repr(number) if number - number == 0 else f'float("{number}")'
    else:
        text = value
    return f"tl.full([], {text}, {value_type(dtype)})"


def _scaled(text: str, factor: int) -> str:
    return text if factor == 1 else f"{text} * {factor}"


def _sum(start: str, text: str) -> str:
    return text if start == "0" else f"{start} + {text}"
