"""ATen graph → plan and kernels: what is fused, in which order loops run, where memory lies.

In: an `AtenGraph` of static shapes.   Out: `Lowered`: a `Plan`, and the `Kernel`s (scheduled loop IR) that its steps run.

The way: `classify` (what each value is) → `outputs` (what the caller gets) → `roots` (what has a place of its own) → `clusters`
(what is fused) → `programs` (scalars) → the nests (loops) → `plans` (buffers and steps).

Read first: `reader.py` (how views and definitions become indices and scalars), `clusters.py` (fusion).
"""

from graphwright.lower.lowering import lower_graph
from graphwright.lower.packing import find_packable
from graphwright.lower.plans import Lowered

__all__ = ["Lowered", "find_packable", "lower_graph"]
