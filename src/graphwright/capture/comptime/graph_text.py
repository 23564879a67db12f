"""The torch-level graph as Python text.

In: the calls noted so far.   Out: the source of a `forward` method; in the verbose form with dtypes, shapes and the user's lines.

    def forward(self, L_x_ : torch.Tensor):             def forward(self, L_x_: "f32[2]"):
        l_x_ = L_x_                                         l_x_ = L_x_
        y = l_x_ * 2;  l_x_ = y = None              →
                                                            # File: model.py:3 in f, code: y = x * 2
                                                            y: "f32[2]" = l_x_ * 2;  l_x_ = y = None

The text is `torch.fx`'s. Its own verbose form is not used: it loads the compile stack.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Mapping
from typing import Final

from torch.utils._dtype_abbrs import dtype_abbrs

from graphwright.ir.locations import Loc
from graphwright.record import TensorSpec, TorchCall, TorchTrace

_INDENT: Final = "    "
_DEFINITION: Final = re.compile(r"(?:^ {4}|;  )(\w+) = ")
"""A name that gets its value; of a line, the first is the node's (others are released)."""


def render_torch_graph(trace: TorchTrace, *, is_verbose: bool) -> str:
    """Give the text of the graph so far.

    Raises:
        Unsupported: part of the program has no place in such a graph.
    """
    graph, calls = trace.build_with_calls()
    text = graph.python_code("self").src
    return (
        _annotated(text, {node.name: call for node, call in calls.items()}) if is_verbose else text
    )


def _annotated(text: str, calls: Mapping[str, TorchCall]) -> str:
    targets = {str(call.target): call for call in calls.values() if call.kind == "placeholder"}
    return "\n".join(_iter_annotated(text, calls, targets))


def _iter_annotated(
    text: str, calls: Mapping[str, TorchCall], targets: Mapping[str, TorchCall]
) -> Iterator[str]:
    shown: Loc | None = None
    for line in text.split("\n"):
        if line.startswith("def forward("):
            yield _annotated_signature(line, targets)
            continue
        name = _name_defined(line, calls)
        if name is None or calls[name].kind == "placeholder":
            yield line
            continue
        loc = calls[name].loc
        if loc is not None and loc != shown:
            yield from (_INDENT, _INDENT + _comment(loc))
            shown = loc
        yield _annotated_definition(line, name, calls[name].spec)


def _name_defined(line: str, calls: Mapping[str, TorchCall]) -> str | None:
    found = (match[1] for match in _DEFINITION.finditer(line))
    return next((name for name in found if name in calls), None)


def _annotated_definition(line: str, name: str, spec: TensorSpec | None) -> str:
    if spec is None:
        return line
    # In the line of an in-place operator the definition stands second; what is released comes after it.
    before = _INDENT if line.startswith(f"{_INDENT}{name} = ") else ";  "
    annotated = f'{before}{name}: "{_spec_text(spec)}" = '
    return line.replace(f"{before}{name} = ", annotated, 1)


def _annotated_signature(line: str, targets: Mapping[str, TorchCall]) -> str:
    for target, call in targets.items():
        if call.spec is not None:
            annotated = f' {target}: "{_spec_text(call.spec)}"'
            line = line.replace(f" {target} : torch.Tensor", annotated, 1)
    return line


def _comment(loc: Loc) -> str:
    code = linecache.getline(loc.file, loc.line).strip()
    return f"# File: {loc.file}:{loc.line} in {loc.function}, code: {code}"


def _spec_text(spec: TensorSpec) -> str:
    extents = ", ".join(map(str, spec.shape))
    return f"{dtype_abbrs[spec.dtype]}[{extents}]"
