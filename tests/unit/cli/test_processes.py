"""Measuring processes: results come back as data, failures as their own words."""

import os
import sys
import types

import msgspec
import pytest

from graphwright.cli import processes
from graphwright.cli.processes import JobFailedError, run_job


class Job(msgspec.Struct, frozen=True):
    """What the process is to do."""

    number: int


class Result(msgspec.Struct, frozen=True):
    """What it found."""

    number: int
    cache: str


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A way to write a measuring module that subprocesses find."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def write(source):
        (tmp_path / "measuring.py").write_text(source)
        return "measuring"

    return write


def run(module, caches, timeout_s=60.0):
    return run_job(module, Job(3), caches=caches, result_type=Result, timeout_s=timeout_s)


def test_result_comes_back_whatever_else_is_printed(module, tmp_path):
    source = """
import json, os
from graphwright.cli.processes import read_job, write_result
import msgspec
class Result(msgspec.Struct):
    number: int
    cache: str
print("a library speaks", end="")
write_result(Result(json.loads(read_job())["number"] + 1, os.environ["GRAPHWRIGHT_CACHE_DIR"]))
print("and again")
"""
    result = run(module(source), tmp_path / "caches")

    assert result == Result(4, str(tmp_path / "caches" / "graphwright"))


def test_failure_says_what_the_process_said(module, tmp_path):
    with pytest.raises(JobFailedError, match="ValueError: not today"):
        run(module("raise ValueError('not today')"), tmp_path)


def test_silent_failure_says_the_status(module, tmp_path):
    with pytest.raises(JobFailedError, match="exit status 3"):
        run(module("raise SystemExit(3)"), tmp_path)


def test_time_limit_is_a_failure(monkeypatch, tmp_path):
    def run_out_of_time(command, **kwargs):
        raise processes.subprocess.TimeoutExpired(command, kwargs["timeout"])

    fake = types.SimpleNamespace(
        run=run_out_of_time, TimeoutExpired=processes.subprocess.TimeoutExpired
    )
    monkeypatch.setattr(processes, "subprocess", fake)

    with pytest.raises(JobFailedError, match="no result after 5 s"):
        run(sys.executable, tmp_path, timeout_s=5.0)
