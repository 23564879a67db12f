"""Which memory of a kernel can live in registers, and where threads must wait for each other.

In: the statements of one stage (what one launch runs).   Out: for each scratch whether lanes keep it, and the buffers whose
accesses need a barrier between them.

    vector i in 0..n: s[i] = f(x[i])        s is read by the lane that wrote it:
    vector j in 0..n: y[j] = s[j] / t   →   a block in registers, no memory
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from graphwright.ir.loops import (
    Access,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    LoopKind,
    MatmulTile,
    Stmt,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import add, mul


class AccessSite(msgspec.Struct, frozen=True):
    """One statement that touches a buffer."""

    buffer: str
    access: Access
    index: Index | None
    """None for a tile."""
    vector_loop: Loop | None
    """The vector loop around it."""
    unit: int
    """Statements of one flat loop have one number: lane by lane they do not meet each other."""


def iter_sites(body: Iterable[Stmt]) -> Iterator[AccessSite]:
    """Give all accesses of `body`, in order."""
    counter = _Counter()
    yield from _iter_sites(body, None, counter, 0)


def can_stay_in_registers(scratch: str, sites: Iterable[AccessSite]) -> bool:
    """Tell whether each element of `scratch` is only touched by one lane of equally long vector loops."""
    own = [site for site in sites if site.buffer == scratch]
    places = {_lane_place(site) for site in own}
    return len(places) == 1 and None not in places


def shared_buffers(kernel: Kernel, sites: Iterable[AccessSite]) -> frozenset[str]:
    """Give the buffers that are written in one unit and touched in another, with those that have the same memory."""
    root = {param.name: param.aliases or param.name for param in kernel.params}
    units: dict[str, set[int]] = {}
    written: set[str] = set()
    for site in sites:
        memory = root.get(site.buffer, site.buffer)
        units.setdefault(memory, set()).add(site.unit)
        if site.access is Access.WRITE:
            written.add(memory)
    shared = {memory for memory in written if len(units[memory]) > 1}
    names = [*root, *(scratch.name for scratch in kernel.scratch)]
    return frozenset(name for name in names if root.get(name, name) in shared)


class _Counter:
    def __init__(self) -> None:
        self.value = 0

    def next(self) -> int:
        self.value += 1
        return self.value


def _iter_sites(
    body: Iterable[Stmt], vector_loop: Loop | None, counter: _Counter, unit: int
) -> Iterator[AccessSite]:
    for stmt in body:
        own = unit or counter.next()
        match stmt:
            case Load(buffer=buffer, index=index):
                yield AccessSite(buffer, Access.READ, index, vector_loop, own)
            case Store(buffer=buffer, index=index):
                yield AccessSite(buffer, Access.WRITE, index, vector_loop, own)
            case TransposeTile(target=target, source=source):
                yield AccessSite(source, Access.READ, None, None, own)
                yield AccessSite(target, Access.WRITE, None, None, own)
            case MatmulTile(target=target, left=left, right=right):
                yield AccessSite(left, Access.READ, None, None, own)
                yield AccessSite(right, Access.READ, None, None, own)
                yield AccessSite(target, Access.READ, None, None, own)
                yield AccessSite(target, Access.WRITE, None, None, own)
            case Loop(kind=LoopKind.VECTOR, body=inner):
                yield from _iter_sites(inner, stmt, counter, own)
            case Loop(kind=LoopKind.PARALLEL, body=inner) if _is_flat(inner):
                yield from _iter_sites(inner, vector_loop, counter, own)
            case Loop(body=inner) | If(body=inner):
                yield from _iter_sites(inner, vector_loop, counter, unit)
            case Const() | IndexValue() | Compute():
                continue


def _is_flat(body: Iterable[Stmt]) -> bool:
    return not any(
        isinstance(stmt, Loop) or (isinstance(stmt, If) and not _is_flat(stmt.body))
        for stmt in body
    )


def _lane_place(site: AccessSite) -> tuple[Index, int, tuple[Index, ...]] | None:
    """Describe which element lane number n touches: equal for two sites when it is the same element for every n."""
    loop = site.vector_loop
    if loop is None or site.index is None or loop.step != 1:
        return None
    rest = tuple(term for term in site.index.terms if term.name != loop.var)
    own = [term.coeff for term in site.index.terms if term.name == loop.var]
    if own != [1]:
        return None
    first = _add_index(Index(rest, site.index.const), loop.start, 1)
    lengths = tuple(_add_index(stop, loop.start, -1) for stop in loop.stops)
    return first, loop.step, lengths


def _add_index(left: Index, right: Index, factor: int) -> Index:
    coeffs: dict[str, Dim] = {}
    for term in left.terms:
        coeffs[term.name] = add(coeffs.get(term.name, 0), term.coeff)
    for term in right.terms:
        coeffs[term.name] = add(coeffs.get(term.name, 0), mul(term.coeff, factor))
    terms = tuple(Term(name, coeff) for name, coeff in sorted(coeffs.items()) if coeff != 0)
    return Index(terms, add(left.const, mul(right.const, factor)))


def index_difference(left: Index, right: Index) -> Index:
    """Give `left - right`, terms that cancel left out."""
    return _add_index(left, right, -1)
