"""Graph trees: functions are recorded once and replayed, their outputs in memory with fixed addresses.

In: functions of a list of tensors, as the program calls them.   Out: their outputs; trees of recordings.
Read first: `manager.py` (when a call warms up, records or replays), `nodes.py` (what a recording depends on).

There is a recorder for the CPU, which notes ATen ops, and one that runs the function each time; none for CUDA.
"""

from graphwright.graph_trees.cpu_recorder import CpuRecorder, RepeatRecorder
from graphwright.graph_trees.manager import Manager, PathState, ReplayOptions, Warmup
from graphwright.graph_trees.nodes import GraphId, Node, PathIndex, RecordedNode, WarmupNode
from graphwright.graph_trees.recorder import CannotReplay, Recorded, Recorder
from graphwright.graph_trees.registry import (
    GraphifiedFunction,
    get_manager,
    graphify,
    live_block_count,
    mark_step_begin,
    segments,
)

__all__ = [
    "CannotReplay",
    "CpuRecorder",
    "GraphId",
    "GraphifiedFunction",
    "Manager",
    "Node",
    "PathIndex",
    "PathState",
    "Recorded",
    "RecordedNode",
    "Recorder",
    "RepeatRecorder",
    "ReplayOptions",
    "Warmup",
    "WarmupNode",
    "get_manager",
    "graphify",
    "live_block_count",
    "mark_step_begin",
    "segments",
]
