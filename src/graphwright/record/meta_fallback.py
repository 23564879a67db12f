"""Results' specs of ops without a shape rule: run the op on `meta` tensors.

In:  an overload, and its arguments as shape rules take them.   Out: specs.
The first op of a process that goes this way takes about two seconds, since torch loads the Python implementations of its
operators. Symbolic sizes are specialised, for these implementations know nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from graphwright.base.errors import Unsupported
from graphwright.record.abstract import NeedsValues
from graphwright.record.sizes import Extent, SymbolicSize
from graphwright.record.specs import TensorSpec


def infer_on_meta(overload: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Give the spec, or the specs, of an op's results.

    Raises:
        Unsupported: the op has no implementation on `meta` tensors, or gives something else than tensors.
        Exception: whatever eager's own checks of the arguments raise.
    """
    device = _device_of(args, kwargs)
    meta_args = [_to_meta(value) for value in args]
    meta_kwargs = {name: _to_meta(value) for name, value in kwargs.items()}
    try:
        result = overload(*meta_args, **meta_kwargs)
    except NotImplementedError as error:
        raise _needs_data(overload) from error
    except RuntimeError as error:
        if _OF_META.search(str(error)):  # it refuses what stands for the tensors, not the tensors
            raise _needs_data(overload) from error
        raise
    return _to_specs(overload, result, device)


_OF_META: Final = re.compile(r"\bmeta\b")


def _needs_data(overload: Any) -> NeedsValues:
    return NeedsValues(
        f"the operator {overload}",
        why="graphwright has no shape rule for it, and torch cannot run it without data",
        remedy="register a fake implementation (torch.library.register_fake), or run this function eagerly",
    )


def _device_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.device:
    explicit = kwargs.get("device")
    if isinstance(explicit, torch.device):
        return explicit
    for value in (*args, *kwargs.values()):
        if isinstance(value, TensorSpec):
            return value.device
        if isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, TensorSpec):
                    return item.device
    return torch.device("cpu")


def _to_meta(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        shape, strides = _known(value.shape), _known(value.strides)
        return torch.empty_strided(shape, strides, dtype=value.dtype, device="meta")
    if isinstance(value, SymbolicSize):
        return value.specialise()
    if isinstance(value, (list, tuple)):
        return [_to_meta(item) for item in value]
    if isinstance(value, torch.device):
        return torch.device("meta")
    return value


def _known(extents: tuple[Extent, ...]) -> tuple[int, ...]:
    return tuple(extent if isinstance(extent, int) else extent.specialise() for extent in extents)


def _to_specs(overload: Any, result: Any, device: torch.device) -> Any:
    if isinstance(result, torch.Tensor):
        if result.layout is not torch.strided:
            raise Unsupported(
                f"the operator {overload}, which gives a tensor of layout {result.layout}",
                why="graphs hold tensors that lie in memory by strides",
                remedy="make it outside the compiled function, or leave it to a graph break",
            )
        offset = int(result.storage_offset())
        return TensorSpec(
            tuple(result.shape),
            tuple(result.stride()),
            result.dtype,
            device,
            offset,
        )
    if result is None:
        return None
    if isinstance(result, (tuple, list)) and all(
        isinstance(item, (torch.Tensor, type(None))) for item in result
    ):
        return tuple(_to_specs(overload, item, device) for item in result)
    raise Unsupported(
        f"the operator {overload}",
        why="it gives something else than tensors",
        remedy="move the call out of the compiled function",
    )
