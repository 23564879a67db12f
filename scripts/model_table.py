"""Write `docs/models.md`: which families of `transformers` are captured as one graph, and how long that takes.

In: the families that the tests know (small random configurations, eval mode).   Out: the page.
Times are those of one capture on the machine at hand: the shortest of four, so that imports are not counted.

    python scripts/model_table.py
"""

from __future__ import annotations

import importlib
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from graphwright.base.errors import GraphwrightError, Unsupported
from graphwright.capture import CaptureOptions, capture_call, make_code_table

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "models.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))

REPEATS: Final = 4

HEAD: Final = """# Models

The families of `transformers` {version} that the tests compile with `fullgraph=True` and compare with eager, each as a small model of
random weights in eval mode. The time is that of capturing one call, the shortest of four (from bytecode to the ATen graph, without
lowering and code generation). Written by `scripts/model_table.py`, here on {machine} with {threads} threads and CPython {python}.

| family | one graph | operations | capture (ms) | why not |
| --- | --- | ---: | ---: | --- |
"""


def render_row(name: str, model: torch.nn.Module, inputs: Mapping[str, Any]) -> str:
    """Give the row of a family."""
    times_ns = []
    try:
        for _ in range(REPEATS):
            options = CaptureOptions(codes=make_code_table())
            start_ns = time.perf_counter_ns()
            captured = capture_call(model, (), inputs, options=options)
            times_ns.append(time.perf_counter_ns() - start_ns)
    except GraphwrightError as error:
        return f"| {name} | no | | | {reason_of(error)} |"
    return f"| {name} | yes | {len(captured.program.graph.nodes)} | {min(times_ns) / 1e6:.0f} | |"


def reason_of(error: GraphwrightError) -> str:
    """Give what was met, the line of the model where it was met, and why that is no part of a graph."""
    if not isinstance(error, Unsupported):
        return type(error).__name__
    path, _, rest = error.location.partition(":")
    return f"{error.met} ({Path(path).name}:{rest}): {error.why}"


def family_names(page: str) -> list[str]:
    """Give the families that a page lists."""
    rows = (line.split("|") for line in page.splitlines() if line.startswith("| "))
    return [cells[1].strip() for cells in rows][2:]


def main() -> None:
    """Write the page."""
    known = importlib.import_module("transformer_families")  # found once the path is set
    transformers.logging.set_verbosity_error()
    lines = []
    for name, make in sorted({**known.FAMILIES, **known.REFUSED}.items()):
        model, inputs = make()
        with torch.no_grad():
            lines.append(render_row(name, model, inputs))
        print(lines[-1])
    head = HEAD.format(
        version=transformers.__version__,
        machine=platform.machine(),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
    )
    PAGE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
