"""What the benchmark measures, as data: jobs for the measuring processes, their results, and the whole run.

In: nothing.   Out: types that are written to JSON as they are. Times are in seconds, memory in bytes.
"""

from __future__ import annotations

import msgspec

from graphwright.cli.systems import System


class StartJob(msgspec.Struct, frozen=True, tag=True):
    """Compile a workload with one system in a fresh process and call it."""

    workload: str
    system: System


class StartFigures(msgspec.Struct, frozen=True):
    """What a `StartJob` found."""

    first_call: float
    """Compiling, with the import of the compiler's own modules, and one call; torch and the model are there before."""
    peak_bytes: int
    """The process's largest resident size, after a few calls."""


class SteadyJob(msgspec.Struct, frozen=True, tag=True):
    """Call a workload on several systems in turns, in one process."""

    workload: str
    systems: tuple[System, ...]
    """Eager is always among them."""
    num_rounds: int


class SteadyFigures(msgspec.Struct, frozen=True):
    """What a `SteadyJob` found for one system."""

    per_call: float
    """The median."""
    ratio_to: dict[System, float]
    """For each system of the job: how many times as long a call takes here as there; the median over the rounds."""
    difference_to_eager: float
    """The largest absolute difference of an element of the outputs."""
    difference_to_float64: float
    """The same against eager in double precision."""
    share_of_copy: float | None = None
    """For what waits for memory: the bandwidth reached, as a share of what a copy of as many bytes reaches in the same rounds."""
    share_of_memory: float | None = None
    """The same as a share of the machine's copy bandwidth: that of a copy of more bytes than caches hold."""


class SteadyResult(msgspec.Struct, frozen=True):
    """What a `SteadyJob` found."""

    systems: dict[System, SteadyFigures]


class ProfileJob(msgspec.Struct, frozen=True, tag=True):
    """Compile a workload with graphwright in a fresh process and tell what the time goes to."""

    workload: str


class ProfileFigures(msgspec.Struct, frozen=True):
    """What a `ProfileJob` found."""

    workload: str
    first_call: float
    stages: dict[str, float]
    """Time of each stage, in the order in which they begin."""
    num_operations: int
    num_guards: int
    guards_per_call: float
    """A call that checks the guards and computes nothing."""


Job = StartJob | SteadyJob | ProfileJob


class SystemFigures(msgspec.Struct, frozen=True):
    """All that was measured of one workload on one system."""

    cold: StartFigures | None = None
    """With empty caches."""
    warm: StartFigures | None = None
    """In another process, with the caches that the cold one left; eager has none."""
    steady: SteadyFigures | None = None
    failure: str = ""
    """Why figures are missing, when they are."""


class WorkloadFigures(msgspec.Struct, frozen=True):
    """All that was measured of one workload."""

    workload: str
    what: str
    systems: dict[System, SystemFigures]


class ImportFigures(msgspec.Struct, frozen=True):
    """What an import costs a fresh process."""

    torch: float
    graphwright: float
    """`import graphwright` and the first look at `graphwright.compile`, on top of torch."""


class BenchFigures(msgspec.Struct, frozen=True):
    """A whole run."""

    date: str
    versions: dict[str, str]
    num_threads: int
    imports: ImportFigures
    workloads: tuple[WorkloadFigures, ...]
