"""Arguments that this version does not compile for.

In: the arguments of a call.   Out: what stands in the way, in words, or nothing.
Does not: look at anything but tensors, in nested lists, tuples and dicts; the rest is the business of `capture/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch

_COMPILED_DEVICES: Final = frozenset({"cpu", "meta"})
_PLAIN_TYPES: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


def find_obstacle(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Say which argument keeps a call from being compiled, and why; None when there is none."""
    named = (*((f"argument {i}", arg) for i, arg in enumerate(args)), *kwargs.items())
    for name, value in named:
        for tensor in _iter_tensors(value, 0):
            problem = _find_problem(tensor)
            if problem is not None:
                return f"{name} {problem}"
    return None


def _iter_tensors(value: object, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth < _DEEPEST and isinstance(value, list | tuple):
        for item in value:
            yield from _iter_tensors(item, depth + 1)
    elif depth < _DEEPEST and isinstance(value, dict):
        for item in value.values():
            yield from _iter_tensors(item, depth + 1)


_DEEPEST: Final = 8
"""Nesting that is looked through; what lies deeper meets the same question in `capture/`, as an error."""


def _find_problem(tensor: torch.Tensor) -> str | None:
    if tensor.layout is not torch.strided:
        return (
            f"has the layout {str(tensor.layout).removeprefix('torch.')}, which is not compiled yet"
        )
    if tensor.is_nested:
        return "is a nested tensor, which is not compiled yet"
    if tensor.device.type not in _COMPILED_DEVICES:
        return f"is on the device {tensor.device.type}, for which nothing is compiled yet"
    if tensor.is_quantized:
        return "is a quantised tensor, which is not compiled yet"
    if type(tensor) not in _PLAIN_TYPES:
        return f"is of the tensor subclass {type(tensor).__qualname__}, which is not compiled yet"
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):  # noqa: SLF001  (there is no public question)
        return "is inside a torch.func transform, which is not compiled yet"
    return None
