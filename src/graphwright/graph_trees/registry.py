"""The managers of a process, and the functions that users and tests reach them by.

In: devices and functions.   Out: `Manager`s; functions that record and replay.
Keeps: a manager lives as long as a function that it runs; when the last is gone, so are its trees and its memory (but for
what the user still holds).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Final, final

from graphwright.base.counters import counters
from graphwright.graph_trees.manager import Generation, ManagedFunction, Manager, ReplayOptions
from graphwright.graph_trees.recorder import RecordableFunction, Value


@final
class ManagerTable:
    """Managers by device key."""

    def __init__(self) -> None:
        self.generation = Generation()
        self._managers: weakref.WeakValueDictionary[str, Manager] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def find(self, device: str) -> Manager | None:
        """Give the manager of a device, None when nothing was run there."""
        return self._managers.get(device)

    def make(self, device: str) -> Manager:
        """Give the manager of a device, a new one if there is none."""
        with self._lock:
            manager = self._managers.get(device)
            if manager is None:
                manager = Manager(counters=counters, generation=self.generation)
                self._managers[device] = manager
            return manager


_TABLE: Final = ManagerTable()


def graphify(
    fn: RecordableFunction,
    example_inputs: Sequence[Value],
    *,
    device: str,
    static_input_idxs: Sequence[int] = (),
    options: ReplayOptions | None = None,
) -> Callable[[list[Value]], list[Value]]:
    """Make a function that warms up, then records, then replays `fn`.

    Args:
        fn: takes one list of inputs, which it may empty, and gives its outputs. It is run without autograd. Non-tensor
            inputs, and the layouts of tensors, are part of what a recording is for.
        example_inputs: inputs like those it will be called with.
        device: key of the manager; functions of one key share a tree and a pool.
        static_input_idxs: inputs that keep their address; another address makes a new recording.
        options: how `fn` is recorded.

    Returns:
        A function of a list of inputs, which it empties.

    Raises:
        IndexError: a static input is not among the inputs.
    """
    unknown = [index for index in static_input_idxs if not 0 <= index < len(example_inputs)]
    if unknown:
        message = f"static inputs {unknown} of a function of {len(example_inputs)} inputs"
        raise IndexError(message)
    function = ManagedFunction(
        fn,
        static_inputs=frozenset(static_input_idxs),
        options=options or ReplayOptions(),
    )
    return GraphifiedFunction(device, function)


@final
class GraphifiedFunction:
    """A function that is recorded and replayed; keeps its manager alive once it was called."""

    def __init__(self, device: str, function: ManagedFunction) -> None:
        self._device = device
        self._function = function
        self._manager: Manager | None = None

    def __call__(self, inputs: list[Value]) -> list[Value]:
        """Run the function; `inputs` is emptied."""
        if self._manager is None:
            self._manager = _TABLE.make(self._device)
        return self._manager.run(self._function, inputs)


def get_manager(device: str) -> Manager | None:
    """Give the manager of a device, None when no function that was run there is left."""
    return _TABLE.find(device)


def mark_step_begin() -> None:
    """Begin a new iteration: outputs of the last one may be overwritten from now on."""
    _TABLE.generation.begin()


def live_block_count(device: str) -> int:
    """Count the allocations of warm-ups and recordings that the program still holds."""
    manager = _TABLE.find(device)
    return 0 if manager is None else manager.pool.live_count


def segments(device: str) -> tuple[int, ...]:
    """Give the sizes in bytes of a device's blocks."""
    manager = _TABLE.find(device)
    return () if manager is None else manager.pool.segment_bytes
