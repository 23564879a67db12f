"""The measuring process of the benchmark.

In: a job as JSON.   Out: its figures as JSON, see `figures.py`.
"""

from __future__ import annotations

import copy
import resource
from collections.abc import Callable
from functools import partial
from typing import Any, Final, assert_never

import msgspec
import torch
from torch.utils import _pytree as pytree

from graphwright.cli.bench.figures import (
    Job,
    StartFigures,
    StartJob,
    SteadyFigures,
    SteadyJob,
    SteadyResult,
)
from graphwright.cli.bench.workloads import Program, find_workload, make_program
from graphwright.cli.processes import read_job, write_result
from graphwright.cli.systems import System, compile_with
from graphwright.cli.timing import time_in_turns, time_once

_EXTRA_CALLS: Final = 3
"""Calls after the first, before memory is read: what a system allocates late shows, too."""


def do_job(job: Job) -> StartFigures | SteadyResult:
    """Measure what the job says."""
    program = make_program(find_workload(job.workload))
    with torch.no_grad():
        match job:
            case StartJob(system=system):
                return _measure_start(program, system)
            case SteadyJob(systems=systems, num_rounds=num_rounds):
                return _measure_steady(program, systems, num_rounds)
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


def _measure_steady(program: Program, systems: tuple[System, ...], num_rounds: int) -> SteadyResult:
    calls = {
        system: partial(compile_with(system, program.function), *program.arguments)
        for system in systems
    }
    outputs = {system: call() for system, call in calls.items()}
    reference = _run_in_float64(program)
    timings = time_in_turns(calls, num_rounds=num_rounds)
    figures = {
        system: SteadyFigures(
            per_call=timings[system].median,
            ratio_to={other: timings[system].ratio_to(timings[other]) for other in systems},
            difference_to_eager=_largest_difference(outputs[system], outputs[System.EAGER]),
            difference_to_float64=_largest_difference(outputs[system], reference),
        )
        for system in systems
    }
    return SteadyResult(figures)


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
