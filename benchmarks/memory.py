"""How much memory the models of the benchmark take, beside torch.compile.

In:  names of workloads; none means every model.   Out: a table on the terminal: the planned arena of graphwright, and for each system by
how much the largest resident size of a process grows from before the first call to after some more.

Each figure comes from a process of its own that finds the caches of an earlier one, so that compiling counts as little as can be; a
function of one line is compiled before, so that the compiler's own modules are there.

Run: python benchmarks/memory.py [workload ...]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from graphwright.cli.bench.workloads import Program, find_workload, make_program
from graphwright.cli.systems import System, compile_with
from graphwright.pipeline import explain_call

MODELS: Final = (
    "minilm",
    "bert",
    "gpt2",
    "llama",
    "llama-decode",
    "vit",
    "t5",
    "resnet18",
    "unet",
    "lstm",
)
SYSTEMS: Final = (
    System.TORCH_COMPILE,
    System.GRAPHWRIGHT,
    System.TORCH_COMPILE_FROZEN,
    System.GRAPHWRIGHT_FROZEN,
)
NUM_CALLS: Final = 4
MEBIBYTE: Final = 1 << 20


def measure(name: str, system: System) -> dict[str, int]:
    """Give the planned arena and the growth of the largest resident size, in bytes, of this process."""
    with torch.no_grad():
        compile_with(system, torch.sin)(torch.ones(4))
        program = make_program(find_workload(name))
        before = resident_bytes("VmRSS")
        # Linux counts the largest size from here on.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        compiled = compile_with(system, program.function)
        arena_bytes = call(compiled, program)
    return {"arena": arena_bytes, "growth": resident_bytes("VmHWM") - before}


def call(compiled: Callable[..., Any], program: Program) -> int:
    """Call a program some times, and give the memory that graphwright planned for it."""
    explanation = explain_call(lambda: compiled(*program.arguments), has_guards=False)
    for _ in range(NUM_CALLS - 1):
        compiled(*program.arguments)
    return sum(one.arena_bytes or 0 for one in explanation.captures)


def resident_bytes(field: str) -> int:
    """Give a size of this process as Linux tells it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    message = f"this system does not tell {field}"
    raise OSError(message)


def measure_apart(name: str, system: System) -> dict[str, int]:
    """Measure in two processes: the first one plans and fills the caches, the other one finds them filled."""
    command = [sys.executable, __file__, "measure", name, system]
    with tempfile.TemporaryDirectory(prefix="graphwright-memory-") as folder:
        environment = {**os.environ, "GRAPHWRIGHT_CACHE_DIR": folder}
        cold, warm = (_run(command, environment) for _ in range(2))
    return {"arena": cold["arena"], "growth": warm["growth"]}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, int]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(names: Sequence[str]) -> None:
    """Measure every workload under every system and print the table."""
    print(f"{'MiB':14}{'arena':>9}" + "".join(f"{system:>22}" for system in SYSTEMS))
    for name in names or MODELS:
        found = {system: measure_apart(name, system) for system in SYSTEMS}
        arena = found[System.GRAPHWRIGHT]["arena"] / MEBIBYTE
        growths = [one["growth"] / MEBIBYTE for one in found.values()]
        text = "".join(f"{growth:22.1f}" for growth in growths)
        print(f"{name:14}{arena:9.1f}{text}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", name, system]:
            print(json.dumps(measure(name, System(system))))
        case names:
            main(names)
