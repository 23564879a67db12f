"""Storages, views and in-place ops, made functional.

In:  tensors that share memory.   Out: for each read, the value that the memory holds now; for each write, a new value
of the storage's root.

    y = x.view(4)[1]; y.add_(1); return x
      %1 = view(%0, [4]); %2 = select(%1, 0, 1); %3 = add(%2, 1)
      %4 = select_scatter(%1, %3, 0, 1); %5 = view(%4, [2, 2]); return %5

Keeps: a tensor's spec never changes; its value is made anew from the root, by the views that led to it, when the
storage was written to since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from graphwright.base.errors import Unsupported
from graphwright.ir.aten import Arg, DTypeArg, KwArg, ListArg, LiteralArg, MemoryFormatArg, Ref
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.record.abstract import Origin, TensorState, ViewStep
from graphwright.record.arguments import to_arg
from graphwright.record.layout import (
    Shape,
    contiguous_strides,
    is_dense,
    is_known_empty,
    same_extents,
)
from graphwright.record.overlap import repeats_places
from graphwright.record.shapes import find_rule
from graphwright.record.shapes.view import view_strides
from graphwright.record.sizes import Extent
from graphwright.record.specs import TensorSpec

if TYPE_CHECKING:
    from graphwright.record.builder import GraphBuilder

_RESHAPING: Final = frozenset(
    ("aten.view.default", "aten._unsafe_view.default", "aten._reshape_alias.default")
)


def read(builder: GraphBuilder, state: TensorState) -> int:
    """Give the tensor's current value, adding view nodes if its storage was written to since the last read."""
    storage = state.storage
    if storage.is_late:
        raise _written_late()
    if state.version != storage.version:
        value = storage.value
        for step in state.recipe:
            value = apply_step(builder, step, value)
        state.value = value
        state.version = storage.version
    return state.value


def _written_late() -> Unsupported:
    return Unsupported(
        "a use of an `out=` tensor, after the call that writes to it",
        why="the size or the values of what is written depend on the values of tensors, so the call is made after the graph has run",
        remedy="return it as it is, or move what follows out of the compiled function",
    )


def apply_step(builder: GraphBuilder, step: ViewStep, value: int) -> int:
    """Take one view of a value."""
    own = builder.specs[value]
    if not same_extents(own.strides, step.source.strides):
        if (
            step.op in _RESHAPING
            and view_strides(own.shape, own.strides, step.target.shape) is None
        ):
            value = _contiguous(builder, value)
            return reshape_value(builder, value, step.target.shape)
        if step.op == "aten.as_strided.default":
            value = _with_strides(builder, value, step.source)
    target = _target_on(step, builder.specs[value])
    if step.result_index is None:
        return builder.emit(step.op, (Ref(value), *step.args), step.kwargs, target)
    return _one_of_many(builder, step, value, target)


def _target_on(step: ViewStep, own: TensorSpec) -> TensorSpec:
    """Give the spec of a view of a value whose strides may differ from those of the tensor it stands for."""
    if same_extents(own.strides, step.source.strides):
        return step.target
    rule = find_rule(step.op)
    assert rule is not None, f"{step.op} was recorded by a rule"
    made: TensorSpec | tuple[TensorSpec, ...] = rule(own, *step.inverse_args)
    return made if isinstance(made, TensorSpec) else made[step.result_index or 0]


def write(builder: GraphBuilder, state: TensorState, value: int) -> None:
    """Make `value` what the tensor holds from now on, in all tensors that share its memory."""
    storage = state.storage
    if storage.is_late:
        raise _written_late()
    if storage.origin is Origin.SHARED_CONSTANT:
        raise Unsupported(
            "an in-place change of a tensor that is neither an input nor made by the program",
            why="the tensor was found by value only, so the change could not be put back into it",
            remedy="pass the tensor as an argument, or keep it as an attribute or global of the program",
        )
    check_places_differ(state.spec)
    if repeats_places(state.spec) or repeats_places(storage.root):
        raise Unsupported(
            "an in-place change of an expanded tensor, or of one whose windows overlap",
            why="several elements share one place in memory",
            remedy="clone the tensor before it is changed",
        )
    value = _restride(builder, value, state)
    own = value
    parents = [storage.value]
    for step in state.recipe[:-1]:
        parents.append(apply_step(builder, step, parents[-1]))
    for step, parent in zip(reversed(state.recipe), reversed(parents), strict=False):
        value = _undo_step(builder, step, parent, value)
    storage.value = value
    storage.version += 1
    builder.written.append(storage)
    state.value = own
    state.version = storage.version


def check_places_differ(spec: TensorSpec) -> None:
    """Refuse, in eager's words, to write to a tensor that shows a place of its memory twice.

    Raises:
        RuntimeError: it does.
    """
    if _is_expanded(spec):
        msg = "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
        raise RuntimeError(msg + "Please clone() the tensor before performing the operation.")


def _is_expanded(spec: TensorSpec) -> bool:
    return not is_known_empty(spec.shape) and any(
        isinstance(stride, int) and stride == 0 and not (isinstance(extent, int) and extent <= 1)
        for extent, stride in zip(spec.shape, spec.strides, strict=True)
    )


def _restride(builder: GraphBuilder, value: int, state: TensorState) -> int:
    """Give the value the tensor's strides where it fills its memory; else the next views of it may differ."""
    wanted = state.spec
    if builder.specs[value].strides == wanted.strides or not is_dense(wanted.shape, wanted.strides):
        return value
    return _with_strides(builder, value, wanted)


def _with_strides(builder: GraphBuilder, value: int, wanted: TensorSpec) -> int:
    own = builder.specs[value]
    if not is_dense(wanted.shape, wanted.strides):
        raise Unsupported(
            "an in-place change of a tensor with gaps or overlaps in its memory, which is then viewed by strides",
            why="the new values have no such gaps, so the view would read other elements",
            remedy="make the tensor contiguous first",
        )
    if wanted.strides == contiguous_strides(wanted.shape):
        return _contiguous(builder, value)
    spec = TensorSpec(wanted.shape, wanted.strides, own.dtype, own.device)
    blank = emit_empty(builder, spec)
    return builder.emit("aten.copy.default", (Ref(blank), Ref(value)), (), spec)


def emit_empty(builder: GraphBuilder, spec: TensorSpec) -> int:
    """Make memory that nothing was written to."""
    sizes = (_extents_arg(spec.shape), _extents_arg(spec.strides))
    options = (
        KwArg("dtype", DTypeArg(FROM_TORCH[spec.dtype])),
        KwArg("device", to_arg(spec.device)),
    )
    return builder.emit("aten.empty_strided.default", sizes, options, spec)


def _contiguous(builder: GraphBuilder, value: int) -> int:
    own = builder.specs[value]
    spec = TensorSpec(own.shape, contiguous_strides(own.shape), own.dtype, own.device)
    kwargs = (KwArg("memory_format", MemoryFormatArg("contiguous_format")),)
    return builder.emit("aten.clone.default", (Ref(value),), kwargs, spec)


def reshape_value(builder: GraphBuilder, value: int, shape: Shape) -> int:
    """Reshape a value, copying it first where its strides do not allow a view."""
    own = builder.specs[value]
    strides = view_strides(own.shape, own.strides, shape)
    if strides is None:
        value = _contiguous(builder, value)
        strides = contiguous_strides(shape)
    spec = TensorSpec(shape, strides, own.dtype, own.device)
    return builder.emit("aten.view.default", (Ref(value), _extents_arg(shape)), (), spec)


def _one_of_many(builder: GraphBuilder, step: ViewStep, value: int, target: TensorSpec) -> int:
    """Make one of the results of an op that gives several views, as a select or slice."""
    op = "aten.select.int" if step.op == "aten.unbind.int" else "aten.slice.Tensor"
    return builder.emit(op, (Ref(value), *_split_place(step)), (), target)


def _split_place(step: ViewStep) -> tuple[Arg, ...]:
    """Give the arguments of the slice or select that is one result of a split."""
    index = step.result_index or 0
    rest = step.inverse_args
    if step.op == "aten.unbind.int":
        return to_arg(rest[0] if rest else 0), LiteralArg(index)
    dim = rest[1] if len(rest) > 1 else 0
    sizes = rest[0]
    start: Extent = sum(sizes[:index]) if isinstance(sizes, (list, tuple)) else sizes * index
    return to_arg(dim), to_arg(start), to_arg(start + step.target.shape[dim])


def _undo_step(builder: GraphBuilder, step: ViewStep, parent: int, value: int) -> int:
    """Put a new value of a view back into the parent's."""
    undo = _UNDO.get(step.op, _undo_by_strides)
    result = undo(builder, step, parent, value)
    source = step.source
    if builder.specs[result].strides == source.strides or not is_dense(
        source.shape, source.strides
    ):
        return result
    return _with_strides(builder, result, source)


_Undo = Callable[["GraphBuilder", ViewStep, int, int], int]


def _undo_reshape(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    return reshape_value(builder, value, step.source.shape)


def _undo_expand(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    if step.source.numel != step.target.numel:
        raise Unsupported(
            "an in-place change of an expanded tensor",
            why="several of its elements share one place in memory",
            remedy="clone the tensor before it is changed",
        )
    return reshape_value(builder, value, step.source.shape)


def _undo_permute(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    ndim = step.target.ndim
    order = [dim % ndim for dim in step.inverse_args[0]]
    back = [order.index(dim) for dim in range(ndim)]
    own = builder.specs[value]
    spec = TensorSpec(
        tuple(own.shape[dim] for dim in back),
        tuple(own.strides[dim] for dim in back),
        own.dtype,
        own.device,
    )
    return builder.emit("aten.permute.default", (Ref(value), _extents_arg(back)), (), spec)


def _undo_transpose(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    ndim = step.target.ndim
    first, second = step.inverse_args if step.op == "aten.transpose.int" else (0, ndim - 1)
    order = list(range(ndim))
    if ndim:
        order[first], order[second] = order[second], order[first]
    own = builder.specs[value]
    spec = TensorSpec(
        tuple(own.shape[dim] for dim in order),
        tuple(own.strides[dim] for dim in order),
        own.dtype,
        own.device,
    )
    return builder.emit("aten.permute.default", (Ref(value), _extents_arg(order)), (), spec)


def _scatter_spec(builder: GraphBuilder, parent: int) -> TensorSpec:
    own = builder.specs[parent]
    return TensorSpec(own.shape, own.strides, own.dtype, own.device)


def _undo_select(builder: GraphBuilder, step: ViewStep, parent: int, value: int) -> int:
    args = (Ref(parent), Ref(value), *step.args)
    return builder.emit("aten.select_scatter.default", args, (), _scatter_spec(builder, parent))


def _undo_slice(builder: GraphBuilder, step: ViewStep, parent: int, value: int) -> int:
    args = (Ref(parent), Ref(value), *step.args)
    return builder.emit("aten.slice_scatter.default", args, (), _scatter_spec(builder, parent))


def _undo_diagonal(builder: GraphBuilder, step: ViewStep, parent: int, value: int) -> int:
    args = (Ref(parent), Ref(value), *step.args)
    return builder.emit("aten.diagonal_scatter.default", args, (), _scatter_spec(builder, parent))


def _undo_split(builder: GraphBuilder, step: ViewStep, parent: int, value: int) -> int:
    args = (Ref(parent), Ref(value), *_split_place(step))
    op = (
        "aten.select_scatter.default"
        if step.op == "aten.unbind.int"
        else "aten.slice_scatter.default"
    )
    return builder.emit(op, args, (), _scatter_spec(builder, parent))


def _undo_dtype(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    dtype = DTypeArg(FROM_TORCH[step.source.dtype])
    spec = TensorSpec(
        step.source.shape,
        contiguous_strides(step.source.shape),
        step.source.dtype,
        step.source.device,
    )
    return builder.emit("aten.view.dtype", (Ref(_contiguous(builder, value)), dtype), (), spec)


def _undo_flag(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    """Conjugate or negate once more: both undo themselves."""
    own = builder.specs[value]
    spec = TensorSpec(own.shape, own.strides, own.dtype, own.device)
    return builder.emit(step.op, (Ref(value),), (), spec)


def _undo_view_as_complex(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    own, source = builder.specs[value], step.source
    strides = (*(stride * 2 for stride in own.strides), 1)
    spec = TensorSpec(source.shape, strides, source.dtype, source.device)
    return builder.emit("aten.view_as_real.default", (Ref(value),), (), spec)


def _undo_view_as_real(builder: GraphBuilder, step: ViewStep, _parent: int, value: int) -> int:
    source = step.source
    spec = TensorSpec(source.shape, contiguous_strides(source.shape), source.dtype, source.device)
    return builder.emit(
        "aten.view_as_complex.default", (Ref(_contiguous(builder, value)),), (), spec
    )


def _undo_by_strides(builder: GraphBuilder, step: ViewStep, parent: int, value: int) -> int:
    """Undo any view by its strides, on a parent that has the memory layout it had when the view was taken."""
    target, source = step.target, step.source
    if target.dtype is not source.dtype:
        raise Unsupported(
            f"an in-place change of a view made by {step.op}",
            why="graphwright cannot put the new values back into the viewed tensor",
            remedy="change the tensor itself instead of the view",
        )
    if (
        builder.specs[parent].strides != source.strides
        or builder.specs[parent].offset != source.offset
    ):
        parent = _with_strides(builder, parent, source)
    offset = target.offset - source.offset
    args = (
        Ref(parent),
        Ref(value),
        _extents_arg(target.shape),
        _extents_arg(target.strides),
        to_arg(offset),
    )
    return builder.emit("aten.as_strided_scatter.default", args, (), _scatter_spec(builder, parent))


def _extents_arg(extents: tuple[Extent, ...] | list[int]) -> ListArg:
    return ListArg(tuple([to_arg(extent) for extent in extents]))


_UNDO: Final[dict[str, _Undo]] = {
    "aten.view.default": _undo_reshape,
    "aten._unsafe_view.default": _undo_reshape,
    "aten._reshape_alias.default": _undo_reshape,
    "aten.unsqueeze.default": _undo_reshape,
    "aten.squeeze.default": _undo_reshape,
    "aten.squeeze.dim": _undo_reshape,
    "aten.squeeze.dims": _undo_reshape,
    "aten.expand.default": _undo_expand,
    "aten.permute.default": _undo_permute,
    "aten.transpose.int": _undo_transpose,
    "aten.t.default": _undo_transpose,
    "aten.select.int": _undo_select,
    "aten.slice.Tensor": _undo_slice,
    "aten.diagonal.default": _undo_diagonal,
    "aten.split.Tensor": _undo_split,
    "aten.split_with_sizes.default": _undo_split,
    "aten.unbind.int": _undo_split,
    "aten.view.dtype": _undo_dtype,
    "aten.view_as_real.default": _undo_view_as_real,
    "aten._conj.default": _undo_flag,
    "aten._neg_view.default": _undo_flag,
    "aten.view_as_complex.default": _undo_view_as_complex,
}
