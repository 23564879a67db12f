"""Capture one call and run it from its data with eager kernels.

In: a target and a call's arguments.   Out: `CapturedCall`: the capture, its entry, and what the entry gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from graphwright.capture import Captured, CaptureOptions, capture_call
from graphwright.graph import execute
from graphwright.runtime import MISSING, Entry, make_backend_entry


@dataclasses.dataclass(frozen=True)
class CapturedCall:
    """A captured target."""

    captured: Captured
    entry: Entry

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it; the guards must hold."""
        result = self.entry.try_call(args, kwargs)
        if result is MISSING:
            raise AssertionError(self.entry.explain_failure(args, kwargs))
        return result

    def serves(self, *args: Any, **kwargs: Any) -> bool:
        """Tell whether the guards hold for a call."""
        return self.entry.explain_failure(args, kwargs) is None


def capture(
    target: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: CaptureOptions | None = None,
) -> CapturedCall:
    """Capture `target(*args, **kwargs)`."""
    captured = capture_call(target, args, kwargs or {}, options=options)
    graph = captured.program.graph

    def run(inputs: Sequence[torch.Tensor], symbols: tuple[int, ...]) -> Sequence[torch.Tensor]:
        return execute(graph, inputs, dict(zip(graph.symbols, symbols, strict=True)))

    pins = captured.live_pins
    entry = make_backend_entry(captured.program, run, target=target, live_pins=pins)
    return CapturedCall(captured, entry)
