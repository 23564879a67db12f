"""Tensors over memory that a plan placed.

In: a tensor that owns (or borrows) the memory, and a layout.   Out: a tensor with this layout over the same memory.
Keeps: offsets are in elements of the layout's dtype, from the first element of the tensor given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import torch

from graphwright.base.errors import InternalError
from graphwright.ir.aten import ConstantTensor, ViewKind

ALIGNMENT_BYTES = 64


def view(
    base: torch.Tensor,
    dtype: torch.dtype,
    shape: Sequence[int],
    strides: Sequence[int],
    offset: int = 0,
) -> torch.Tensor:
    """Give a tensor over the memory of `base`; autograd knows it as a view when the dtypes are one."""
    if dtype == base.dtype:
        return base.as_strided(shape, strides, base.storage_offset() + offset)
    start_bytes = base.storage_offset() * base.element_size()
    if start_bytes % dtype.itemsize:
        message = f"memory at byte {start_bytes} of its storage cannot be read as {dtype}"
        raise InternalError(message)
    whole = torch.empty(0, dtype=dtype, device=base.device)
    return whole.set_(
        base.untyped_storage(), start_bytes // dtype.itemsize + offset, shape, strides
    )


_CREATION: Final = torch._C._autograd.CreationMeta  # noqa: SLF001  (no public name)
_MODES: Final[dict[str, Callable[[], AbstractContextManager[object]]]] = {
    ViewKind.VIEW: torch.enable_grad,
    ViewKind.NO_GRAD: torch.no_grad,
    ViewKind.INFERENCE: torch.inference_mode,
}
_MARKS: Final = {
    ViewKind.ONE_OF_MANY: _CREATION.MULTI_OUTPUT_NODE,
    ViewKind.OF_FUNCTION: _CREATION.IN_CUSTOM_FUNCTION,
}


def view_as(kind: ViewKind, base: torch.Tensor, *layout: Any) -> torch.Tensor:
    """Give a tensor as `view` does, which autograd takes as it took eager's."""
    if kind is ViewKind.DETACHED:
        return view(base, *layout).detach()
    if kind is ViewKind.DATA:
        return view(base, *layout).data
    if kind in _MARKS:
        return mark_view(kind, view(base, *layout))
    is_as_usual = torch.is_grad_enabled() is (kind is ViewKind.VIEW)
    if is_as_usual and torch.is_inference_mode_enabled() is (kind is ViewKind.INFERENCE):
        return view(base, *layout)
    with _MODES[kind]():
        return view(base, *layout)


def mark_view(kind: ViewKind, made: torch.Tensor) -> torch.Tensor:
    """Let autograd refuse a write to a view where it would refuse it to eager's."""
    mark = _MARKS.get(kind)
    if mark is not None and made._is_view():  # noqa: SLF001  (the documented way)
        torch._C._autograd._set_creation_meta(made, mark)  # noqa: SLF001  (no public name)
    return made


def make_arena(size_bytes: int, device: str = "cpu") -> torch.Tensor:
    """Give aligned memory for intermediate values."""
    memory = torch.empty(size_bytes + ALIGNMENT_BYTES, dtype=torch.uint8, device=device)
    skipped = -memory.data_ptr() % ALIGNMENT_BYTES
    return memory[skipped : skipped + size_bytes]


def arena_view(
    arena: torch.Tensor,
    offset_bytes: int,
    dtype: torch.dtype,
    shape: Sequence[int],
    strides: Sequence[int],
) -> torch.Tensor:
    """Give a tensor over the arena's memory from byte `offset_bytes`."""
    return view(arena[offset_bytes:], dtype, shape, strides)


def iter_results(returned: object) -> Iterator[Any]:
    """Give what an op returned one by one, lists taken apart; None where the schema's result is not given."""
    if isinstance(returned, tuple | list):
        for item in returned:
            yield from iter_results(item)
    else:
        yield returned


def adopt(
    result: torch.Tensor,
    arguments: Sequence[torch.Tensor],
    dtype: torch.dtype,
    shape: Sequence[int],
    strides: Sequence[int],
) -> torch.Tensor:
    """Give the result of a functional call the promised strides, and memory that holds its values and that no argument has.

    Raises:
        InternalError: it has another dtype or shape than was promised; kernels would read what is not there.
    """
    # Some ops give a tensor with a pending conjugation; kernels read memory as it is.
    result = result.resolve_conj().resolve_neg()
    if result.dtype is not dtype or tuple(result.shape) != tuple(shape):
        found, promised = f"{result.dtype}{list(result.shape)}", f"{dtype}{list(shape)}"
        message = f"an op returned a tensor {found}, not {promised}"
        raise InternalError(message)
    is_placed = all(
        extent <= 1 or found == wanted
        for extent, found, wanted in zip(shape, result.stride(), strides, strict=True)
    )
    memory = result.untyped_storage().data_ptr()
    is_shared = memory != 0 and any(
        memory == argument.untyped_storage().data_ptr() for argument in arguments
    )
    if is_placed and not is_shared:
        return result
    made = torch.empty_strided(shape, strides, dtype=result.dtype, device=result.device)
    target = made
    for dim, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        if stride == 0 and extent > 1:  # an expanded tensor, whose elements along it are one
            target, result = target.narrow(dim, 0, 1), result.narrow(dim, 0, 1)
    target.copy_(result)
    return made


def make_constant_tensor(constant: ConstantTensor, device: str = "cpu") -> torch.Tensor:
    """Give the tensor that `constant` describes, in memory of its own."""
    shape = [int(extent) for extent in constant.meta.shape if isinstance(extent, int)]
    dtype = constant.meta.dtype.torch_dtype
    if constant.folded is not None:
        strides = [int(stride) for stride in constant.meta.strides if isinstance(stride, int)]
        with torch.inference_mode(mode=False):
            return torch.empty_strided(shape, strides, dtype=dtype, device=device)
    if not constant.data:
        return torch.empty(shape, dtype=dtype, device=device)
    held = torch.frombuffer(bytearray(constant.data), dtype=torch.uint8)
    made = torch.empty(shape, dtype=dtype)
    view(made, torch.uint8, (held.numel(),), (1,)).copy_(held)
    return made.to(device)


def increment_versions(tensors: Sequence[torch.Tensor]) -> None:
    """Tell autograd that tensors were written to, as an in-place op does."""
    torch._C._increment_version(  # noqa: SLF001  (the public name does no more)
        [tensor for tensor in tensors if not tensor.is_inference()]
    )
