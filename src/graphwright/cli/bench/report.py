"""The benchmark's table.

In: the figures of a run.   Out: one table for the terminal, a row for each workload and system.
"""

from __future__ import annotations

from typing import Final

from rich.table import Table

from graphwright.cli.bench.figures import (
    BenchFigures,
    SteadyFigures,
    SystemFigures,
    WorkloadFigures,
)
from graphwright.cli.systems import System
from graphwright.cli.terminal import render_time

_HEADINGS: Final = (
    "cold",
    "torch.compile ÷",
    "warm",
    "per call",
    "eager ÷",
    "torch.compile ÷",
    "bandwidth",
    "memory",
    "difference",
)
_ABSENT: Final = "–"


def render_figures(figures: BenchFigures) -> Table:
    """Show a run; in the columns `÷` a number above 1 says how many times faster the row's system is."""
    imports = figures.imports
    table = Table(
        title=f"{figures.num_threads} threads, torch {figures.versions['torch']}",
        caption=f"import torch {render_time(imports.torch)}, graphwright on top {render_time(imports.graphwright)}\n"
        "cold, warm: the first call, compiling included, with empty caches and with those it left; ÷: how many "
        "times as long the other takes; bandwidth: as shares of a copy's of as many "
        "bytes and of memory's; difference: the largest to eager's output",
    )
    table.add_column("workload")
    table.add_column("system")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for workload in figures.workloads:
        for position, (system, measured) in enumerate(workload.systems.items()):
            name = workload.workload if position == 0 else ""
            cells = _cells(workload, measured)
            table.add_row(name, system, *cells, end_section=position == len(workload.systems) - 1)
    return table


def _cells(workload: WorkloadFigures, measured: SystemFigures) -> list[str]:
    if measured.cold is None:
        return [f"failed: {measured.failure.splitlines()[-1]}"]
    steady, warm = measured.steady, measured.warm
    rival = workload.systems.get(System.TORCH_COMPILE, SystemFigures()).cold
    return [
        render_time(measured.cold.first_call),
        _ratio(rival.first_call / measured.cold.first_call if rival else None),
        render_time(warm.first_call) if warm else _ABSENT,
        render_time(steady.per_call) if steady else _ABSENT,
        _inverse(steady.ratio_to.get(System.EAGER) if steady else None),
        _inverse(steady.ratio_to.get(System.TORCH_COMPILE) if steady else None),
        _shares(steady),
        f"{measured.cold.peak_bytes / 2**20:,.0f} MiB",
        f"{steady.difference_to_eager:.1e}" if steady else _ABSENT,
    ]


def _shares(steady: SteadyFigures | None) -> str:
    if steady is None or steady.share_of_copy is None or steady.share_of_memory is None:
        return _ABSENT
    return f"{steady.share_of_copy:.0%}, {steady.share_of_memory:.0%}"


def _inverse(ratio: float | None) -> str:
    return _ratio(None if ratio is None else 1 / ratio)


def _ratio(ratio: float | None) -> str:
    return _ABSENT if ratio is None else f"{ratio:.2f}×"
