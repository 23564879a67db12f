"""The nest of a product of matrices and what follows it: panel by panel of the right side.

In: a `Program` with a product.   Out: statements on a `KernelWriter`.

    y[m, n] = gelu(Σ_k x[m, k] * w[n, k] + b[n])   →   parallel over panels of columns (and chunks of rows):
                                                         for each part of the depth: p = panel of w, packed; t += x @ p
                                                         for rows of the chunk: vector columns: y = gelu(t + b)

A panel is packed so that a step of the depth finds its columns side by side, in memory that stays in the second cache while
all rows of the chunk go by. Where rows are few, a panel whose columns lie side by side already is read where it is.
Keeps: sums are taken part by part of the depth, so their errors grow with a part's length and the number of parts, not with
the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from graphwright.ir.dtypes import DType
from graphwright.ir.loops import Access, Index, LoopKind, MatmulTile, Store, TransposeTile
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
from graphwright.lower.programs import ProductElement, Program, StoreTo
from graphwright.lower.values import Layout
from graphwright.lower.writer import KernelWriter, NestWriter, Slot

PANEL_COLS: Final = 32
"""Columns of a panel: two vectors of AVX-512."""
CHUNK_ROWS: Final = 192
"""The most rows whose sums one iteration keeps: 24 KiB in float32."""
PART_DEPTH: Final = 512
"""The most of the depth that is packed at once: 64 KiB in float32."""
FEW_ROWS: Final = 16
"""Fewer rows do not pay for packing columns that lie side by side already."""
MULTIPLICATIONS_PER_COST: Final = 8
"""A tile multiplies and adds so many elements in the time of one element's multiplication in a loop over memory."""

_CHUNK_ATOM: Final = 4002
_PANEL_ATOM: Final = 4003
_ROW_ATOM: Final = 4004
_PART_ATOM: Final = 4005
_DEPTH_ATOM: Final = 4006


class _Range(msgspec.Struct, frozen=True):
    """A part of an axis: `count` pieces of `size`, from `start` on."""

    start: int
    count: int
    size: int


def cut_evenly(extent: int, most: int) -> list[_Range]:
    """Cut an axis into pieces of one size, at most `most`, and what is left."""
    size = -(-extent // -(-extent // most))
    full = extent // size
    ranges = [_Range(0, full, size)]
    if full * size < extent:
        ranges.append(_Range(full * size, 1, extent - full * size))
    return ranges


def cut_panels(extent: int) -> list[_Range]:
    """Cut the columns into whole panels, and what is left."""
    full = extent // PANEL_COLS
    rest = extent - full * PANEL_COLS
    ranges = [_Range(0, full, PANEL_COLS)] if full else []
    return [*ranges, _Range(full * PANEL_COLS, 1, rest)] if rest else ranges


def write_product(kernel: KernelWriter, program: Program, num_threads: int) -> None:
    """Write the nest of a product, and of all that its program makes of it."""
    product = program.product
    assert product is not None, "chosen by the caller"
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

    batches: tuple[LoopSpec, ...]
    rows: tuple[LoopSpec, ...]
    cols: tuple[LoopSpec, ...]


def _axes(program: Program, product: ProductElement) -> _Axes:
    sides = product.sides
    batches: list[int] = []
    rows: list[int] = []
    cols: list[int] = []
    for number, atom in enumerate(program.atoms):
        if atom.stride >= sides.rows * sides.cols and sides.batch > 1:
            batches.append(number)
        elif atom.stride >= sides.cols:
            rows.append(number)
        else:
            cols.append(number)
    scalars = reachable(program)
    merged = [merge_kept(program, scalars, atoms) for atoms in (batches, rows, cols)]
    return _Axes(*merged)


def _joined(loops: Sequence[LoopSpec]) -> LoopSpec:
    """Give the loops as one, as an index that is affine in their joined atoms sees them."""
    extent = 1
    atoms: list[int] = []
    for loop in loops:
        extent *= loop.extent
        atoms += loop.atoms
    return LoopSpec(extent, is_reduced=False, atoms=tuple(atoms))


class _Nest:
    """Writes one nest, for each range of rows and of columns."""

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
        most = max(1, CHUNK_ROWS * DType.FLOAT32.size_bytes // self._dtype.size_bytes)
        self._row_ranges = cut_evenly(self._sides.rows, most)
        self._parts = cut_evenly(self._sides.depth, PART_DEPTH)
        is_few = self._sides.rows <= FEW_ROWS
        self._is_packed = self._sides.is_right_transposed or not is_few

    def write(self) -> None:
        """Write all ranges."""
        for rows in self._row_ranges:
            for cols in cut_panels(self._sides.cols):
                self._write_range(rows, cols)

    def _write_range(self, rows: _Range, cols: _Range) -> None:
        writer = NestWriter(self._kernel, self._program.builder)
        opened = OpenLoops(writer, self._num_threads)
        chunks = LoopSpec(rows.count, is_reduced=False, atoms=(_CHUNK_ATOM,))
        panels = LoopSpec(cols.count, is_reduced=False, atoms=(_PANEL_ATOM,))
        multiplications = rows.size * cols.size * self._sides.depth
        cost = multiplications // MULTIPLICATIONS_PER_COST
        opened.open([*self._axes.batches, chunks, panels], max(cost, 1))
        tile = self._kernel.add_scratch(self._dtype, rows.size * cols.size)
        if len(self._parts) > 1 or self._parts[0].count > 1:
            self._clear(writer, tile, rows.size * cols.size)
        pack = None
        if self._is_packed:
            pack = self._kernel.add_scratch(self._dtype, self._parts[0].size * cols.size)
        for part in self._parts:
            self._write_part(writer, rows, cols, part, (tile, pack))
        self._write_stores(writer, rows, cols, tile)
        opened.close()

    def _clear(self, writer: NestWriter, tile: str, size: int) -> None:
        zero = writer.emit_constant((0.0).hex(), self._dtype)
        place = writer.open_loop(None)
        writer.append(Store(tile, variable(place), zero))
        writer.close_loop(LoopKind.VECTOR, constant(0), (constant(size),))

    def _write_part(
        self,
        writer: NestWriter,
        rows: _Range,
        cols: _Range,
        part: _Range,
        scratch: tuple[str, str | None],
    ) -> None:
        """Write the products of one range of the depth."""
        tile, pack = scratch
        writer.open_variant()
        if part.count > 1:
            writer.open_loop(_PART_ATOM)
        else:
            writer.bind_atom(_PART_ATOM, constant(0))
        left, right = self._sides.left, self._sides.right
        depth = Affine(((_PART_ATOM, part.size),), part.start)
        row = Affine(((_CHUNK_ATOM, rows.size),), rows.start)
        col = Affine(((_PANEL_ATOM, cols.size),), cols.start)
        row_stride, left_depth = left.strides[-2:]
        right_depth, col_stride = right.strides[-2:]
        source = self._kernel.param(self._product.right, Access.READ)
        at_right = self._offset(writer, right, (depth, right_depth), (col, col_stride))
        at_left = self._offset(writer, left, (row, row_stride), (depth, left_depth))
        if pack is not None and self._sides.is_right_transposed:
            writer.append(
                TransposeTile(
                    target=pack,
                    target_index=constant(0),
                    target_stride=cols.size,
                    source=source,
                    source_index=at_right,
                    source_stride=col_stride,
                    rows=part.size,
                    cols=cols.size,
                )
            )
        elif pack is not None:
            self._copy_panel(writer, pack, source, at_right, (part.size, cols.size, right_depth))
        accumulates = len(self._parts) > 1 or part.count > 1
        writer.append(
            MatmulTile(
                target=tile,
                target_index=constant(0),
                target_stride=cols.size,
                left=self._kernel.param(self._product.left, Access.READ),
                left_index=at_left,
                left_row_stride=row_stride,
                left_depth_stride=left_depth,
                right=source if pack is None else pack,
                right_index=at_right if pack is None else constant(0),
                right_stride=right_depth if pack is None else cols.size,
                rows=rows.size,
                cols=cols.size,
                depth=part.size,
                accumulates=accumulates,
            )
        )
        if part.count > 1:
            writer.close_loop(LoopKind.SERIAL, constant(0), (constant(part.count),))
        writer.close_variant()

    def _offset(self, writer: NestWriter, layout: Layout, *steps: tuple[Affine, int]) -> Index:
        """Give the index of an element of a side: in the batch at hand, moved by (index, stride) along each axis."""
        offset = Affine((), layout.offset)
        if len(layout.strides) == 3:
            size = self._sides.rows * self._sides.cols
            for loop in self._axes.batches:
                number = self._program.atoms[loop.atom].stride // size
                offset = offset.plus(Affine(((loop.atom, number),)).times(layout.strides[0]))
        for index, stride in steps:
            offset = offset.plus(index.times(stride))
        return writer.index(offset)

    def _copy_panel(
        self, writer: NestWriter, pack: str, source: str, start: Index, size: tuple[int, int, int]
    ) -> None:
        """Copy columns that lie side by side; `size` is depth, columns, and the stride along the depth."""
        depth, cols, stride = size
        writer.open_loop(_DEPTH_ATOM)
        writer.open_loop(LANE_ATOM)
        place = writer.index(Affine(((LANE_ATOM, 1), (_DEPTH_ATOM, stride))))
        value = writer.emit_load(source, writer.sum_of(start, place))
        at = writer.index(Affine(((LANE_ATOM, 1), (_DEPTH_ATOM, cols))))
        writer.append(Store(pack, at, value))
        writer.close_loop(LoopKind.VECTOR, constant(0), (constant(cols),))
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(depth),))

    def _write_stores(self, writer: NestWriter, rows: _Range, cols: _Range, tile: str) -> None:
        """Write what follows the product, over the tile."""
        index = Affine(((LANE_ATOM, 1), (_ROW_ATOM, cols.size)))
        writer.slots[self._product.scalar.number] = Slot(tile, index)
        row = writer.open_loop(_ROW_ATOM)
        first = writer.index(Affine(((_CHUNK_ATOM, rows.size),), rows.start))
        bind_loops(writer, self._axes.rows, writer.sum_of(first, variable(row)))
        lane = writer.open_loop(LANE_ATOM)
        first = writer.index(Affine(((_PANEL_ATOM, cols.size),), cols.start))
        for loop in self._axes.cols:
            writer.bind_atom(loop.atom, writer.sum_of(first, variable(lane)))
        writer.emit_stores(self._stores)
        writer.close_loop(LoopKind.VECTOR, constant(0), (constant(cols.size),))
        writer.close_loop(LoopKind.SERIAL, constant(0), (constant(rows.size),))
