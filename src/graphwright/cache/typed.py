"""Stores of typed values: what is kept for programs, graphs and kernels.

In: values of the types below.   Out: the values saved under a key; bytes that do not decode to the type are a counted miss.
Keeps: values travel as msgpack of the `ir/` types, so an entry can be read by any process and no code is run to read it.
"""

from __future__ import annotations

import functools
from typing import Generic, TypeVar

import msgspec

from graphwright.cache.keys import Key
from graphwright.cache.store import Store
from graphwright.ir.joint import Joint
from graphwright.ir.plan import Plan
from graphwright.ir.program import Program


class ProgramEntry(msgspec.Struct, frozen=True):
    """A captured program."""

    program: Program
    plan: Plan | None
    """What its graph was lowered to; None where it has symbols or gradients: its graphs' plans are in the store of graphs."""
    joint: Joint | None = None
    """Forward and backward in one graph, where its outputs have gradients."""


class GraphEntry(msgspec.Struct, frozen=True):
    """What an ATen graph was lowered to."""

    plan: Plan


class KernelEntry(msgspec.Struct, frozen=True):
    """Compiled kernels."""

    object_code: bytes
    """A relocatable object (CPU) or a device image (CUDA); of the runtime's own functions, objects with what is said of them."""
    symbols: tuple[str, ...]


Value = TypeVar("Value", ProgramEntry, GraphEntry, KernelEntry)


class TypedStore(Generic[Value]):
    """A store whose values are of one type."""

    def __init__(self, store: Store, value_type: type[Value]) -> None:
        self.store = store
        self._value_type: type[Value] = value_type

    @functools.cached_property
    def _decoder(self) -> msgspec.msgpack.Decoder[Value]:
        # Made when there is something to decode: it takes longer than all else that a store needs.
        return msgspec.msgpack.Decoder(self._value_type)

    def get(self, key: Key) -> Value | None:
        """Give the one value of `key`, or None."""
        return self.store.get(key, self._decoder.decode)

    def get_all(self, key: Key) -> tuple[Value, ...]:
        """Give all values that were added under `key`, the most recently used first."""
        return self.store.get_all(key, self._decoder.decode)

    def put(self, key: Key, value: Value) -> bool:
        """Save the one value of `key`; False when that was not possible."""
        return self.store.put(key, msgspec.msgpack.encode(value))

    def add(self, key: Key, value: Value) -> bool:
        """Save a value among those of `key`; False when that was not possible."""
        return self.store.add(key, msgspec.msgpack.encode(value))


ProgramStore = TypedStore[ProgramEntry]
"""Key: what the function is. Several values: one a call pattern and a set of guards (`add`, `get_all`)."""
GraphStore = TypedStore[GraphEntry]
"""Key: the ATen graph. One value (`put`, `get`)."""
KernelStore = TypedStore[KernelEntry]
"""Key: the kernels' loop IR. One value (`put`, `get`)."""

__all__ = [
    "GraphEntry",
    "GraphStore",
    "KernelEntry",
    "KernelStore",
    "ProgramEntry",
    "ProgramStore",
    "TypedStore",
]
