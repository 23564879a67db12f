"""A counted loop, for code that is not made of the loop IR's own loops.

In: constant bounds and a function that writes the body.   Out: a loop, or the body alone if it runs once.
"""

from __future__ import annotations

from collections.abc import Callable

from graphwright.codegen.llvm.builder import Builder, Int


def emit_counted_loop(
    builder: Builder, bounds: tuple[int, int, int], body: Callable[[Int], None]
) -> None:
    """Write `for i in range(*bounds): body(i)`; the range is not empty."""
    start, stop, step = bounds
    if start + step >= stop:
        body(start)
        return
    header, done = builder.label("count"), builder.label("counted")
    before = builder.block
    builder.branch(header)
    builder.start_block(header)
    hole, name = len(builder.lines), builder.fresh()
    body(name)
    following = builder.fresh()
    builder.lines.append(f"{following} = add nsw i64 {name}, {step}")
    phi = f"{name} = phi i64 [ {start}, %{before} ], [ {following}, %{builder.block} ]"
    builder.lines.insert(hole, phi)
    is_more = builder.fresh()
    builder.lines.append(f"{is_more} = icmp slt i64 {following}, {stop}")
    builder.branch_if(is_more, header, done)
    builder.start_block(done)
