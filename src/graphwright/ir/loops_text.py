"""Loop IR as text, written and read.

In:  a `Kernel`, or its text.   Out: its text (`render_kernel`), or the kernel (`parse_kernel`, in `ir/loops_parse.py`).
Keeps: `parse_kernel(render_kernel(kernel)) == kernel`, origins, location and estimates included. Literals are spelt as in the IR.

    kernel softmax(in0: f32 read, out0: f32 write align 64):
      # from aten._softmax.default
      # model.py:3 in f
      # moves 8192 bytes, computes 1024
      scratch row: f32[1024]
      parallel i0 in 0..4096 grain 8:
        vector i1 in 0..1024:
          v0 = load in0[i0*1024 + i1]
          carry top = max(v0): f32
        vector i2 in 0..1024:
          v1 = load in0[i0*1024 + i2]
          v2 = sub(v1, top): f32
          store out0[i0*1024 + i2] = v2
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from graphwright.ir.aten_text import SHORT_NAMES
from graphwright.ir.dims import render_dim
from graphwright.ir.loops import (
    Ahead,
    Carry,
    Compute,
    Const,
    If,
    Index,
    IndexValue,
    Kernel,
    Load,
    Loop,
    MatmulTile,
    Param,
    Stmt,
    Store,
    Term,
    TransposeTile,
)
from graphwright.ir.symint import Dim

INDENT: Final = "  "


def render_kernel(kernel: Kernel) -> str:
    """Give a kernel as text, one line a statement."""
    symbols = f"<{', '.join(kernel.symbols)}>" if kernel.symbols else ""
    params = ", ".join(map(_render_param, kernel.params))
    uncontracted = "" if kernel.can_contract else " uncontracted"
    lines = [f"kernel {kernel.name}{symbols}({params}){uncontracted}:"]
    if kernel.origins:
        lines.append(f"{INDENT}# from {', '.join(kernel.origins)}")
    if kernel.loc is not None:
        lines.append(f"{INDENT}# {kernel.loc.render()}")
    if kernel.bytes_moved or kernel.flops:
        lines.append(f"{INDENT}# moves {kernel.bytes_moved} bytes, computes {kernel.flops}")
    lines += [
        f"{INDENT}scratch {scratch.name}: {SHORT_NAMES[scratch.dtype]}[{scratch.size}]"
        for scratch in kernel.scratch
    ]
    lines += [line for _, line in iter_lines(kernel.body, 1)]
    return "\n".join(lines) + "\n"


def iter_lines(body: tuple[Stmt, ...], depth: int) -> Iterator[tuple[Stmt | Carry, str]]:
    """Give the lines of a list of statements, each with the statement (or carry) that it stands for."""
    for stmt in body:
        yield stmt, INDENT * depth + _render_head(stmt)
        if isinstance(stmt, Loop | If):
            yield from iter_lines(stmt.body, depth + 1)
        if isinstance(stmt, Loop):
            for carry in stmt.carries:
                yield carry, INDENT * (depth + 1) + _render_carry(carry)


def _render_param(param: Param) -> str:
    text = f"{param.name}: {SHORT_NAMES[param.dtype]} {param.access.value}"
    if param.aliases is not None:
        text += f" aliases {param.aliases}"
    return text if param.align_bytes == 0 else f"{text} align {param.align_bytes}"


def _render_head(stmt: Stmt) -> str:
    """Give a statement's line; of a loop or `If`, its first."""
    match stmt:
        case Const(name, value, dtype):
            return f"{name} = const {value}: {SHORT_NAMES[dtype]}"
        case IndexValue(name, index):
            return f"{name} = index {render_index(index)}"
        case Load(name, buffer, index, ahead):
            suffix = f" ahead {ahead}" if ahead else ""
            return f"{name} = load {buffer}[{render_index(index)}]{suffix}"
        case Compute(name, op, args, dtype):
            return f"{name} = {op.value}({', '.join(args)}): {SHORT_NAMES[dtype]}"
        case Store(buffer, index, value, is_streaming):
            word = "stream" if is_streaming else "store"
            return f"{word} {buffer}[{render_index(index)}] = {value}"
        case Loop():
            return _render_loop(stmt)
        case If(condition):
            return f"if {condition}:"
        case TransposeTile():
            return _render_transpose(stmt)
        case MatmulTile():
            return _render_matmul(stmt)
        case _:
            assert_never(stmt)


def _render_loop(loop: Loop) -> str:
    stops = ", ".join(map(render_index, loop.stops))
    stop = stops if len(loop.stops) == 1 else f"min({stops})"
    text = f"{loop.kind.value} {loop.var} in {render_index(loop.start)}..{stop}"
    if loop.step != 1:
        text += f" step {loop.step}"
    if loop.grain != 1:
        text += f" grain {loop.grain}"
    return text + ":"


def _render_carry(carry: Carry) -> str:
    args = carry.update if carry.index is None else f"{carry.update}, {carry.index}"
    return f"carry {carry.name} = {carry.op.value}({args}): {SHORT_NAMES[carry.dtype]}"


def _render_transpose(stmt: TransposeTile) -> str:
    target = f"{stmt.target}[{render_index(stmt.target_index)}] by {_coeff(stmt.target_stride)}"
    source = f"{stmt.source}[{render_index(stmt.source_index)}] by {_coeff(stmt.source_stride)}"
    return f"transpose {target} = {source}, {stmt.rows} x {stmt.cols}"


def _render_matmul(stmt: MatmulTile) -> str:
    target = f"{stmt.target}[{render_index(stmt.target_index)}] by {_coeff(stmt.target_stride)}"
    strides = f"{_coeff(stmt.left_row_stride)}, {_coeff(stmt.left_depth_stride)}"
    left = f"{stmt.left}[{render_index(stmt.left_index)}] by {strides}"
    right = f"{stmt.right}[{render_index(stmt.right_index)}] by {_coeff(stmt.right_stride)}"
    assign = "+=" if stmt.accumulates else "="
    size = f"{stmt.rows} x {stmt.cols} x {stmt.depth}"
    return f"matmul {target} {assign} {left} @ {right}, {size}{_render_ahead(stmt.ahead)}"


def _render_ahead(ahead: Ahead | None) -> str:
    if ahead is None:
        return ""
    kind = "columns" if ahead.is_transposed else "rows"
    place = f"{ahead.buffer}[{render_index(ahead.index)}]"
    return f", ahead {place} {kind} by {_coeff(ahead.stride)}"


def render_index(index: Index) -> str:
    """Give an index: the terms, then the constant; what is symbolic stands in brackets."""
    parts = [_render_term(term) for term in index.terms]
    if index.const != 0 or not parts:
        parts.append(_coeff(index.const))
    return " + ".join(parts)


def _render_term(term: Term) -> str:
    return term.name if term.coeff == 1 else f"{term.name}*{_coeff(term.coeff)}"


def _coeff(dim: Dim) -> str:
    return str(dim) if isinstance(dim, int) else f"({render_dim(dim)})"
