"""Plans of earlier processes, with their code in memory.

In: a `Plan`.   Out: its kernels' code, from memory or from the cache.
Keeps: code is known by the content of its kernel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Final, final

import torch

from graphwright.base.config import Config, Wrapper
from graphwright.cache import Caches, KernelEntry, Key, Kind, make_part
from graphwright.codegen.llvm import (
    LoadedCode,
    ObjectCode,
    host_target,
    load_object,
    prepare_linker,
)
from graphwright.ir.plan import Plan
from graphwright.pipeline.session import SESSION
from graphwright.runtime import NativeRefusal, load_native_module


@final
class PlanCode:
    """The loaded code of a plan's kernels, by their symbols in the plan."""

    def __init__(self, codes: Mapping[str, LoadedCode]) -> None:
        self._codes: Final = dict(codes)

    def address(self, symbol: str) -> int:
        """Give the address of the kernel that the plan calls `symbol`."""
        code = self._codes[symbol]
        return code.address(code.symbols[0])


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


def num_threads_of(settings: Config) -> int:
    """Give the number of threads that kernels are divided among."""
    return settings.num_threads or torch.get_num_threads()


def prepare_runtime(settings: Config) -> None:
    """Load the native functions of the runtime, through the cache, where they are wanted.

    Where a process cannot have them, the entries say so and Python serves.
    """
    caches = SESSION.caches(settings)
    if settings.wrapper is not Wrapper.NATIVE or caches is None:
        return
    with contextlib.suppress(NativeRefusal):
        load_native_module(*_own_functions(caches))


def _own_functions(
    caches: Caches,
) -> tuple[Callable[[str], bytes | None], Callable[[str, bytes], None]]:
    """Give what finds and what keeps object code of functions of our own, by their names."""

    def key_of(name: str) -> Key:
        return caches.make_key(Kind.KERNEL, make_part("runtime functions", name))

    def find(name: str) -> bytes | None:
        entry = caches.kernels.get(key_of(name))
        return None if entry is None else entry.object_code

    def keep(name: str, data: bytes) -> None:
        caches.kernels.put(key_of(name), KernelEntry(object_code=data, symbols=()))

    return find, keep


def plan_code(plan: Plan, codes: Mapping[str, LoadedCode]) -> PlanCode:
    """Give the code of a plan; `codes` holds that of its kernels, by their keys."""
    return PlanCode({ref.symbol: codes[ref.key] for ref in plan.kernels})


def find_kernel(key: str, num_threads: int, caches: Caches | None) -> LoadedCode | None:
    """Give the loaded code of the kernel with this content, from memory or from the cache; None when it is in neither.

    What is in memory counts for the folder of caches that has it, too: a plan that is kept in another must find its kernels there.
    """
    code = SESSION.find_code(_name_in_memory(key, caches))
    if code is not None or caches is None:
        return code
    entry = caches.kernels.get(kernel_key(key, num_threads, caches))
    if entry is None:
        return None
    found = ObjectCode((entry.object_code,), entry.symbols, host_target())
    return load_kernel(key, found, caches)


def load_kernel(key: str, code: ObjectCode, caches: Caches | None) -> LoadedCode:
    """Load the code of a kernel into this process; that of loops on several threads goes first, through the cache."""
    if caches is not None:
        prepare_linker(*_own_functions(caches))
    return SESSION.keep_code(_name_in_memory(key, caches), load_object(code))


def _name_in_memory(key: str, caches: Caches | None) -> str:
    return key if caches is None else f"{key} {caches.stores.root}"


def kernel_key(key: str, num_threads: int, caches: Caches) -> Key:
    """Make the key of a kernel's code, from that of its content."""
    is_parallel = make_part("threads", "one" if num_threads == 1 else "several")
    return caches.make_key(Kind.KERNEL, make_part("loop IR", key), is_parallel)
