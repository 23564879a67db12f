# ruff: noqa: FBT001, FBT002, FBT003, PLR0913  (torch's own arguments, in torch's order)
"""Public functions that torch composes in a way that cannot be recorded, composed anew.

In:  the arguments of the public call.   Out: the same result, from ops that can be recorded.
Each entry says what stands in the way of torch's own composition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch._C._nn import linear, one_hot

from graphwright.base.errors import Unsupported
from graphwright.record.abstract import AbstractTensor, NeedsValues, Origin, data_access
from graphwright.record.layout import is_dense, prefers_channels_last
from graphwright.record.overlap_checks import check_apart
from graphwright.record.reshaping import set_data, take_state

Substitute = Callable[..., Any]


_check: Final[Callable[[torch.Tensor, str], None]] = torch._assert_async  # noqa: SLF001  (no public name)
"""Raises what it is told when the graph runs, where a tensor is false then."""


def _one_hot(tensor: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
    """Compare with the class numbers; torch's own reads the data to check that they are in range, where the graph asks."""
    if tensor.dtype is not torch.int64:
        message = "one_hot is only applicable to index tensor of type LongTensor."
        raise RuntimeError(message)
    if num_classes == -1:
        raise data_access("`one_hot` without `num_classes`")
    if tensor.numel() == 0 and num_classes <= 0:
        message = "Can not infer total number of classes from empty tensor."
        raise RuntimeError(message)
    _check((tensor >= 0).all(), "Class values must be non-negative.")
    _check((tensor < num_classes).all(), "Class values must be smaller than num_classes.")
    if num_classes < 0:
        return torch.empty((*tensor.shape, 0), dtype=torch.int64, device=tensor.device)
    classes = torch.arange(num_classes, device=tensor.device)
    return (tensor.contiguous().unsqueeze(-1) == classes).to(torch.int64)


def _max_pool1d(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Give the layout of the kernel that makes no positions, which eager takes where no gradient is wanted."""
    pooled: Any = F.max_pool1d(tensor, *args, **kwargs)
    has_gradient = tensor.requires_grad and torch.is_grad_enabled()
    return pooled if has_gradient or isinstance(pooled, tuple) else pooled.contiguous()


def _channel_shuffle(tensor: torch.Tensor, groups: int) -> torch.Tensor:
    """Keep channels last, as the kernel does that eager has; torch's own operations for others do not."""
    shuffled = torch.channel_shuffle(tensor, groups)
    if not prefers_channels_last(tensor.shape, tensor.stride()):
        return shuffled
    is_flat = tensor.ndim == 4
    memory_format = torch.channels_last if is_flat else torch.channels_last_3d
    return shuffled.contiguous(memory_format=memory_format)


def _lstm(*args: Any) -> Any:
    """Unroll an LSTM that is to be differentiated; the oneDNN layer saves a workspace whose size nothing tells."""
    is_packed = isinstance(args[3], (list, tuple))
    tensors = [args[0], *(args[2] if is_packed else args[1]), *(args[3] if is_packed else args[2])]
    if is_packed or not torch.is_grad_enabled() or not any(item.requires_grad for item in tensors):
        return torch.lstm(*args)
    return _unrolled_lstm(*args)


def _unrolled_lstm(
    sequence: torch.Tensor,
    states: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    is_training: bool,
    is_bidirectional: bool,
    is_batch_first: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    if is_batch_first:
        sequence = sequence.transpose(0, 1)
    num_directions = 2 if is_bidirectional else 1
    per_layer = len(weights) // (num_layers * num_directions)
    hidden, cells = states[0].unbind(0), states[1].unbind(0)
    last_hidden: list[torch.Tensor] = []
    last_cells: list[torch.Tensor] = []
    for layer in range(num_layers):
        outputs = []
        for direction in range(num_directions):
            number = layer * num_directions + direction
            own = weights[number * per_layer : (number + 1) * per_layer]
            steps = list(sequence.unbind(0))
            if direction:
                steps.reverse()
            given, h, c = _lstm_layer(
                steps, hidden[number], cells[number], own, has_biases=has_biases
            )
            if direction:
                given.reverse()
            outputs.append(torch.stack(given))
            last_hidden.append(h)
            last_cells.append(c)
        sequence = torch.cat(outputs, -1) if is_bidirectional else outputs[0]
        if dropout and is_training and layer + 1 < num_layers:
            sequence = torch.dropout(sequence, dropout, True)
    if is_batch_first:
        sequence = sequence.transpose(0, 1)
    return sequence, torch.stack(last_hidden), torch.stack(last_cells)


def _lstm_layer(
    steps: Sequence[torch.Tensor],
    h: torch.Tensor,
    c: torch.Tensor,
    weights: Sequence[torch.Tensor],
    *,
    has_biases: bool,
) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    num_biases = 2 if has_biases else 0
    first_bias, second_bias = weights[2:4] if has_biases else (None, None)
    projection = weights[2 + num_biases] if len(weights) > 2 + num_biases else None
    given: list[torch.Tensor] = []
    for step in steps:
        gates = linear(step, weights[0], first_bias) + linear(h, weights[1], second_bias)
        enter, forget, fresh, leave = gates.chunk(4, -1)
        c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(fresh)
        h = torch.sigmoid(leave) * torch.tanh(c)
        if projection is not None:
            h = linear(h, projection)
        given.append(h)
    return given, h, c


def _set_data(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Follow `tensor.data = value`: the tensor becomes another view of the value's memory."""
    if not isinstance(tensor, AbstractTensor) or not isinstance(value, AbstractTensor):
        set_data(tensor, value)
        return
    if tensor.state.storage.origin is Origin.INPUT:
        raise Unsupported(
            "an assignment to `.data` of a tensor that existed before the call",
            why="the caller's tensor would have to be pointed at other memory",
            remedy="use `tensor.copy_(value)` under torch.no_grad()",
        )
    set_data(tensor, value)
    take_state(tensor, value.state)


def _requires_grad(tensor: torch.Tensor, requires_grad: bool = True) -> torch.Tensor:
    """Follow `tensor.requires_grad_()`; the caller's tensor would not."""
    if bool(requires_grad) != tensor.requires_grad and _is_stand_in(tensor):
        raise Unsupported(
            "a change of `requires_grad` of a tensor that existed before the call",
            why="what autograd keeps of the caller's tensor is not changed by a graph",
            remedy="change it outside the compiled function, or detach the tensor first",
        )
    return tensor.requires_grad_(requires_grad)


def _set_requires_grad(tensor: torch.Tensor, requires_grad: bool) -> None:
    """Follow `tensor.requires_grad = True`, which refuses every tensor with a history."""
    if tensor.is_leaf:
        _requires_grad(tensor, requires_grad)
    else:
        _REQUIRES_GRAD.__set__(tensor, requires_grad)


def _retain_grad(tensor: torch.Tensor) -> None:
    """Refuse `tensor.retain_grad()`."""
    raise Unsupported(
        "a call of retain_grad()",
        why="the gradient would have to be kept when gradients are computed, after the program has ended",
        remedy="call it outside the compiled function",
    )


_REQUIRES_GRAD: Final[Any] = torch.Tensor.requires_grad


def _is_stand_in(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor stands for one that existed before the call."""
    if not isinstance(tensor, AbstractTensor):
        return False
    return any(tensor is one for one in tensor.handler.inputs)


def _placed(function: Callable[..., torch.Tensor]) -> Substitute:
    """Count a place in memory from where the input begins that owns it, as the recorder does, instead of from the beginning."""

    def substitute(
        tensor: torch.Tensor, size: Any, stride: Any, storage_offset: int | None = None
    ) -> torch.Tensor:
        if storage_offset is not None:
            storage_offset = storage_offset - _start_of_memory(tensor)
            if storage_offset < 0:
                raise NeedsValues(
                    "as_strided with a storage offset before the beginning of a tensor that existed before the call",
                    why="what a graph reads of its inputs begins where they do",
                    remedy="call it on a tensor that begins earlier in that memory",
                )
        return function(tensor, size, stride, storage_offset)

    return substitute


def _storage_offset(tensor: torch.Tensor) -> int:
    """Count from the beginning of the memory, where the recorder counts from where the input begins that owns it."""
    return int(tensor.storage_offset()) + _start_of_memory(tensor)


def _start_of_memory(tensor: torch.Tensor) -> int:
    """Give what the offsets of a stand-in are counted from, as its own offset in the real memory, in its elements."""
    if not isinstance(tensor, AbstractTensor):
        return 0
    storage = tensor.state.storage
    if storage.origin is Origin.INPUT:
        assert storage.input_index is not None, "an input has a number"
        place_bytes = tensor.handler.place_of_input(storage.input_index)
        if place_bytes % tensor.dtype.itemsize == 0:
            return place_bytes // tensor.dtype.itemsize
    elif storage.origin is not Origin.SHARED_CONSTANT:
        return 0
    raise NeedsValues(
        "a look at where in its memory a tensor begins, of which only its elements are known",
        why="it is a constant of the graph, or begins between two elements of the dtype that it is viewed as",
        remedy="pass the tensor as an argument, and leave the storage offset out",
    )


_TAKE_PLACE: Final = (torch.as_strided, torch.Tensor.as_strided, torch.Tensor.as_strided_)


def _writing_last(function: Callable[..., torch.Tensor]) -> Substitute:
    """Compute first and write to `out=` then; torch's own loses `out=` where it meets a tensor subclass."""

    def substitute(*args: Any, out: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        result = function(*args, **kwargs)
        if out is None:
            return result
        check_apart(function.__name__, out, args)
        torch.ops.aten.clone.out(result, out=out)
        return out

    return substitute


def _lu_solve(
    factors: torch.Tensor,
    pivots: torch.Tensor,
    B: torch.Tensor,  # noqa: N803  (torch's name for it)
    *,
    left: bool = True,
    adjoint: bool = False,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Solve `X A = B` as its adjoint, as torch's own does; the pending conjugation of its result is found by no shape rule."""
    # Torch's own checks of the arguments; where its result is not used, it is not computed.
    plain: torch.Tensor = torch.linalg.lu_solve(factors, pivots, B, left=left, adjoint=adjoint)
    if left or not torch.is_complex(B) or not plain.numel():
        if out is not None:
            torch.linalg.lu_solve(factors, pivots, B, left=left, adjoint=adjoint, out=out)
        return plain if out is None else out
    if out is not None:
        raise NeedsValues(
            "`torch.linalg.lu_solve` of complex numbers from the right into `out=`",
            why="it conjugates the tensor itself that it is given, with what that holds",
            remedy="leave out= out",
        )
    turned: torch.Tensor = torch.linalg.lu_solve(factors, pivots, B.mH, adjoint=not adjoint)
    return turned.mH


def _graded_in_place(function: Callable[..., torch.Tensor]) -> Substitute:
    """Give the reflectors' gradient their strides; for tensor subclasses torch's own joins it from columns."""

    def substitute(reflectors: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        shape, strides = reflectors.shape, reflectors.stride()
        has_gradient = torch.is_grad_enabled() and reflectors.requires_grad
        if has_gradient and is_dense(shape, strides):
            reflectors = reflectors.as_strided(shape, strides)
        return function(reflectors, *args, **kwargs)

    return substitute


def _filled(function: Callable[..., torch.Tensor], *, is_in_place: bool) -> Substitute:
    """Fill by a mask with a number that has a gradient; the formula of `index_fill` looks for the indices that are given twice."""

    def substitute(tensor: torch.Tensor, dim: int, index: torch.Tensor, value: Any) -> torch.Tensor:
        has_gradient = isinstance(value, torch.Tensor) and value.requires_grad
        if not has_gradient or not torch.is_grad_enabled():
            return function(tensor, dim, index, value)
        # Torch's own checks of the arguments; where its result is not used, it is not computed.
        torch.index_fill(tensor.detach(), dim, index, value.detach())
        sizes = [1] * tensor.dim()
        if sizes:
            sizes[dim] = tensor.shape[dim]
        is_filled = torch.zeros(sizes, dtype=torch.bool, device=tensor.device)
        target = tensor if is_in_place else tensor.clone()
        return target.masked_fill_(is_filled.index_fill(dim, index, True), value)

    return substitute


def _refused(name: str) -> Substitute:
    """Refuse a method that goes over the elements in memory without asking whether there are any."""

    def substitute(tensor: Any, *args: Any) -> Any:
        if any(isinstance(value, AbstractTensor) for value in (tensor, *args)):
            raise data_access(f"`Tensor.{name}`, which calls a function for each element")
        return getattr(torch.Tensor, name)(tensor, *args)

    return substitute


_OVER_ELEMENTS: Final = ("apply_", "map_", "map2_")

_OF_REFLECTORS: Final = (
    torch.linalg.householder_product,
    torch.orgqr,
    torch.ormqr,
    torch.Tensor.orgqr,
    torch.Tensor.ormqr,
)
_LOSE_OUT: Final = (torch.matmul, torch.linalg.matmul, torch.linalg.matrix_rank)

SUBSTITUTES: Final[dict[Any, Substitute]] = {
    one_hot: _one_hot,
    torch.channel_shuffle: _channel_shuffle,
    **dict.fromkeys((torch.max_pool1d, F.max_pool1d), _max_pool1d),
    torch.lstm: _lstm,
    set_data: _set_data,
    torch.linalg.lu_solve: _lu_solve,
    torch.Tensor.storage_offset: _storage_offset,
    torch.Tensor.requires_grad_: _requires_grad,
    _REQUIRES_GRAD.__set__: _set_requires_grad,
    torch.Tensor.retain_grad: _retain_grad,
    **{function: _placed(function) for function in _TAKE_PLACE},
    **{function: _writing_last(function) for function in _LOSE_OUT},
    **{function: _graded_in_place(function) for function in _OF_REFLECTORS},
    **{getattr(torch.Tensor, name): _refused(name) for name in _OVER_ELEMENTS},
    torch.index_fill: _filled(torch.index_fill, is_in_place=False),
    torch.Tensor.index_fill: _filled(torch.Tensor.index_fill, is_in_place=False),
    torch.Tensor.index_fill_: _filled(torch.Tensor.index_fill_, is_in_place=True),
}
"""By the function that torch hands to a function mode."""
