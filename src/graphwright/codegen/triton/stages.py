"""Cut a kernel into stages, one launch each, and say what a program of each launch does.

In: the top-level statements of a `Kernel`.   Out: `Stage`s in order.

Keeps: a later stage sees all stores of the stages before it; a value is used in its own stage only, or is cheap and pure
and made again in each (the prologue).

    parallel i: …      one program for each iteration (`ROWS`), its vector loops over blocks of lanes
    parallel i: …      without a vector loop or tile inside: one lane for each iteration (`LANES`)
    vector i: …        without carries: one lane for each iteration (`LANES`)
    anything else      one program (`SINGLE`)
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from graphwright.codegen.triton.elements import NotExpressible
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
    TransposeTile,
)
from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import add, floordiv, minimum, sub


class Spread(enum.Enum):
    """How the work of a stage is spread over a grid."""

    ROWS = "rows"
    LANES = "lanes"
    SINGLE = "single"


class Stage(msgspec.Struct, frozen=True):
    """What one launch runs."""

    spread: Spread
    prologue: tuple[Stmt, ...]
    body: tuple[Stmt, ...]
    """For `ROWS` and `LANES`: the one loop."""

    @property
    def loop(self) -> Loop:
        """The loop that is spread over the grid.

        Raises:
            TypeError: the stage is run by a single program.
        """
        match self.body:
            case (Loop() as loop,) if self.spread is not Spread.SINGLE:
                return loop
            case _:
                message = "a stage for a single program has no loop over the grid"
                raise TypeError(message)


def split_stages(kernel: Kernel) -> tuple[Stage, ...]:
    """Give the stages of a kernel, in order."""
    read_only = {param.name for param in kernel.params if param.access is Access.READ}
    prologue: list[Stmt] = []
    single: list[Stmt] = []
    stages: list[Stage] = []
    for stmt in kernel.body:
        match stmt:
            case Loop(kind=LoopKind.PARALLEL):
                _close(stages, prologue, single)
                spread = Spread.ROWS if has_blocks(stmt.body) else Spread.LANES
                stages.append(Stage(spread, tuple(prologue), (stmt,)))
            case Const():
                prologue.append(stmt)
            case IndexValue() if not single:
                prologue.append(stmt)
            case Load(buffer=buffer) if buffer in read_only and not single:
                prologue.append(stmt)
            case Compute() if not single:
                prologue.append(stmt)
            case _:
                single.append(stmt)
    _close(stages, prologue, single)
    return tuple(stages)


def num_iterations(loop: Loop) -> Dim:
    """Give how often a loop runs (if that is positive), as a number known before the launch.

    Raises:
        NotExpressible: the bounds depend on values of the kernel.
    """
    if any(index.terms for index in (loop.start, *loop.stops)):
        raise NotExpressible(
            what=f"the loop {loop.var}", why="its bounds are computed in the kernel"
        )
    length = sub(minimum(stop.const for stop in loop.stops), loop.start.const)
    return floordiv(add(length, loop.step - 1), loop.step)


def has_blocks(body: Iterable[Stmt]) -> bool:
    """Tell whether there is a vector loop or a tile at any depth: work for all lanes of a program."""
    for stmt in body:
        match stmt:
            case Loop(kind=LoopKind.VECTOR) | TransposeTile() | MatmulTile():
                return True
            case Loop(body=inner) | If(body=inner):
                if has_blocks(inner):
                    return True
            case _:
                continue
    return False


def _close(stages: list[Stage], prologue: list[Stmt], single: list[Stmt]) -> None:
    match single:
        case []:
            return
        case [Loop(kind=LoopKind.VECTOR, carries=()) as loop] if _is_fixed(loop.start):
            stages.append(Stage(Spread.LANES, tuple(prologue), (loop,)))
        case _:
            stages.append(Stage(Spread.SINGLE, tuple(prologue), tuple(single)))
    single.clear()


def _is_fixed(index: Index) -> bool:
    return not index.terms
