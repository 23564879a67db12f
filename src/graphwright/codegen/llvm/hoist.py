"""Move what does not change in a loop out of it.

In: a list of statements.   Out: the same list, with constants, index computations and operations before the innermost loop that
they do not depend on; loads too, where the loop surely runs and nothing in it stores to that buffer.
Keeps: values; the order of stores. Parallel loops stay as they are: what was moved out of one would have to be passed in.

    vector i1 in 0..1024:             c0 = const 0x1.0p+1: f32
      c0 = const 0x1.0p+1: f32        v0 = load bias[i0]
      v0 = load bias[i0]         →    vector i1 in 0..1024:
      v1 = load in0[i1]                 v1 = load in0[i1]
      v2 = add(v1, v0): f32             v2 = add(v1, v0): f32
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from graphwright.codegen.llvm.names import iter_stored_buffers, iter_used_by
from graphwright.ir.loops import (
    Compute,
    Const,
    If,
    IndexValue,
    Load,
    Loop,
    LoopKind,
    Stmt,
)


def hoist_invariants(
    body: tuple[Stmt, ...], aliases: dict[str, frozenset[str]]
) -> tuple[Stmt, ...]:
    """Move loop-invariant statements out of the loops of a list.

    Args:
        body: the statements.
        aliases: for each buffer, all names of its memory; a buffer that is not in it has only its own.

    Returns:
        The new list.
    """
    return tuple(_iter_hoisted(body, aliases))


def _iter_hoisted(body: tuple[Stmt, ...], aliases: dict[str, frozenset[str]]) -> Iterator[Stmt]:
    for stmt in body:
        if isinstance(stmt, If):
            yield msgspec.structs.replace(stmt, body=hoist_invariants(stmt.body, aliases))
        elif isinstance(stmt, Loop):
            yield from _split_loop(stmt, aliases)
        else:
            yield stmt


def _split_loop(loop: Loop, aliases: dict[str, frozenset[str]]) -> list[Stmt]:
    """Give the statements that leave the loop, and the loop without them."""
    body = hoist_invariants(loop.body, aliases)
    if loop.kind is LoopKind.PARALLEL:
        return [msgspec.structs.replace(loop, body=body)]
    stored = {
        name
        for buffer in iter_stored_buffers(body)
        for name in aliases.get(buffer, frozenset((buffer,)))
    }
    surely_runs = _surely_runs(loop)
    own = {loop.var}
    outside: list[Stmt] = []
    inside: list[Stmt] = []
    for stmt in body:
        is_fixed = own.isdisjoint(iter_used_by(stmt))
        match stmt:
            case Const() | IndexValue() | Compute():
                moves = is_fixed
            case Load(buffer=buffer):
                moves = is_fixed and surely_runs and buffer not in stored
            case _:
                moves = False
        (outside if moves else inside).append(stmt)
        if not moves:
            own.update(_defined(stmt))
    return [*outside, msgspec.structs.replace(loop, body=tuple(inside))]


def _defined(stmt: Stmt) -> Iterator[str]:
    """Give the names that a statement defines for those after it."""
    if isinstance(stmt, Loop):
        yield from (carry.name for carry in stmt.carries)
    elif isinstance(stmt, Const | IndexValue | Load | Compute):
        yield stmt.name


def _surely_runs(loop: Loop) -> bool:
    """True if the loop is known to run at least once."""
    start, stops = loop.start, loop.stops
    if not isinstance(start.const, int):
        return False
    first = start.const
    return all(
        stop.terms == start.terms and isinstance(stop.const, int) and stop.const > first
        for stop in stops
    )
