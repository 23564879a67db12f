"""Closure cells: those of functions that existed before the call are read with a guard, and stored to aside.

In: cells, as frames find them.   Out: their contents, as the program sees them.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from graphwright.capture.missing import ABSENT, DELETED
from graphwright.ir.sources import ClosureSource, Source


class Cells:
    """The cells of functions that existed before the call.

    Args:
        enter: lets in an object found at a source.
    """

    def __init__(self, enter: Callable[[Any, Source], Any]) -> None:
        self.known: dict[int, tuple[types.CellType, Source, int, str]] = {}
        """By `id`: cell, function, index, name."""
        self.stored: dict[int, object] = {}
        """What the program stored in them (or `DELETED`)."""
        self._enter = enter
        self._contents: dict[int, Any] = {}

    def add(self, function: types.FunctionType, source: Source) -> None:
        """Take up the cells of a function found at `source`."""
        for i, cell in enumerate(function.__closure__ or ()):
            name = function.__code__.co_freevars[i]
            if id(cell) not in self.known:
                self.known[id(cell)] = (cell, source, i, name)
            elif _is_filled(cell):
                # The cell is another function's too: that both hold the same now does not mean that they always do.
                self._enter(cell.cell_contents, ClosureSource(source, i, name))

    def read(self, cell: types.CellType) -> Any:
        """Give the content of any cell, or `ABSENT` when it is empty."""
        entry = self.known.get(id(cell))
        if entry is None:
            return cell.cell_contents if _is_filled(cell) else ABSENT
        stored = self.stored.get(id(cell), ABSENT)
        if stored is not ABSENT:
            return ABSENT if stored is DELETED else stored
        if id(cell) not in self._contents:
            if not _is_filled(cell):
                return ABSENT
            _, function, index, name = entry
            source = ClosureSource(function, index, name)
            self._contents[id(cell)] = self._enter(cell.cell_contents, source)
        return self._contents[id(cell)]

    def write(self, cell: types.CellType, value: object) -> bool:
        """Store into any cell (or `DELETED`), and tell whether it existed before."""
        if id(cell) in self.known:
            self.stored[id(cell)] = value
            return True
        if value is DELETED:
            del cell.cell_contents
        else:
            cell.cell_contents = value
        return False


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (asking is what tells)
    except ValueError:
        return False
    return True
