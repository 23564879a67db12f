"""Rules for what makes tensors of NumPy arrays.

In: an array that existed before the call, or that `Tensor.numpy` is to make.   Out: a tensor on the memory of the array.
Keeps: the array is an input of the graph, by the tensor that `torch.from_numpy` makes of it at each call, so that its dtype, shape and
strides are guarded like those of a tensor, and writes reach the array.
Does not: look at the elements of an array, nor call functions of NumPy; these break the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from graphwright.capture.late_calls import LateResult
from graphwright.capture.machine import Machine, Rule
from graphwright.capture.missing import ABSENT
from graphwright.ir.sources import ArrayTensorSource
from graphwright.runtime import MISSING, view_array

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def from_numpy(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.from_numpy(array)`."""
    found = _view(machine, args[0]) if len(args) == 1 and not kwargs else None
    return machine.call_native(torch.from_numpy, args, kwargs) if found is None else found


def as_tensor(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.as_tensor(data, dtype=None, device=None)`: on the memory of an array, unless it is converted."""
    return _of_view(machine, torch.as_tensor, args, kwargs)


def asarray(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False)`."""
    return _of_view(machine, torch.asarray, args, kwargs)


def tensor(machine: Machine, args: Args, kwargs: Kwargs) -> Any:
    """`torch.tensor(data, *, dtype=None, device=None, requires_grad=False)`: a copy."""
    target = {name: value for name, value in kwargs.items() if value is not None}
    is_plain = len(args) == 1 and target.keys() <= {"dtype", "device"}
    found = _view(machine, args[0]) if is_plain else None
    if found is None:
        return machine.call_native(torch.tensor, args, kwargs)
    return machine.call_native(torch.Tensor.to, [found], {**target, "copy": True})


def _of_view(machine: Machine, function: Any, args: Args, kwargs: Kwargs) -> Any:
    found = _view(machine, args[0]) if args else None
    return machine.call_native(function, args if found is None else [found, *args[1:]], kwargs)


def _view(machine: Machine, value: Any) -> torch.Tensor | None:
    """Give a tensor on the memory of an array; None for anything else, and for arrays that tensors cannot be made of."""
    if type(value) is LateResult and value.function is torch.Tensor.numpy and not value.kwargs:
        shared: Any = value.args[0]
    elif type(value) is np.ndarray:
        shared = _shared(machine, value)
    else:
        return None
    if shared is None:
        return None
    view: torch.Tensor = machine.call_native(torch.Tensor.detach, [shared], {})
    return view


def _shared(machine: Machine, array: np.ndarray[Any, Any]) -> Any:
    """Give the stand-in of the tensor that shares the memory of an array from before the call."""
    source = machine.world.source_of(array)
    known = machine.world.was_read(array, "tensor")
    if source is None or known is not ABSENT:
        return None if known is ABSENT else known
    with machine.recorder.paused():
        found = view_array(array)
    if found is MISSING:
        return None
    return machine.world.read(array, "tensor", found, lambda: ArrayTensorSource(source))


def make_rules() -> dict[Any, Rule]:
    """Give the rules."""
    return {
        torch.from_numpy: from_numpy,
        torch.as_tensor: as_tensor,
        torch.asarray: asarray,
        torch.tensor: tensor,
    }
