"""The tour: one function of four lines, followed through every room, with what each room really made of it.

In: `tour_template.md`, and the rooms themselves, called one after the other.   Out: the text of `docs/tour.md`, on the terminal
when run as a script: ids and caches of a process that has compiled before would show.
Keeps: the page is the same on every machine with Python 3.11 and the pinned packages: the kernels are made
for a processor that is written down here, and nothing is timed.
"""

from __future__ import annotations

import linecache
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

import graphwright as gw
from graphwright.base.config import Wrapper
from graphwright.cache import Kind
from graphwright.capture import capture_call
from graphwright.capture.decode import decode
from graphwright.codegen.llvm import compile_kernels, load_object
from graphwright.codegen.llvm.module import render_module
from graphwright.codegen.llvm.target import Target
from graphwright.codegen.triton import render_kernel as render_triton
from graphwright.graph import simplify
from graphwright.ir.aten_text import render_graph
from graphwright.ir.loops_text import render_kernel
from graphwright.ir.plan_text import render_plan
from graphwright.ir.program_text import render_program
from graphwright.lower import lower_graph
from graphwright.observe import Observer
from graphwright.pipeline import collect_observers
from graphwright.runtime import make_entry

_TEMPLATE: Final = Path(__file__).with_name("tour_template.md")
_NUM_THREADS: Final = 2
_LLVM_LINES: Final = 60
_TARGET: Final = Target(
    triple="x86_64-unknown-linux-gnu",
    cpu="x86-64-v3",
    features="+avx2,+fma",
    vector_bits=256,
    has_masks=False,
    llvm_version="",
)
_SOURCE: Final = """\
import torch

SCALE = 0.125


def attend(scores, values):
    weights = torch.softmax(scores * SCALE, dim=-1)
    mixed = weights @ values
    return torch.relu(mixed) + 1
"""


def render_tour() -> str:
    """Render the page."""
    function, arguments = _make_example()
    artifacts = {**_make_artifacts(function, arguments), **_watch_compile(function, arguments)}
    template = _TEMPLATE.read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: artifacts[match[1]].strip(), template)


def _make_example() -> tuple[Callable[..., Any], tuple[torch.Tensor, ...]]:
    """Give the function, from a file that is in memory only, and the arguments of its call."""
    # The name has no folder in it, so that the page does not depend on where the checkout is.
    name, lines = "example.py", _SOURCE.splitlines(keepends=True)
    linecache.cache[name] = (len(_SOURCE), None, lines, name)
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(_SOURCE, name, "exec"), namespace)
    return namespace["attend"], (torch.ones(16, 32), torch.ones(32, 12))


def _make_artifacts(
    function: Callable[..., Any], arguments: tuple[torch.Tensor, ...]
) -> Mapping[str, str]:
    """Call the rooms one after the other, and show what each made."""
    captured = capture_call(function, arguments, {})
    graph = captured.program.graph
    simple = simplify(graph)
    lowered = lower_graph(simple, num_threads=_NUM_THREADS)
    texts = [render_kernel(kernel) for kernel in lowered.kernels]
    last = lowered.kernels[-1]
    entry = make_entry(
        captured.program,
        lowered.plan,
        load_object(compile_kernels(lowered.kernels, num_threads=_NUM_THREADS)),
        target=function,
        live_pins=captured.live_pins,
        kernel_texts=texts,
        wrapper=Wrapper.PYTHON,
    )
    return {
        "source": _SOURCE,
        "bytecode": _render_bytecode(function, num_lines=1),
        "torch_graph": captured.torch_graph.print_readable(print_output=False),
        "program": render_program(captured.program),
        "aten_graph": render_graph(graph),
        "simplified_graph": render_graph(simple),
        "kernels": "\n\n".join(texts),
        "plan": render_plan(lowered.plan),
        "llvm": _head(render_module([last], _TARGET, num_threads=_NUM_THREADS), _LLVM_LINES),
        "triton": render_triton(last).text,
        "wrapper": entry.source,
    }


_ARTIFACTS: Final = (
    "graph",
    "guards",
    "aten",
    "aten_simplified",
    "schedule",
    "plan",
    "output_code",
    "capture_report",
)
"""The texts that a compile can leave."""


def _watch_compile(
    function: Callable[..., Any], arguments: tuple[torch.Tensor, ...]
) -> Mapping[str, str]:
    """Compile the function as a user does, with an empty cache, and show what that leaves behind."""
    gw.counters.clear()
    with tempfile.TemporaryDirectory() as folder:
        settings = gw.config.patch(cache_dir=folder, num_threads=_NUM_THREADS)
        with settings, collect_observers(*_ARTIFACTS) as observers:
            compiled = gw.compile(function, fullgraph=True)
            torch.testing.assert_close(compiled(*arguments), function(*arguments))
        kept = {kind.value: _count_files(Path(folder) / kind.value) for kind in Kind}
    counts = msgspec.json.encode(gw.counters.snapshot(), order="sorted")
    return {
        "cache_files": "\n".join(f"{name}/  {number} files" for name, number in kept.items()),
        "spans": "\n".join(_iter_spans(observers)),
        "counters": msgspec.json.format(counts).decode(),
    }


def _iter_spans(observers: list[Observer]) -> Iterator[str]:
    for observer in observers:
        yield f"compile {observer.compile_id}"
        for span in observer.spans:
            yield f"  {'  ' * span.depth}{span.name}"
        yield "  artifacts: " + ", ".join(artifact.name for artifact in observer.artifacts)


def _render_bytecode(function: Callable[..., Any], *, num_lines: int) -> str:
    """Show the normalised instructions of the first lines of a function's body."""
    first = function.__code__.co_firstlineno + 1
    shown = [
        f"line {item.line}  {item.op.name:<16} {'' if item.arg is None else item.arg}".rstrip()
        for item in decode(function.__code__).instructions
        if first <= item.line < first + num_lines
    ]
    return "\n".join(shown)


def _count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def _head(text: str, num_lines: int) -> str:
    lines = text.splitlines()
    rest = len(lines) - num_lines
    return "\n".join(lines[:num_lines] + ([f"; … and {rest} lines more"] if rest > 0 else []))


if __name__ == "__main__":
    sys.stdout.write(render_tour())
