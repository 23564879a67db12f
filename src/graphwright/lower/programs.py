"""The scalar program of a cluster: atoms in loop order, and what is stored where.

In: a `Cluster`, and which of its values must be in memory.   Out: `Program`s: one, or one for each section where pieces are
joined.
Keeps: atoms are listed outermost first, in the order of the cluster's space; sections cover the space once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ReduceOp, ScalarOp
from graphwright.lower.affine import Affine, dot
from graphwright.lower.clusters import Cluster, Root
from graphwright.lower.elements import define_element
from graphwright.lower.links import Domain
from graphwright.lower.products import Product, Sides, product_of, sides_of
from graphwright.lower.reader import Indices, Reader, SectionNeeded, SplitNeeded, ref_of
from graphwright.lower.roots import Roots
from graphwright.lower.rules import REDUCTIONS, SCANS, scan_axis
from graphwright.lower.rules.rows import ReductionPart
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Layout, ValueKind

WIDE_LANES: Final = 64
"""Narrow rows are taken together up to so many lanes."""
FEWEST_JOINED_ROWS: Final = 4
FEWEST_ROWS: Final = 64
"""Fewer rounds of joined rows are not worth the last step, which adds the lanes of one column."""


class Atom(msgspec.Struct, frozen=True):
    """A loop of the space, as fine as indices need it."""

    extent: int
    is_reduced: bool
    stride: int
    """Its step in the space's order."""
    kept_stride: int
    """Its step among the kept elements; 0 for a reduced atom."""


class Target(msgspec.Struct, frozen=True):
    """Memory that a kernel uses: graph value `value`, seen as `dtype`; numbers past the graph's are temporary buffers."""

    value: int
    dtype: DType


class StoreTo(msgspec.Struct, frozen=True):
    """`target[offset] = scalar`."""

    target: Target
    offset: Affine
    scalar: Scalar


class ProductElement(msgspec.Struct, frozen=True):
    """A product of matrices over the program's space: the scalar that is its element, and its sides in memory."""

    scalar: Scalar
    place: Affine
    """Where the element lies in the memory of the product."""
    sides: Sides
    left: Target
    right: Target


class Scan(msgspec.Struct, frozen=True):
    """What a scan carries along its axis; the atoms of the axis are the reduced ones."""

    states: tuple[Scalar, ...]
    """`CARRIED` scalars: what was gathered before the element at hand."""
    initial: tuple[str, ...]
    """What they are before the first element, as the loop IR writes it."""
    following: tuple[Scalar, ...]
    """What they are with the element taken in."""

    def taken(self) -> tuple[Scalar, tuple[Scalar, ...]] | None:
        """Give on what condition all states are replaced, and by what; None where they are not just replaced or kept."""
        choices = [scalar.args for scalar in self.following if scalar.op is ScalarOp.WHERE]
        if len(choices) != len(self.states):
            return None
        kept = tuple(args[2] for args in choices)
        conditions = {args[0].number for args in choices}
        if kept != self.states or len(conditions) != 1:
            return None
        return choices[0][0], tuple(args[1] for args in choices)


class Scatter(msgspec.Struct, frozen=True):
    """How the updates of a scatter go; its one store says where, and what."""

    element: Scalar
    """`CARRIED`: the element that is changed, as it was before."""
    condition: Scalar | None
    """Whether there is an update."""
    free: frozenset[int]
    """Atoms along which no element is changed twice."""


class Program:
    """One scalar program. Built once, then only read."""

    def __init__(self, atoms: list[Atom], builder: ScalarBuilder) -> None:
        self.atoms = atoms
        self.builder = builder
        self.stores: list[StoreTo] = []
        self.product: ProductElement | None = None
        """The product of matrices that the program's elements are made from."""
        self.scan: Scan | None = None
        self.scatter: Scatter | None = None

    @property
    def reduced_mask(self) -> int:
        """The reduced atoms, as a bit set."""
        return sum(1 << number for number, atom in enumerate(self.atoms) if atom.is_reduced)


class _Section(msgspec.Struct, frozen=True):
    atoms: tuple[Atom, ...]
    shift: int
    """Place of the section's first element in the space's order."""


def build_programs(roots: Roots, cluster: Cluster, stored: Collection[int]) -> list[Program]:
    """Give the programs of a cluster.

    Args:
        roots: tells what is computed in passing.
        cluster: the roots that the kernel computes.
        stored: those of the cluster's values that must be written to memory.
    """
    is_empty = cluster.space.num_reduced == 0
    sections = [_with_wide_lanes(_Section(_first_atoms(roots, cluster, is_empty=is_empty), 0))]
    programs: list[Program] = []
    while sections:
        section = sections.pop()
        try:
            programs.append(_Assembly(roots, cluster, stored, section, is_empty=is_empty).run())
        except SplitNeeded as needed:
            sections.append(_split(section, needed.split.atom, needed.split.inner))
        except SectionNeeded as needed:
            sections += _cut(section, needed.atom, needed.bound)
    return programs


def _product_atoms(roots: Roots, product: Root) -> tuple[Atom, ...]:
    """Give the loops over batches, rows and columns."""
    sides = sides_of(roots.values, product.node)
    axes = zip(sides.strides, sides.extents, strict=True)
    return tuple(
        Atom(extent, is_reduced=False, stride=stride, kept_stride=stride)
        for stride, extent in sorted(axes, reverse=True)
    )


def _first_atoms(roots: Roots, cluster: Cluster, *, is_empty: bool) -> tuple[Atom, ...]:
    if cluster.product is not None:
        return _product_atoms(roots, cluster.product)
    atoms: list[Atom] = []
    stride = kept_stride = 1
    for segment in reversed(cluster.space.segments):
        if is_empty and segment.is_reduced:
            continue
        own = 0 if segment.is_reduced else kept_stride
        atoms.append(Atom(segment.extent, segment.is_reduced, stride, own))
        stride *= segment.extent
        kept_stride *= 1 if segment.is_reduced else segment.extent
    return tuple(reversed(atoms))


def _with_wide_lanes(section: _Section) -> _Section:
    """Split the reduced rows of a few lanes, so that some neighbouring rows could stand beside each other as lanes.

    `splits.py` makes use of it where it can; elsewhere the loops are merged again.
    """
    atoms = section.atoms
    if len(atoms) < 2 or atoms[-1].is_reduced or not atoms[-2].is_reduced:
        return section
    if FEWEST_JOINED_ROWS * atoms[-1].extent > WIDE_LANES:
        return section
    rows = atoms[-2].extent
    count = WIDE_LANES
    while count * atoms[-1].extent > WIDE_LANES or rows % count:
        count //= 2
    is_worth = count >= FEWEST_JOINED_ROWS and rows >= FEWEST_ROWS * count
    return _split(section, len(atoms) - 2, count) if is_worth else section


def _split(section: _Section, number: int, inner: int) -> _Section:
    return _Section(split_atoms(section.atoms, number, inner), section.shift)


def split_atoms(atoms: tuple[Atom, ...], number: int, inner: int) -> tuple[Atom, ...]:
    """Give the atoms with one of them split, so that the finer one has extent `inner`."""
    atom = atoms[number]
    outer = Atom(
        atom.extent // inner, atom.is_reduced, atom.stride * inner, atom.kept_stride * inner
    )
    fine = Atom(inner, atom.is_reduced, atom.stride, atom.kept_stride)
    return (*atoms[:number], outer, fine, *atoms[number + 1 :])


def _cut(section: _Section, number: int, bound: int) -> list[_Section]:
    """Give the later part first: sections are taken from the end."""
    atom = section.atoms[number]
    before, after = section.atoms[:number], section.atoms[number + 1 :]
    low = msgspec.structs.replace(atom, extent=bound)
    high = msgspec.structs.replace(atom, extent=atom.extent - bound)
    return [
        _Section((*before, high, *after), section.shift + bound * atom.stride),
        _Section((*before, low, *after), section.shift),
    ]


class _Assembly:
    """Builds the program of one section."""

    def __init__(
        self,
        roots: Roots,
        cluster: Cluster,
        stored: Collection[int],
        section: _Section,
        *,
        is_empty: bool,
    ) -> None:
        self._roots = roots
        self._values = roots.values
        self._cluster = cluster
        self._stored = stored
        self._is_empty = is_empty
        atoms = section.atoms
        mask = sum(1 << number for number, atom in enumerate(atoms) if atom.is_reduced)
        builder = ScalarBuilder(
            [atom.extent for atom in atoms],
            mask,
            rounds_between=roots.values.numerics.rounds_between,
        )
        self._program = Program(list(atoms), builder)
        self._place = Affine(
            tuple((number, atom.stride) for number, atom in enumerate(atoms) if atom.extent > 1),
            section.shift,
        )
        self._row = Affine(
            tuple(
                (number, atom.kept_stride)
                for number, atom in enumerate(atoms)
                if atom.kept_stride and atom.extent > 1
            ),
            section.shift,
        )
        self._reader = Reader(
            self._values,
            builder,
            self._is_loaded,
            self._define,
            can_section=not cluster.space.has_reduction and cluster.product is None,
        )

    def run(self) -> Program:
        """Give the program."""
        for root in self._cluster.roots:
            if self._values.kinds[root.values[0]] is ValueKind.REDUCTION:
                self._add_reduction(root)
            elif root.is_product:
                self._add_product(root)
            elif self._values.kinds[root.values[0]] is ValueKind.SCAN:
                self._add_scan(root)
            else:
                self._add_pointwise(root)
        return self._program

    def _is_loaded(self, base: int) -> bool:
        if base in self._cluster.values:
            return False
        return not self._roots.is_inlined(base)

    def _define(self, reader: Reader, value: int, indices: Indices) -> Scalar:
        if self._values.kinds[value] in (ValueKind.REDUCTION, ValueKind.PRODUCT):
            message = f"a kernel reads %{value} away from its own place: {indices}"
            raise InternalError(message)
        return define_element(reader, value, indices)

    def _is_full(self, domain: Domain) -> bool:
        numel = 1
        for extent in domain.shape:
            numel *= extent
        return numel == self._cluster.space.numel

    def _add_pointwise(self, root: Root) -> None:
        is_full = self._is_full(root.domain)
        if is_full and self._is_empty:
            return
        place = self._place if is_full else self._row
        indices = self._reader.locate_in(Layout(root.domain.shape, root.domain.strides), place)
        # Those that are not stored are read too, so that a later root finds them, and reads no long chain at once.
        for value in root.values:
            self._store(value, indices, self._reader.read(value, indices))

    def _add_product(self, root: Root) -> None:
        """The element of the product is one scalar; the sum with the addend is made of it."""
        product = product_of(root.node)
        assert product is not None, "checked by classify"
        value = root.values[0]
        dtype = self._values.dtype(value)
        builder = self._program.builder
        element = builder.product(dtype)
        sides = sides_of(self._values, root.node)
        left, right = (
            Target(self._values.bases[operand], dtype) for operand in (product.left, product.right)
        )
        self._program.product = ProductElement(element, self._place, sides, left, right)
        indices = self._reader.locate(value, self._place)
        total = builder.compute(ScalarOp.MUL, (element, builder.const(product.alpha, dtype)), dtype)
        if product.addend is not None:
            addend = self._addend(product, product.addend, indices)
            factor = builder.const(product.beta, dtype)
            addend = builder.compute(ScalarOp.MUL, (addend, factor), dtype)
            total = builder.compute(ScalarOp.ADD, (total, addend), dtype)
        self._reader.bind(value, indices, total)
        self._store(value, indices, total)

    def _addend(self, product: Product, addend: int, indices: Indices) -> Scalar:
        if product.addend_axis is None:
            return self._reader.read_broadcast(addend, indices)
        return self._reader.read(addend, (indices[product.addend_axis],))

    def _add_reduction(self, root: Root) -> None:
        row = REDUCTIONS[root.node.op]
        layout = self._values.layouts[root.values[0]]
        is_full = self._is_full(root.domain)
        is_plain = not root.is_reduction
        if is_full and is_plain and self._is_empty:
            return
        kept = self._place if is_full and is_plain else self._row
        target = self._reader.locate_in(_row_layout(root, layout), kept)
        indices: Indices = ()
        if not (self._is_empty and root.is_reduction):
            domain = Layout(root.domain.shape, root.domain.strides)
            indices = self._reader.locate_in(domain, self._place if is_full else self._row)
        for part, value in zip(row.parts, root.node.results, strict=True):
            if value >= 0:
                scalar = self._reduce(root, part, value, indices)
                self._reader.bind(value, target, scalar)
                self._store(value, target, scalar)

    def _add_scan(self, root: Root) -> None:
        row = SCANS[root.node.op]
        if self._is_empty:
            return
        builder = self._program.builder
        indices = self._reader.locate_in(
            Layout(root.domain.shape, root.domain.strides), self._place
        )
        operand, first = ref_of(root.node.args[0]), root.node.results[0]
        result = self._values.dtype(first if first >= 0 else operand)
        element = builder.cast(self._reader.read(operand, indices), result)
        dtypes = [state.dtype(element.dtype, result) for state in row.states]
        states = tuple(builder.carried(number, dtype) for number, dtype in enumerate(dtypes))
        index = builder.index(indices[scan_axis(self._values, root.node)])
        following = row.step(builder, states, element, index)
        initial = tuple(
            state.initial(dtype) for state, dtype in zip(row.states, dtypes, strict=True)
        )
        self._program.scan = Scan(states, initial, following)
        for scalar, value in zip(following, root.node.results, strict=True):
            if value >= 0:
                self._store(value, indices, builder.cast(scalar, self._values.dtype(value)))

    def _store(self, value: int, indices: Indices, scalar: Scalar) -> None:
        if value in self._stored:
            layout = self._values.layouts[value]
            offset = dot(indices, layout.strides, 0)
            target = Target(value, self._values.dtype(value))
            self._program.stores.append(StoreTo(target, offset, scalar))

    def _reduce(self, root: Root, part: ReductionPart, value: int, indices: Indices) -> Scalar:
        builder = self._program.builder
        operand = ref_of(root.node.args[0])
        result = self._values.dtype(value)
        wide = part.accumulator(self._values.dtype(operand), result)
        op = _BOOL_REDUCTIONS.get(part.op, part.op) if wide is DType.BOOL else part.op
        if self._is_empty and root.is_reduction:
            reduced = builder.const(_IDENTITIES[op], wide)
        else:
            reduced = self._reduced_element(root, op, wide, indices)
        if part.is_mean:
            count = builder.const(_reduced_numel(root), wide)
            reduced = builder.compute(ScalarOp.DIV, (reduced, count), wide)
        return builder.cast(reduced, result)

    def _reduced_element(self, root: Root, op: ReduceOp, wide: DType, indices: Indices) -> Scalar:
        builder = self._program.builder
        element = self._reader.operand(root.node, 0, indices)
        is_arg = op in (ReduceOp.ARGMAX, ReduceOp.ARGMIN)
        if is_arg and wide is DType.BOOL:
            wide = DType.UINT8
        update = builder.cast(element, wide)
        index = builder.index(_position(root, indices)) if is_arg else None
        if not root.is_reduction:
            return update if index is None else index
        return builder.reduce(op, update, index, self._program.reduced_mask)


_BOOL_REDUCTIONS: Final = {
    ReduceOp.MAX: ReduceOp.ANY,
    ReduceOp.MIN: ReduceOp.ALL,
    ReduceOp.SUM: ReduceOp.ANY,
    ReduceOp.PROD: ReduceOp.ALL,
}
_IDENTITIES: Final = {ReduceOp.SUM: 0, ReduceOp.PROD: 1, ReduceOp.ANY: False, ReduceOp.ALL: True}


def _reduced_numel(root: Root) -> int:
    numel = 1
    for extent, is_reduced in zip(root.domain.shape, root.domain.reduced, strict=True):
        numel *= extent if is_reduced else 1
    return numel


def _position(root: Root, indices: Indices) -> Affine:
    """Give the index that an arg-reduction reports: in row-major order of the reduced axes."""
    position = Affine()
    for extent, is_reduced, index in zip(
        root.domain.shape, root.domain.reduced, indices, strict=True
    ):
        if is_reduced:
            position = position.times(extent).plus(index)
    return position


def _row_layout(root: Root, layout: Layout) -> Layout:
    """Give the layout of a reduction's result in the order of the kept segments.

    It is the result's own where that has row order; otherwise it only serves to find indices.
    """
    domain = root.domain
    kept = [axis for axis, is_reduced in enumerate(domain.reduced) if not is_reduced]
    order = sorted(kept, key=lambda axis: -domain.strides[axis])
    strides: dict[int, int] = {}
    stride = 1
    for axis in reversed(order):
        strides[axis] = stride
        stride *= domain.shape[axis]
    if len(layout.shape) == len(domain.shape):
        own = tuple(strides.get(axis, 1) for axis in range(len(domain.shape)))
    else:
        own = tuple(strides[axis] for axis in kept)
    return Layout(layout.shape, own)
