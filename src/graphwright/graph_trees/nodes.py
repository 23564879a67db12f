"""The nodes of a tree: runs that can follow one another, with what must hold for a recording to be replayed.

In: what a manager saw while a function ran.   Out: `WarmupNode`s and `RecordedNode`s, linked from root to leaf.

Keeps: an output's liveness is that of its storage: it lives as long as the output, or any view of it, does.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import NamedTuple, final

import msgspec
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from graphwright.graph_trees.outputs import (
    Managed,
    OutputForm,
    build_outputs,
    storage_identity,
)
from graphwright.graph_trees.overwritten import overwrite
from graphwright.graph_trees.pool import Block
from graphwright.graph_trees.recorder import Recorded, Value


class GraphId(msgspec.Struct, frozen=True):
    """Names a recording within its manager."""

    id: int


class PathIndex(NamedTuple):
    """Output `output` of the node at `depth` (0: the root) of a path."""

    depth: int
    output: int


class Preconditions(msgspec.Struct, frozen=True):
    """What a recording depends on, beyond the function and the layouts of its inputs."""

    path_inputs: tuple[PathIndex | None, ...]
    """For each input, the output of the path that it is."""
    static_addresses: tuple[int | None, ...]
    """For each static input, where it is."""
    dead: frozenset[PathIndex]
    """Outputs of the path whose memory a recording may use again."""


class _HeldOutput:
    """An output as the user got it."""

    def __init__(self, tensor: torch.Tensor, block: Block | None) -> None:
        self.tensor = weakref.ref(tensor)
        self.storage = StorageWeakRef(tensor.untyped_storage())
        self.block = block


class Node:
    """One run on a path; what it gave is replaced by each further run of it."""

    def __init__(self, parent: Node | None, origins: Sequence[str]) -> None:
        self.parent = parent
        self._origins = tuple(origins)
        self.held: dict[int, _HeldOutput] = {}

    @property
    def path(self) -> tuple[Node, ...]:
        """The nodes from the root to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None:
            nodes.append(node)
            node = node.parent
        return tuple(reversed(nodes))

    def path_live_weakrefs(self) -> Iterator[StorageWeakRef]:
        """Give the storages that are held of the outputs of this path."""
        for node in self.path:
            for held in node.held.values():
                if not held.storage.expired():
                    yield held.storage

    def path_dead(self) -> frozenset[PathIndex]:
        """Give the outputs of this path that nothing holds."""
        return frozenset(
            PathIndex(depth, index)
            for depth, node in enumerate(self.path)
            for index, held in node.held.items()
            if held.storage.expired()
        )

    def path_taken_blocks(self) -> set[Block]:
        """Give the blocks that outputs of this path which are held live in."""
        return {
            held.block
            for node in self.path
            for held in node.held.values()
            if held.block is not None and not held.storage.expired()
        }

    def find_on_path(self, value: Value) -> PathIndex | None:
        """Say which output that is held shares memory with `value`."""
        identity = storage_identity(value)
        if identity is None:
            return None
        for depth, node in enumerate(self.path):
            for index, held in node.held.items():
                if not held.storage.expired() and held.storage.cdata == identity:
                    return PathIndex(depth, index)
        return None

    def overwrite_outputs(self) -> int:
        """End the life of what this node gave; give how many blocks were left to views that the user holds."""
        for index, held in self.held.items():
            tensor = held.tensor()
            if tensor is not None:
                overwrite(tensor, self._origins[index] if index < len(self._origins) else "")
            del tensor
        blocks = {
            held.block
            for held in self.held.values()
            if held.block is not None and not held.storage.expired()
        }
        for block in blocks:
            block.give_away()
        self.held = {}
        return len(blocks)

    def _hold(self, outputs: Sequence[Value], forms: Sequence[OutputForm]) -> None:
        self.held = {
            index: _HeldOutput(output, form.block)
            for index, (output, form) in enumerate(zip(outputs, forms, strict=True))
            if isinstance(form, Managed) and isinstance(output, torch.Tensor)
        }


@final
class WarmupNode(Node):
    """A run before there is anything to replay; its outputs have ordinary memory."""

    def hold(self, outputs: Sequence[Value], foreign: Sequence[Value]) -> list[torch.Tensor]:
        """Keep track of the outputs, but for those that share memory with `foreign` tensors; give those tracked."""
        not_ours = {None, *map(storage_identity, foreign)}
        tensors = {
            index: output
            for index, output in enumerate(outputs)
            if isinstance(output, torch.Tensor)
            and output.numel() > 0
            and storage_identity(output) not in not_ours
        }
        self.held = {index: _HeldOutput(tensor, None) for index, tensor in tensors.items()}
        return list(tensors.values())


@final
class RecordedNode(Node):
    """A recording."""

    def __init__(
        self,
        graph_id: GraphId,
        parent: RecordedNode | None,
        recorded: Recorded,
        forms: tuple[OutputForm, ...],
        preconditions: Preconditions,
        origins: Sequence[str],
    ) -> None:
        super().__init__(parent, origins)
        self.id = graph_id
        self.recorded_children: dict[Value, list[RecordedNode]] = {}
        self._replay = recorded.replay
        self._forms = forms
        self._preconditions = preconditions
        self.expected_dead_indices_before_graph: list[PathIndex] = []
        """Outputs of the path that died between the parent's end and this node's begin."""
        self.expected_dead_indices_after_graph: list[PathIndex] = []
        """Outputs of the path that died while this node ran."""
        self.known_dead: frozenset[PathIndex] = frozenset()
        """Outputs of the path that were dead when this node had been recorded."""

    @property
    def children(self) -> list[RecordedNode]:
        """The recordings that were made right after this one."""
        return [node for nodes in self.recorded_children.values() for node in nodes]

    def num_descendants(self) -> int:
        """Count the recordings below this one."""
        count, pending = 0, self.children
        while pending:
            node = pending.pop()
            count += 1
            pending.extend(node.children)
        return count

    def can_replay(self, conditions: Preconditions) -> bool:
        """Tell whether the recording holds under these conditions: the same inputs of the path, nothing held that was dead."""
        own = self._preconditions
        return (
            own.path_inputs == conditions.path_inputs
            and own.static_addresses == conditions.static_addresses
            and own.dead <= conditions.dead
        )

    def hold_recorded(self, values: Sequence[Value]) -> list[Value]:
        """Give the outputs of a run and keep track of them."""
        outputs = build_outputs(self._forms, values)
        self._hold(outputs, self._forms)
        return outputs

    def replay(self, inputs: Sequence[Value]) -> list[Value]:
        """Run the recording; the outputs are in the same memory each time."""
        return self.hold_recorded(self._replay(inputs))
