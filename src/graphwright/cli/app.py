"""The commands there are, their options and their help.

In: the arguments of the command line.   Out: a call of the command's own module, which is imported only then: a command needs
torch (a second or two), `--help` does not.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Final, Protocol

import typer
from rich.console import Console
from rich.table import Table

from graphwright.base.config import config
from graphwright.base.errors import ConfigError

_PACKAGES: Final = (
    "graphwright",
    "torch",
    "llvmlite",
    "bytecode",
    "msgspec",
    "numpy",
    "transformers",
    "triton",
)

app: Final = typer.Typer(
    name="graphwright",
    help="A compiler for ordinary PyTorch programs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class BenchRunner(Protocol):
    """Runs the benchmark; gives the exit status."""

    def __call__(
        self, names: list[str], systems: list[str], *, is_quick: bool, json_path: Path | None
    ) -> int:
        """Run the workloads `names` on the `systems`; all workloads and the usual systems where none is named."""


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def demo(
    *,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Also measure torch.compile, cold and warm, in processes of their own.",
        ),
    ] = False,
) -> None:
    """Compile a sentence encoder, compare it with eager, and search this project's documentation with it."""
    raise typer.Exit(_load_demo()(compare=compare))


@app.command()
def bench(
    *,
    workload: Annotated[
        list[str] | None,
        typer.Option(help="A workload to run; may be given again. All by default."),
    ] = None,
    systems: Annotated[
        list[str] | None,
        typer.Option(
            help="A system to run: eager, torch.compile, graphwright, or, with frozen weights, torch.compile-frozen and "
            "graphwright-frozen; may be given again. The first three by default."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer rounds: a first impression, not a measurement.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="The file for the results.")] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile-compile", help="Tell instead what graphwright's first calls go to, by stage."
        ),
    ] = False,
) -> None:
    """Run workloads in fresh processes on eager, torch.compile and graphwright, side by side."""
    run_bench, run_profile = _load_bench()
    try:
        if profile:
            raise typer.Exit(run_profile(workload or []))
        status = run_bench(workload or [], systems or [], is_quick=quick, json_path=json)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(status)


@app.command()
def explain(
    script: Annotated[Path, typer.Argument(help="A Python script that calls something compiled.")],
    *,
    guards: Annotated[bool, typer.Option("--guards", help="List the guards too.")] = False,
) -> None:
    """Run a script and tell what was compiled: graphs, graph breaks with their reasons, guards, times."""
    explain_script, path = _load_explain(), script.resolve()
    if not path.is_file():
        message = f"there is no file {script}"
        raise typer.BadParameter(message)
    report = explain_script(path)
    console = Console(soft_wrap=True, highlight=False)
    console.print(str(report), markup=False)
    if guards:
        console.print("", *report.guards, sep="\n", markup=False)


@app.command()
def env() -> None:
    """Print the versions and settings that a report of a bug needs."""
    table = Table(show_header=False, box=None)
    table.add_row("python", f"{platform.python_implementation()} {platform.python_version()}")
    table.add_row("machine", f"{platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        table.add_row(package, _version(package))
    for name, setting in config.settings().items():
        value = config.read(name)
        is_changed = value != setting.default
        table.add_row(f"config.{name}", f"{value!s}{'  (changed)' if is_changed else ''}")
    Console().print(table)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _load_demo() -> Callable[..., int]:
    """Import the demo: torch and transformers."""
    from graphwright.cli.demo.run import run_demo  # noqa: PLC0415

    return run_demo


class ExplainsItself(Protocol):
    """What is said of a script: printed as it is, its guards apart."""

    @property
    def guards(self) -> tuple[str, ...]:
        """The guards of each program, a line each."""


def _load_explain() -> Callable[[Path], ExplainsItself]:
    """Import what runs programs."""
    import runpy  # noqa: PLC0415

    from graphwright.pipeline import explain_call  # noqa: PLC0415

    def explain_script(path: Path) -> ExplainsItself:
        return explain_call(lambda: runpy.run_path(str(path), run_name="__main__"))

    return explain_script


def _load_bench() -> tuple[BenchRunner, Callable[[list[str]], int]]:
    """Import the benchmark: what measures, and what profiles."""
    from graphwright.cli.bench.run import run_bench, run_profile  # noqa: PLC0415

    return run_bench, run_profile
