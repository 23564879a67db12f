"""Writing the nodes that a node is decomposed into.

In: values of the graph, and calls for pointwise ops, reductions, casts and views.   Out: nodes with metadata of their own.
Keeps: static shapes only; results of intermediate nodes are laid out as their operand is, where that is dense, else row-major.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

import msgspec

from graphwright.ir.aten import (
    Arg,
    AtenNode,
    DTypeArg,
    FloatArg,
    KwArg,
    ListArg,
    LiteralArg,
    MemoryFormatArg,
    Ref,
    TensorMeta,
)
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.lookups import CHECK_LOOKUP, describe_lookup
from graphwright.ir.strides import is_dense, is_row_major, row_major
from graphwright.ir.symint import Dim

Operand = int | float | Ref
"""A value, or a number."""

_NARROW: Final = frozenset({DType.FLOAT16, DType.BFLOAT16})


class Emitter:
    """Writes the nodes of one decomposition.

    Args:
        metas: metadata of the graph's values by number; grows with the new ones.
        loc: the user's line.
        read: the values that the graph reads.
    """

    def __init__(self, metas: list[TensorMeta], loc: Loc | None, read: Container[int] = ()) -> None:
        self.nodes: list[AtenNode] = []
        self._read = read
        self._metas = metas
        self._loc = loc

    def meta(self, value: Ref) -> TensorMeta:
        """Give the metadata of a value."""
        return self._metas[value.id]

    def shape(self, value: Ref) -> tuple[int, ...]:
        """Give the (static) shape of a value."""
        return static_shape(self._metas[value.id])

    def dtype(self, value: Ref) -> DType:
        """Give the element type of a value."""
        return self._metas[value.id].dtype

    def pointwise(self, op: str, *operands: Operand, dtype: DType | None = None) -> Ref:
        """Apply a pointwise op to operands that broadcast; the result has `dtype`, else the first tensor's."""
        tensors = [operand for operand in operands if isinstance(operand, Ref)]
        shape = broadcast([self.shape(tensor) for tensor in tensors])
        strides = self._strides_like(tensors, shape)
        result = dtype if dtype is not None else self.dtype(tensors[0])
        meta = TensorMeta(result, shape, strides, self.meta(tensors[0]).device)
        return self.node(op, [as_argument(operand) for operand in operands], meta)

    def cast(self, value: Ref, dtype: DType) -> Ref:
        """Convert to `dtype`."""
        meta = self.meta(value)
        if meta.dtype is dtype:
            return value
        shape = self.shape(value)
        strides = self._strides_like([value], shape)
        kwargs = (KwArg("dtype", DTypeArg(dtype)),)
        result = TensorMeta(dtype, shape, strides, meta.device)
        return self.node("aten._to_copy.default", [value], result, kwargs)

    def widened(self, value: Ref) -> Ref:
        """Convert narrow floats to float32, as eager's kernels do inside."""
        return self.cast(value, DType.FLOAT32) if self.dtype(value) in _NARROW else value

    def reduce(
        self, op: str, value: Ref, axes: Sequence[int], *, dtype: DType | None = None
    ) -> Ref:
        """Reduce over `axes`, which stay with extent 1."""
        meta = self.meta(value)
        shape = tuple(
            1 if axis in axes else extent for axis, extent in enumerate(self.shape(value))
        )
        strides = reduced_strides(self.shape(value), meta.strides, shape)
        args: list[Arg] = [value, as_list(axes), LiteralArg(value=True)]
        result = TensorMeta(dtype or meta.dtype, shape, strides, meta.device)
        return self.node(op, args, result)

    def view(self, value: Ref, shape: Sequence[int]) -> Ref:
        """See a row-major value in another shape."""
        if tuple(shape) == self.shape(value):
            return value
        meta = self.meta(value)
        assert is_row_major(*static_layout(meta)), "only row-major values are seen in another shape"
        result = msgspec.structs.replace(meta, shape=tuple(shape), strides=row_major(shape))
        return self.node("aten.view.default", [value, as_list(shape)], result)

    def split(self, value: Ref, axis: int, extents: tuple[int, int]) -> Ref:
        """See one axis as two, outer and inner."""
        meta = self.meta(value)
        (stride,) = static_dims([meta.strides[axis]])
        shape = (*meta.shape[:axis], *extents, *meta.shape[axis + 1 :])
        strides = (
            *meta.strides[:axis],
            stride * extents[1],
            stride,
            *meta.strides[axis + 1 :],
        )
        return self.seen_as(value, shape, strides)

    def joined(self, value: Ref, axis: int) -> Ref:
        """See an axis and the next one, that steps through its elements, as one."""
        meta = self.meta(value)
        outer, inner = static_dims(meta.shape[axis : axis + 2])
        step, own = static_dims(meta.strides[axis : axis + 2])
        assert 1 in (inner, outer) or step == own * inner, "only axes of one run are joined"
        shape = (*meta.shape[:axis], outer * inner, *meta.shape[axis + 2 :])
        kept = axis if inner == 1 else axis + 1
        strides = (*meta.strides[:axis], meta.strides[kept], *meta.strides[axis + 2 :])
        return self.seen_as(value, shape, strides)

    def permute(self, value: Ref, order: Sequence[int]) -> Ref:
        """See the axes in another order."""
        meta = self.meta(value)
        shape, strides = (
            tuple(dims[axis] for axis in order) for dims in (meta.shape, meta.strides)
        )
        result = msgspec.structs.replace(meta, shape=shape, strides=strides)
        return self.node("aten.permute.default", [value, as_list(order)], result)

    def transposed(self, value: Ref) -> Ref:
        """See a value with its last two axes exchanged."""
        *others, row, col = range(len(self.shape(value)))
        return self.permute(value, (*others, col, row))

    def seen_as(self, value: Ref, shape: Sequence[Dim], strides: Sequence[Dim]) -> Ref:
        """See a value in another shape, for which its elements lie by these strides."""
        result = msgspec.structs.replace(
            self.meta(value), shape=tuple(shape), strides=tuple(strides)
        )
        sizes = as_list(static_dims(shape))
        return self.node("aten.view.default", [value, sizes], result)

    def overlaid(self, value: Ref, shape: Sequence[int], strides: Sequence[int]) -> Ref:
        """See a value in another shape whose elements lie by these strides, several perhaps in one place."""
        meta = self.meta(value)
        result = msgspec.structs.replace(meta, shape=tuple(shape), strides=tuple(strides))
        (offset,) = static_dims([meta.offset])
        args: list[Arg] = [value, as_list(shape), as_list(strides), LiteralArg(offset)]
        return self.node("aten.as_strided.default", args, result)

    def with_axis(self, value: Ref, axis: int) -> Ref:
        """See a value with one more axis, of extent 1."""
        shape, steps = static_layout(self.meta(value))
        return self.seen_as(
            value, (*shape[:axis], 1, *shape[axis:]), (*steps[:axis], 1, *steps[axis:])
        )

    def row_major(self, value: Ref) -> Ref:
        """Give a value whose memory is row-major: the same, or a copy."""
        meta = self.meta(value)
        if is_row_major(*static_layout(meta)):
            return value
        shape = self.shape(value)
        result = TensorMeta(meta.dtype, shape, row_major(shape), meta.device)
        kwargs = (KwArg("memory_format", MemoryFormatArg("contiguous_format")),)
        return self.node("aten.clone.default", [value], result, kwargs)

    def is_read(self, value: int) -> bool:
        """Tell whether the graph reads a value of its own."""
        return value in self._read

    def node(
        self, op: str, args: Sequence[Arg], meta: TensorMeta, kwargs: Sequence[KwArg] = ()
    ) -> Ref:
        """Add a node with one result."""
        return self.first_of(1, op, args, meta, kwargs)

    def first_of(
        self,
        count: int,
        op: str,
        args: Sequence[Arg],
        meta: TensorMeta,
        kwargs: Sequence[KwArg] = (),
    ) -> Ref:
        """Add a node with `count` results, of which the first is wanted."""
        number = len(self._metas)
        self._metas.append(meta)
        results = (number,) + (-1,) * (count - 1)
        metas = (meta,) + (None,) * (count - 1)
        self.nodes.append(AtenNode(op, tuple(args), tuple(kwargs), results, metas, self._loc))
        return Ref(number)

    def fresh(self, op: str, args: Sequence[Arg], shape: Sequence[int], like: Ref) -> Ref:
        """Add a node whose result has the dtype of `like`, and a memory of its own, row by row."""
        meta = self.meta(like)
        result = TensorMeta(meta.dtype, tuple(shape), row_major(shape), meta.device)
        return self.node(op, args, result)

    def full(self, shape: Sequence[int], number: int, like: Ref) -> Ref:
        """Give a tensor of one number, of the dtype of `like`."""
        meta = self.meta(like)
        result = TensorMeta(meta.dtype, tuple(shape), row_major(shape), meta.device)
        kwargs = (KwArg("dtype", DTypeArg(meta.dtype)),)
        return self.node("aten.full.default", [as_list(shape), LiteralArg(number)], result, kwargs)

    def arange(self, start: int, stop: int, like: Ref) -> Ref:
        """Give the int64 numbers from `start` to before `stop`, on the device of `like`."""
        meta = TensorMeta(DType.INT64, (stop - start,), (1,), self.meta(like).device)
        return self.node("aten.arange.start", [LiteralArg(start), LiteralArg(stop)], meta)

    def give(self, value: Ref, result: int, meta: TensorMeta) -> None:
        """Say that `value`, converted and laid out as `meta` has it, is the decomposed node's result number `result`."""
        kwargs: tuple[KwArg, ...] = ()
        op = "aten.clone.default"
        if self.dtype(value) is not meta.dtype:
            op, kwargs = "aten._to_copy.default", (KwArg("dtype", DTypeArg(meta.dtype)),)
        self.nodes.append(AtenNode(op, (value,), kwargs, (result,), (meta,), self._loc))

    def give_filled(self, result: int, meta: TensorMeta, *, value: bool) -> None:
        """Say that result number `result` is all ones (`value` True) or zeros."""
        shape = as_list(static_shape(meta))
        kwargs = (KwArg("dtype", DTypeArg(meta.dtype)),)
        number = LiteralArg(int(value))
        self.nodes.append(
            AtenNode("aten.full.default", (shape, number), kwargs, (result,), (meta,), self._loc)
        )

    def check_values(self, node: AtenNode, passed: Sequence[Ref], is_wrong: Ref) -> None:
        """Let `node`, called with the operands `passed`, raise what it raises, where any of the flags `is_wrong` holds."""
        meta = TensorMeta(DType.BOOL, (), (), self.meta(is_wrong).device)
        is_any = self.node("aten.any.default", [is_wrong], meta)
        text = describe_lookup(node, [value.id for value in passed], self._metas)
        args = (is_any, ListArg(tuple(passed)), LiteralArg(text))
        self.nodes.append(AtenNode(CHECK_LOOKUP, args, (), (), (), self._loc))

    def checked(self, node: AtenNode, indices: Ref, low: int, high: int) -> Ref:
        """Give `indices`, brought to `low` .. `high`; `node` raises what it raises for them where that changes any."""
        safe = self.pointwise("aten.clamp.default", indices, low, high)
        differs = self.pointwise("aten.ne.Tensor", safe, indices, dtype=DType.BOOL)
        self.check_values(node, [indices], differs)
        return safe

    def slice(self, value: Ref, axis: int, start: int, extent: int) -> Ref:
        """See a part of a value along one axis."""
        meta = self.meta(value)
        shape = list(self.shape(value))
        shape[axis] = extent
        (stride,) = static_dims([meta.strides[axis]])
        (offset,) = static_dims([meta.offset])
        part = msgspec.structs.replace(meta, shape=tuple(shape), offset=offset + start * stride)
        numbers = [LiteralArg(number) for number in (axis, start, start + extent)]
        return self.node("aten.slice.Tensor", [value, *numbers], part)

    def _strides_like(self, tensors: Sequence[Ref], shape: tuple[int, ...]) -> tuple[int, ...]:
        for tensor in tensors:
            meta = self.meta(tensor)
            if static_shape(meta) == shape and is_dense(*static_layout(meta)):
                return static_dims(meta.strides)
        return row_major(shape)


def is_static(meta: TensorMeta) -> bool:
    """Tell whether shape, strides and offset are known."""
    return all(isinstance(dim, int) for dim in (*meta.shape, *meta.strides, meta.offset))


def static_shape(meta: TensorMeta) -> tuple[int, ...]:
    """Give a shape that is known to be static."""
    return static_dims(meta.shape)


def static_dims(dims: Sequence[object]) -> tuple[int, ...]:
    """Give extents that are known to be static."""
    known = tuple(dim for dim in dims if isinstance(dim, int))
    assert len(known) == len(dims), "only nodes of static shapes are decomposed"
    return known


def static_layout(meta: TensorMeta) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the shape and the strides of a tensor, known to be static."""
    return static_shape(meta), static_dims(meta.strides)


def reduced_strides(
    shape: Sequence[int], strides: Sequence[object], reduced: Sequence[int]
) -> tuple[int, ...]:
    """Give dense strides for a reduction's result, its axes in the order of the operand's."""
    known = static_dims(strides)
    order = sorted(range(len(shape)), key=lambda axis: known[axis])
    own = [1] * len(shape)
    expected = 1
    for axis in order:
        own[axis] = expected
        expected *= max(reduced[axis], 1)
    return tuple(own)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Give the shape that shapes broadcast to."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(
        next((extent for extent in extents if extent != 1), 1)
        for extents in zip(*padded, strict=True)
    )


def as_argument(operand: Operand) -> Arg:
    """Give an operand as an argument."""
    match operand:
        case Ref():
            return operand
        case float():
            return FloatArg(operand.hex())
        case _:
            return LiteralArg(operand)


def as_list(numbers: Sequence[int]) -> ListArg:
    """Give integers as a list argument."""
    return ListArg(tuple(LiteralArg(number) for number in numbers))
