"""The tensors that an entry's folded constants were made from.

In: a plan with a fold, tensors.   Out: the values of the constants; whether tensors are those, as they were.
Keeps: an alias of each tensor is held, so neither its memory nor its counter of versions can come to be another tensor's. The
constants stay where they are: what is computed again is written over them. Who does that makes sure that no call reads them.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import torch

from graphwright.base.errors import InternalError
from graphwright.ir.plan import Plan

FACTS_PER_TENSOR: Final = 5
"""Words that native code compares for each tensor, the counter of versions first."""
_WORD: Final = 8

Compute = Callable[[Sequence[torch.Tensor]], Iterator[torch.Tensor]]
"""Runs a fold: frozen tensors → the values that its constants name, one after the other."""
ReadFacts = Callable[[torch.Tensor], Sequence[int]]
"""Gives the words that tell a tensor, its memory and its version: `FACTS_PER_TENSOR` of them."""


@final
class FrozenTensors:
    """The tensors that folded constants are made from; none at first.

    Args:
        plan: the plan; it has a fold.
        made: the plan's constants, as tensors; the folded ones are written.
        compute: runs the fold.
    """

    def __init__(self, plan: Plan, made: Sequence[torch.Tensor], compute: Compute | None) -> None:
        if plan.fold is None or compute is None:
            message = "nothing computes the constants of a plan"
            raise InternalError(message)
        self._compute = compute
        self._targets = {
            constant.folded: tensor
            for constant, tensor in zip(plan.constants, made, strict=True)
            if constant.folded is not None
        }
        self._num_tensors = len(plan.fold.inputs)
        self._tensors: list[weakref.ref[torch.Tensor]] = []
        self._aliases: list[torch.Tensor] = []
        self._versions: list[int] = []
        self._facts = (ctypes.c_uint64 * (FACTS_PER_TENSOR * self._num_tensors))()
        self._read_facts: ReadFacts | None = None

    def __len__(self) -> int:
        return self._num_tensors

    def facts_for(self, read: ReadFacts) -> int:
        """Give the address of the words that tell the tensors; all zero while there are none."""
        self._read_facts = read
        self._write_facts()
        return ctypes.addressof(self._facts)

    def matches(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Tell whether these are the tensors, as they were."""
        return len(self._tensors) == len(tensors) and all(
            self.matches_at(index, tensor) for index, tensor in enumerate(tensors)
        )

    def matches_at(self, index: int, tensor: torch.Tensor) -> bool:
        """Tell whether `tensor` is number `index` of the tensors, as it was."""
        return (
            index < len(self._tensors)
            and self._tensors[index]() is tensor
            and tensor.data_ptr() == self._aliases[index].data_ptr()
            and tensor._version == self._versions[index]  # noqa: SLF001  (no public name)
        )

    def are_spent(self) -> bool:
        """Tell whether no call can come any more that the constants are right for."""
        return any(
            tensor is None or not self.matches_at(index, tensor)
            for index, tensor in enumerate(held() for held in self._tensors)
        )

    @property
    def has_values(self) -> bool:
        """True when the constants have values."""
        return bool(self._tensors)

    def try_fold(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Make the constants from `tensors`, while no call reads them; False where writes to these could not be seen."""
        if any(tensor.is_inference() for tensor in tensors):
            return False
        self.forget()
        with torch.inference_mode(mode=False), torch.no_grad():
            aliases = [tensor.detach() for tensor in tensors]
            versions = [alias._version for alias in aliases]  # noqa: SLF001
            for output, value in enumerate(self._compute(aliases)):
                self._targets[output].copy_(value)
                del value  # before the next one is computed
        self._tensors = [weakref.ref(tensor) for tensor in tensors]
        self._aliases, self._versions = aliases, versions
        self._write_facts()
        return True

    def forget(self) -> None:
        """Let no call pass for one that the constants are right for."""
        ctypes.memset(self._facts, 0, ctypes.sizeof(self._facts))
        self._tensors, self._aliases, self._versions = [], [], []

    def _write_facts(self) -> None:
        if self._read_facts is None:
            return
        facts = [word for alias in self._aliases for word in self._read_facts(alias)]
        # Until the first word is there, native code takes no tensors for these.
        for number in reversed(range(len(facts))):
            self._facts[number] = facts[number]
