"""Programs from the cache: a warm start, with no capture.

In: a target and a call.   Out: an entry made from the data of an earlier process, whose guards this call passes; or nothing.
Keeps: a program is found by what the function is (its name and the hash of its code), the form of the call, the versions and the
settings; every guard is checked against the live objects before anything of it is run.
"""

from __future__ import annotations

import types
from collections.abc import Sequence

import torch

from graphwright.cache import Caches, Key, Kind, ProgramEntry, make_part
from graphwright.codegen.llvm import LoadedCode
from graphwright.ir.code_digest import code_digest
from graphwright.ir.recipes import CallLate, FromPin, Recipe
from graphwright.ir.sources import Pin
from graphwright.pipeline.marks import marks_of
from graphwright.pipeline.options import BackendKind
from graphwright.pipeline.session import SESSION
from graphwright.pipeline.stages import Job, find_kernel, num_threads_of, plan_code
from graphwright.runtime import Entry, make_entry


def try_revive(job: Job) -> Entry | None:
    """Give an entry for the job's call from the cache, or None."""
    caches = SESSION.caches(job.settings)
    if caches is None or job.options.backend is not BackendKind.NATIVE or _wants_symbols(job):
        return None
    with job.observer.span("revive"):
        key = _try_make_key(job, caches)
        if key is None:
            return None
        for found in caches.programs.get_all(key):
            if found.program.symbols and job.options.dynamic is False:
                continue
            entry = _try_load(job, found, caches)
            if entry is not None and entry.explain_failure(job.args, job.kwargs) is None:
                return entry
    return None


def _wants_symbols(job: Job) -> bool:
    """Tell whether sizes are to be symbols from the start: what is kept was captured for one set of sizes."""
    arguments = (*job.args, *job.kwargs.values())
    return bool(job.options.dynamic) or any(
        marks_of(value) for value in arguments if isinstance(value, torch.Tensor)
    )


def keep_program(job: Job, entry: Entry) -> None:
    """Save a new entry for later processes, where it is made of data alone."""
    caches = SESSION.caches(job.settings)
    if caches is None or entry.plan is None or entry.program.ends_at is not None:
        return
    if not all(_is_found_anew(recipe, entry.program.pins) for recipe in entry.program.built):
        return
    key = _try_make_key(job, caches)
    if key is not None:
        caches.programs.add(key, ProgramEntry(program=entry.program, plan=entry.plan))


def _is_found_anew(recipe: Recipe, pins: Sequence[Pin]) -> bool:
    """Tell whether a new process finds the function of a late call."""
    if not isinstance(recipe, CallLate) or not isinstance(recipe.function, FromPin):
        return True
    return pins[recipe.function.pin].is_importable


def _try_make_key(job: Job, caches: Caches) -> Key | None:
    """Make the key of a target's programs for calls of this form; None when there is no code to know the target by."""
    named: object = job.target
    function: object = job.target
    if isinstance(job.target, torch.nn.Module):
        named = type(job.target)
        function = type(job.target).forward
    if not isinstance(function, types.FunctionType) or not isinstance(
        named, type | types.FunctionType
    ):
        return None
    return caches.make_key(
        Kind.PROGRAM,
        make_part("function", f"{named.__module__}.{named.__qualname__}"),
        make_part("code", code_digest(function.__code__)),
        make_part("call", f"{len(job.args)} positional, {', '.join(job.kwargs) or 'no keywords'}"),
    )


def _try_load(job: Job, found: ProgramEntry, caches: Caches) -> Entry | None:
    num_threads = num_threads_of(job.settings)
    codes: dict[str, LoadedCode] = {}
    for ref in found.plan.kernels:
        code = find_kernel(ref.key, num_threads, caches)
        if code is None:
            return None
        codes[ref.key] = code
    return make_entry(
        found.program,
        found.plan,
        plan_code(found.plan, codes),
        target=job.target,
        wrapper=job.settings.wrapper,
    )
