"""ATen ops that are recorded in a way of their own.

In:  the op and its arguments.   Out: its results, as eager gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch._C import _current_autograd_node, _DisableTorchDispatch

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import KwArg, ListArg
from graphwright.ir.overloads import find_overload
from graphwright.record.abstract import (
    AbstractTensor,
    NeedsValues,
    Origin,
    Storage,
    TensorState,
    ViewStep,
    data_access,
)
from graphwright.record.arguments import to_arg
from graphwright.record.attention import can_use_flash
from graphwright.record.functional import read
from graphwright.record.layout import contiguous_strides, format_strides, is_dense, same_extents
from graphwright.record.mask_gradients import gradient_of_values, shape_of_values
from graphwright.record.mutation import mutate, store
from graphwright.record.op_recording import KnownOp, OpRecording
from graphwright.record.overlap_checks import check_overlaps
from graphwright.record.reshaping import check_reshaping, resize, take_state
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

Args = Sequence[Any]
Kwargs = Mapping[str, Any]
Learn = Callable[[Any], KnownOp]
"""Gives what is known of an overload."""
SpecialHandler = Callable[[OpRecording, Learn, KnownOp, Args, Kwargs], Any]


def _detach(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, _kwargs: Kwargs
) -> Any:
    """Give another tensor on the same memory; no node."""
    state = recording.state_of(args[0])
    value = read(recording.builder, state)
    return recording.wrap(TensorState(state.spec, state.storage, state.recipe, value))


def _lift_fresh(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, _kwargs: Kwargs
) -> Any:
    """Take in a tensor that the program has just made from literal data."""
    return recording.abstract_of(args[0], is_fresh=True)


def _read_scalar(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, _kwargs: Kwargs
) -> Any:
    """Give the element of a tensor that the program made from literal data and has not changed; others are not known.

    Raises:
        Unsupported: the element depends on the call.
    """
    state = recording.state_of(args[0])
    storage = state.storage
    is_literal = storage.origin is Origin.FRESH_CONSTANT and storage.version == 0
    if not is_literal or state.recipe or state.spec.numel != 1:
        raise data_access("the value of a tensor (`.item()`, or a branch on it)")
    data = recording.builder.constant_bytes_of(storage.value)
    with recording.paused():
        return torch.frombuffer(bytearray(data), dtype=state.spec.dtype)[0].item()


def _copy_into(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record `copy_`: where nothing is converted or broadcast, the source's value is the result."""
    if args[1] is args[0]:
        return args[0]
    target, source = recording.state_of(args[0]), recording.state_of(args[1])
    check_overlaps(recording, known.facts, args[:1], args)
    is_same_shape = same_extents(target.spec.shape, source.spec.shape)
    if is_same_shape and target.spec.device == source.spec.device:
        store(recording, target, read(recording.builder, source))
        return args[0]
    return mutate(recording, known, learn(known.facts.functional), args, kwargs)


def _view_in_place(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record `t_`, `unsqueeze_` and their like: the tensor itself becomes the view."""
    tensor = args[0]
    recording.state_of(tensor)  # a real tensor that the program found is refused here
    check_reshaping(tensor)
    view = _call(learn(find_overload(_VIEW_TWINS[known.facts.name])), args, kwargs)
    with recording.paused(), _DisableTorchDispatch():
        known.facts.overload(*args, **kwargs)  # only sizes and strides change
    take_state(tensor, view.state)
    return tensor


def _resize(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record `resize_` and `resize_as_`."""
    tensor, wanted = args[0], args[1]
    if isinstance(wanted, torch.Tensor):
        spec = recording.state_of(wanted).spec
        shape, own = spec.shape, spec.strides
    else:
        shape = own = tuple(recording.convert(wanted)[0])
    memory_format = args[2] if len(args) > 2 else kwargs.get("memory_format")
    strides = contiguous_strides(shape)
    if memory_format is not None:
        strides = format_strides(shape, memory_format, own)
    resize(recording, tensor, shape, strides)
    return tensor


def _as_strided(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record `as_strided`, which addresses the storage whatever view it is called on."""
    state = recording.state_of(args[0])
    rule_args, ir_args = recording.convert(args)
    rule_kwargs, _ = recording.convert_kwargs(kwargs)
    spec = recording.infer(known, rule_args, rule_kwargs)
    storage = state.storage
    if any(step.source.dtype is not step.target.dtype for step in state.recipe):
        raise Unsupported(
            "as_strided on a view of another dtype",
            why="its strides count other elements than the viewed tensor's",
            remedy="call as_strided first, then view the dtype",
        )
    _check_shown(storage, spec)
    offset = spec.offset - storage.root.offset
    root = TensorState(storage.root, storage, (), storage.value)
    place = (ir_args[1], ir_args[2], to_arg(offset))
    step = ViewStep(known.facts.name, place, (), (), storage.root, spec, None)
    return recording.take_view(root, step)


def _check_shown(storage: Storage, spec: TensorSpec) -> None:
    """Check that what is viewed by strides lies in what is known to be there.

    Raises:
        NeedsValues: it goes beyond what an input shows of its memory; how much there is nothing guards.
        RuntimeError: it goes beyond memory that the program made; in eager's words.
    """
    root = storage.root
    stop, root_stop = (item.offset + _reach(item) for item in (spec, root))
    if spec.offset >= root.offset and stop <= root_stop:
        return
    if storage.origin is Origin.INPUT or not is_dense(root.shape, root.strides):
        raise NeedsValues(
            "as_strided beyond what a tensor that existed before the call shows of its memory",
            why="how large that memory is is not guarded",
            remedy="call it on the whole tensor",
        )
    itemsize = spec.dtype.itemsize
    msg = (
        f"setStorage: sizes {list(spec.shape)}, strides {list(spec.strides)}, storage offset {spec.offset}, "
        f"and itemsize {itemsize} requiring a storage size of {stop * itemsize} are out of bounds for storage of size "
        f"{root_stop * itemsize}"
    )
    raise RuntimeError(msg)


def _reach(spec: TensorSpec) -> Extent:
    """Give the number of elements from the first in memory to the last, both included."""
    if any(extent == 0 for extent in spec.shape):
        return 0
    pairs = zip(spec.shape, spec.strides, strict=True)
    steps: Extent = 1
    for extent, stride in pairs:
        steps = steps + (extent - 1) * stride
    return steps


def _unsafe_split(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record a split of which autograd is told that its results are new tensors; they are views all the same."""
    split = learn(find_overload(known.facts.name.replace("unsafe_", "")))
    return recording.record_view(split, args, kwargs)


def _undeclared_view(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record an op that gives a view though its schema says that it gives a new tensor."""
    return recording.record_view(known, args, kwargs)


def _sizes(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, _kwargs: Kwargs
) -> list[int]:
    """Answer C++ code that knows no symbolic sizes: they are specialised."""
    return [_specialised(extent) for extent in recording.state_of(args[0]).spec.shape]


def _strides(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, _kwargs: Kwargs
) -> list[int]:
    return [_specialised(stride) for stride in recording.state_of(args[0]).spec.strides]


def _specialised(extent: Extent) -> int:
    return extent if isinstance(extent, int) else extent.specialise()


def _is_same_size(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, _kwargs: Kwargs
) -> bool:
    first, second = (recording.state_of(tensor).spec.shape for tensor in args)
    return same_extents(first, second)


def _has_same_storage_numel(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, _kwargs: Kwargs
) -> bool:
    first, second = (recording.state_of(tensor).storage.root.numel for tensor in args)
    return bool(first == second)


def _fused_attention_choice(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, kwargs: Kwargs
) -> int:
    """Answer which attention kernel eager takes on the CPU: 1 is flash, 0 the composition of plain ops."""
    states = [recording.state_of(tensor).spec for tensor in args[:3]]
    mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
    dropout = args[4] if len(args) > 4 else kwargs.get("dropout_p", 0.0)
    mask_spec = None if mask is None else recording.state_of(mask).spec
    needs_grad = mask is not None and mask.requires_grad
    return int(can_use_flash(states, mask_spec, dropout, mask_needs_grad=needs_grad))


def _native_batch_norm(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record batch norm, whose running statistics are written to in training though its schema is silent."""
    is_training = bool(args[5])
    mean, variance = args[3], args[4]
    if not is_training or mean is None or variance is None:
        return recording.record_functional(known, args, kwargs)
    op = learn(find_overload("aten._native_batch_norm_legit_functional.default"))
    return _batch_norm_and_update(recording, op, args, kwargs)


def _batch_norm_with_update(
    recording: OpRecording, learn: Learn, _known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record a batch norm that always writes to its running statistics."""
    op = learn(find_overload("aten._batch_norm_with_update_functional.default"))
    return _batch_norm_and_update(recording, op, args, kwargs)


def _batch_norm_and_update(recording: OpRecording, op: KnownOp, args: Args, kwargs: Kwargs) -> Any:
    """Record a batch norm that gives the new running statistics last, and write these to the old ones."""
    *results, new_mean, new_variance = recording.record_functional(op, args, kwargs)
    for old, new in zip(args[3:5], (new_mean, new_variance), strict=True):
        store(recording, recording.state_of(old), read(recording.builder, new.state))
    return tuple(results)


def _known_zeros(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record an op that gives zeros without memory, as backward formulas do: plain zeros, of which that is remembered."""
    rule_args, _ = recording.convert(args)
    rule_kwargs, _ = recording.convert_kwargs(kwargs)
    spec = recording.infer(known, rule_args, rule_kwargs)
    shape = ListArg(tuple([to_arg(extent) for extent in spec.shape]))
    options = (KwArg("dtype", to_arg(spec.dtype)), KwArg("device", to_arg(spec.device)))
    value = recording.builder.emit("aten.zeros.default", (shape,), options, spec)
    zeros = recording.fresh(spec, value)
    zeros.state.storage.is_known_zero = True
    return zeros


def _product(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record a product; one with zeros without memory is such zeros, also where the other factor is infinite or NaN."""
    if any(map(_is_known_zero, args)):
        return _known_zeros(recording, learn, known, args, kwargs)
    return recording.record_functional(known, args, kwargs)


def _quotient(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record a quotient; one of zeros without memory is such zeros, also where the divisor is zero or NaN."""
    if _is_known_zero(args[0]) and not _is_known_zero(args[1]):
        return _known_zeros(recording, learn, known, args, kwargs)
    return recording.record_functional(known, args, kwargs)


def _to_copy(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> Any:
    """Record a conversion; what is converted is a number where a transform of `torch.func` has made a tensor of one."""
    if isinstance(args[0], torch.Tensor):
        return recording.record_functional(known, args, kwargs)
    return _calls(learn)("aten.full.default", [], args[0], dtype=kwargs.get("dtype"))


def _truth(recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs) -> Any:
    """Record `any` or `all` over dimensions; over none, which eager takes by the letter, each element is asked alone."""
    dims = args[1] if len(args) > 1 else kwargs.get("dim")
    if dims is None or len(dims):
        return recording.record_functional(known, args, kwargs)
    call = _calls(learn)
    truth = call("aten.ne.Scalar", args[0], 0)
    is_byte = args[0].dtype is torch.uint8
    return call("aten._to_copy.default", truth, dtype=torch.uint8) if is_byte else truth


def _index(recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs) -> Any:
    """Record a lookup; one by a mask is refused, unless it is for a gradient whose size is known otherwise."""
    shape = shape_of_values()
    if shape is not None:
        gradient = gradient_of_values(_calls(learn), args[0], args[1], shape)
        if gradient is not None:
            return gradient
    return recording.record_functional(known, args, kwargs)


def _allclose(
    recording: OpRecording, learn: Learn, known: KnownOp, args: Args, kwargs: Kwargs
) -> bool:
    """Refuse to answer, but to the gradient of a complex SVD, which is to be sure that phases do not matter: the graph asks for it."""
    node: Any = _current_autograd_node()
    if node is None or node.name() != "LinalgSvdBackward0":
        raise data_access(f"`{known.facts.name}`")
    call = _calls(learn)
    is_close = call("aten.all.default", call("aten.isclose.default", *args, **kwargs))
    call("aten._assert_async.msg", is_close, _DEPENDS_ON_PHASE)
    return True


_DEPENDS_ON_PHASE: Final = (
    "svd_backward: The singular vectors in the complex case are specified up to multiplication by e^{i phi}. "
    "The specified loss function depends on this phase term, making it ill-defined."
)
"""Eager's words."""


def _is_known_zero(value: Any) -> bool:
    if type(value) is not AbstractTensor:
        return False
    storage: Storage = value.state.storage
    return storage.is_known_zero and storage.version == 0


def _call(known: KnownOp, args: Args, kwargs: Kwargs) -> Any:
    return known.handler(known, args, kwargs)


def _calls(learn: Learn) -> Callable[..., Any]:
    """Give a function that records an overload, given by name, with its arguments."""

    def call(overload: str, *args: Any, **kwargs: Any) -> Any:
        return _call(learn(find_overload(overload)), args, kwargs)

    return call


_VIEW_TWINS: Final = {
    "aten.as_strided_.default": "aten.as_strided.default",
    "aten.squeeze_.default": "aten.squeeze.default",
    "aten.squeeze_.dim": "aten.squeeze.dim",
    "aten.squeeze_.dims": "aten.squeeze.dims",
    "aten.t_.default": "aten.t.default",
    "aten.transpose_.default": "aten.transpose.int",
    "aten.unsqueeze_.default": "aten.unsqueeze.default",
}
"""Ops that change the shape of a tensor itself, and those that give a view of that shape."""

SPECIAL: Final[dict[str, SpecialHandler]] = {
    "aten.detach.default": _detach,
    "aten.alias.default": _detach,
    "aten.lift_fresh.default": _lift_fresh,
    "aten._local_scalar_dense.default": _read_scalar,
    "aten.size.default": _sizes,
    "aten.stride.default": _strides,
    "aten.is_same_size.default": _is_same_size,
    "aten._has_same_storage_numel.default": _has_same_storage_numel,
    "aten.copy_.default": _copy_into,
    "aten.as_strided.default": _as_strided,
    "aten.resize_.default": _resize,
    "aten.resize_as_.default": _resize,
    "aten.unsafe_split.Tensor": _unsafe_split,
    "aten.unsafe_split_with_sizes.default": _unsafe_split,
    "aten._unsafe_view.default": _undeclared_view,
    **dict.fromkeys(_VIEW_TWINS, _view_in_place),
    "aten._fused_sdp_choice.default": _fused_attention_choice,
    "aten.native_batch_norm.default": _native_batch_norm,
    "aten._batch_norm_with_update.default": _batch_norm_with_update,
    "aten._efficientzerotensor.default": _known_zeros,
    "aten.allclose.default": _allclose,
    "aten._to_copy.default": _to_copy,
    "aten.index.Tensor": _index,
    "aten.all.dims": _truth,
    "aten.any.dims": _truth,
    "aten.mul.Tensor": _product,
    "aten.div.Tensor": _quotient,
}
"""By overload."""
