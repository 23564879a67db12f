"""How many iterations of a loop run side by side.

In: a loop and the target.   Out: `Width`: lanes of a vector step, and of the wide step that keeps several accumulators going.
Keeps: a loop is only vectorised if all lanes agree on control flow but for `If`s (which become masks), and no lane
writes where another does.
"""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from graphwright.codegen.llvm.target import Target
from graphwright.codegen.llvm.types import MEMORY_KIND
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Load,
    Loop,
    LoopKind,
    MatmulTile,
    Stmt,
    Store,
    TransposeTile,
)
from graphwright.ir.ops import FACTS

CHEAP_COST: Final = 8
"""A body of at most this cost (see `FACTS`) is run four vectors at a time when it feeds accumulators."""
MEDIUM_COST: Final = 20
"""Likewise, two vectors at a time. Dearer bodies hide the latency of the accumulation by themselves."""


class Width(msgspec.Struct, frozen=True):
    """Lanes of one vector step; lanes of the wide step (a multiple of it)."""

    lanes: int
    wide_lanes: int


class _Survey:
    """What a walk over a loop's body finds."""

    def __init__(
        self, varying: set[str], dtypes: dict[str, DType], buffers: dict[str, DType]
    ) -> None:
        self.varying = varying
        self.dtypes = dtypes
        self.buffers = buffers
        self.bits: set[int] = set()
        self.cost = 0
        self.has_carries = False
        self.is_vectorisable = True

    def differs(self, index: Index) -> bool:
        """True if lanes have different values of `index`."""
        return any(term.name in self.varying for term in index.terms)

    def note(self, name: str, dtype: DType, *, is_varying: bool) -> None:
        """Record a value."""
        self.dtypes[name] = dtype
        if is_varying:
            self.varying.add(name)

    def use(self, dtype: DType) -> None:
        """Record that vectors of `dtype` occur."""
        if dtype in (DType.FLOAT16, DType.BFLOAT16):
            self.bits.add(32)
        elif dtype is not DType.BOOL:
            self.bits.add(MEMORY_KIND[dtype].bits)

    def walk(self, body: tuple[Stmt, ...]) -> None:
        """Look at all statements of a list."""
        for stmt in body:
            self._visit(stmt)

    def _visit(self, stmt: Stmt) -> None:
        match stmt:
            case Const():
                self.note(stmt.name, stmt.dtype, is_varying=False)
            case IndexValue():
                self.note(stmt.name, DType.INT64, is_varying=self.differs(stmt.index))
            case Load():
                self._visit_load(stmt)
            case Compute():
                self._visit_compute(stmt)
            case Store():
                self.cost += 1
                self.is_vectorisable &= self.differs(stmt.index)
                self.bits.add(MEMORY_KIND[self.buffers[stmt.buffer]].bits)
            case Loop():
                self._visit_loop(stmt)
            case If():
                self.walk(stmt.body)
            case TransposeTile() | MatmulTile():
                self.is_vectorisable = False
            case _:
                assert_never(stmt)

    def _visit_load(self, stmt: Load) -> None:
        self.cost += 1
        is_varying = self.differs(stmt.index)
        dtype = self.buffers[stmt.buffer]
        self.note(stmt.name, dtype, is_varying=is_varying)
        if is_varying:
            self.bits.add(MEMORY_KIND[dtype].bits)

    def _visit_compute(self, stmt: Compute) -> None:
        is_varying = any(arg in self.varying for arg in stmt.args)
        self.note(stmt.name, stmt.dtype, is_varying=is_varying)
        if not is_varying:
            return
        self.cost += FACTS[stmt.op].cost
        self.use(stmt.dtype)
        for arg in stmt.args:
            if arg in self.varying and arg in self.dtypes:
                self.use(self.dtypes[arg])

    def _visit_loop(self, loop: Loop) -> None:
        is_uniform = not any(self.differs(bound) for bound in (loop.start, *loop.stops))
        self.is_vectorisable &= is_uniform and loop.kind in (LoopKind.SERIAL, LoopKind.UNROLLED)
        self.dtypes[loop.var] = DType.INT64
        self.walk(loop.body)
        for carry in loop.carries:
            self.has_carries = True
            self.note(carry.name, carry.dtype, is_varying=True)


def choose_width(
    loop: Loop,
    count: int | None,
    dtypes: dict[str, DType],
    buffers: dict[str, DType],
    target: Target,
) -> Width | None:
    """Choose how to run a `VECTOR` loop.

    Args:
        loop: the loop.
        count: its number of iterations, if known.
        dtypes: dtypes of the values defined around it.
        buffers: element dtypes of the kernel's buffers.
        target: the processor.

    Returns:
        The widths, or None if the loop is better (or can only be) run one iteration at a time.
    """
    survey = _Survey({loop.var}, {**dtypes, loop.var: DType.INT64}, buffers)
    survey.walk(loop.body)
    if not survey.is_vectorisable or not survey.bits:
        return None
    lanes = target.vector_bits // _vector_element_bits(survey.bits)
    if count is not None:
        while lanes > count and (lanes // 2 >= count or not target.has_masks):
            lanes //= 2
    if lanes < 2:
        return None
    factor = _wide_factor(survey, loop, lanes, count)
    return Width(lanes, lanes * factor)


def _vector_element_bits(bits: set[int]) -> int:
    """Choose the element width that a full vector is made of.

    It is 32 wherever that occurs, as most work is done in it; wider values then take several registers, narrower ones a part.
    """
    if 32 in bits:
        return 32
    return max(bits)


def _wide_factor(survey: _Survey, loop: Loop, lanes: int, count: int | None) -> int:
    if not loop.carries and not survey.has_carries:
        return 1
    factor = 4 if survey.cost <= CHEAP_COST else 2 if survey.cost <= MEDIUM_COST else 1
    while factor > 1 and count is not None and count < lanes * factor:
        factor //= 2
    return factor
