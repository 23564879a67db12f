"""Tensors that become other tensors: `resize_`, `unsqueeze_` and their like, and results that do not fit their `out=`.

In:  an abstract tensor and what it is to be.   Out: the same object with another shape, layout or memory.
Keeps: other tensors on the old memory stay as they are; elements that both shapes have are kept, as eager keeps them.
An input that changes so is told of at the end (`is_reshaped`), for the caller's own tensor has to follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch._C import _DisableTorchDispatch

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import ListArg, LiteralArg, Ref
from graphwright.record.abstract import AbstractTensor, Origin, TensorState, ViewStep
from graphwright.record.arguments import to_arg
from graphwright.record.functional import emit_empty, read, reshape_value
from graphwright.record.layout import Shape, contiguous_strides, is_dense, numel_of, same_extents
from graphwright.record.op_recording import OpRecording
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

set_data: Final = torch.Tensor.data.__set__  # type: ignore[attr-defined]  # a property in C


def become(recording: OpRecording, tensor: AbstractTensor, made: AbstractTensor) -> None:
    """Make a tensor what `made` is: its shape, its layout, its memory."""
    check_reshaping(tensor)
    with recording.paused(), _DisableTorchDispatch():
        set_data(tensor, made)
    take_state(tensor, made.state)


def take_state(tensor: AbstractTensor, state: TensorState) -> None:
    """Let a tensor look at its storage as `state` does."""
    tensor.state = TensorState(state.spec, state.storage, state.recipe, state.value)
    tensor.state.version = state.version


def check_reshaping(tensor: AbstractTensor) -> None:
    """Refuse to change a tensor whose owner would not see it.

    Raises:
        Unsupported: nothing says where it came from, or its history is autograd's.
    """
    origin = tensor.state.storage.origin
    if origin is Origin.SHARED_CONSTANT:
        raise Unsupported(
            "a change of the shape of a tensor that is neither an input nor made by the program",
            why="the tensor was found by value only, so the change could not be put back into it",
            remedy="pass the tensor as an argument, or use the op without the underscore",
        )
    if origin is Origin.INPUT and tensor.requires_grad:
        raise Unsupported(
            "a change of the shape of a tensor that existed before the call and requires a gradient",
            why="its history would have to be changed for the caller too",
            remedy="use the op without the underscore",
        )


def is_reshaped(tensor: AbstractTensor, input_index: int) -> bool:
    """Tell whether an input is no longer the tensor that the caller passed."""
    state = tensor.state
    return state.storage.input_index != input_index or bool(state.recipe)


def resize(
    recording: OpRecording, tensor: AbstractTensor, shape: Shape, strides: Shape | None = None
) -> None:
    """Give a tensor another shape, contiguous unless `strides` says otherwise, on its own memory where that is large enough."""
    state = tensor.state
    if same_extents(state.spec.shape, shape):
        return
    wanted = contiguous_strides(shape) if strides is None else strides
    check_reshaping(tensor)
    capacity = _capacity(state)
    if capacity is not None and _is_at_most(numel_of(shape), capacity):
        become(recording, tensor, _restrided(recording, state, shape, wanted))
        return
    grown = _grown(recording, tensor, shape, wanted)
    state.storage.is_outgrown = True
    become(recording, tensor, grown)


def _capacity(state: TensorState) -> Extent | None:
    """Give the number of elements from the tensor's first one on; None where its memory is not the root's."""
    root = state.storage.root
    if root.dtype is not state.spec.dtype or not is_dense(root.shape, root.strides):
        return None
    return root.numel - (state.spec.offset - root.offset)


def _is_at_most(left: Extent, right: Extent) -> bool:
    return bool(left <= right)


def _restrided(
    recording: OpRecording, state: TensorState, shape: Shape, strides: Shape
) -> AbstractTensor:
    storage = state.storage
    spec = TensorSpec(shape, strides, state.spec.dtype, state.spec.device, state.spec.offset)
    root = TensorState(storage.root, storage, (), storage.value)
    place = (_extents(shape), _extents(strides), to_arg(spec.offset - storage.root.offset))
    step = ViewStep("aten.as_strided.default", place, (), (), storage.root, spec, None)
    return recording.take_view(root, step)


def _grown(
    recording: OpRecording, tensor: AbstractTensor, shape: Shape, strides: Shape
) -> AbstractTensor:
    """Make new memory that begins with the old elements, in the order they lie in memory; nothing was written to the rest."""
    state, builder = tensor.state, recording.builder
    old = numel_of(state.spec.shape)
    if old != 0 and not state.spec.is_contiguous():
        raise Unsupported(
            "a tensor with gaps in its memory that is resized to more elements",
            why="which of its elements are kept depends on memory that it does not show",
            remedy="make it contiguous first",
        )
    dtype, device = state.spec.dtype, state.spec.device
    if old == 0:
        spec = TensorSpec(shape, strides, dtype, device)
        return recording.fresh(spec, emit_empty(builder, spec))
    more = numel_of(shape) - old
    blank, whole = (TensorSpec((size,), (1,), dtype, device) for size in (more, old + more))
    pieces = (
        reshape_value(builder, read(builder, state), (old,)),
        emit_empty(builder, blank),
    )
    joined = builder.emit(
        "aten.cat.default", (ListArg(tuple(map(Ref, pieces))), LiteralArg(0)), (), whole
    )
    memory = recording.fresh(whole, joined)
    return _restrided(recording, memory.state, shape, strides)


def _extents(extents: Sequence[Extent]) -> ListArg:
    return ListArg(tuple([to_arg(extent) for extent in extents]))
