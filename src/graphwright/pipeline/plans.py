"""From a graph to a plan with loaded code: lowered and compiled now, or found in the caches.

In: a static `AtenGraph`, or the `Plan` of one.   Out: the plan, and its kernels' code in memory.
Keeps: code is known by the content of its kernel; a plan in the store of graphs by the graph, whichever program it is of, so it
knows of no lines of the user's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

import msgspec
import torch

from graphwright.base.config import Config, Wrapper
from graphwright.base.counters import counters
from graphwright.cache import Caches, GraphEntry, KernelEntry, Key, Kind, make_part
from graphwright.codegen.llvm import (
    LoadedCode,
    ObjectCode,
    compile_kernels,
    host_target,
    load_object,
)
from graphwright.graph import Frozen, freeze, packing, scaling, simplify
from graphwright.ir.aten import AtenGraph
from graphwright.ir.aten_text import render_graph
from graphwright.ir.aten_verify import verify_graph
from graphwright.ir.encoding import structural_hash
from graphwright.ir.loops import Kernel
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.numerics import Numerics
from graphwright.ir.plan import Plan, Release
from graphwright.ir.plan_text import render_plan, verify_plan
from graphwright.lower import find_packable, lower_graph
from graphwright.observe import Observer
from graphwright.pipeline.session import SESSION
from graphwright.runtime import NativeRefusal, load_native_module

_COMPILE_THREADS: Final = os.cpu_count() or 1


@final
class PlanCode:
    """The loaded code of a plan's kernels, by their symbols in the plan."""

    def __init__(self, codes: Mapping[str, LoadedCode]) -> None:
        self._codes: Final = dict(codes)

    def address(self, symbol: str) -> int:
        """Give the address of the kernel that the plan calls `symbol`."""
        code = self._codes[symbol]
        return code.address(code.symbols[0])


def plan_graph(graph: AtenGraph, settings: Config, observer: Observer) -> tuple[Plan, PlanCode]:
    """Give the plan of a graph, and its code: from the caches, or made now."""
    caches = SESSION.caches(settings)
    if caches is None:
        plan, kernels = lower_program(graph, settings, observer)
        return plan, load_kernels(plan, kernels, settings, observer)
    with observer.span("find"):
        key = _graph_key(graph, settings, caches)
        kept = caches.graphs.get(key)
        code = None if kept is None else try_load_plan(kept.plan, settings, caches)
    if kept is not None and code is not None:
        return kept.plan, code
    plan, kernels = lower_program(graph, settings, observer)
    code = load_kernels(plan, kernels, settings, observer)
    caches.graphs.put(key, GraphEntry(plan=_without_lines(plan)))
    return plan, code


def _graph_key(graph: AtenGraph, settings: Config, caches: Caches) -> Key:
    nodes = tuple(msgspec.structs.replace(node, loc=None) for node in graph.nodes)
    content = structural_hash(msgspec.structs.replace(graph, nodes=nodes))
    threads = make_part("threads", str(num_threads_of(settings)))
    return caches.make_key(Kind.GRAPH, make_part("graph", content), threads)


def _without_lines(plan: Plan) -> Plan:
    steps = tuple(
        step if isinstance(step, Release) else msgspec.structs.replace(step, loc=None)
        for step in plan.steps
    )
    return msgspec.structs.replace(plan, steps=steps)


def try_load_plan(plan: Plan, settings: Config, caches: Caches) -> PlanCode | None:
    """Give the code of a plan from an earlier process; None where a kernel of it is not found."""
    num_threads = num_threads_of(settings)
    codes: dict[str, LoadedCode] = {}
    for ref in plan.kernels:
        code = find_kernel(ref.key, num_threads, caches)
        if code is None:
            return None
        codes[ref.key] = code
    return plan_code(plan, codes)


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
    if settings.verify:
        verify_plan(plan)
    observer.artifact("schedule", lambda: "\n\n".join(map(render_kernel, lowered.kernels)))
    observer.artifact("plan", lambda: render_plan(plan))
    _count(plan, lowered.kernels)
    return plan, lowered.kernels


def _freeze(graph: AtenGraph, frozen: Collection[int], numerics: Numerics) -> Frozen:
    """Put what depends on the `frozen` inputs into the form that calls want it in, and cut it off."""
    if not numerics.is_strict:
        graph = scaling(graph, frozen)
    return freeze(packing(graph, find_packable(graph, frozen, numerics)), frozen)


def num_threads_of(settings: Config) -> int:
    """Give the number of threads that kernels are divided among."""
    return settings.num_threads or torch.get_num_threads()


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


def prepare_runtime(settings: Config) -> None:
    """Load the native functions of the runtime, through the cache, where they are wanted.

    Where a process cannot have them, the entries say so and Python serves.
    """
    caches = SESSION.caches(settings)
    if settings.wrapper is not Wrapper.NATIVE or caches is None:
        return

    def key_of(name: str) -> Key:
        return caches.make_key(Kind.KERNEL, make_part("runtime functions", name))

    def find(name: str) -> bytes | None:
        entry = caches.kernels.get(key_of(name))
        return None if entry is None else entry.object_code

    def keep(name: str, data: bytes) -> None:
        caches.kernels.put(key_of(name), KernelEntry(object_code=data, symbols=()))

    with contextlib.suppress(NativeRefusal):
        load_native_module(find, keep)


def plan_code(plan: Plan, codes: Mapping[str, LoadedCode]) -> PlanCode:
    """Give the code of a plan; `codes` holds that of its kernels, by their keys."""
    return PlanCode({ref.symbol: codes[ref.key] for ref in plan.kernels})


def find_kernel(key: str, num_threads: int, caches: Caches | None) -> LoadedCode | None:
    """Give the loaded code of the kernel with this content, from memory or from the cache; None when it is in neither."""
    code = SESSION.find_code(key)
    if code is not None or caches is None:
        return code
    entry = caches.kernels.get(_kernel_key(key, num_threads, caches))
    if entry is None:
        return None
    found = ObjectCode((entry.object_code,), entry.symbols, host_target())
    return SESSION.keep_code(key, load_object(found))


def _kernel_key(key: str, num_threads: int, caches: Caches) -> Key:
    is_parallel = make_part("threads", "one" if num_threads == 1 else "several")
    return caches.make_key(Kind.KERNEL, make_part("loop IR", key), is_parallel)


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
            codes[key] = SESSION.keep_code(key, load_object(made))
            if caches is not None:
                entry = KernelEntry(object_code=made.objects[0], symbols=made.symbols)
                caches.kernels.put(_kernel_key(key, num_threads, caches), entry)
    return codes
