"""Which names a list of statements uses and defines.

In: statements.   Out: sets of names. Used to find what a parallel body needs from around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from graphwright.ir.loops import (
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Load,
    Loop,
    MatmulTile,
    Stmt,
    Store,
    TransposeTile,
)


def _of_index(index: Index) -> Iterator[str]:
    return (term.name for term in index.terms)


def iter_used_values(body: tuple[Stmt, ...]) -> Iterator[str]:
    """Give the values and loop variables that the statements read, those of nested statements too."""
    for stmt in body:
        yield from iter_used_by(stmt)


def iter_used_by(stmt: Stmt) -> Iterator[str]:
    """Give the values and loop variables that a statement and those in it read."""
    match stmt:
        case Const():
            return
        case IndexValue() | Load():
            yield from _of_index(stmt.index)
        case Compute():
            yield from stmt.args
        case Store():
            yield stmt.value
            yield from _of_index(stmt.index)
        case Loop():
            yield from _iter_used_by_loop(stmt)
        case If():
            yield stmt.condition
            yield from iter_used_values(stmt.body)
        case TransposeTile():
            yield from _of_index(stmt.target_index)
            yield from _of_index(stmt.source_index)
        case MatmulTile():
            yield from _of_index(stmt.target_index)
            yield from _of_index(stmt.left_index)
            yield from _of_index(stmt.right_index)
            if stmt.ahead is not None:
                yield from _of_index(stmt.ahead.index)
        case _:
            assert_never(stmt)


def _iter_used_by_loop(loop: Loop) -> Iterator[str]:
    for bound in (loop.start, *loop.stops):
        yield from _of_index(bound)
    yield from iter_used_values(loop.body)
    for carry in loop.carries:
        yield carry.update
        if carry.index is not None:
            yield carry.index


def iter_used_buffers(body: tuple[Stmt, ...]) -> Iterator[str]:
    """Give the buffers that the statements touch."""
    for stmt in body:
        match stmt:
            case Load() | Store():
                yield stmt.buffer
            case Loop() | If():
                yield from iter_used_buffers(stmt.body)
            case TransposeTile():
                yield stmt.target
                yield stmt.source
            case MatmulTile():
                yield stmt.target
                yield stmt.left
                yield stmt.right
                if stmt.ahead is not None:
                    yield stmt.ahead.buffer
            case Const() | IndexValue() | Compute():
                pass
            case _:
                assert_never(stmt)


def iter_stored_buffers(body: tuple[Stmt, ...]) -> Iterator[str]:
    """Give the buffers that the statements write."""
    for stmt in body:
        match stmt:
            case Store():
                yield stmt.buffer
            case TransposeTile() | MatmulTile():
                yield stmt.target
            case Loop() | If():
                yield from iter_stored_buffers(stmt.body)
            case Const() | IndexValue() | Load() | Compute():
                pass
            case _:
                assert_never(stmt)
