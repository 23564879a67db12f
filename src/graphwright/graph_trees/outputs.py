"""What an output of a recording is: a part of a block, or something that the run gave as it is.

In: the outputs of a run with its inputs.   Out: `OutputForm`s, and from the values of a later run the outputs that the user gets.
Keeps: outputs that share memory share a block, and so the user's tensors share a storage as eager's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import torch

from graphwright.graph_trees.pool import Block
from graphwright.graph_trees.recorder import Value


class Managed(msgspec.Struct, frozen=True):
    """A tensor in `block` of the pool; strides and offset in elements."""

    block: Block
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


class Unmanaged(msgspec.Struct, frozen=True):
    """Given as the run made it: an input or a view of one, a captured tensor, an empty tensor, a plain value."""


OutputForm = Managed | Unmanaged


def classify_outputs(
    outputs: Sequence[Value],
    foreign: Sequence[Value],
    allocate: Callable[[int], Block],
) -> tuple[OutputForm, ...]:
    """Say what each output is, with a block for each group of outputs that share memory.

    Args:
        outputs: what a run gave.
        foreign: tensors whose memory is not the run's: its inputs and captured tensors.
        allocate: gives a block of at least so many bytes that is not taken.
    """
    not_ours = {storage_identity(value) for value in foreign}
    groups: dict[int, list[torch.Tensor]] = {}
    for output in outputs:
        tensor = _try_manageable(output)
        if tensor is not None and storage_identity(tensor) not in not_ours:
            groups.setdefault(tensor.untyped_storage()._cdata, []).append(tensor)  # noqa: SLF001
    starts = {identity: min(map(_start_bytes, group)) for identity, group in groups.items()}
    blocks = {
        identity: allocate(max(map(_end_bytes, group)) - starts[identity])
        for identity, group in groups.items()
    }

    def classify(output: Value) -> OutputForm:
        tensor = _try_manageable(output)
        identity = storage_identity(output)
        if tensor is None or identity is None or identity not in blocks:
            return Unmanaged()
        offset = (_start_bytes(tensor) - starts[identity]) // tensor.dtype.itemsize
        return Managed(blocks[identity], tensor.dtype, tuple(tensor.shape), tensor.stride(), offset)

    return tuple(classify(output) for output in outputs)


def build_outputs(forms: Sequence[OutputForm], values: Sequence[Value]) -> list[Value]:
    """Give the outputs for the values of a run: those with a block are copied into it."""
    storages: dict[Block, torch.UntypedStorage] = {}
    built: list[Value] = []
    for form, value in zip(forms, values, strict=True):
        match form, value:
            case Managed(block), torch.Tensor():
                storage = storages.setdefault(block, block.make_storage())
                flat = torch.empty(0, dtype=form.dtype)
                span = span_elements(form.shape, form.strides)
                # The whole span at once, since an expanded tensor cannot be written element by element.
                flat.set_(storage, form.offset, (span,), (1,))
                flat.copy_(value.as_strided((span,), (1,)))
                built.append(flat.as_strided(form.shape, form.strides))
            case _:
                built.append(value)
    return built


def storage_identity(value: Value) -> int | None:
    """Give a number that two tensors have in common exactly when they share memory; None for what has no strides."""
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return None
    identity: int = value.untyped_storage()._cdata  # noqa: SLF001  (the identity of a storage)
    return identity


def span_elements(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Give the elements from the first to the last that a strided tensor touches, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))


def _try_manageable(output: Value) -> torch.Tensor | None:
    if not isinstance(output, torch.Tensor) or output.layout is not torch.strided:
        return None
    is_plain = output.device.type == "cpu" and not output.is_conj() and not output.is_neg()
    return output if is_plain and output.numel() > 0 else None


def _start_bytes(tensor: torch.Tensor) -> int:
    return int(tensor.storage_offset()) * tensor.dtype.itemsize


def _end_bytes(tensor: torch.Tensor) -> int:
    span = span_elements(tuple(tensor.shape), tensor.stride())
    return _start_bytes(tensor) + int(span) * tensor.dtype.itemsize
