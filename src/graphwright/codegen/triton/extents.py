"""How many lanes a loop gets, and the text of indices.

In: loops and indices of the loop IR.   Out: block sizes, and expressions over variables and size arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from graphwright.codegen.triton.accesses import index_difference
from graphwright.ir.loops import If, Index, Load, Loop, Stmt, Store
from graphwright.ir.symint import Dim, SymExpr
from graphwright.ir.symint_algebra import free_symbols

LANES_PER_PROGRAM: Final = 1024
"""Iterations of a flat loop that one program runs."""
_LONGEST_BLOCK: Final = 8192
"""Longest row that is held in registers as a whole (256 bytes of float32 a thread of the largest program)."""
_CHUNK: Final = 2048
"""Lanes of a row that is walked through block by block."""


class SizeArguments:
    """The symbolic extents that a kernel's source uses, each an argument."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self._symbols = frozenset(symbols)
        self._names: dict[SymExpr, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments, in order."""
        return tuple(self._names.values())

    @property
    def expressions(self) -> tuple[SymExpr, ...]:
        """Their values."""
        return tuple(self._names)

    def render(self, dim: Dim) -> str:
        """Give the text of an extent.

        Raises:
            KeyError: it depends on a symbol that is not the kernel's.
        """
        if isinstance(dim, int):
            return str(dim)
        unknown = set(free_symbols(dim)) - self._symbols
        if unknown:
            raise KeyError(*sorted(unknown))
        return self._names.setdefault(dim, f"size_{len(self._names)}")

    def render_index(self, index: Index) -> str:
        """Give the text of an index."""
        parts = []
        for term in index.terms:
            coeff = self.render(term.coeff)
            parts.append(term.name if coeff == "1" else f"{term.name}*{coeff}")
        if index.const != 0 or not parts:
            parts.append(self.render(index.const))
        return " + ".join(parts)


def longest_extent(loop: Loop, scratch_sizes: Mapping[str, int]) -> int | None:
    """Give a number that the iterations of `loop` never exceed, or None when none is known.

    A symbolic extent is bounded by the size of a scratch row that the loop walks along.
    """
    lengths = [index_difference(stop, loop.start) for stop in loop.stops]
    known = [
        length.const for length in lengths if not length.terms and isinstance(length.const, int)
    ]
    known += [
        size for name, size in scratch_sizes.items() if name in _rows_along(loop.var, loop.body)
    ]
    return max(0, -(-min(known) // loop.step)) if known else None


def static_extent(loop: Loop) -> int | None:
    """Give how often `loop` runs, or None when that is known at the launch only."""
    lengths = [index_difference(stop, loop.start) for stop in loop.stops]
    if any(length.terms or not isinstance(length.const, int) for length in lengths):
        return None
    return longest_extent(loop, {})


def _rows_along(var: str, body: Iterable[Stmt]) -> set[str]:
    """Give the buffers whose element moves on by at least one with each step of `var`."""
    found: set[str] = set()
    for stmt in body:
        match stmt:
            case Load(buffer=buffer, index=index) | Store(buffer=buffer, index=index):
                coeffs = [term.coeff for term in index.terms if term.name == var]
                if coeffs and all(isinstance(coeff, int) and coeff > 0 for coeff in coeffs):
                    found.add(buffer)
            case Loop(body=inner) | If(body=inner):
                found |= _rows_along(var, inner)
            case _:
                continue
    return found


def is_one_block(longest: int | None) -> bool:
    """Tell whether a loop of at most `longest` iterations is run as one block."""
    return longest is not None and longest <= _LONGEST_BLOCK


def block_lanes(longest: int | None) -> int:
    """Give the lanes of a block, a power of two, for a loop of at most `longest` iterations."""
    if longest is None or not is_one_block(longest):
        return _CHUNK
    return 1 << max(0, longest - 1).bit_length()


def num_warps_for(lanes: int) -> int:
    """Give the warps of a program whose widest block has so many lanes."""
    return max(1, min(16, lanes // 256))
