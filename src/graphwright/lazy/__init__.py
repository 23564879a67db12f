"""Lazy tensors: ops are recorded as a program makes them, and run together at the end of a step.

In: real tensors and ops on the lazy tensors made of them.   Out: their values, by way of one ATen graph a step.
Read first: `session.py` (the life of a step), `memory.py` (aliasing across steps).
"""

from graphwright.lazy.compiled import CompiledGraphs, CompileGraph, RunGraph, structural_hash
from graphwright.lazy.session import LazySession, run_eagerly
from graphwright.lazy.tensor import LazyTensor

__all__ = [
    "CompileGraph",
    "CompiledGraphs",
    "LazySession",
    "LazyTensor",
    "RunGraph",
    "run_eagerly",
    "structural_hash",
]
