"""Programs from the cache: a warm start, with no capture.

In: a target and a call.   Out: an entry made from the data of an earlier process, whose guards this call passes; or a new one.
Keeps: a program is found by what its code is (name and hash; of a continuation, the place too), the form of the call, the versions
and the settings; every guard is checked against the live objects before anything of it is run; every object that it makes something
of is known then.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from graphwright.cache import Caches, Key, KeyPart, Kind, ProgramEntry, make_part
from graphwright.capture import Callee, Continuation, code_of_target
from graphwright.ir.code_digest import code_digest
from graphwright.ir.encoding import structural_hash
from graphwright.ir.program import Program
from graphwright.ir.recipes import CallLate, FromPin, Recipe
from graphwright.ir.sources import Pin, PinKind
from graphwright.pipeline.freezing import fold_function
from graphwright.pipeline.jobs import Job, tell_break
from graphwright.pipeline.marks import marks_of
from graphwright.pipeline.options import BackendKind
from graphwright.pipeline.plans import try_load_plan
from graphwright.pipeline.session import SESSION
from graphwright.runtime import Entry, could_serve, make_backend_entry, make_entry

if TYPE_CHECKING:
    from graphwright.capture import Captured


def find_or_build(job: Job) -> Entry:
    """Give an entry for the job's call: from the cache, or compiled now and kept for later processes.

    Raises:
        Unsupported: something in the program cannot be captured.
        BackendError: the user's backend raised.
    """
    caches = SESSION.caches(job.settings)
    code = code_of_target(job.target, job.args)
    if caches is None or code is None or job.options.backend is not BackendKind.NATIVE:
        return _build(job)[0]
    with job.observer.span("revive"):
        key = _make_key(job, code, caches)
        revived = _try_revive(job, key, code, caches)
    if revived is not None:
        tell_break(revived.program)
        return revived
    entry, captured = _build(job)
    if _is_for_all_processes(captured, code):
        kept = ProgramEntry(program=entry.program, plan=entry.plan, joint=captured.joint)
        caches.programs.add(key, kept)
    return entry


def _build(job: Job) -> tuple[Entry, Captured]:
    # What captures and compiles is most of graphwright. It is loaded when there is something to compile.
    from graphwright.pipeline.stages import capture_job, entry_of  # noqa: PLC0415

    captured = capture_job(job)
    entry = entry_of(job, captured)
    entry.serves(job.args, job.kwargs)  # folds its constants, where it has some
    return entry, captured


def _make_key(job: Job, code: types.CodeType, caches: Caches) -> Key:
    """Make the key of a target's programs for calls of this form."""
    arguments = (*job.args, *job.kwargs.values())
    marks = [f"{number}: {text}" for number, text in enumerate(_iter_marks(arguments)) if text]
    return caches.make_key(
        Kind.PROGRAM,
        make_part("function", f"{_module_of(job)}.{code.co_qualname}"),
        make_part("code", code_digest(code)),
        _place_part(job.target),
        make_part("call", f"{len(job.args)} positional, {', '.join(job.kwargs) or 'no keywords'}"),
        make_part("symbols", "from the start" if job.options.dynamic else "as sizes change"),
        make_part("marks", "; ".join(marks)),
    )


def _module_of(job: Job) -> str:
    """Give the name of the module that the target's code is of, for people."""
    named: object = job.target
    if isinstance(named, Continuation | Callee):
        named = job.args[0]
    name = getattr(named, "__module__", None)
    return name if isinstance(name, str) else type(named).__module__


def _place_part(target: object) -> KeyPart:
    """Name where in its code a target begins, and what it is: sources that start at it are read in the way of its kind."""
    kind = type(target)
    match target:
        case Continuation():
            text = f"instruction {target.place.index}, {structural_hash(target.place)}"
        case Callee():
            text = "the start, called with its function"
        case _:
            text = f"the start of a {kind.__module__}.{kind.__qualname__}"
    return make_part("place", text)


def _iter_marks(values: Iterable[object]) -> Iterator[str]:
    """Give what is marked of each tensor among `values`, and in lists, tuples and dicts among them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield ", ".join(
                f"{dim} {mark.kind.value} {mark.minimum} to {mark.maximum}"
                for dim, mark in sorted(marks_of(value).items())
            )
        elif type(value) is list or type(value) is tuple:
            yield from _iter_marks(value)
        elif type(value) is dict:
            yield from _iter_marks(value.values())


def _is_told_by_description(pin: Pin) -> bool:
    """Tell whether no other object fits a pin: many fit one that only its class describes, or a function without a name."""
    if pin.is_importable:
        return True
    is_nameless = pin.kind is PinKind.BUILTIN and pin.qualname.endswith(".")
    return pin.kind is not PinKind.OBJECT and not is_nameless


def _is_for_all_processes(captured: Captured, code: types.CodeType) -> bool:
    """Tell whether a new process can make a program's entry from data, and code that it has."""
    program = captured.program
    if captured.writes_history:
        return False  # its torch-level graph is run, which is no data
    if program.ends_at is not None and captured.live_pins[program.ends_at.code_pin] is not code:
        return False
    if not all(map(_is_told_by_description, program.pins)):
        return False
    return all(_is_found_anew(recipe, program.pins) for recipe in program.built)


def _is_found_anew(recipe: Recipe, pins: Sequence[Pin]) -> bool:
    """Tell whether a new process finds the function of a late call."""
    if not isinstance(recipe, CallLate) or not isinstance(recipe.function, FromPin):
        return True
    return pins[recipe.function.pin].is_importable


def _try_revive(job: Job, key: Key, code: types.CodeType, caches: Caches) -> Entry | None:
    """Give an entry for the job's call from the cache, or None."""
    for found in _iter_kept(job, key, caches):
        entry = _try_make_entry(job, found, code, caches)
        if entry is None or not entry.serves(job.args, job.kwargs):
            continue
        _offer_code(entry, code)
        if entry.pins.is_complete():
            return entry
    return None


def _iter_kept(job: Job, key: Key, caches: Caches) -> Iterator[ProgramEntry]:
    """Give the programs that may serve the job, those for one set of sizes first: they are what a first compile gives."""
    for found in sorted(caches.programs.get_all(key), key=lambda one: bool(one.program.symbols)):
        if found.program.symbols and job.options.dynamic is False:
            continue
        if found.program.ends_at is not None and job.make_go_on is None:
            continue
        if could_serve(found.program, job.target, job.args, job.kwargs):
            yield found


def _try_make_entry(
    job: Job, found: ProgramEntry, code: types.CodeType, caches: Caches
) -> Entry | None:
    """Make the entry of a kept program; None where the code of its kernels is gone."""
    program, wrapper = found.program, job.settings.wrapper
    go_on = _make_go_on(job, program, code)
    if found.plan is None:
        from graphwright.pipeline.graph_runs import make_graph_run  # noqa: PLC0415  (as in `_build`)

        run = make_graph_run(program, found.joint, BackendKind.NATIVE, job.settings, job.observer)
        return make_backend_entry(program, run, target=job.target, wrapper=wrapper, go_on=go_on)
    loaded = try_load_plan(found.plan, job.settings, caches)
    if loaded is None:
        return None
    return make_entry(
        program,
        found.plan,
        loaded,
        target=job.target,
        wrapper=wrapper,
        go_on=go_on,
        compute=fold_function(found.plan.fold),
    )


def _make_go_on(job: Job, program: Program, code: types.CodeType) -> Callable[..., Any] | None:
    if program.ends_at is None or job.make_go_on is None:
        return None
    return job.make_go_on(program.ends_at, code, None)


def _offer_code(entry: Entry, code: types.CodeType) -> None:
    """Give an entry the code that no guard of it meets: that of a continued frame, and what was made from code to go on with."""
    entry.pins.offer(code)
    if entry.program.ends_at is None and not entry.program.entered:
        return
    from graphwright.capture import Place, make_carrier_code, make_generator_code  # noqa: PLC0415  (as in `_build`)

    if entry.program.ends_at is not None:
        entry.pins.offer(make_carrier_code(code))
    for one in entry.program.entered:
        if entry.pins.is_found(one.code_pin):
            own = entry.pins.get(one.code_pin)
            assert isinstance(own, types.CodeType), "a generator has code"
            place = Place(one.index, one.stack, one.names)
            entry.pins.offer(make_generator_code(own, place))
