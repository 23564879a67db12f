"""Functions of a kernel's module: the kernel itself, and the bodies of its parallel loops.

In: a kernel.   Out: text of its functions.

A kernel `k` becomes

    @k(params, symbols)           the ABI: loads pointers and sizes, calls
    @k.main(p0, p1, s0)           the statements; pointers are `noalias`, so that loads can be moved over stores
    @k.body1(p0, p1, s0, v3, begin, end)    iterations [begin, end) of a parallel loop; v3 is a value from around it
    @k.share1(ctx)                one thread's part of them

`k.main` calls a parallel body directly if there is too little work, if there is one thread, or if it already runs in a
parallel region; otherwise it packs the operands into a struct and asks the OpenMP runtime to run `k.share1` on each thread.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from graphwright.codegen.llvm.builder import Builder, Declarations, Int, index_value
from graphwright.codegen.llvm.frame import Frame, Local, Memory
from graphwright.codegen.llvm.hoist import hoist_invariants
from graphwright.codegen.llvm.loops import Range, emit_range, loop_range
from graphwright.codegen.llvm.names import iter_used_buffers, iter_used_values
from graphwright.codegen.llvm.statements import emit_body
from graphwright.codegen.llvm.target import Target
from graphwright.codegen.llvm.types import MEMORY_KIND, Kind, Value
from graphwright.ir.loops import Access, Kernel, Loop, LoopKind, Param, Scratch

RUN_PARALLEL: Final = "gw_run_parallel"
THREAD_NUMBER: Final = "gw_thread_number"
NUM_THREADS: Final = "gw_num_threads"
MAX_THREADS: Final = "gw_max_threads"
IS_IN_PARALLEL: Final = "gw_is_in_parallel"

_ATTRIBUTES: Final = "#0"
_ALIGN_BYTES: Final = 64
_CAPTURE: Final = "%c."
"""Begins the names of what a parallel body takes from around it."""


class _Argument(msgspec.Struct, frozen=True):
    """One parameter of a function: its type, attributes, name in it, and the operand passed at the call."""

    type: str
    attributes: str
    name: str
    passed: str


class KernelEmitter:
    """Writes one kernel."""

    def __init__(
        self,
        kernel: Kernel,
        symbol: str,
        target: Target,
        declarations: Declarations,
        num_threads: int,
    ) -> None:
        body = hoist_invariants(kernel.body, _aliases(kernel))
        self._kernel = msgspec.structs.replace(kernel, body=body)
        self._symbol = symbol
        self._target = target
        self._declarations = declarations
        self._num_threads = num_threads
        self._functions: list[str] = []
        self._num_bodies = 0
        outside = (stmt for stmt in kernel.body if not _is_parallel(stmt))
        names = {scratch.name for scratch in kernel.scratch}
        self._shared_scratch = names.intersection(iter_used_buffers(tuple(outside)))

    def render(self) -> str:
        """Give the text of all the kernel's functions."""
        self._emit_main()
        self._emit_abi()
        return "\n".join(self._functions)

    # the kernel

    def _emit_abi(self) -> None:
        lines, args = [], []
        for number, argument in enumerate(self._base_arguments()):
            source, position = ("params", number)
            if argument.type == "i64":
                source, position = ("symbols", number - len(self._kernel.params))
            lines.append(
                f"%a{number} = getelementptr inbounds {argument.type}, ptr %{source}, i64 {position}"
            )
            lines.append(f"%v{number} = load {argument.type}, ptr %a{number}, align 8")
            args.append(f"{argument.type} %v{number}")
        body = "\n".join([*lines, f"call void @{self._symbol}.main({', '.join(args)})", "ret void"])
        head = f"define void @{self._symbol}(ptr noalias readonly %params, ptr noalias readonly %symbols)"
        self._functions.append(f"{head} {_ATTRIBUTES} {{\n{body}\n}}")

    def _base_arguments(self) -> list[_Argument]:
        """Give what every function of the kernel takes: its pointers and sizes."""
        aliased = {param.name for param in self._kernel.params if param.aliases is not None}
        aliased.update(param.aliases for param in self._kernel.params if param.aliases is not None)
        arguments = [
            _Argument(
                "ptr",
                _param_attributes(param, is_aliased=param.name in aliased),
                f"%p.{number}",
                f"%p.{number}",
            )
            for number, param in enumerate(self._kernel.params)
        ]
        numbers = range(len(self._kernel.symbols))
        arguments.extend(_Argument("i64", "", f"%s.{number}", f"%s.{number}") for number in numbers)
        return arguments

    def _new_frame(self, scratch: list[Scratch]) -> Frame:
        builder = Builder(self._declarations, has_avx512=self._target.has_masks)
        buffers = {
            param.name: Memory(f"%p.{number}", param.dtype, param.align_bytes)
            for number, param in enumerate(self._kernel.params)
        }
        for number, item in enumerate(scratch):
            name = f"%scratch.{number}"
            element = MEMORY_KIND[item.dtype].value
            builder.entry.append(f"{name} = alloca [{item.size} x {element}], align {_ALIGN_BYTES}")
            buffers[item.name] = Memory(name, item.dtype, _ALIGN_BYTES)
        symbols = {symbol: f"%s.{number}" for number, symbol in enumerate(self._kernel.symbols)}
        return Frame(builder, self._target, buffers, symbols, {})

    def _define(self, name: str, arguments: list[_Argument], builder: Builder) -> None:
        parameters = ", ".join(f"{arg.type} {arg.attributes} {arg.name}" for arg in arguments)
        body = "\n".join(
            ["entry:", *builder.entry, "br label %start", "start:", *builder.lines, "ret void"]
        )
        self._functions.append(
            f"define private void @{name}({parameters}) noinline {_ATTRIBUTES} {{\n{body}\n}}"
        )

    def _emit_main(self) -> None:
        frame = self._new_frame(
            [item for item in self._kernel.scratch if item.name in self._shared_scratch]
        )
        for stmt in self._kernel.body:
            if isinstance(stmt, Loop) and stmt.kind is LoopKind.PARALLEL:
                self._emit_parallel(frame, stmt)
            else:
                emit_body(frame, (stmt,))
        self._define(f"{self._symbol}.main", self._base_arguments(), frame.builder)

    # parallel loops

    def _emit_parallel(self, frame: Frame, loop: Loop) -> None:
        builder = frame.builder
        self._num_bodies += 1
        number = self._num_bodies
        arguments = [*self._base_arguments(), *self._captured(frame, loop)]
        self._emit_parallel_body(frame, loop, arguments, f"{self._symbol}.body{number}")
        bounds = loop_range(frame, loop)
        start, stop = bounds.start, bounds.stop
        operands = [f"{arg.type} {arg.passed}" for arg in arguments]
        direct = f"call void @{self._symbol}.body{number}({', '.join([*operands, f'i64 {start}', f'i64 {stop}'])})"
        if self._num_threads <= 1 or _is_small(start, stop, loop):
            builder.lines.append(direct)
            return
        self._emit_share(loop, arguments, number)
        self._emit_dispatch(builder, loop, (start, stop), operands, direct, number)

    def _captured(self, frame: Frame, loop: Loop) -> list[_Argument]:
        """Give the values and shared scratch that the loop's body takes from around it; literals are written anew."""
        used = sorted(set(iter_used_values(loop.body)) & set(frame.locals))
        operands = {name: frame.operand(name) for name in used}
        captured = [
            _Argument(operand.kind.value, "", f"{_CAPTURE}{name}", operand.text)
            for name, operand in operands.items()
            if not operand.is_literal
        ]
        buffers = sorted(set(iter_used_buffers(loop.body)) & self._shared_scratch)
        captured.extend(
            _Argument("ptr", "noalias", f"{_CAPTURE}{name}", frame.buffers[name].pointer)
            for name in buffers
        )
        return captured

    def _emit_parallel_body(
        self, outer: Frame, loop: Loop, arguments: list[_Argument], name: str
    ) -> None:
        used = set(iter_used_buffers(loop.body))
        own = [item for item in self._kernel.scratch if item.name in used - self._shared_scratch]
        frame = self._new_frame(own)
        passed = {argument.name for argument in arguments}
        for value in set(iter_used_values(loop.body)) & set(outer.locals):
            local, operand = outer.locals[value], outer.operand(value)
            if f"{_CAPTURE}{value}" in passed:
                operand = Value(f"{_CAPTURE}{value}", operand.kind)
            frame.locals[value] = Local(local.dtype, operand)
        for buffer in used & self._shared_scratch:
            dtype = outer.buffers[buffer].dtype
            frame.buffers[buffer] = Memory(f"{_CAPTURE}{buffer}", dtype, _ALIGN_BYTES)
        divisor = math.gcd(loop_range(outer, loop).divisor, loop.step)
        emit_range(frame, loop, Range("%begin", "%end", divisor), emit_body)
        limits = [_Argument("i64", "", limit, limit) for limit in ("%begin", "%end")]
        self._define(name, [*arguments, *limits], frame.builder)

    def _emit_dispatch(
        self,
        builder: Builder,
        loop: Loop,
        bounds: tuple[Int, Int],
        operands: list[str],
        direct: str,
        number: int,
    ) -> None:
        """Write the choice between a direct call and the threads."""
        ask, share, serial, done = (
            builder.label(stem) for stem in ("ask", "share", "serial", "done")
        )
        count = _count(builder, bounds, loop.step)
        is_large = builder.compare(
            "icmp sge", index_value(count), builder.const(2 * loop.grain, Kind.I64)
        )
        builder.branch_if(is_large.text, ask, serial)
        builder.start_block(ask)
        threads = builder.call(MAX_THREADS, Kind.I32, 1, [])
        nested = builder.call(IS_IN_PARALLEL, Kind.I32, 1, [])
        is_free = builder.compare("icmp eq", nested, builder.const(0, Kind.I32))
        has_threads = builder.compare("icmp sgt", threads, builder.const(1, Kind.I32))
        builder.branch_if(builder.binary("and", is_free, has_threads).text, share, serial)
        builder.start_block(share)
        fields = [*operands, f"i64 {bounds[0]}", f"i64 {bounds[1]}", f"i64 {count}"]
        layout = _layout(fields)
        context = f"%ctx.{number}"
        builder.entry.append(f"{context} = alloca {layout}, align 8")
        for position, field in enumerate(fields):
            address = builder.fresh()
            builder.lines.append(
                f"{address} = getelementptr inbounds {layout}, ptr {context}, i32 0, i32 {position}"
            )
            builder.lines.append(f"store {field}, ptr {address}")
        self._declarations.by_name[RUN_PARALLEL] = (
            f"declare void @{RUN_PARALLEL}(ptr, ptr, i32, i32)"
        )
        share_name = f"@{self._symbol}.share{number}"
        builder.lines.append(
            f"call void @{RUN_PARALLEL}(ptr {share_name}, ptr {context}, i32 0, i32 0)"
        )
        builder.branch(done)
        builder.start_block(serial)
        builder.lines.append(direct)
        builder.branch(done)
        builder.start_block(done)

    def _emit_share(self, loop: Loop, arguments: list[_Argument], number: int) -> None:
        """Write the function that each thread runs: it finds its part and calls the body."""
        builder = Builder(self._declarations, has_avx512=self._target.has_masks)
        types = [*(argument.type for argument in arguments), "i64", "i64", "i64"]
        layout = "{ " + ", ".join(types) + " }"
        loaded = []
        for position, type_ in enumerate(types):
            address, name = builder.fresh(), builder.fresh()
            builder.lines.append(
                f"{address} = getelementptr inbounds {layout}, ptr %ctx, i32 0, i32 {position}"
            )
            builder.lines.append(f"{name} = load {type_}, ptr {address}")
            loaded.append(name)
        start, stop, count = loaded[-3:]
        begin, end = _thread_part(builder, loop, start, stop, count)
        call, done = builder.label("call"), builder.label("done")
        builder.branch_if(
            builder.compare("icmp slt", index_value(begin), index_value(end)).text, call, done
        )
        builder.start_block(call)
        operands = [f"{type_} {name}" for type_, name in zip(types[:-3], loaded[:-3], strict=True)]
        passed = ", ".join([*operands, f"i64 {begin}", f"i64 {end}"])
        builder.lines.append(f"call void @{self._symbol}.body{number}({passed})")
        builder.branch(done)
        builder.start_block(done)
        context = [_Argument("ptr", "noalias readonly", "%ctx", "")]
        self._define(f"{self._symbol}.share{number}", context, builder)


def _thread_part(
    builder: Builder, loop: Loop, start: Int, stop: Int, count: Int
) -> tuple[Int, Int]:
    """Write the calling thread's part of `[start, stop)`: equal shares of at least `grain` iterations."""
    threads = _call_i64(builder, NUM_THREADS)
    thread = _call_i64(builder, THREAD_NUMBER)
    useful = builder.index_max(_quotient(builder, count, loop.grain), 1)
    shares = builder.index_min(threads, useful)
    share = _quotient(builder, builder.index_subtract(builder.index_add(count, shares), 1), shares)
    if not any(isinstance(stmt, Loop) for stmt in loop.body):
        rounded = builder.index_multiply(
            _quotient(builder, builder.index_add(share, _ALIGN_BYTES - 1), _ALIGN_BYTES), 64
        )
        share = rounded
    width = builder.index_multiply(share, loop.step)
    begin = builder.index_add(start, builder.index_multiply(thread, width))
    return begin, builder.index_min(builder.index_add(begin, width), stop)


def _call_i64(builder: Builder, function: str) -> Int:
    return builder.convert("sext", builder.call(function, Kind.I32, 1, []), Kind.I64).text


def _quotient(builder: Builder, left: Int, right: Int) -> Int:
    if right == 1:
        return left
    return builder.binary("sdiv", index_value(left), index_value(right)).text


def _count(builder: Builder, bounds: tuple[Int, Int], step: int) -> Int:
    """Write the number of iterations."""
    length = builder.index_subtract(bounds[1], bounds[0])
    if step == 1:
        return length
    if isinstance(length, int):
        return -(-length // step)
    return _quotient(builder, builder.index_add(length, step - 1), step)


def _is_small(start: Int, stop: Int, loop: Loop) -> bool:
    """True if the number of iterations is known and not worth two threads."""
    if not (isinstance(start, int) and isinstance(stop, int)):
        return False
    return -(-(stop - start) // loop.step) < 2 * loop.grain


def _aliases(kernel: Kernel) -> dict[str, frozenset[str]]:
    """Give, for each param that shares its memory, the names of all that do."""
    groups: dict[str, frozenset[str]] = {}
    for param in kernel.params:
        if param.aliases is not None:
            group = groups.get(param.aliases, frozenset((param.aliases,))) | {param.name}
            groups.update(dict.fromkeys(group, group))
    return groups


def _is_parallel(stmt: object) -> bool:
    return isinstance(stmt, Loop) and stmt.kind is LoopKind.PARALLEL


def _layout(fields: list[str]) -> str:
    return "{ " + ", ".join(field.rsplit(" ", 1)[0] for field in fields) + " }"


def _param_attributes(param: Param, *, is_aliased: bool) -> str:
    attributes = [] if is_aliased else ["noalias"]
    if param.access is Access.READ:
        attributes.append("readonly")
    return " ".join(attributes)
