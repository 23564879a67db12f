"""The manager of a device's trees: decides whether a call warms up, records or replays, and when a path ends.

In: calls of functions, in the order the program makes them.   Out: their outputs.

A *path* is a run of calls whose outputs the program still uses: root, child, grandchild. It ends when nothing holds an
output of it any more, or when a new *generation* has begun (a new iteration, see `begin_generation`) and the call takes no
output of it. Outputs of an ended path that the user still holds are overwritten: using them raises
`OverwrittenOutputError`. A view that the user made of one keeps its data, since the memory is then left to the view.

    call f   NONE → WARMUP        f runs as it is
    call f   NONE → RECORDING     f runs and is noted; a new root
    call g   g follows f: warm-up, then a child of f
    call f   NONE → EXECUTION     f's root is replayed; then g's child

Keeps: a recording is replayed only after the calls it was recorded after, on inputs of the same layouts, with the same
static addresses, and when every output that was dead then is dead now (its memory may be in use again).

Does not: run backwards as part of a path (a pending backward does not keep a path open), cache output tensor objects
between replays, limit the number of recordings, or partition a function that cannot be recorded as a whole.
"""

from __future__ import annotations

import enum
import itertools
import logging
import threading
from collections.abc import Sequence
from typing import Final, final

import msgspec
import torch

from graphwright.base.counters import Counters
from graphwright.graph_trees.cpu_recorder import CpuRecorder
from graphwright.graph_trees.nodes import (
    GraphId,
    Node,
    Preconditions,
    RecordedNode,
    WarmupNode,
)
from graphwright.graph_trees.outputs import Managed, classify_outputs
from graphwright.graph_trees.pool import Block, Pool
from graphwright.graph_trees.recorder import (
    CannotReplay,
    RecordableFunction,
    Recorded,
    Recorder,
    Value,
    tensor_key,
)

_LOG: Final = logging.getLogger("graphwright.replay")
_GROUP: Final = "graph_trees"


class PathState(enum.Enum):
    """What the current path is made of."""

    NONE = "none"
    WARMUP = "warmup"
    RECORDING = "recording"
    EXECUTION = "execution"


class Warmup(enum.Enum):
    """Whether a function is run once before it is recorded."""

    ONCE = "once"
    SKIP = "skip"


@final
class ReplayOptions(msgspec.Struct, frozen=True):
    """How a function is recorded."""

    warmup: Warmup = Warmup.ONCE
    """Whether it is run once before it is recorded, for each set of input layouts."""
    recorder: Recorder = CpuRecorder()
    """The default notes the function's ATen ops."""
    origins: tuple[str, ...] = ()
    """For each output, where in the program it is made, for the error about an overwritten output."""


@final
class Generation:
    """Counts the iterations of a program; shared by all managers."""

    def __init__(self) -> None:
        self.number = 0

    def begin(self) -> None:
        """Begin a new iteration: outputs of the one before may be overwritten."""
        self.number += 1


@final
class ManagedFunction:
    """A function that a manager runs.

    Args:
        function: takes a list of inputs, which it may empty, and gives its outputs.
        static_inputs: numbers of the inputs that keep their address from call to call (parameters).
        options: how it is recorded.
    """

    def __init__(
        self,
        function: RecordableFunction,
        *,
        static_inputs: frozenset[int],
        options: ReplayOptions,
    ) -> None:
        self.function = function
        self.recorder = options.recorder
        self.static_inputs = static_inputs
        self.warmup = options.warmup
        self.origins = options.origins
        self.warmed: set[Value] = set()
        self.skip_reason: str | None = None

    def key(self, inputs: Sequence[Value]) -> Value:
        """Give what distinguishes calls that need recordings of their own."""
        return (id(self), *map(tensor_key, inputs))


@final
class Manager:
    """Runs functions on one device, one at a time."""

    def __init__(self, *, counters: Counters, generation: Generation) -> None:
        self.pool = Pool()
        self.path_state = PathState.NONE
        self._roots: dict[Value, list[RecordedNode]] = {}
        self._current: Node | None = None
        self._ids = itertools.count()
        self._counters = counters
        self._generation = generation
        self._path_generation = generation.number
        self._lock = threading.RLock()

    @property
    def roots(self) -> list[RecordedNode]:
        """The recordings that paths begin with."""
        return [node for nodes in self._roots.values() for node in nodes]

    @property
    def current_node(self) -> Node | None:
        """The last run of the current path."""
        return self._current

    def new_graph_id(self) -> GraphId:
        """Give the next id; asking uses it up."""
        return GraphId(next(self._ids))

    def run(self, function: ManagedFunction, inputs: list[Value]) -> list[Value]:
        """Run `function` in the way that this point of the program allows; `inputs` is emptied."""
        with self._lock, torch.no_grad():
            if function.skip_reason is not None:
                return list(function.function(inputs))
            self._end_path_if_over(inputs)
            key = function.key(inputs)
            is_cold = function.warmup is Warmup.ONCE and key not in function.warmed
            if is_cold or self.path_state is PathState.WARMUP:
                function.warmed.add(key)
                return self._warm_up(function, inputs)
            conditions = self._conditions(function, inputs)
            node = next((each for each in self._known(key) if each.can_replay(conditions)), None)
            if node is None:
                return self._record(function, key, inputs, conditions)
            return self._execute(node, inputs)

    def _warm_up(self, function: ManagedFunction, inputs: list[Value]) -> list[Value]:
        kept = list(inputs)
        recorded = self._try_record(function, inputs)
        if isinstance(recorded, CannotReplay):
            return list(recorded.outputs)
        self._count_checkpoint()
        node = WarmupNode(self._current, function.origins)
        outputs = list(recorded.outputs)
        for tensor in node.hold(outputs, [*kept, *recorded.captured]):
            self.pool.note_allocation(tensor)
        inputs.clear()
        self._enter(node, PathState.WARMUP)
        self._count("warmups")
        return outputs

    def _try_record(
        self, function: ManagedFunction, inputs: list[Value]
    ) -> Recorded | CannotReplay:
        """Run a function; the first time it does something that cannot be replayed, it is skipped for good."""
        current = self._current
        is_fixed = [
            index in function.static_inputs or bool(current and current.find_on_path(value))
            for index, value in enumerate(inputs)
        ]
        try:
            return function.recorder.record(function.function, inputs, is_fixed)
        except CannotReplay as refusal:
            self._skip(function, refusal.reason)
            return refusal

    def _record(
        self, function: ManagedFunction, key: Value, inputs: list[Value], conditions: Preconditions
    ) -> list[Value]:
        parent = self._current
        kept = list(inputs)
        recorded = self._try_record(function, inputs)
        if isinstance(recorded, CannotReplay):
            return list(recorded.outputs)
        self._count_checkpoint()
        taken: set[Block] = set() if parent is None else parent.path_taken_blocks()

        def allocate(size_bytes: int) -> Block:
            block = self.pool.allocate(size_bytes, taken)
            taken.add(block)
            return block

        forms = classify_outputs(recorded.outputs, [*kept, *recorded.captured], allocate)
        node = RecordedNode(
            self.new_graph_id(),
            parent if isinstance(parent, RecordedNode) else None,
            recorded,
            forms,
            conditions,
            function.origins,
        )
        outputs = node.hold_recorded(recorded.outputs)
        for output, form in zip(outputs, forms, strict=True):
            if isinstance(form, Managed) and isinstance(output, torch.Tensor):
                self.pool.note_allocation(output)
        recorded.outputs = ()
        self._note_deaths(node, parent, conditions, kept, inputs)
        siblings = parent.recorded_children if isinstance(parent, RecordedNode) else self._roots
        siblings.setdefault(key, []).append(node)
        self._enter(node, PathState.RECORDING)
        self._count("recordings")
        return outputs

    def _note_deaths(
        self,
        node: RecordedNode,
        parent: Node | None,
        conditions: Preconditions,
        kept: list[Value],
        inputs: list[Value],
    ) -> None:
        kept.clear()
        inputs.clear()
        known = parent.known_dead if isinstance(parent, RecordedNode) else frozenset()
        node.expected_dead_indices_before_graph = sorted(conditions.dead - known)
        dead = node.path_dead()
        node.expected_dead_indices_after_graph = sorted(dead - conditions.dead)
        node.known_dead = dead

    def _execute(self, node: RecordedNode, inputs: list[Value]) -> list[Value]:
        outputs = node.replay(inputs)
        inputs.clear()
        self._enter(node, PathState.EXECUTION)
        self._count("replays")
        return outputs

    def _known(self, key: Value) -> list[RecordedNode]:
        match self._current:
            case None:
                return self._roots.get(key, [])
            case RecordedNode() as node:
                return node.recorded_children.get(key, [])
            case _:
                return []

    def _conditions(self, function: ManagedFunction, inputs: Sequence[Value]) -> Preconditions:
        current = self._current
        addresses = [
            value.data_ptr()
            if index in function.static_inputs and isinstance(value, torch.Tensor)
            else None
            for index, value in enumerate(inputs)
        ]
        return Preconditions(
            path_inputs=tuple(
                None if current is None else current.find_on_path(value) for value in inputs
            ),
            static_addresses=tuple(addresses),
            dead=frozenset() if current is None else current.path_dead(),
        )

    def _end_path_if_over(self, inputs: Sequence[Value]) -> None:
        current = self._current
        if current is None:
            return
        is_dead = next(current.path_live_weakrefs(), None) is None
        is_new = self._generation.number != self._path_generation
        if is_dead or (is_new and all(current.find_on_path(value) is None for value in inputs)):
            for node in current.path:
                num_kept = node.overwrite_outputs()
                if num_kept:
                    self._count("kept_views", num_kept)
            self._current = None
            self.path_state = PathState.NONE

    def _enter(self, node: Node, state: PathState) -> None:
        self._current = node
        self.path_state = state
        self._path_generation = self._generation.number

    def _skip(self, function: ManagedFunction, reason: str) -> None:
        function.skip_reason = reason
        self._count("skips")
        _LOG.warning("skipping cudagraphs due to %s", reason)

    def _count_checkpoint(self) -> None:
        """A path that was replayed goes on with something new."""
        if self.path_state is PathState.EXECUTION:
            self._count("checkpoints")

    def _count(self, name: str, amount: int = 1) -> None:
        self._counters.add(_GROUP, name, amount)
