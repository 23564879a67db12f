"""The iteration space of a cluster: a dense order of elements, cut into kept and reduced segments.

In: domains of roots.   Out: `Space`, and the place of a reduction's result that belongs to a place in the space.
Keeps: segments multiply to the number of elements; neighbours differ in whether they are reduced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from graphwright.lower.affine import Affine
from graphwright.lower.links import Domain


class Segment(msgspec.Struct, frozen=True):
    """A run of the space, in its order."""

    extent: int
    is_reduced: bool


class Space(msgspec.Struct, frozen=True):
    """Segments, outermost first."""

    segments: tuple[Segment, ...]

    @property
    def numel(self) -> int:
        """The number of iterations."""
        return _product(segment.extent for segment in self.segments)

    @property
    def num_kept(self) -> int:
        """The number of results of a reduction over the reduced segments."""
        return _product(segment.extent for segment in self.segments if not segment.is_reduced)

    @property
    def num_reduced(self) -> int:
        """The number of elements that go into one result."""
        return _product(segment.extent for segment in self.segments if segment.is_reduced)

    @property
    def has_reduction(self) -> bool:
        """Whether any segment is reduced."""
        return any(segment.is_reduced for segment in self.segments)

    @property
    def has_lanes(self) -> bool:
        """Whether the innermost segment is kept while another one is reduced."""
        return self.has_reduction and not self.segments[-1].is_reduced

    def row_of(self, place: Affine, extents: Sequence[int]) -> Affine | None:
        """Give the place among the kept elements that belongs to `place`; None where an atom crosses a segment."""
        terms: dict[int, int] = {}
        for atom, coeff in place.terms:
            stride = kept_stride = 1
            for segment in reversed(self.segments):
                if coeff < stride * segment.extent:
                    if coeff % stride or coeff * extents[atom] > stride * segment.extent:
                        return None
                    if not segment.is_reduced:
                        terms[atom] = coeff // stride * kept_stride
                    break
                stride *= segment.extent
                if not segment.is_reduced:
                    kept_stride *= segment.extent
            else:
                return None
        return None if place.const else Affine(tuple(sorted(terms.items())), 0)


def make_space(segments: Sequence[Segment]) -> Space:
    """Give the space of these segments, extents of 1 left out and neighbours of one kind joined."""
    joined: list[Segment] = []
    for segment in segments:
        if segment.extent == 1:
            continue
        if joined and joined[-1].is_reduced == segment.is_reduced:
            extent = joined.pop().extent * segment.extent
            joined.append(Segment(extent, segment.is_reduced))
        else:
            joined.append(segment)
    return Space(tuple(joined))


def space_of(domain: Domain) -> Space:
    """Give the space of a domain."""
    order = sorted(range(len(domain.shape)), key=lambda axis: -domain.strides[axis])
    return make_space([Segment(domain.shape[axis], domain.reduced[axis]) for axis in order])


def dense_strides(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Give the strides of a dense layout whose axes are laid out in `order`, outermost first."""
    strides = [1] * len(shape)
    stride = 1
    for axis in reversed(order):
        strides[axis] = stride
        stride *= max(shape[axis], 1)
    return tuple(strides)


def _product(factors: Iterable[int]) -> int:
    total = 1
    for factor in factors:
        total *= factor
    return total
