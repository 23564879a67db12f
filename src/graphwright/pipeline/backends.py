"""Named backends as functions of a graph.

In: a torch-level graph, or the name of a backend.   Out: what runs the graph.
A graph is a program like any other: it is captured from its own forward, when it is first called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphwright.pipeline.options import (
    BackendFunction,
    BackendKind,
    CompileOptions,
    checked_kind,
)
from graphwright.pipeline.targets import compile_function


def compile_fx(
    graph: torch.fx.GraphModule, example_inputs: Sequence[torch.Tensor]
) -> Callable[..., Any]:
    """Compile a torch-level graph: what serves `torch.compile(backend="graphwright")`.

    Returns:
        A function of the graph's inputs that gives what the graph gives.
    """
    return _compile(BackendKind.NATIVE, graph, example_inputs)


def backend_by_name(name: str) -> BackendFunction:
    """Give a named backend as a function of a graph and its example inputs.

    Raises:
        ConfigError: there is no backend of this name.
    """
    return functools.partial(_compile, checked_kind(name))


def _compile(
    kind: BackendKind, graph: torch.fx.GraphModule, example_inputs: Sequence[torch.Tensor]
) -> Callable[..., Any]:
    del example_inputs  # the graph is captured with the inputs of its first call
    if kind is BackendKind.EAGER:
        forward: Callable[..., Any] = graph.forward
        return forward
    # Not the module itself: its `__call__` goes through a wrapper that only reports errors.
    return compile_function(graph.forward, CompileOptions(backend=kind, fullgraph=True))
