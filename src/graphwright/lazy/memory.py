"""Which materialised tensors share memory, so that a recording sees them as views of one input.

In: real tensors.   Out: their stand-ins in a recording.

    x and y were computed into one storage:  the whole storage becomes one input, x and y views of it, so that a write to one
    is seen in the other after a step as it was before
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import final

import torch

from graphwright.record import AbstractTensor, Recorder


@final
class InputTable:
    """The inputs of one recording.

    Args:
        recorder: the recording.
        reals: the tensors that may become inputs.
    """

    def __init__(self, recorder: Recorder, reals: Iterable[torch.Tensor]) -> None:
        self._recorder = recorder
        users = Counter(_storage(real) for real in {id(real): real for real in reals}.values())
        self._shared = {storage for storage, count in users.items() if count > 1}
        self._bases: dict[int, torch.Tensor] = {}
        self.inputs: list[torch.Tensor] = []
        """The real inputs of the graph, in order."""

    def add(self, real: torch.Tensor) -> AbstractTensor:
        """Give the stand-in of a real tensor, which becomes an input or a view of one."""
        if _storage(real) not in self._shared:
            return self._add_input(real)
        base = self._bases.get(_storage(real))
        if base is None:
            flat = torch.empty(0, dtype=real.dtype)
            size = real.untyped_storage().nbytes() // real.dtype.itemsize
            with self._recorder.paused():
                flat.set_(real.untyped_storage(), 0, (size,), (1,))
            base = self._bases[_storage(real)] = self._add_input(flat)
        with self._recorder.dispatch_mode:
            typed = base if base.dtype == real.dtype else base.view(real.dtype)
            view = torch.as_strided(typed, real.shape, real.stride(), real.storage_offset())
        return self._recorder.abstract_of(view)

    def _add_input(self, real: torch.Tensor) -> AbstractTensor:
        made = self._recorder.add_input(real)
        if len(self._recorder.inputs) > len(self.inputs):
            self.inputs.append(real)
        return made


def _storage(tensor: torch.Tensor) -> int:
    identity: int = tensor.untyped_storage()._cdata  # noqa: SLF001  (the identity of a storage)
    return identity
