"""One cold or warm start of the demo's encoder, in a process of its own.

In: which system compiles (`Job`).   Out: the time of its first call and of a later one (`Result`).
"""

from __future__ import annotations

from functools import partial

import msgspec
import torch

from graphwright.cli.demo.encoder import load_encoder, tokenize
from graphwright.cli.processes import read_job, write_result
from graphwright.cli.systems import System, compile_with
from graphwright.cli.timing import time_in_turns, time_once


class Job(msgspec.Struct, frozen=True):
    """Compile with `system` and embed `sentences` as one batch."""

    system: System
    sentences: tuple[str, ...]


class Result(msgspec.Struct, frozen=True):
    """Seconds of the first call, compiling included, and of a later one."""

    first: float
    per_call: float


def measure_start(job: Job) -> Result:
    """Do the job."""
    batch = tokenize(job.sentences).batch(len(job.sentences))
    with torch.no_grad():
        call = partial(compile_with(job.system, load_encoder()), *batch)
        first = time_once(call)
        per_call = time_in_turns({"call": call}, num_rounds=9)["call"].median
    return Result(first, per_call)


if __name__ == "__main__":
    write_result(measure_start(msgspec.json.decode(read_job(), type=Job)))
