"""Reading elements of graph values while the scalar program of a kernel is built.

In: a value and the index of an element, affine in the kernel's atoms.   Out: the `Scalar` that is that element: a load from
memory, or what the value's definition computes (through any views, without copies).
Keeps: an element read twice is one scalar.

A view shows its base's memory, so the index of an element of the view gives an offset in the base's layout. Where the base
is in memory, that is the place to load from. Where it is not, the offset is divided by the base's strides to get the index of
the base's element; for the quotients to be affine, an atom may have to be split (`SplitNeeded`), or else they are computed at
run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphwright.ir.aten import Arg, AtenNode, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import ZERO, Affine, Division, Split, apart, divide, dot, range_of
from graphwright.lower.scalars import Scalar, ScalarBuilder
from graphwright.lower.values import Layout, Values

Indices = tuple[Affine, ...]


class SplitNeeded(Exception):  # noqa: N818  (no error: the kernel is built again with finer atoms)
    """An atom must be split for an index to be affine."""

    def __init__(self, split: Split) -> None:
        super().__init__(split)
        self.split = split


class SectionNeeded(Exception):  # noqa: N818  (no error: the kernel is built in sections)
    """Below `bound`, an atom leads to another piece of a concatenation (or the like) than from there on."""

    def __init__(self, atom: int, bound: int) -> None:
        super().__init__(atom, bound)
        self.atom = atom
        self.bound = bound


class Reader:
    """Reads elements of values in one kernel.

    Args:
        values: the graph's values.
        builder: makes the scalars.
        is_loaded: tells whether a value (no view) is read from memory in this kernel.
        define: gives the element of a value that is not.
        can_section: whether the kernel may be built in sections.
    """

    def __init__(
        self,
        values: Values,
        builder: ScalarBuilder,
        is_loaded: Callable[[int], bool],
        define: Callable[[Reader, int, Indices], Scalar],
        *,
        can_section: bool,
    ) -> None:
        self.values = values
        self.builder = builder
        self._is_loaded = is_loaded
        self._define = define
        self._can_section = can_section
        self._known: dict[tuple[int, Indices], Scalar] = {}

    def bind(self, value: int, indices: Indices, scalar: Scalar) -> None:
        """Say what element of a value is a known scalar."""
        self._known[value, indices] = scalar

    def read(self, value: int, indices: Indices) -> Scalar:
        """Give the element of `value` at `indices`, in the value's dtype."""
        key = (value, indices)
        scalar = self._known.get(key)
        if scalar is None:
            scalar = self._read(value, indices)
            self._known[key] = scalar
        return scalar

    def read_broadcast(self, value: int, indices: Indices) -> Scalar:
        """Give the element of `value` that broadcasting pairs with `indices`, which may have more dimensions."""
        shape = self.values.layouts[value].shape
        missing = len(indices) - len(shape)
        if not missing and 1 not in shape:
            return self.read(value, indices)
        own = tuple(
            ZERO if extent == 1 else index
            for extent, index in zip(shape, indices[missing:], strict=True)
        )
        return self.read(value, own)

    def operand(self, node: AtenNode, position: int, indices: Indices) -> Scalar:
        """Give the element of the tensor argument at `position`."""
        return self.read(ref_of(node.args[position]), indices)

    def locate(self, value: int, offset: Affine) -> Indices:
        """Give the index of the element of `value` (dense, no view) that lies at `offset`."""
        return self.locate_in(self.values.layouts[value], offset)

    def locate_in(self, layout: Layout, offset: Affine) -> Indices:
        """Give the index of the element that lies at `offset` in a dense layout."""
        return indices_at(offset, layout, self.divide)

    def piece_of(self, index: Affine, bounds: Sequence[int]) -> int | None:
        """Tell in which piece an index lies.

        Args:
            index: the index.
            bounds: where each piece ends, in ascending order.

        Returns:
            The piece that holds the whole range of the index; None where no section of an atom makes it one.

        Raises:
            SectionNeeded: the range spans pieces, and sections of an atom would not.
        """
        low, high = range_of(index, self.builder.extents)
        for piece, bound in enumerate(bounds):
            if low < bound:
                if high < bound:
                    return piece
                section = self._find_section(index, bound) if self._can_section else None
                if section is not None:
                    raise SectionNeeded(*section)
                return None
        return len(bounds) - 1

    def _find_section(self, index: Affine, bound: int) -> tuple[int, int] | None:
        """Give an atom, and the bound that its sections have; None where no atom can be cut."""
        extents = self.builder.extents
        for atom, coeff in index.terms:
            if coeff <= 0 or atom >= self.builder.num_atoms:
                continue
            rest = Affine(tuple(term for term in index.terms if term[0] != atom), index.const)
            low, high = range_of(rest, extents)
            cut = -((low - bound) // coeff)
            if 0 < cut < extents[atom] and coeff * (cut - 1) + high < bound:
                return atom, cut
        return None

    def _read(self, value: int, indices: Indices) -> Scalar:
        values = self.values
        layout = values.layouts[value]
        base = values.bases[value]
        if self._is_loaded(base):
            offset = dot(indices, layout.strides, layout.offset)
            return self.builder.load(base, offset, values.dtype(value))
        if base == value:
            return self._define(self, value, indices)
        offset = dot(indices, layout.strides, layout.offset)
        element = self.read(base, self.locate(base, offset))
        if element.dtype is values.dtype(value):
            return element
        return self.builder.compute(ScalarOp.BITCAST, (element,), values.dtype(value))

    def divide(self, value: Affine, divisor: int, extent: int) -> tuple[Affine, Affine]:
        """Give quotient (below `extent`) and remainder; at run time where no split of an atom makes the quotient affine.

        Raises:
            SplitNeeded: a split of an atom does.
        """
        builder = self.builder
        outcome = divide(value, divisor, builder.extents)
        if isinstance(outcome, Division):
            return outcome.quotient, outcome.remainder
        if isinstance(outcome, Split) and outcome.atom < builder.num_atoms:
            raise SplitNeeded(outcome)
        coarse, unit, fine = apart(value, divisor, builder.extents)
        whole, rest = builder.index(coarse), divisor // unit
        by = builder.const(rest, DType.INT64)
        quotient = builder.compute(ScalarOp.FLOOR_DIV, (whole, by), DType.INT64)
        remainder = builder.compute(ScalarOp.MOD, (whole, by), DType.INT64)
        return (
            builder.dynamic_index(quotient, extent),
            builder.dynamic_index(remainder, rest).times(unit).plus(fine),
        )


def indices_at(
    offset: Affine,
    layout: Layout,
    divide_by: Callable[[Affine, int, int], tuple[Affine, Affine]],
) -> Indices:
    """Give the index of the element that lies at `offset` in a dense layout.

    Args:
        offset: in elements, from the first one.
        layout: dense.
        divide_by: (value, stride, extent of the quotient) → quotient and remainder.
    """
    order = sorted(
        (axis for axis, extent in enumerate(layout.shape) if extent != 1),
        key=lambda axis: -layout.strides[axis],
    )
    indices = [ZERO] * len(layout.shape)
    rest = offset
    for axis in order:
        stride = layout.strides[axis]
        if stride == 1:
            indices[axis] = rest
            break
        indices[axis], rest = divide_by(rest, stride, layout.shape[axis])
    return tuple(indices)


def ref_of(arg: Arg) -> int:
    """Give the value that a tensor argument refers to."""
    assert isinstance(arg, Ref), f"a tensor argument is a reference, not {arg}"
    return arg.id


def shape_of(values: Values, node: AtenNode, position: int = 0) -> tuple[int, ...]:
    """Give the shape of the tensor argument at `position`."""
    return values.layouts[ref_of(node.args[position])].shape
