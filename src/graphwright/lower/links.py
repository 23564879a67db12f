"""What a root reads, and where: the access maps that fusion is decided by.

In: a *root* (a value that is computed in a place of its own: it is stored, or reduced, or shared).   Out: `RootAccess`: the
atoms of its domain, its own place in it, and for everything that it reads, through the nodes that are computed in passing,
the offset it is read at.
Keeps: a map is given only where it is affine over the root's atoms; other reads have None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from graphwright.ir.aten import AtenNode, Ref
from graphwright.lower.affine import ZERO, Affine, Division, Split, atom_affine, divide, dot
from graphwright.lower.products import product_of
from graphwright.lower.reader import Indices, SplitNeeded, indices_at, ref_of
from graphwright.lower.rules import ELEMENTS, SCATTERS
from graphwright.lower.values import ValueKind, Values, operands_of

_MAX_SPLITS: Final = 8


class Read(msgspec.Struct, frozen=True):
    """One read of a value that is no view."""

    base: int
    offset: Affine | None
    """Element of the base's memory, over the root's atoms; None where it is not affine."""


class Domain(msgspec.Struct, frozen=True):
    """What a root iterates over."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """A dense order of the elements of `shape`: the order of iteration."""
    reduced: tuple[bool, ...]
    """For each axis, whether it is reduced."""
    memory_strides: tuple[int, ...]
    """For a pointwise root, the strides of its own memory; `strides` for a reduction."""


class RootAccess(msgspec.Struct, frozen=True):
    """How a root iterates and reads."""

    extents: tuple[int, ...]
    """Extent of each atom."""
    own: Affine
    """Place of an iteration in the dense order of the domain."""
    place: Affine
    """For a pointwise root, where its element lies in its own memory; `own` for a reduction."""
    reads: tuple[Read, ...]


def find_access(
    values: Values,
    node: AtenNode,
    domain: Domain,
    is_inlined: Callable[[int], bool],
) -> RootAccess:
    """Give the access of the root that `node` computes over `domain`.

    Args:
        values: the graph's values.
        node: the root's node.
        domain: its axes and their order.
        is_inlined: tells whether a value (no view) is computed in passing, in each of its readers.
    """
    extents = list(domain.shape)
    indices: Indices = tuple(
        atom_affine(axis) if extent != 1 else ZERO for axis, extent in enumerate(extents)
    )
    own = dot(indices, domain.strides, 0)
    place = dot(indices, domain.memory_strides, 0)
    for _ in range(_MAX_SPLITS):
        walk = _Walk(values, extents, is_inlined)
        try:
            walk.visit_operands(node, indices)
        except SplitNeeded as needed:
            split = needed.split
            extents = [*extents, split.inner]
            extents[split.atom] //= split.inner
            inner = len(extents) - 1
            indices = tuple(_split_atom(index, split, inner) for index in indices)
            own = _split_atom(own, split, inner)
            place = _split_atom(place, split, inner)
        else:
            return RootAccess(tuple(extents), own, place, tuple(walk.reads))
    walk = _Walk(values, extents, is_inlined, gives_up=True)
    walk.visit_operands(node, indices)
    return RootAccess(tuple(extents), own, place, tuple(walk.reads))


def _split_atom(value: Affine, split: Split, inner: int) -> Affine:
    coeff = value.coeff(split.atom)
    if not coeff:
        return value
    terms = dict(value.terms)
    terms[split.atom] = coeff * split.inner
    terms[inner] = coeff
    return Affine(tuple(sorted(terms.items())), value.const)


def read_operands(node: AtenNode) -> list[int]:
    """Give the values whose elements a node reads (not those of which it takes only the shape)."""
    row = ELEMENTS.get(node.op)
    if row is not None and not row.reads:
        return []
    return operands_of(node)


def indices_of(node: AtenNode, operand: int, indices: Indices) -> Indices | None:
    """Give the index at which an element row (or a scatter) reads `operand`, where that is the result's own index; else None."""
    row = ELEMENTS.get(node.op) or SCATTERS[node.op]
    places = [place for place, arg in enumerate(node.args) if arg == Ref(operand)]
    return indices if places and all(place in row.same_index for place in places) else None


class _Walk:
    """Follows reads from a root down to what is in memory (or to other roots)."""

    def __init__(
        self,
        values: Values,
        extents: list[int],
        is_inlined: Callable[[int], bool],
        *,
        gives_up: bool = False,
    ) -> None:
        self.values = values
        self.reads: list[Read] = []
        self._extents = extents
        self._is_inlined = is_inlined
        self._gives_up = gives_up
        self._seen: set[tuple[int, Indices | None]] = set()

    def visit_operands(self, node: AtenNode, indices: Indices | None) -> None:
        """Visit what `node` reads to compute its element at `indices` (of its domain)."""
        values = self.values
        first = node.first_tensor
        kind = ValueKind.REDUCTION if first is None else values.kinds[first]
        if kind in (ValueKind.ELEMENTS, ValueKind.SCATTER) or indices is None:
            for operand in read_operands(node):
                self.visit(operand, None if indices is None else indices_of(node, operand, indices))
        elif kind in (ValueKind.REDUCTION, ValueKind.SCAN):
            self.visit(ref_of(node.args[0]), indices)
        elif kind is ValueKind.PRODUCT:
            self._visit_product(node, indices)
        else:
            for operand in read_operands(node):
                self._visit_broadcast(operand, indices)

    def visit(self, value: int, indices: Indices | None) -> None:
        """Visit an element of `value`; None stands for an unknown index."""
        key = (value, indices)
        if key in self._seen:
            return
        self._seen.add(key)
        values = self.values
        base = values.bases[value]
        if not self._is_inlined(base):
            layout = values.layouts[value]
            is_known = indices is not None and values.dtype(base) is values.dtype(value)
            offset = (
                dot(indices, layout.strides, layout.offset)
                if is_known and indices is not None
                else None
            )
            self.reads.append(Read(base, offset))
            return
        node = values.nodes[base]
        assert node is not None, "what is inlined has a definition"
        if base != value and indices is not None:
            layout = values.layouts[value]
            offset = dot(indices, layout.strides, layout.offset)
            try:
                indices = indices_at(offset, values.layouts[base], self._divide)
            except _NotAffineError:
                indices = None
        self.visit_operands(node, indices)

    def _visit_product(self, node: AtenNode, indices: Indices) -> None:
        """Both sides are read all over; the addend at the result's own index."""
        product = product_of(node)
        assert product is not None, "checked by classify"
        self.visit(product.left, None)
        self.visit(product.right, None)
        if product.addend is None:
            return
        if product.addend_axis is None:
            self._visit_broadcast(product.addend, indices)
        else:
            self.visit(product.addend, (indices[product.addend_axis],))

    def _visit_broadcast(self, value: int, indices: Indices) -> None:
        shape = self.values.layouts[value].shape
        own = indices[len(indices) - len(shape) :]
        if 1 in shape:
            own = tuple(
                ZERO if extent == 1 else index for extent, index in zip(shape, own, strict=True)
            )
        self.visit(value, own)

    def _divide(self, value: Affine, divisor: int, _extent: int) -> tuple[Affine, Affine]:
        outcome = divide(value, divisor, self._extents)
        if isinstance(outcome, Division):
            return outcome.quotient, outcome.remainder
        if isinstance(outcome, Split) and not self._gives_up:
            raise SplitNeeded(outcome)
        raise _NotAffineError


class _NotAffineError(Exception):
    """An index is not affine in the atoms."""
