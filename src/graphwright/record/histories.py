"""Which outputs of a program are sent gradients back together.

In: tensors with a history.   Out: their numbers in groups: histories of different groups have no saved values in common.

In eager, a gradient can be sent back through each of two tensors as long as no operation that both follow from has saved a value for it,
which the first lets go of. A group is sent back by one graph, so tensors that eager tells apart must not share one.

    h = model(x)                        groups: [h, loss], [penalty]
    loss, penalty = h.square().mean(), weight.abs().sum()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def group_by_history(tensors: Sequence[torch.Tensor]) -> list[list[int]]:
    """Give the groups, each in order, in the order of their first members."""
    if len(tensors) == 1:
        return [[0]]
    nodes = _Nodes()
    joined = list(range(len(tensors)))

    def find(number: int) -> int:
        while joined[number] != number:
            number = joined[number]
        return number

    for number, tensor in enumerate(tensors):
        for other in nodes.claim(tensor.grad_fn, number):
            first, second = sorted((find(number), find(other)))
            joined[second] = first
    groups: dict[int, list[int]] = {}
    for number in range(len(tensors)):
        groups.setdefault(find(number), []).append(number)
    return list(groups.values())


class _Nodes:
    """The operations of histories, each with the number of the tensor that it was first met from."""

    def __init__(self) -> None:
        self._owners: dict[Any, int] = {}
        self._is_saving: dict[Any, bool] = {}

    def claim(self, root: Any, number: int) -> set[int]:
        """Walk through a history; give the tensors met before that have saved values in common with it."""
        shared: set[int] = set()
        pending = [root]
        while pending:
            node = pending.pop()
            owner = self._owners.get(node)
            if node is None or owner == number:
                continue
            if owner is None:
                self._owners[node] = number
                pending += [one for one, _ in node.next_functions]
            elif self._has_saved(node):
                shared.add(owner)
        return shared

    def _has_saved(self, root: Any) -> bool:
        """Tell whether an operation, or one that it follows from, has saved a value."""
        seen, pending = {root}, [root]
        while pending:
            node = pending.pop()
            known = self._is_saving.get(node)
            if known or (known is None and _saves(node)):
                self._is_saving[root] = True
                return True
            if known is None:
                fresh = [
                    one for one, _ in node.next_functions if one is not None and one not in seen
                ]
                seen.update(fresh)
                pending += fresh
        self._is_saving.update(dict.fromkeys(seen, False))
        return False


def _saves(node: Any) -> bool:
    """Tell whether an operation has saved a tensor; what cannot be told is taken to have."""
    for name in dir(node):
        if name.startswith("_saved_") or name == "saved_tensors":  # of one written in Python
            try:
                value = getattr(node, name)
            except RuntimeError:  # what it saved was written to, or let go of
                return True
            if isinstance(value, torch.Tensor) or (
                isinstance(value, tuple) and any(isinstance(one, torch.Tensor) for one in value)
            ):
                return True
    return False
