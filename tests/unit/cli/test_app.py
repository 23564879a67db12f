"""The command line: its commands, its errors, and what importing it costs."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from graphwright.base.config import Config
from graphwright.cli.app import app


@pytest.fixture
def runner():
    return CliRunner(env={"COLUMNS": "200"})


def test_help_lists_the_commands(runner):
    result = runner.invoke(app, ["--help"])

    assert result.exit_code == 0
    for command in ("demo", "bench", "env"):
        assert command in result.output


def test_env_prints_versions_and_every_setting(runner):
    result = runner.invoke(app, ["env"])

    assert result.exit_code == 0
    assert "torch" in result.output
    for name in Config.settings():
        assert f"config.{name}" in result.output


def test_bench_of_an_unknown_workload_names_the_nearest(runner):
    result = runner.invoke(app, ["bench", "--workload", "poitwise"])

    assert result.exit_code == 2
    assert "did you mean 'pointwise'" in " ".join(result.output.split())


def test_bench_of_an_unknown_system_names_the_nearest(runner):
    result = runner.invoke(app, ["bench", "--systems", "torchcompile"])

    assert result.exit_code == 2
    assert "did you mean 'torch.compile'" in " ".join(result.output.split())


def test_importing_the_command_line_imports_no_torch():
    code = "import graphwright.cli, sys; sys.exit('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0
