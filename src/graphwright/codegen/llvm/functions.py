"""Functions of a kernel's module: the kernel itself, and the bodies of its parallel loops.

In: a kernel.   Out: text of its functions.

A kernel `k` becomes

    @k(params, symbols)           the statements; a parallel loop is a call of `gw_parallel_for` (see `parallel.py`)
    @k.body1(ctx, begin, end)     iterations [begin, end) of a parallel loop; `ctx` holds params, symbols, and the values and
                                  scratch that the loop takes from around it

A parallel loop that has too little work for two threads, or code that is made for one thread, is written in place. Nothing
is said of aliasing: invariant loads have been moved before (see `hoist.py`), and what is left has its order in the loop IR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm.builder import Builder, Declarations
from graphwright.codegen.llvm.frame import Frame, Local, Memory
from graphwright.codegen.llvm.hoist import hoist_invariants
from graphwright.codegen.llvm.loops import Range, emit_range, loop_range
from graphwright.codegen.llvm.names import iter_used_buffers, iter_used_values
from graphwright.codegen.llvm.parallel import PARALLEL_FOR
from graphwright.codegen.llvm.statements import emit_body
from graphwright.codegen.llvm.target import Target
from graphwright.codegen.llvm.types import MEMORY_KIND, Value
from graphwright.ir.loops import Kernel, Loop, LoopKind, Scratch, Stmt

MAX_SCRATCH_BYTES: Final = 1 << 20
"""Scratch stands on the stack; threads of the OpenMP runtime have 2 MiB or more."""
_ALIGN_BYTES: Final = 64
_ELEMENTS_OF_A_SHARE: Final = 64
"""Shares of a parallel loop that is itself the vector loop are multiples of this, so that they begin at whole vectors."""


class _Pointers(msgspec.Struct, frozen=True):
    """The operands that hold the kernel's two arguments."""

    params: str
    symbols: str


class _Context:
    """The struct through which a parallel body gets at what is around its loop: typed operands, in order."""

    def __init__(self, operands: Sequence[Value | str]) -> None:
        self._operands = [item if isinstance(item, str) else repr(item) for item in operands]
        types = (operand.split(" ")[0] for operand in self._operands)
        self._types = list(types)
        self._layout = "{ " + ", ".join(self._types) + " }"

    def emit_filled(self, builder: Builder) -> str:
        """Write the struct, in the function that calls; give its address."""
        context = builder.fresh()
        builder.entry.append(f"{context} = alloca {self._layout}, align 8")
        for position, operand in enumerate(self._operands):
            address = self._emit_address(builder, builder.lines, context, position)
            builder.lines.append(f"store {operand}, ptr {address}")
        return context

    def emit_read(self, builder: Builder) -> list[str]:
        """Write the reading of all fields, at the beginning of the body; give their operands."""
        names = []
        for position, type_ in enumerate(self._types):
            address = self._emit_address(builder, builder.entry, "%ctx", position)
            names.append(builder.fresh())
            builder.entry.append(f"{names[-1]} = load {type_}, ptr {address}")
        return names

    def _emit_address(self, builder: Builder, lines: list[str], context: str, position: int) -> str:
        address = builder.fresh()
        where = f"ptr {context}, i32 0, i32 {position}"
        lines.append(f"{address} = getelementptr inbounds {self._layout}, {where}")
        return address


class KernelEmitter:
    """Writes one kernel."""

    def __init__(
        self, kernel: Kernel, target: Target, declarations: Declarations, num_threads: int
    ) -> None:
        _check_supported(kernel)
        body = hoist_invariants(kernel.body, _aliases(kernel))
        self._kernel = msgspec.structs.replace(kernel, body=body)
        self._target = target
        self._declarations = declarations
        self._num_threads = num_threads
        self._functions: list[str] = []
        self._num_bodies = 0

    def render(self) -> str:
        """Give the text of all the kernel's functions."""
        around = [stmt for stmt in self._kernel.body if not self._is_shared_out(stmt)]
        used = set(iter_used_buffers(tuple(around)))
        builder = self._new_builder()
        pointers = _Pointers("%params", "%symbols")
        scratch = [item for item in self._kernel.scratch if item.name in used]
        frame = self._new_frame(builder, pointers, scratch)
        for stmt in self._kernel.body:
            if isinstance(stmt, Loop) and self._is_shared_out(stmt):
                self._emit_parallel(frame, stmt)
            else:
                emit_body(frame, (stmt,))
        self._define(f"define void @{self._kernel.name}(ptr %params, ptr %symbols)", builder)
        return "\n".join(self._functions)

    def _is_shared_out(self, stmt: Stmt) -> bool:
        """Tell whether a statement is a parallel loop that is worth threads."""
        if not isinstance(stmt, Loop) or stmt.kind is not LoopKind.PARALLEL:
            return False
        return self._num_threads > 1 and not _is_small(stmt)

    def _new_builder(self) -> Builder:
        return Builder(
            self._declarations,
            has_avx512=self._target.has_masks,
            can_contract=self._kernel.can_contract,
        )

    def _new_frame(
        self, builder: Builder, pointers: _Pointers, scratch: Iterable[Scratch]
    ) -> Frame:
        """Begin a function: read the params and symbols, and make room for scratch."""
        buffers = {}
        for number, param in enumerate(self._kernel.params):
            pointer = _emit_element(builder, "ptr", pointers.params, number)
            buffers[param.name] = Memory(pointer, param.dtype, param.align_bytes)
        symbols = {
            symbol: _emit_element(builder, "i64", pointers.symbols, number)
            for number, symbol in enumerate(self._kernel.symbols)
        }
        for item in scratch:
            pointer = builder.fresh()
            room = f"[{item.size} x {MEMORY_KIND[item.dtype].value}]"
            builder.entry.append(f"{pointer} = alloca {room}, align {_ALIGN_BYTES}")
            buffers[item.name] = Memory(pointer, item.dtype, _ALIGN_BYTES)
        return Frame(builder, self._target, buffers, symbols, {})

    def _define(self, head: str, builder: Builder) -> None:
        lines = ["entry:", *builder.entry, "br label %start", "start:", *builder.lines, "ret void"]
        body = "\n".join(lines)
        self._functions.append(f"{head} #0 {{\n{body}\n}}")

    # parallel loops

    def _emit_parallel(self, frame: Frame, loop: Loop) -> None:
        """Write the call that runs a loop on threads, and the function that they run."""
        builder = frame.builder
        self._num_bodies += 1
        name = f"@{self._kernel.name}.body{self._num_bodies}"
        used = sorted(set(iter_used_values(loop.body)) & set(frame.locals))
        values = {value: frame.operand(value) for value in used}
        passed = [value for value, operand in values.items() if not operand.is_literal]
        params = {param.name for param in self._kernel.params}
        shared = sorted((set(iter_used_buffers(loop.body)) & set(frame.buffers)) - params)
        context = _Context(
            [
                *("ptr %params", "ptr %symbols"),
                *(values[value] for value in passed),
                *(f"ptr {frame.buffers[buffer].pointer}" for buffer in shared),
            ]
        )
        bounds = loop_range(frame, loop)
        body = self._new_builder()
        params_, symbols_, *others = context.emit_read(body)
        names = dict(zip([*passed, *shared], others, strict=True))
        own = (
            item
            for item in self._kernel.scratch
            if item.name in set(iter_used_buffers(loop.body)) - set(shared)
        )
        inner = self._new_frame(body, _Pointers(params_, symbols_), own)
        for value, operand in values.items():
            here = operand if operand.is_literal else Value(names[value], operand.kind)
            inner.locals[value] = Local(frame.locals[value].dtype, here)
        for buffer in shared:
            inner.buffers[buffer] = Memory(names[buffer], frame.buffers[buffer].dtype, _ALIGN_BYTES)
        unit = loop.step * _unit(loop)
        divisor = math.gcd(bounds.divisor, unit)
        part = Range("%begin", "%end", divisor, math.gcd(divisor, bounds.stop_divisor))
        emit_range(inner, loop, part, emit_body)
        self._define(f"define private void {name}(ptr %ctx, i64 %begin, i64 %end)", body)
        self._emit_call(builder, loop, bounds, name, context.emit_filled(builder))

    def _emit_call(
        self, builder: Builder, loop: Loop, bounds: Range, name: str, context: str
    ) -> None:
        numbers = (bounds.start, bounds.stop, loop.step, loop.grain, _unit(loop))
        operands = ["ptr " + name, "ptr " + context, *(f"i64 {number}" for number in numbers)]
        types = ["ptr", "ptr", *["i64"] * len(numbers)]
        self._declarations.add(PARALLEL_FOR, "void", types)
        builder.lines.append(f"call void @{PARALLEL_FOR}({', '.join(operands)})")


def _check_supported(kernel: Kernel) -> None:
    """Refuse what this back end has no code for."""
    dtypes = {param.name: param.dtype for param in kernel.params}
    dtypes |= {item.name: item.dtype for item in kernel.scratch}
    for name, dtype in dtypes.items():
        if dtype not in MEMORY_KIND:
            msg = f"{kernel.name}: {name} is of {dtype.value}, which has no machine code"
            raise InternalError(msg)
    size_bytes = sum(item.size * item.dtype.size_bytes for item in kernel.scratch)
    if size_bytes > MAX_SCRATCH_BYTES:
        msg = f"{kernel.name}: {size_bytes} bytes of scratch do not fit a thread's stack"
        raise InternalError(msg)


def _emit_element(builder: Builder, type_: str, base: str, number: int) -> str:
    """Write the reading of one element of an array, in the function's first block."""
    address, name = builder.fresh(), builder.fresh()
    builder.entry.append(f"{address} = getelementptr inbounds {type_}, ptr {base}, i64 {number}")
    builder.entry.append(f"{name} = load {type_}, ptr {address}, align 8")
    return name


def _unit(loop: Loop) -> int:
    """Give what the numbers of iterations of all parts but the last are multiples of."""
    is_vector_loop = not any(isinstance(stmt, Loop) for stmt in loop.body)
    return _ELEMENTS_OF_A_SHARE if is_vector_loop else 1


def _is_small(loop: Loop) -> bool:
    """True if the number of iterations is known and not worth two threads."""
    start = loop.start.const
    if loop.start.terms or not isinstance(start, int):
        return False
    counts = [
        -(-(stop.const - start) // loop.step)
        for stop in loop.stops
        if not stop.terms and isinstance(stop.const, int)
    ]
    return bool(counts) and min(counts) < 2 * loop.grain


def _aliases(kernel: Kernel) -> dict[str, frozenset[str]]:
    """Give, for each param that shares its memory, the names of all that do."""
    groups: dict[str, frozenset[str]] = {}
    for param in kernel.params:
        if param.aliases is not None:
            group = groups.get(param.aliases, frozenset((param.aliases,))) | {param.name}
            groups.update(dict.fromkeys(group, group))
    return groups
