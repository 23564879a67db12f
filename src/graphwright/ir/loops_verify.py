"""What every kernel keeps, checked.

In:  a `Kernel`.   Out: nothing, or `InternalError` with all faults, each marked at its line of the kernel (`verify_kernel`).

Checked: names are unique and defined before use, in the list or one around it; parallel loops stand at the top and carry
nothing; vector loops hold no vector or parallel loop; buffers exist, and are stored to only where they may be; operations
have the number and dtypes of operands that they take; sizes use declared symbols; aliases name earlier params.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, assert_never

from graphwright.base.errors import InternalError
from graphwright.ir.dims import symbols_of
from graphwright.ir.dtypes import DType
from graphwright.ir.loops import (
    Access,
    Carry,
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
    TransposeTile,
)
from graphwright.ir.loops_text import iter_lines, render_kernel
from graphwright.ir.ops import FACTS, ReduceOp, ScalarOp
from graphwright.ir.symint import Dim

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_ARG_OPS: Final = (ReduceOp.ARGMAX, ReduceOp.ARGMIN)
_BOOL_OPS: Final = (ReduceOp.ANY, ReduceOp.ALL)
_FLOAT_ONLY: Final = frozenset(
    {ScalarOp.DIV, ScalarOp.IS_NAN, ScalarOp.IS_INF, ScalarOp.COPYSIGN}
    | {op for op, facts in FACTS.items() if facts.arity == 1 and facts.cost > 1}
)
_NOT_FLOAT: Final = frozenset(
    {
        ScalarOp.TRUNC_DIV,
        ScalarOp.BITWISE_AND,
        ScalarOp.BITWISE_OR,
        ScalarOp.BITWISE_XOR,
        ScalarOp.BITWISE_NOT,
        ScalarOp.SHIFT_LEFT,
        ScalarOp.SHIFT_RIGHT,
    }
)


def verify_kernel(kernel: Kernel) -> None:
    """Check that a kernel keeps its invariants.

    Raises:
        InternalError: it does not; the message lists the faults and shows the kernel.
    """
    checker = _Checker(kernel)
    checker.check()
    if not checker.faults:
        return
    raise InternalError(_report(kernel, checker.faults))


def _report(kernel: Kernel, faults: list[tuple[int | None, str]]) -> str:
    """Give the text of the faults, with the kernel and each fault below its line."""
    lines = list(iter_lines(kernel.body, 1))
    head = render_kernel(kernel).splitlines()[: -len(lines) or None]
    report = [f"the kernel {kernel.name} is malformed:"]
    report += [text for key, text in faults if key is None]
    report += [f"  {line}" for line in head]
    for stmt, line in lines:
        report.append(f"  {line}")
        margin = " " * (len(line) - len(line.lstrip()))
        report += [f"> {margin}^ {text}" for key, text in faults if key == id(stmt)]
    return "\n".join(report)


class _Checker:
    """Walks over one kernel and gathers faults."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.faults: list[tuple[int | None, str]] = []
        self._values: dict[str, DType] = {}
        self._taken: set[str] = set()
        self._buffers: dict[str, DType] = {}
        self._read_only: set[str] = set()

    def check(self) -> None:
        """Check everything."""
        if not _NAME.fullmatch(self.kernel.name):
            self._fault(None, f"{self.kernel.name!r} is no name")
        earlier: dict[str, DType] = {}
        for param in self.kernel.params:
            self._buffer(param.name, param.dtype)
            if param.access is Access.READ:
                self._read_only.add(param.name)
            if param.aliases is not None and earlier.get(param.aliases) is not param.dtype:
                self._fault(
                    None, f"{param.name} aliases {param.aliases}, no earlier param of its dtype"
                )
            earlier[param.name] = param.dtype
        for scratch in self.kernel.scratch:
            self._buffer(scratch.name, scratch.dtype)
            if scratch.size < 1:
                self._fault(None, f"scratch {scratch.name} has {scratch.size} elements")
        self._check_body(self.kernel.body, depth=0, inside=None)

    def _fault(self, node: Stmt | Carry | None, text: str) -> None:
        self.faults.append((None if node is None else id(node), text))

    def _buffer(self, name: str, dtype: DType) -> None:
        self._take(None, name)
        self._buffers[name] = dtype

    def _take(self, node: Stmt | Carry | None, name: str) -> None:
        """Note that a name is given; each may be given once."""
        if not _NAME.fullmatch(name):
            self._fault(node, f"{name!r} is no name")
        if name in self._taken:
            self._fault(node, f"{name} is defined twice")
        self._taken.add(name)

    def _define(self, node: Stmt | Carry, name: str, dtype: DType) -> None:
        self._take(node, name)
        self._values[name] = dtype

    def _value(self, node: Stmt | Carry, name: str) -> DType | None:
        """Give the dtype of a value that must be visible."""
        if name not in self._values:
            self._fault(node, f"{name} is not defined here")
            return None
        return self._values[name]

    # indices and sizes

    def _check_index(self, node: Stmt, index: Index) -> None:
        self._check_dims(node, index.const, *(term.coeff for term in index.terms))
        for term in index.terms:
            dtype = self._value(node, term.name)
            if dtype not in (None, DType.INT64):
                self._fault(node, f"{term.name} is no int64, and stands in an index")

    def _check_dims(self, node: Stmt, *dims: Dim) -> None:
        for dim in dims:
            for symbol in sorted(symbols_of(dim) - set(self.kernel.symbols)):
                self._fault(node, f"{symbol} is not among the kernel's symbols")

    def _check_access(self, node: Stmt, name: str, *, is_store: bool) -> DType | None:
        if name not in self._buffers:
            self._fault(node, f"there is no buffer {name}")
            return None
        if is_store and name in self._read_only:
            self._fault(node, f"{name} is stored to, and declared as read")
        return self._buffers[name]

    # statements

    def _check_body(self, body: tuple[Stmt, ...], *, depth: int, inside: LoopKind | None) -> None:
        for stmt in body:
            if isinstance(stmt, Loop):
                self._check_loop(stmt, depth=depth, inside=inside)
            elif isinstance(stmt, If):
                dtype = self._value(stmt, stmt.condition)
                if dtype not in (None, DType.BOOL):
                    self._fault(stmt, f"the condition {stmt.condition} is no bool")
                visible = dict(self._values)
                self._check_body(stmt.body, depth=depth + 1, inside=inside)
                self._values = visible
            else:
                self._check_plain(stmt)

    def _check_plain(
        self, stmt: Const | IndexValue | Load | Compute | Store | TransposeTile | MatmulTile
    ) -> None:
        match stmt:
            case Const(name, value, dtype):
                if not _is_literal(value, dtype):
                    self._fault(stmt, f"{value!r} is no literal of {dtype.value}")
                self._define(stmt, name, dtype)
            case IndexValue(name, index):
                self._check_index(stmt, index)
                self._define(stmt, name, DType.INT64)
            case Load(name, buffer, index):
                self._check_index(stmt, index)
                loaded = self._check_access(stmt, buffer, is_store=False)
                self._define(stmt, name, loaded or DType.FLOAT32)
            case Compute(name, _, _, dtype):
                for text in self._compute_faults(stmt):
                    self._fault(stmt, text)
                self._define(stmt, name, dtype)
            case Store():
                self._check_store(stmt)
            case TransposeTile():
                self._check_transpose(stmt)
            case MatmulTile():
                self._check_matmul(stmt)
            case _:
                assert_never(stmt)

    def _check_store(self, stmt: Store) -> None:
        self._check_index(stmt, stmt.index)
        dtype = self._check_access(stmt, stmt.buffer, is_store=True)
        value = self._value(stmt, stmt.value)
        if dtype is not None and value not in (None, dtype):
            self._fault(stmt, f"{stmt.value} is not of the buffer's dtype {dtype.value}")

    def _check_transpose(self, stmt: TransposeTile) -> None:
        self._check_index(stmt, stmt.target_index)
        self._check_index(stmt, stmt.source_index)
        self._check_dims(stmt, stmt.target_stride, stmt.source_stride)
        target = self._check_access(stmt, stmt.target, is_store=True)
        source = self._check_access(stmt, stmt.source, is_store=False)
        if target is not None and source is not None and target is not source:
            self._fault(stmt, f"{stmt.target} and {stmt.source} have different dtypes")
        if stmt.rows < 1 or stmt.cols < 1:
            self._fault(stmt, "the tile is empty")

    def _check_matmul(self, stmt: MatmulTile) -> None:
        for index in (stmt.target_index, stmt.left_index, stmt.right_index):
            self._check_index(stmt, index)
        self._check_dims(stmt, stmt.target_stride, stmt.left_row_stride)
        self._check_dims(stmt, stmt.left_depth_stride, stmt.right_stride)
        target = self._check_access(stmt, stmt.target, is_store=True)
        if stmt.accumulates:
            self._check_access(stmt, stmt.target, is_store=False)
        for name in (stmt.left, stmt.right):
            dtype = self._check_access(stmt, name, is_store=False)
            if dtype is not None and target is not None and dtype is not target:
                self._fault(stmt, f"{stmt.target} and {name} have different dtypes")
            if name == stmt.target:
                self._fault(stmt, f"{name} is read and written by one tile")
        if stmt.ahead is not None:
            self._check_index(stmt, stmt.ahead.index)
            self._check_dims(stmt, stmt.ahead.stride)
            self._check_access(stmt, stmt.ahead.buffer, is_store=False)
        if target not in (None, DType.FLOAT32, DType.FLOAT64):
            self._fault(stmt, "a tile is multiplied in float32 or float64")
        if stmt.rows < 1 or stmt.cols < 1 or stmt.depth < 1:
            self._fault(stmt, "the tile is empty")

    def _compute_faults(self, stmt: Compute) -> Iterator[str]:
        facts = FACTS[stmt.op]
        if len(stmt.args) != facts.arity:
            yield f"{stmt.op.value} takes {facts.arity} operands"
            return
        dtypes = [self._value(stmt, arg) for arg in stmt.args]
        if stmt.op is ScalarOp.WHERE:
            if dtypes[0] not in (None, DType.BOOL):
                yield f"{stmt.args[0]} is no bool"
            dtypes = dtypes[1:]
        known = [dtype for dtype in dtypes if dtype is not None]
        if len(set(known)) > 1:
            yield f"the operands have dtypes {', '.join(dtype.value for dtype in known)}"
        if known:
            yield from _dtype_faults(stmt, known[0])

    # loops

    def _check_loop(self, loop: Loop, *, depth: int, inside: LoopKind | None) -> None:
        for bound in (loop.start, *loop.stops):
            self._check_index(loop, bound)
        for text in _loop_faults(loop, depth=depth, inside=inside):
            self._fault(loop, text)
        visible = dict(self._values)
        self._define(loop, loop.var, DType.INT64)
        inner = LoopKind.VECTOR if loop.kind is LoopKind.VECTOR else inside
        self._check_body(loop.body, depth=depth + 1, inside=inner)
        for carry in loop.carries:
            self._check_carry(carry)
        self._values = visible
        for carry in loop.carries:
            is_arg = carry.op in _ARG_OPS
            self._define(carry, carry.name, DType.INT64 if is_arg else carry.dtype)

    def _check_carry(self, carry: Carry) -> None:
        dtype = self._value(carry, carry.update)
        if dtype not in (None, carry.dtype):
            self._fault(carry, f"{carry.update} is not of dtype {carry.dtype.value}")
        if carry.op in _BOOL_OPS and carry.dtype is not DType.BOOL:
            self._fault(carry, f"{carry.op.value} combines bools")
        if (carry.op in _ARG_OPS) is (carry.index is None):
            self._fault(
                carry, f"{carry.op.value} {'needs an' if carry.index is None else 'has no'} index"
            )
        if carry.index is not None and self._value(carry, carry.index) not in (None, DType.INT64):
            self._fault(carry, f"{carry.index} is no int64")


def _is_literal(text: str, dtype: DType) -> bool:
    if dtype is DType.BOOL:
        return text in ("true", "false")
    try:
        if dtype.is_float:
            float.fromhex(text)
        else:
            int(text)
    except ValueError:
        return False
    return True


def _dtype_faults(stmt: Compute, source: DType) -> Iterator[str]:
    """Give what is wrong with the dtypes of an operation whose operands agree on one."""
    op, target = stmt.op, stmt.dtype
    if op in _FLOAT_ONLY and not source.is_float:
        yield f"{op.value} of {source.value}"
    if op in _NOT_FLOAT and source.is_float:
        yield f"{op.value} of {source.value}"
    if op is ScalarOp.LOGICAL_NOT and source is not DType.BOOL:
        yield f"logical_not of {source.value}"
    if op is ScalarOp.CAST:
        return
    if op is ScalarOp.BITCAST:
        if source.size_bytes != target.size_bytes:
            yield f"bitcast from {source.value} to {target.value}"
        return
    wanted = DType.BOOL if FACTS[op].gives_bool else source
    if target is not wanted:
        yield f"{op.value} of {source.value} gives {wanted.value}, not {target.value}"


def _loop_faults(loop: Loop, *, depth: int, inside: LoopKind | None) -> Iterator[str]:
    """Give what is wrong with a loop's own fields and place."""
    if not loop.stops:
        yield "the loop has no end"
    if loop.step < 1:
        yield f"the step is {loop.step}"
    if loop.kind is LoopKind.PARALLEL:
        if depth > 0:
            yield "a parallel loop stands at the top only"
        if loop.carries:
            yield "a parallel loop carries nothing"
        if loop.grain < 1:
            yield f"the grain is {loop.grain}"
    if loop.kind is LoopKind.VECTOR and inside is LoopKind.VECTOR:
        yield "a vector loop is inside another"
