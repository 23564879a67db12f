"""The measuring process of the benchmark.

In: a job as JSON.   Out: its figures as JSON, see `figures.py`.
"""

from __future__ import annotations

import copy
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, assert_never

import msgspec
import torch
from torch.utils import _pytree as pytree

from graphwright.cli.bench.figures import (
    Job,
    ProfileFigures,
    ProfileJob,
    StartFigures,
    StartJob,
    SteadyFigures,
    SteadyJob,
    SteadyResult,
)
from graphwright.cli.bench.workloads import Program, Workload, find_workload, make_program
from graphwright.cli.processes import read_job, write_result
from graphwright.cli.systems import System, compile_with
from graphwright.cli.timing import time_in_turns, time_once

_EXTRA_CALLS: Final = 3
"""Calls after the first, before memory is read: what a system allocates late shows, too."""
_COPY: Final = "copy"
"""The name of the copy of a workload's bytes among the timings of the systems."""
_MEMORY_COPY: Final = "copy of memory"
"""The name of the copy that no cache holds."""
_MEMORY_BYTES: Final = 256 << 20
"""Read and written by that one: several times what the caches of one socket's cores share."""
_CALLS_TO_LEARN: Final = 100
"""After so many calls a program knows which of its guards need not be checked one by one."""
_GUARD_ROUNDS: Final = 11


def do_job(job: Job) -> StartFigures | SteadyResult | ProfileFigures:
    """Measure what the job says."""
    workload = find_workload(job.workload)
    program = make_program(workload)
    with torch.no_grad():
        match job:
            case StartJob(system=system):
                return _measure_start(program, system)
            case SteadyJob(systems=systems, num_rounds=num_rounds):
                return _measure_steady(workload, program, systems, num_rounds)
            case ProfileJob():
                return _measure_profile(workload.name, program)
            case _:
                assert_never(job)


def _measure_start(program: Program, system: System) -> StartFigures:
    made: list[Callable[..., Any]] = []

    def start() -> None:
        made.append(compile_with(system, program.function))
        made[0](*program.arguments)

    first_call = time_once(start)
    for _ in range(_EXTRA_CALLS):
        made[0](*program.arguments)
    # Linux counts the largest resident size in units of 1024 bytes.
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return StartFigures(first_call=first_call, peak_bytes=peak_bytes)


def _measure_steady(
    workload: Workload, program: Program, systems: tuple[System, ...], num_rounds: int
) -> SteadyResult:
    calls: dict[str, Callable[[], object]] = {
        system: partial(compile_with(system, program.function), *program.arguments)
        for system in systems
    }
    outputs = {system: calls[system]() for system in systems}
    reference = _run_in_float64(program)
    num_bytes = sum(
        tensor.nbytes for tensor in _tensors((program.arguments, outputs[System.EAGER]))
    )
    if workload.is_memory_bound:
        calls[_COPY] = _make_copy(num_bytes)
        calls[_MEMORY_COPY] = _make_copy(_MEMORY_BYTES)
    timings = time_in_turns(calls, num_rounds=num_rounds)

    def share_of(copy_name: str, copied_bytes: int, system: System) -> float | None:
        if copy_name not in timings:
            return None
        return timings[copy_name].ratio_to(timings[system]) * num_bytes / copied_bytes

    figures = {
        system: SteadyFigures(
            per_call=timings[system].median,
            ratio_to={other: timings[system].ratio_to(timings[other]) for other in systems},
            difference_to_eager=_largest_difference(outputs[system], outputs[System.EAGER]),
            difference_to_float64=_largest_difference(outputs[system], reference),
            share_of_copy=share_of(_COPY, num_bytes, system),
            share_of_memory=share_of(_MEMORY_COPY, _MEMORY_BYTES, system),
        )
        for system in systems
    }
    return SteadyResult(figures)


def _make_copy(num_bytes: int) -> Callable[[], object]:
    """Give a copy that moves so many bytes, half of them each way.

    It reads and writes the same memory each time, as the calls do that it is compared with: what fits in the caches stays there.
    """
    num_items = num_bytes // 2 // torch.float32.itemsize
    source = torch.ones(num_items)
    target = torch.ones(num_items)
    return partial(target.copy_, source)


def _measure_profile(workload: str, program: Program) -> ProfileFigures:
    import graphwright  # noqa: PLC0415  (its import is part of a first call)
    from graphwright.pipeline import explain_call  # noqa: PLC0415  (likewise)

    compiled = graphwright.compile(program.function, fullgraph=True)
    start = time.perf_counter()
    report = explain_call(lambda: compiled(*program.arguments), has_guards=False)
    first_call = time.perf_counter() - start
    return ProfileFigures(
        workload=workload,
        first_call=first_call,
        stages=report.seconds,
        num_operations=sum(one.num_operations for one in report.captures),
        num_guards=sum(one.num_guards for one in report.captures),
        guards_per_call=_time_guards(program),
    )


def _time_guards(program: Program) -> float:
    """Time calls that find their outputs made."""
    import graphwright  # noqa: PLC0415  (see above)

    def compute_nothing(
        graph: torch.fx.GraphModule, inputs: list[torch.Tensor]
    ) -> Callable[..., Any]:
        outputs = graph(*inputs)
        return lambda *_: outputs

    compiled = graphwright.compile(program.function, backend=compute_nothing)
    call = partial(compiled, *program.arguments)
    for _ in range(_CALLS_TO_LEARN):
        call()
    return time_in_turns({"guards": call}, num_rounds=_GUARD_ROUNDS)["guards"].median


def _run_in_float64(program: Program) -> object:
    """Run the program in double precision, with copies of its parameters and arguments."""
    function = program.function
    if isinstance(function, torch.nn.Module):
        function = copy.deepcopy(function).double()
    arguments = pytree.tree_map_only(torch.Tensor, _to_float64, program.arguments)
    return function(*arguments)


def _to_float64(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _largest_difference(one: object, other: object) -> float:
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def _tensors(output: object) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor)]


if __name__ == "__main__":
    write_result(do_job(msgspec.json.decode(read_job(), type=Job)))
