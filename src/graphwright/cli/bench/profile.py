"""What the time of a first call goes to, workload by workload.

In: names of workloads.   Out: a table: the stages of compiling in a fresh process with no cache of programs, the size of what was
captured, and what its guards cost a call.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.table import Table

from graphwright.cli.bench.figures import ProfileFigures, ProfileJob
from graphwright.cli.processes import run_job
from graphwright.cli.terminal import render_time

_STAGES: Final = ("capture", "partition", "simplify", "lower", "load", "codegen", "runtime")
"""In the order of a compile; the other spans are parts of these."""


def measure_profile(worker: str, workload: str, timeout_s: float) -> ProfileFigures:
    """Compile a workload in a fresh process with empty caches."""
    with tempfile.TemporaryDirectory(prefix="graphwright-profile-") as folder:
        job = ProfileJob(workload)
        return run_job(
            worker, job, caches=Path(folder), result_type=ProfileFigures, timeout_s=timeout_s
        )


def render_profile(figures: Sequence[ProfileFigures]) -> Table:
    """Show the profiles, a row for each workload."""
    found = {stage for one in figures for stage in one.stages}
    stages = [stage for stage in _STAGES if stage in found]
    table = Table(
        title="what a first call goes to",
        caption="guards per call: a call that checks the guards and computes nothing",
    )
    table.add_column("workload")
    for heading in ("first call", *stages, "rest", "operations", "guards", "guards per call"):
        table.add_column(heading, justify="right")
    for one in figures:
        times = [one.stages.get(stage, 0.0) for stage in stages]
        rest = one.first_call - sum(times)
        table.add_row(
            one.workload,
            *map(render_time, (one.first_call, *times, rest)),
            f"{one.num_operations:,}",
            f"{one.num_guards:,}",
            render_time(one.guards_per_call),
        )
    return table
