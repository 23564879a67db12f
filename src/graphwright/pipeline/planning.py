"""From a graph to a plan with loaded code.

In: a static `AtenGraph`.   Out: its `Plan`, lowered now; its kernels' code in memory, found in the cache or compiled now.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from graphwright.base.config import Config
from graphwright.base.counters import counters
from graphwright.cache import Caches, KernelEntry
from graphwright.codegen.llvm import LoadedCode, ObjectCode, compile_kernels
from graphwright.graph import Frozen, freeze, packing, scaling, simplify
from graphwright.ir.aten import AtenGraph
from graphwright.ir.aten_text import render_graph
from graphwright.ir.aten_verify import verify_graph
from graphwright.ir.loops import Kernel
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.numerics import Numerics
from graphwright.ir.plan import Plan
from graphwright.ir.plan_text import render_plan, verify_plan
from graphwright.lower import find_packable, lower_graph
from graphwright.observe import Observer
from graphwright.pipeline.plans import (
    PlanCode,
    find_kernel,
    kernel_key,
    load_kernel,
    num_threads_of,
    plan_code,
)
from graphwright.pipeline.session import SESSION

_COMPILE_THREADS: Final = os.cpu_count() or 1


def lower_program(
    graph: AtenGraph, settings: Config, observer: Observer, frozen: Collection[int] = ()
) -> tuple[Plan, tuple[Kernel, ...]]:
    """Simplify an ATen graph and lower it to a plan and its kernels; what depends on the `frozen` inputs alone is folded."""
    numerics = Numerics(
        is_strict=settings.strict_numerics,
        rounds_between=settings.emulate_precision_casts,
        keeps_random_stream=not settings.fast_random,
    )
    observer.artifact("aten", lambda: render_graph(graph))
    with observer.span("simplify"):
        simple, fold = simplify(graph, numerics), None
        if frozen:
            parts = _freeze(simple, frozen, numerics)
            simple, fold = parts.graph, parts.fold
    if settings.verify:
        verify_graph(graph)
        verify_graph(simple)
        if fold is not None:
            verify_graph(fold.graph)
    observer.artifact("aten_simplified", lambda: render_graph(simple))
    with observer.span("lower"):
        lowered = lower_graph(simple, num_threads=num_threads_of(settings), numerics=numerics)
    plan = msgspec.structs.replace(lowered.plan, fold=fold)
    # Always: it takes less than a millisecond, and a step that reads what nobody wrote would give wrong numbers without a word.
    verify_plan(plan, lowered.kernels)
    observer.artifact("schedule", lambda: "\n\n".join(map(render_kernel, lowered.kernels)))
    observer.artifact("plan", lambda: render_plan(plan))
    _count(plan, lowered.kernels)
    return plan, lowered.kernels


def _freeze(graph: AtenGraph, frozen: Collection[int], numerics: Numerics) -> Frozen:
    """Put what depends on the `frozen` inputs into the form that calls want it in, and cut it off."""
    if not numerics.is_strict:
        graph = scaling(graph, frozen)
    return freeze(packing(graph, find_packable(graph, frozen, numerics)), frozen)


def _count(plan: Plan, kernels: Sequence[Kernel]) -> None:
    counters.add("codegen", "kernels", len(kernels))
    counters.add("codegen", "fused_nodes", sum(len(kernel.origins) for kernel in kernels))
    counters.add("codegen", "extern_calls", plan.num_calls)


def load_kernels(
    plan: Plan, kernels: Sequence[Kernel], settings: Config, observer: Observer
) -> PlanCode:
    """Give the loaded code of a plan's kernels: from memory, from the cache, or compiled now, several at a time."""
    caches = SESSION.caches(settings)
    num_threads = num_threads_of(settings)
    codes: dict[str, LoadedCode] = {}
    missing: list[tuple[str, Kernel]] = []
    with observer.span("load"):
        for ref, kernel in zip(plan.kernels, kernels, strict=True):
            code = find_kernel(ref.key, num_threads, caches)
            if code is None:
                missing.append((ref.key, kernel))
            else:
                codes[ref.key] = code
    with observer.span("codegen"):
        if missing:
            codes |= _compile_missing(missing, num_threads, caches, verify=settings.verify)
    return plan_code(plan, codes)


def _compile_missing(
    missing: Sequence[tuple[str, Kernel]],
    num_threads: int,
    caches: Caches | None,
    *,
    verify: bool,
) -> dict[str, LoadedCode]:
    def compile_one(item: tuple[str, Kernel]) -> ObjectCode:
        return compile_kernels([item[1]], num_threads=num_threads, verify=verify)

    codes: dict[str, LoadedCode] = {}
    with ThreadPoolExecutor(max_workers=min(len(missing), _COMPILE_THREADS)) as pool:
        for (key, _), made in zip(missing, pool.map(compile_one, missing), strict=True):
            codes[key] = load_kernel(key, made, caches)
            if caches is not None:
                entry = KernelEntry(object_code=made.objects[0], symbols=made.symbols)
                caches.kernels.put(kernel_key(key, num_threads, caches), entry)
    return codes
