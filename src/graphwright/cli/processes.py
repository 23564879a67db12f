"""Measurements in processes of their own: a module of this room is run with a job, and gives back a result.

In: the module, a job (a msgspec struct), the caches it may use.   Out: the result it wrote, decoded; its standard output and
error when it failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, TypeVar

import msgspec

R = TypeVar("R")

_RESULT_MARK: Final = "graphwright-result:"
"""Begins the line of standard output that holds the result; libraries may print other lines."""


class JobFailedError(Exception):
    """A measuring process ended without a result; the text is the end of what it printed."""


def run_job(
    module: str, job: msgspec.Struct, *, caches: Path, result_type: type[R], timeout_s: float
) -> R:
    """Run `python -m module JOB` and decode its result.

    Args:
        module: a module that calls `read_job` and `write_result`.
        job: what it is to do.
        caches: the folder of all compile caches; the same one again makes a warm start.
        result_type: what the result is decoded as.
        timeout_s: after this long the process is ended.

    Raises:
        JobFailedError: there was no result.
    """
    environment = {
        **os.environ,
        "GRAPHWRIGHT_CACHE_DIR": str(caches / "graphwright"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "HF_HUB_OFFLINE": "1",
        # A program that graphwright could not compile must not be measured as one that it did.
        "GRAPHWRIGHT_STRICT": "1",
    }
    # Installed packages have their bytecode; the source tree that is measured gets its own by the first process.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", module, msgspec.json.encode(job).decode()]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"no result after {timeout_s:.0f} s"
        raise JobFailedError(message) from error
    for line in done.stdout.splitlines():
        if line.startswith(_RESULT_MARK):
            return msgspec.json.decode(line.removeprefix(_RESULT_MARK), type=result_type)
    message = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
    raise JobFailedError(message or f"exit status {done.returncode}")


def read_job() -> str:
    """Give the job of this measuring process, as JSON."""
    (text,) = sys.argv[1:]
    return text


def write_result(result: msgspec.Struct) -> None:
    """Hand the result to the process that asked for it."""
    sys.stdout.write(f"\n{_RESULT_MARK}{msgspec.json.encode(result).decode()}\n")
    sys.stdout.flush()
