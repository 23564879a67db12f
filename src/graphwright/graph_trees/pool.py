"""Memory that outputs of recordings live in: blocks with fixed addresses, shared by nodes that are never live together.

In: sizes, and which blocks are taken.   Out: `Block`s, and storages over them.

Keeps: each run's tensors over a block have a storage of their own, so that one can tell whether the user still holds it or a view of
it; it keeps the block's memory alive, so that nothing the user holds is ever freed under them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from typing import Final, final

import torch
from torch.multiprocessing.reductions import StorageWeakRef

_GRANULE_BYTES: Final = 512
"""Sizes of blocks are multiples of this, so that outputs of nearly the same size can share one."""


@final
class Block:
    """A piece of memory at a fixed address."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._memory = _make_memory(size_bytes)

    @property
    def address(self) -> int:
        """Where the block starts."""
        return ctypes.addressof(self._memory)

    def make_storage(self) -> torch.UntypedStorage:
        """Give a new storage over the block."""
        return torch.frombuffer(self._memory, dtype=torch.uint8).untyped_storage()

    def give_away(self) -> None:
        """Leave the memory to whoever still holds tensors over it, and go on with fresh memory."""
        self._memory = _make_memory(self.size_bytes)


@final
class Pool:
    """The blocks of one manager."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._allocations: list[StorageWeakRef] = []

    def allocate(self, size_bytes: int, taken: Collection[Block]) -> Block:
        """Give the smallest block that is large enough and not `taken`, a new one if there is none.

        A block that would be more than half empty is not used.
        """
        rounded = max(1, -(-size_bytes // _GRANULE_BYTES)) * _GRANULE_BYTES
        fitting = [
            block
            for block in self._blocks
            if rounded <= block.size_bytes <= 2 * rounded and block not in taken
        ]
        if fitting:
            return min(fitting, key=lambda block: block.size_bytes)
        block = Block(rounded)
        self._blocks.append(block)
        return block

    def note_allocation(self, tensor: torch.Tensor) -> None:
        """Count the memory of `tensor` as live until nothing holds it."""
        self._allocations.append(StorageWeakRef(tensor.untyped_storage()))

    @property
    def live_count(self) -> int:
        """How many allocations that were noted are still held."""
        self._allocations = [each for each in self._allocations if not each.expired()]
        return len(self._allocations)

    @property
    def segment_bytes(self) -> tuple[int, ...]:
        """Sizes of all blocks."""
        return tuple(block.size_bytes for block in self._blocks)


def _make_memory(size_bytes: int) -> ctypes.Array[ctypes.c_char]:
    owner = torch.empty(size_bytes, dtype=torch.uint8)
    memory = (ctypes.c_char * size_bytes).from_address(owner.data_ptr())
    # `from_address` does not own; the array object is what each tensor's storage holds on to.
    memory.owner = owner  # type: ignore[attr-defined]
    return memory
