"""The benchmark from beginning to end.

In: names of workloads and systems.   Out: a table on the terminal, JSON in a file; status 1 when a system failed on a workload.
Each first call has a process of its own. The times per call of all systems come from one process, in turns.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec
import torch
from rich.console import Console

from graphwright.base.config import nearest
from graphwright.base.errors import ConfigError
from graphwright.cli.bench.figures import (
    BenchFigures,
    ImportFigures,
    StartFigures,
    StartJob,
    SteadyJob,
    SteadyResult,
    SystemFigures,
    WorkloadFigures,
)
from graphwright.cli.bench.profile import measure_profile, render_profile
from graphwright.cli.bench.report import render_figures
from graphwright.cli.bench.workloads import WORKLOADS, Workload
from graphwright.cli.processes import JobFailedError, run_job
from graphwright.cli.systems import USUAL, System
from graphwright.cli.terminal import wide_console

_WORKER: Final = "graphwright.cli.bench.worker"
_RESULTS: Final = Path("benchmarks/results")
_TIMEOUT_S: Final = 600.0
_NUM_ROUNDS: Final = 21
_NUM_ROUNDS_QUICK: Final = 5
_PACKAGES: Final = ("graphwright", "torch", "llvmlite", "numpy", "transformers")
_TIME_IMPORTS: Final = """
import time
start = time.perf_counter()
import torch
middle = time.perf_counter()
import graphwright
graphwright.compile
print(middle - start, time.perf_counter() - middle)
"""


def run_bench(
    names: Sequence[str], systems: Sequence[str], *, is_quick: bool, json_path: Path | None
) -> int:
    """Run the benchmark and give the exit status.

    Args:
        names: workloads; none means all.
        systems: systems; none means those without frozen weights. Eager always runs, the others are compared with it.
        is_quick: fewer rounds.
        json_path: the file for the figures; by default a new one in `benchmarks/results`, where that folder is.

    Raises:
        ConfigError: a workload or system of that name does not exist.
    """
    by_name = {workload.name: workload for workload in WORKLOADS}
    _check_names(names, list(by_name), "workload")
    _check_names(systems, list(System), "system")
    chosen = [System(name) for name in System if name in {System.EAGER, *(systems or USUAL)}]
    num_rounds = _NUM_ROUNDS_QUICK if is_quick else _NUM_ROUNDS
    console = wide_console()
    measured = []
    with console.status("imports") as status:
        imports = _measure_imports()
        for name in names or by_name:
            status.update(f"{name}: {by_name[name].what}")
            measured.append(_measure_workload(by_name[name], chosen, num_rounds))
    figures = BenchFigures(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={package: metadata.version(package) for package in _PACKAGES},
        num_threads=torch.get_num_threads(),
        imports=imports,
        workloads=tuple(measured),
    )
    console.print(render_figures(figures))
    _write_json(figures, json_path, console)
    failures = [system.failure for workload in measured for system in workload.systems.values()]
    return 1 if any(failures) else 0


def run_profile(names: Sequence[str]) -> int:
    """Print what the first calls of workloads go to, and give the exit status.

    Args:
        names: workloads; none means all.

    Raises:
        ConfigError: a workload of that name does not exist.
    """
    by_name = {workload.name: workload for workload in WORKLOADS}
    _check_names(names, list(by_name), "workload")
    console = wide_console()
    with console.status("profile") as status:
        figures = []
        for name in names or by_name:
            status.update(f"{name}: {by_name[name].what}")
            figures.append(measure_profile(_WORKER, name, _TIMEOUT_S))
    console.print(render_profile(figures))
    return 0


def _measure_workload(
    workload: Workload, systems: Sequence[System], num_rounds: int
) -> WorkloadFigures:
    with tempfile.TemporaryDirectory(prefix="graphwright-bench-") as folder:
        caches = Path(folder)
        found = {system: _measure_starts(workload, system, caches) for system in systems}
        able = tuple(system for system in systems if not found[system].failure)
        job = SteadyJob(workload.name, able, num_rounds)
        try:
            result = run_job(
                _WORKER, job, caches=caches, result_type=SteadyResult, timeout_s=_TIMEOUT_S
            )
        except JobFailedError as error:
            found = {
                name: msgspec.structs.replace(item, failure=str(error))
                for name, item in found.items()
            }
        else:
            for system, steady in result.systems.items():
                found[system] = msgspec.structs.replace(found[system], steady=steady)
    return WorkloadFigures(workload.name, workload.what, found)


def _measure_starts(workload: Workload, system: System, caches: Path) -> SystemFigures:
    """Measure a first call with empty caches and, for what has caches, one with the caches it left."""
    try:
        cold = _measure_start(workload, system, caches)
        warm = None if system is System.EAGER else _measure_start(workload, system, caches)
    except JobFailedError as error:
        return SystemFigures(failure=str(error))
    return SystemFigures(cold=cold, warm=warm)


def _measure_start(workload: Workload, system: System, caches: Path) -> StartFigures:
    job = StartJob(workload.name, system)
    return run_job(_WORKER, job, caches=caches, result_type=StartFigures, timeout_s=_TIMEOUT_S)


def _measure_imports() -> ImportFigures:
    """Time the imports, twice: the first run warms the file system's cache and the byte code."""
    command = [sys.executable, "-c", _TIME_IMPORTS]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    torch_s, graphwright_s = map(float, done.stdout.split())
    return ImportFigures(torch=torch_s, graphwright=graphwright_s)


def _check_names(names: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError.for_name(name, what=what, nearest=nearest(name, known))


def _write_json(figures: BenchFigures, json_path: Path | None, console: Console) -> None:
    if json_path is None:
        if not _RESULTS.is_dir():
            return
        json_path = _RESULTS / f"{figures.date[:19].replace(':', '')}.json"
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    console.print(f"written to {json_path}")
