"""Write a kernel as Triton source.

In: loop IR `Kernel`.   Out: `TritonCode`.

Keeps: one line a statement, values under their names, so that the source reads like the loop IR:

    parallel i0 in 0..64:                        i0 = tl.program_id(0).to(tl.int64)
      vector i1 in 0..100:                       i1 = tl.arange(0, 128)
        v0 = load in0[i0*100 + i1]         →     i1_mask = i1 < 100
        v1 = exp(v0): f32                        v0 = tl.load(in0 + (i0*100 + i1), mask=i1_mask)
        store out0[i0*100 + i1] = v1             v1 = libdevice.exp(v0)
                                                 tl.store(out0 + (i0*100 + i1), v1, mask=i1_mask)

A row that is longer than a block is walked through block by block; a reduction keeps a block of partial results and joins
them after the loop. Symbolic extents are arguments, computed before the launch.

Does not: choose tiles, use shared memory by hand or matrix units, or pick other loop orders than the kernel's.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Final

from graphwright.codegen.triton.accesses import (
    AccessSite,
    can_stay_in_registers,
    iter_sites,
    shared_buffers,
)
from graphwright.codegen.triton.body import BodyWriter, Places
from graphwright.codegen.triton.code import GlobalScratch, Launch, Pointer, TritonCode
from graphwright.codegen.triton.elements import NotExpressible, pointer_type
from graphwright.codegen.triton.extents import (
    LANES_PER_PROGRAM,
    SizeArguments,
    is_one_block,
    longest_extent,
    num_warps_for,
)
from graphwright.codegen.triton.scalar import render_functions
from graphwright.codegen.triton.stages import Spread, Stage, num_iterations, split_stages
from graphwright.ir.loops import Kernel
from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import add, floordiv, maximum, mul

_HEADER: Final = """import triton
import triton.language as tl
from triton.language.extra import libdevice
"""


def render_kernel(kernel: Kernel) -> TritonCode:
    """Write `kernel` as a module of Triton source.

    Raises:
        NotExpressible: Triton has no way to say a part of it.
    """
    stages = split_stages(kernel)
    if not stages:
        raise NotExpressible(what=f"kernel {kernel.name}", why="it does nothing")
    for param in kernel.params:
        pointer_type(param.dtype)
    scratch = _choose_places(kernel, stages)
    sizes = SizeArguments(kernel.symbols)
    functions = []
    launches = []
    for number, stage in enumerate(stages):
        name = _identifier(kernel.name) + (f"_{number}" if len(stages) > 1 else "")
        writer = BodyWriter(kernel, scratch, sizes)
        writer.write_stage(stage)
        functions.append((name, writer))
        launches.append(Launch(name, _num_programs(stage), num_warps_for(writer.widest_block)))
    text = "\n\n".join(_render_function(kernel, scratch, sizes, *pair) for pair in functions)
    return TritonCode(
        text=f"{_HEADER}\n{render_functions(text)}\n\n{text}",
        pointers=tuple(Pointer(param.name, param.dtype) for param in kernel.params),
        scratch=_global_scratch(scratch, stages),
        sizes=sizes.expressions,
        launches=tuple(launches),
        can_contract=kernel.can_contract,
    )


def _choose_places(kernel: Kernel, stages: Iterable[Stage]) -> Places:
    sizes = {each.name: each.size for each in kernel.scratch}
    registers: set[str] = set()
    memory: set[str] = set()
    shared: set[str] = set()
    for stage in stages:
        sites = list(iter_sites(stage.body))
        touched = {site.buffer for site in sites} & {scratch.name for scratch in kernel.scratch}
        if touched & (registers | memory):
            raise NotExpressible(
                what=f"kernel {kernel.name}",
                why="its scratch carries values from one launch to the next",
            )
        kept = {
            name
            for name in touched
            if can_stay_in_registers(name, sites) and _has_one_block(name, sites, sizes)
        }
        registers |= kept
        memory |= touched - kept
        shared |= shared_buffers(kernel, sites)
    return Places(
        registers=tuple(each for each in kernel.scratch if each.name in registers),
        memory=tuple(each for each in kernel.scratch if each.name in memory),
        shared=frozenset(shared) - registers,
    )


def _has_one_block(name: str, sites: Iterable[AccessSite], sizes: Mapping[str, int]) -> bool:
    """Tell whether the loops that touch a scratch hold its row in one block each, all alike."""
    loops = [site.vector_loop for site in sites if site.buffer == name]
    lengths = {None if loop is None else longest_extent(loop, sizes) for loop in loops}
    return len(lengths) == 1 and all(is_one_block(length) for length in lengths)


def _num_programs(stage: Stage) -> Dim:
    if stage.spread is Spread.SINGLE:
        return 1
    count = num_iterations(stage.loop)
    if stage.spread is Spread.LANES:
        count = floordiv(add(count, LANES_PER_PROGRAM - 1), LANES_PER_PROGRAM)
    return count


def _global_scratch(places: Places, stages: Iterable[Stage]) -> tuple[GlobalScratch, ...]:
    copies = {
        site.buffer: mul(
            _num_programs(stage), LANES_PER_PROGRAM if stage.spread is Spread.LANES else 1
        )
        for stage in stages
        for site in iter_sites(stage.body)
    }
    return tuple(
        GlobalScratch(each.name, each.dtype, mul(maximum([copies[each.name], 1]), each.size))
        for each in places.memory
    )


def _render_function(
    kernel: Kernel, places: Places, sizes: SizeArguments, name: str, writer: BodyWriter
) -> str:
    pointers = [param.name for param in kernel.params]
    arguments = [*pointers, *(each.name for each in places.memory), *sizes.names]
    for argument in arguments:
        _check_name(argument)
    lines = "\n".join(writer.lines)
    return f"@triton.jit\ndef {name}({', '.join(arguments)}):\n{lines}\n"


def _identifier(name: str) -> str:
    return "k_" + re.sub(r"\W", "_", name)


def _check_name(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name in {"tl", "triton", "libdevice"}:
        raise NotExpressible(what=f"the name {name!r}", why="it is no name for a Python variable")
