"""The nest of a product of matrices and what follows it: panel by panel of the right side.

In: a `Program` with a product.   Out: statements on a `KernelWriter`.

    y[m, n] = gelu(Σ_k x[m, k] * w[n, k] + b[n])   →   parallel over panels of columns (and chunks of rows):
                                                         for each part of the depth: p = panel of w, packed; t += x @ p
                                                         for rows of the chunk: vector columns: y = gelu(t + b)

How a panel is laid out is in `product_panels.py`: a step of the depth finds its columns side by side, in memory that stays in
the second cache while all rows of the chunk go by.
Keeps: sums are taken part by part of the depth, so their errors grow with a part's length and the number of parts, not with
the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from graphwright.ir.loops import Access, LoopKind, MatmulTile, Store
from graphwright.lower.affine import Affine
from graphwright.lower.loops import (
    LANE_ATOM,
    LoopSpec,
    OpenLoops,
    bind_loops,
    constant,
    merge_kept,
    reachable,
    variable,
)
from graphwright.lower.pointwise_nest import write_pointwise
from graphwright.lower.product_panels import (
    CHUNK_ATOM,
    PANEL_ATOM,
    PART_ATOM,
    ROW_ATOM,
    Range,
    choose_panels,
    cut_evenly,
)
from graphwright.lower.products import Side
from graphwright.lower.programs import ProductElement, Program, StoreTo
from graphwright.lower.writer import KernelWriter, NestWriter, Slot

CHUNK_ROWS: Final = 256
TILE_BYTES: Final = 1 << 16
"""The most rows whose sums one iteration keeps, and their memory."""
WAY_BYTES: Final = 4096
"""Rows of the left side that lie a multiple of this apart fall into the same places of the first cache."""
WAYS: Final = 8
"""So many of them stay there."""
LEAST_USES: Final = 256
"""Fewer columns do not pay for copying the left side."""
_LINE_BYTES: Final = 64
MULTIPLICATIONS_PER_COST: Final = 8
"""A tile multiplies and adds so many elements in the time of one element's multiplication in a loop over memory."""


def write_product(kernel: KernelWriter, program: Program, num_threads: int) -> None:
    """Write the nest of a product, and of all that its program makes of it."""
    product = program.product
    assert product is not None, "chosen by the caller"
    if _has_colliding_rows(product):
        product = program.product = _with_rows_apart(kernel, program, product, num_threads)
    axes = _axes(program, product)
    if len(axes.cols) <= 1:
        _Nest(kernel, program, program.stores, axes, num_threads).write()
        return
    # What follows goes over the columns in several loops: it gets a nest of its own.
    stored = _stored(program, product) or StoreTo(
        kernel.add_temporary(product.scalar.dtype, _numel(product)), product.place, product.scalar
    )
    whole = _Axes(axes.batches, axes.rows, (_joined(axes.cols),))
    _Nest(kernel, program, [stored], whole, num_threads).write()
    kernel.will_read(stored.target)
    program.stores = [store for store in program.stores if store is not stored]
    if program.stores:
        slots = {product.scalar.number: Slot(stored.target, stored.offset)}
        write_pointwise(kernel, program, num_threads, slots)


def _has_colliding_rows(product: ProductElement) -> bool:
    """Tell whether a block's rows of the left side push each other out of the cache, and are used often enough to be copied."""
    sides = product.sides
    row_bytes = sides.left.row * product.scalar.dtype.size_bytes
    is_matrix = not sides.batches and sides.left.col == 1
    is_worth_it = sides.rows > WAYS and sides.cols >= LEAST_USES
    return is_matrix and is_worth_it and row_bytes % WAY_BYTES == 0


def _with_rows_apart(
    kernel: KernelWriter, program: Program, product: ProductElement, num_threads: int
) -> ProductElement:
    """Copy the left side to rows that are longer by a line of the cache.

    A product of 64 × 3072 × 768 runs at 103 G then instead of 88 G, one of 64 × 1024 × 1024 at 97 G instead of 77 G (one thread).
    """
    sides, dtype = product.sides, product.scalar.dtype
    stride = sides.depth + _LINE_BYTES // dtype.size_bytes
    copy = kernel.add_temporary(dtype, sides.rows * stride)
    writer = NestWriter(kernel, program.builder)
    writer.reads_along = False
    opened = OpenLoops(writer, num_threads)
    opened.open([LoopSpec(sides.rows, is_reduced=False, atoms=(ROW_ATOM,))], sides.depth)
    writer.open_loop(LANE_ATOM)
    source = Affine(((LANE_ATOM, 1), (ROW_ATOM, sides.left.row)), sides.left.offset)
    target = Affine(((LANE_ATOM, 1), (ROW_ATOM, stride)))
    value = writer.emit_load(kernel.param(product.left, Access.READ), writer.index(source))
    writer.append(Store(kernel.param(copy, Access.WRITE), writer.index(target), value))
    writer.close_loop(LoopKind.VECTOR, constant(0), (constant(sides.depth),))
    opened.close()
    kernel.will_read(copy)
    apart = msgspec.structs.replace(sides, left=Side(0, (), stride, 1))
    return msgspec.structs.replace(product, left=copy, sides=apart)


def _numel(product: ProductElement) -> int:
    return product.sides.batch * product.sides.rows * product.sides.cols


def _stored(program: Program, product: ProductElement) -> StoreTo | None:
    """Give the store of the product itself, if there is one."""
    for store in program.stores:
        if store.scalar is product.scalar and store.offset == product.place:
            return store
    return None


class _Axes(msgspec.Struct, frozen=True):
    """The loops of a program by what they are to the product, outermost first."""

    batches: tuple[tuple[LoopSpec, ...], ...]
    """For each axis of the batch."""
    rows: tuple[LoopSpec, ...]
    cols: tuple[LoopSpec, ...]


def _axes(program: Program, product: ProductElement) -> _Axes:
    """Sort the atoms by the axis that they are part of: by their step in the result's memory."""
    sides = product.sides
    scalars = reachable(program)
    found: list[tuple[LoopSpec, ...]] = []
    for extent, stride in zip(sides.extents, sides.strides, strict=True):
        steps = range(stride, stride * extent)
        atoms = [
            number
            for number, atom in enumerate(program.atoms)
            if atom.extent > 1 and atom.stride in steps
        ]
        found.append(merge_kept(program, scalars, atoms))
    *batches, rows, cols = found
    return _Axes(tuple(batches), rows, cols)


def _joined(loops: Sequence[LoopSpec]) -> LoopSpec:
    """Give the loops as one, as an index that is affine in their joined atoms sees them."""
    extent = 1
    atoms: list[int] = []
    for loop in loops:
        extent *= loop.extent
        atoms += loop.atoms
    return LoopSpec(extent, is_reduced=False, atoms=tuple(atoms))


class _Nest:
    """Writes one nest, for each range of rows and of panels."""

    def __init__(
        self,
        kernel: KernelWriter,
        program: Program,
        stores: Sequence[StoreTo],
        axes: _Axes,
        num_threads: int,
    ) -> None:
        product = program.product
        assert product is not None, "chosen by the caller"
        self._kernel = kernel
        self._program = program
        self._stores = stores
        self._axes = axes
        self._product = product
        self._sides = product.sides
        self._dtype = product.scalar.dtype
        self._num_threads = num_threads
        self._panels = choose_panels(self._sides, self._dtype, num_threads)
        widest = max(map(self._panels.width, self._panels.cols))
        room = TILE_BYTES // (widest * self._dtype.size_bytes)
        self._rows = cut_evenly(self._sides.rows, min(CHUNK_ROWS, room))

    def write(self) -> None:
        """Write all ranges."""
        for rows in self._rows:
            for cols in self._panels.cols:
                self._write_range(rows, cols)

    def _write_range(self, rows: Range, cols: Range) -> None:
        writer = NestWriter(self._kernel, self._program.builder)
        writer.reads_along = False
        opened = OpenLoops(writer, self._num_threads)
        chunks = LoopSpec(rows.count, is_reduced=False, atoms=(CHUNK_ATOM,))
        panels = LoopSpec(cols.count, is_reduced=False, atoms=(PANEL_ATOM,))
        multiplications = rows.size * cols.size * self._sides.depth
        cost = max(multiplications // MULTIPLICATIONS_PER_COST, 1)
        batches = [loop for loops in self._axes.batches for loop in loops]
        opened.open([*batches, chunks, panels], cost)
        size = rows.size * self._panels.width(cols)
        tile = self._kernel.add_scratch(self._dtype, size)
        if self._accumulates:
            self._clear(writer, tile, size)
        for part in self._panels.parts:
            self._write_part(writer, (rows, cols, part), tile)
        self._write_stores(writer, rows, cols, tile)
        opened.close()

    @property
    def _accumulates(self) -> bool:
        """Whether a tile is the sum of several parts."""
        return len(self._panels.parts) > 1 or self._panels.parts[0].count > 1

    def _clear(self, writer: NestWriter, tile: str, size: int) -> None:
        zero = writer.emit_constant((0.0).hex(), self._dtype)
        place = writer.open_loop(None)
        writer.append(Store(tile, variable(place), zero))
        writer.close_loop(LoopKind.VECTOR, constant(0), (constant(size),))

    def _write_part(self, writer: NestWriter, where: tuple[Range, Range, Range], tile: str) -> None:
        """Write the products of one range of the depth."""
        rows, cols, part = where
        writer.open_variant()
        if part.count > 1:
            writer.open_loop(PART_ATOM)
        else:
            writer.bind_atom(PART_ATOM, constant(0))
        source = self._kernel.param(self._product.right, Access.READ)
        start = self._start(self._sides.right)
        packed = self._panels.write(writer, source, start, (cols, part))
        left = self._sides.left
        row = Affine(((CHUNK_ATOM, rows.size),), rows.start)
        depth = Affine(((PART_ATOM, part.size),), part.start)
        first = self._start(left).plus(row.times(left.row)).plus(depth.times(left.col))
        writer.append(
            MatmulTile(
                target=tile,
                target_index=constant(0),
                target_stride=self._panels.width(cols),
                left=self._kernel.param(self._product.left, Access.READ),
                left_index=writer.index(first),
                left_row_stride=left.row,
                left_depth_stride=left.col,
                right=packed.buffer,
                right_index=packed.index,
                right_stride=packed.stride,
                rows=rows.size,
                cols=self._panels.width(cols),
                depth=part.size,
                accumulates=self._accumulates,
                ahead=packed.ahead,
            )
        )
        if part.count > 1:
            writer.close_loop(LoopKind.SERIAL, constant(0), (constant(part.count),))
        writer.close_variant()

    def _start(self, side: Side) -> Affine:
        """Give the first element of a side, in the batch at hand."""
        start = Affine((), side.offset)
        own = self._sides.strides[:-2]
        for loops, unit, stride in zip(self._axes.batches, own, side.batches, strict=True):
            for loop in loops:
                step = self._program.atoms[loop.atom].stride // unit
                start = start.plus(Affine(((loop.atom, step),)).times(stride))
        return start

    def _write_stores(self, writer: NestWriter, rows: Range, cols: Range, tile: str) -> None:
        """Write what follows the product, over the tile."""
        index = Affine(((LANE_ATOM, 1), (ROW_ATOM, self._panels.width(cols))))
        writer.slots[self._product.scalar.number] = Slot(tile, index)
        row = writer.open_loop(ROW_ATOM)
        first = writer.index(Affine(((CHUNK_ATOM, rows.size),), rows.start))
        bind_loops(writer, self._axes.rows, writer.sum_of(first, variable(row)))
        lane = writer.open_loop(LANE_ATOM)
        first = writer.index(Affine(((PANEL_ATOM, cols.size),), cols.start))
        for loop in self._axes.cols:
            writer.bind_atom(loop.atom, writer.sum_of(first, variable(lane)))
        writer.emit_stores(self._stores)
        writer.close_loop(LoopKind.VECTOR, constant(0), (constant(cols.size),))
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(rows.size),))
