"""A kept loop cut into tiles, whose lanes the vector loops of a nest run over.

In: the loop, and how many lanes a tile has.   Out: the loop over tiles, and vector loops over the lanes of the tile at hand.
Keeps: the last tile ends where the loop does.
"""

from __future__ import annotations

from graphwright.ir.loops import Index, LoopKind, Term
from graphwright.lower.affine import Affine
from graphwright.lower.loops import LANE_ATOM, LoopSpec, constant
from graphwright.lower.values import static
from graphwright.lower.writer import NestWriter


class LaneTile:
    """The tile at hand.

    Args:
        writer: where loops are opened.
        lane: the loop that is cut.
        extent: lanes in a tile.
    """

    def __init__(self, writer: NestWriter, lane: LoopSpec, extent: int) -> None:
        self.extent = extent
        self._writer = writer
        self._lane = lane
        self._start = constant(0)

    @property
    def loop(self) -> LoopSpec:
        """The loop over tiles."""
        num_tiles = -(-self._lane.extent // self.extent)
        return LoopSpec(num_tiles, is_reduced=False, atoms=(LANE_ATOM,))

    def begin(self) -> None:
        """Note where the tile begins; the loop over tiles is open."""
        self._start = self._writer.index(Affine(((LANE_ATOM, self.extent),)))

    def open(self) -> None:
        """Open a vector loop over the tile's lanes, from 0."""
        name = self._writer.open_loop(LANE_ATOM)
        start = self._start
        self._writer.bind_atom(self._lane.atom, Index((*start.terms, Term(name, 1)), start.const))

    @property
    def place(self) -> Index:
        """The lane at hand, counted from the tile's first."""
        return self._writer.index(Affine(((LANE_ATOM, 1),)))

    def close(self) -> None:
        """Close the vector loop."""
        stops = [constant(self.extent)]
        if self._lane.extent % self.extent:
            terms = tuple(Term(term.name, -static(term.coeff)) for term in self._start.terms)
            stops.append(Index(terms, self._lane.extent - static(self._start.const)))
        self._writer.close_loop(LoopKind.VECTOR, constant(0), stops)
