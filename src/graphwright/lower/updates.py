"""The scalar program of a scatter's updates.

In: the root of a scatter.   Out: a `Program` over the updates, in their order, and the atoms along which they go to places of their own.
Keeps: what `rules/scatter.py` says of the order.
"""

from __future__ import annotations

from graphwright.ir.dtypes import DType
from graphwright.ir.strides import row_major
from graphwright.lower.affine import Affine, dot
from graphwright.lower.clusters import Root
from graphwright.lower.elements import define_element
from graphwright.lower.programs import Atom, Program, Scatter, StoreTo, Target, split_atoms
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Indices, Reader, SplitNeeded
from graphwright.lower.roots import Roots
from graphwright.lower.rules import SCATTERS
from graphwright.lower.rules.rows import ScatterRow
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Layout


def build_updates(roots: Roots, root: Root) -> Program:
    """Give the program of the updates that `root`, a scatter, makes to its result."""
    shape = SCATTERS[root.node.op].domain(roots.values, root.node)
    strides = row_major(shape)
    atoms = tuple(
        Atom(extent, is_reduced=False, stride=stride, kept_stride=stride)
        for extent, stride in zip(shape, strides, strict=True)
    )
    domain = Layout(shape, strides)
    while True:
        try:
            return _Updates(roots, root, domain, atoms).run()
        except SplitNeeded as needed:
            atoms = split_atoms(atoms, needed.split.atom, needed.split.inner)


class _Updates:
    """Builds the program over given atoms."""

    def __init__(self, roots: Roots, root: Root, domain: Layout, atoms: tuple[Atom, ...]) -> None:
        self._values = roots.values
        self._root = root
        self._domain = domain
        self._builder = ScalarBuilder(
            [atom.extent for atom in atoms],
            0,
            rounds_between=roots.values.numerics.rounds_between,
        )
        self._program = Program(list(atoms), self._builder)
        self._reader = Reader(
            roots.values,
            self._builder,
            lambda base: not roots.is_inlined(base),
            define_element,
            can_section=False,
        )

    def run(self) -> Program:
        """Give the program."""
        atoms, node, reader = self._program.atoms, self._root.node, self._reader
        row = SCATTERS[node.op]
        own = Affine(
            tuple((number, atom.stride) for number, atom in enumerate(atoms) if atom.extent > 1)
        )
        indices = reader.locate_in(self._domain, own)
        place = row.place(reader, node, indices)
        condition = None if row.condition is None else row.condition(reader, node, indices)
        value = self._root.values[0]
        dtype = self._values.dtype(value)
        element = self._builder.carried(0, dtype)
        update = row.update(reader, node, indices)
        following = self._combined(row, element, update, dtype)
        offset = dot(place, self._values.layouts[value].strides, 0)
        self._program.stores.append(StoreTo(Target(value, dtype), offset, following))
        self._program.scatter = Scatter(element, condition, self._free_atoms(row, place))
        return self._program

    def _combined(self, row: ScatterRow, element: Scalar, update: Scalar, dtype: DType) -> Scalar:
        op = row.combine(self._root.node)
        builder = self._builder
        if op is None:
            return builder.cast(update, dtype)
        wide = computation_dtype(dtype)
        args = (builder.cast(element, wide), builder.cast(update, wide))
        return builder.cast(builder.compute(op, args, wide), dtype)

    def _free_atoms(self, row: ScatterRow, place: Indices) -> frozenset[int]:
        """Give the atoms that are (part of) an index of the result as they are: along them no place comes twice."""
        listed = {lookup.axis for lookup in row.lookups(self._values, self._root.node)}
        return frozenset(
            atom
            for axis, index in enumerate(place)
            if axis not in listed
            for atom, _ in index.terms
        )
