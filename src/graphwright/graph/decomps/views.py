"""Copies of views, and their gradients: what a view shows, written down; what came back for it, put where it was.

In: nothing.   Out: `VIEWS`, overload name → `Decomposition`.
Keeps: every element as it is. Where a view shows an element, PyTorch's own rule says: it runs on `meta` tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import torch

from graphwright.graph.decomps.emitter import Emitter, as_list, static_dims, static_layout
from graphwright.graph.decomps.rules import Decomposition, give, result_meta, rows, tensor
from graphwright.ir.arguments import make_argument
from graphwright.ir.aten import Arg, AtenNode, KwArg, LiteralArg, Ref
from graphwright.ir.dtypes import FROM_TORCH, DType
from graphwright.ir.node_arguments import integer_of, integers_of, number_of
from graphwright.ir.overloads import find_overload

_COPIES: Final = (
    *("alias_copy.default", "detach_copy.default", "diagonal_copy.default", "expand_copy.default"),
    *("narrow_copy.default", "permute_copy.default", "select_copy.int", "slice_copy.Tensor"),
    *("split_copy.Tensor", "split_with_sizes_copy.default", "squeeze_copy.default"),
    *("squeeze_copy.dim", "squeeze_copy.dims", "t_copy.default", "transpose_copy.int"),
    *("unbind_copy.int", "unfold_copy.default", "unsqueeze_copy.default", "view_copy.default"),
    "view_copy.dtype",
)


def _copy_of_view(emit: Emitter, node: AtenNode) -> bool:
    """Give a copy of what the view op shows, or of each of its views."""
    x, op = tensor(node, 0), node.op.replace("_copy.", ".")
    if op == "aten.view.default" and not _can_view(emit, node):
        x = emit.row_major(x)
    shown = _on_meta(emit, x)
    args = [make_argument(arg, [shown]) for arg in (Ref(0), *node.args[1:])]
    options = {kwarg.name: make_argument(kwarg.value, [shown]) for kwarg in node.kwargs}
    views = find_overload(op)(*args, **options)
    if isinstance(views, torch.Tensor):
        give(emit, node, _see(emit, op, (x, *node.args[1:]), views, node.kwargs))
        return True
    for place, view in enumerate(views):
        if node.results[place] >= 0:
            layout = (as_list(view.shape), as_list(view.stride()))
            numbers = (x, *layout, LiteralArg(_offset(emit, x, view)))
            give(emit, node, _see(emit, "aten.as_strided.default", numbers, view), place)
    return True


def _on_meta(emit: Emitter, x: Ref) -> torch.Tensor:
    shape, strides = static_layout(emit.meta(x))
    return torch.empty_strided(shape, strides, dtype=emit.dtype(x).torch_dtype, device="meta")


def _can_view(emit: Emitter, node: AtenNode) -> bool:
    try:
        _on_meta(emit, tensor(node, 0)).view(integers_of(node.args[1]) or ())
    except RuntimeError:
        return False
    return True


def _offset(emit: Emitter, x: Ref, view: torch.Tensor) -> int:
    (offset,) = static_dims([emit.meta(x).offset])
    return offset * emit.dtype(x).size_bytes // view.dtype.itemsize + int(view.storage_offset())


def _see(
    emit: Emitter,
    op: str,
    args: tuple[Arg, ...],
    view: torch.Tensor,
    kwargs: tuple[KwArg, ...] = (),
) -> Ref:
    x = args[0]
    assert isinstance(x, Ref), "what is seen is a tensor"
    meta = msgspec.structs.replace(
        emit.meta(x),
        dtype=FROM_TORCH[view.dtype],
        shape=tuple(view.shape),
        strides=view.stride(),
        offset=_offset(emit, x, view),
    )
    return emit.node(op, args, meta, kwargs)


# Gradients of views: zeros but for what was seen


def _select_backward(emit: Emitter, node: AtenNode) -> bool:
    """select_backward(grad, sizes, dim, index)."""
    return _scatter(emit, node, "aten.select_scatter.default")


def _slice_backward(emit: Emitter, node: AtenNode) -> bool:
    """slice_backward(grad, sizes, dim, start, end, step)."""
    return _scatter(emit, node, "aten.slice_scatter.default")


def _scatter(emit: Emitter, node: AtenNode, op: str) -> bool:
    grad, meta = tensor(node, 0), result_meta(node)
    zeros = emit.full(static_dims(meta.shape), 0, grad)
    give(emit, node, emit.fresh(op, [zeros, grad, *node.args[2:]], emit.shape(zeros), grad))
    return True


# Diagonals


def _diag_embed(emit: Emitter, node: AtenNode) -> bool:
    """diag_embed(x, offset, dim1, dim2): zeros, with x on a diagonal."""
    x, offset = tensor(node, 0), integer_of(node, 1, "offset", 0)
    dims = (integer_of(node, 2, "dim1", -2), integer_of(node, 3, "dim2", -1))
    _place(emit, node, x, None, (offset, *dims))
    return True


def _diagonal_scatter(emit: Emitter, node: AtenNode) -> bool:
    """diagonal_scatter(x, source, offset, dim1, dim2): x, with another diagonal."""
    x, source, offset = tensor(node, 0), tensor(node, 1), integer_of(node, 2, "offset", 0)
    dims = (integer_of(node, 3, "dim1", 0), integer_of(node, 4, "dim2", 1))
    if emit.dtype(source) is not emit.dtype(x):
        return False
    _place(emit, node, source, x, (offset, *dims))
    return True


def _diagonal_backward(emit: Emitter, node: AtenNode) -> bool:
    """diagonal_backward(grad, sizes, offset, dim1, dim2)."""
    offset, first, second = (int(number_of(arg)) for arg in node.args[2:5])
    _place(emit, node, tensor(node, 0), None, (offset, first, second))
    return True


def _place(
    emit: Emitter, node: AtenNode, source: Ref, x: Ref | None, where: tuple[int, int, int]
) -> None:
    """Give `x` (or zeros) with `source` on the diagonal `where` says: offset, axis of rows, axis of columns."""
    shape = static_dims(result_meta(node).shape)
    offset, first, second = where[0], where[1] % len(shape), where[2] % len(shape)
    outer = [axis for axis in range(len(shape)) if axis not in (first, second)]
    order = [*outer, first, second]
    num_rows, num_columns = shape[first], shape[second]
    by_row = _one_per_row(emit, source, max(-offset, 0), num_rows)
    numbers = emit.arange(offset, offset + num_rows, source)
    is_there = emit.pointwise(
        "aten.eq.Tensor",
        emit.seen_as(numbers, (num_rows, 1), (1, 1)),
        emit.arange(0, num_columns, source),
        dtype=DType.BOOL,
    )
    other = 0 if x is None else emit.permute(x, order)
    op = "aten.where.ScalarOther" if x is None else "aten.where.self"
    placed = emit.pointwise(op, is_there, by_row, other, dtype=emit.dtype(source))
    back = sorted(range(len(order)), key=order.__getitem__)
    give(emit, node, emit.permute(placed, back))


def _one_per_row(emit: Emitter, source: Ref, before: int, num_rows: int) -> Ref:
    """See a diagonal as a column with an element for each row."""
    *outer, length = emit.shape(source)
    after = num_rows - before - length
    if before or after:
        pad: list[Arg] = [source, as_list([before, after]), LiteralArg(0)]
        source = emit.fresh("aten.constant_pad_nd.default", pad, (*outer, num_rows), source)
    return emit.seen_as(
        source, (*emit.shape(source), 1), (*static_dims(emit.meta(source).strides), 1)
    )


VIEWS: Final[Mapping[str, Decomposition]] = rows(
    *(Decomposition(f"aten.{name}", _copy_of_view) for name in _COPIES),
    Decomposition("aten.select_backward.default", _select_backward),
    Decomposition("aten.slice_backward.default", _slice_backward),
    Decomposition("aten.diagonal_backward.default", _diagonal_backward),
    Decomposition("aten.diag_embed.default", _diag_embed),
    Decomposition("aten.diagonal_scatter.default", _diagonal_scatter),
)
