"""The checks of guards that need more than one comparison.

In: live objects and what a guard expects of them.   Out: whether it holds. No check runs user code.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final, final

import torch

from graphwright.ir.aten import TensorMeta
from graphwright.ir.constants import is_same_constant, make_object
from graphwright.ir.sources import Constant, EnumConst
from graphwright.runtime.pins import PinTable
from graphwright.runtime.reading import MISSING, keys_of, read_instance_dict, read_type_attr


@final
class TensorCheck:
    """A tensor's metadata, ready to be compared; symbolic extents are left to the caller.

    Args:
        meta: what is expected.
    """

    __slots__ = ("device", "dtype", "extents", "ndim", "requires_grad", "strides")

    def __init__(self, meta: TensorMeta) -> None:
        self.dtype: Final = meta.dtype.torch_dtype
        self.device: Final = torch.device(meta.device)
        self.ndim: Final = len(meta.shape)
        self.requires_grad: Final = meta.requires_grad
        self.extents: Final = tuple(
            (dim, extent) for dim, extent in enumerate(meta.shape) if isinstance(extent, int)
        )
        self.strides: Final = tuple(
            (dim, stride) for dim, stride in enumerate(meta.strides) if isinstance(stride, int)
        )

    def matches(self, value: object) -> bool:
        """Tell whether `value` is a strided tensor with this metadata. Its Python type was checked before."""
        if not isinstance(value, torch.Tensor):
            return False
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (no public name)
            return (
                value.layout == torch.strided
                and value.dtype == self.dtype
                and value.requires_grad == self.requires_grad
                and value.dim() == self.ndim
                and all(value.size(dim) == extent for dim, extent in self.extents)
                and all(value.stride(dim) == stride for dim, stride in self.strides)
                and value.device == self.device
                and not value.is_conj()
                and not value.is_neg()
                and not value.is_nested
                and not value.is_quantized
            )


def extents_of(value: torch.Tensor) -> tuple[int, ...]:
    """Give the shape of a tensor, whatever its class overrides."""
    with torch._C.DisableTorchFunction():  # noqa: SLF001
        return tuple(value.shape)


def strides_of(value: torch.Tensor) -> tuple[int, ...]:
    """Give the strides of a tensor, whatever its class overrides."""
    with torch._C.DisableTorchFunction():  # noqa: SLF001
        return value.stride()


def storage_offset_of(value: torch.Tensor) -> int:
    """Give where a tensor begins in its memory, in elements, whatever its class overrides."""
    with torch._C.DisableTorchFunction():  # noqa: SLF001
        return int(value.storage_offset())


def byte_range(value: torch.Tensor) -> tuple[int, int]:
    """Give the first byte of a tensor's elements and the one behind the last; the two are equal for an empty tensor."""
    with torch._C.DisableTorchFunction():  # noqa: SLF001
        start = value.data_ptr()
        if value.numel() == 0:
            return start, start
        steps = sum(
            (extent - 1) * stride
            for extent, stride in zip(value.shape, value.stride(), strict=True)
        )
        return start, start + (steps + 1) * value.element_size()


def may_overlap(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Tell whether the stretches of memory from first to last element of two tensors meet.

    This is what `NoOverlapGuard` asks; tensors that interleave without sharing an element count as meeting.
    """
    left_start, left_stop = byte_range(left)
    right_start, right_stop = byte_range(right)
    return left_start < right_stop and right_start < left_stop


def share_storage(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Tell whether two tensors are on the same memory, whichever parts of it they show."""
    with torch._C.DisableTorchFunction():  # noqa: SLF001
        start = left.untyped_storage().data_ptr()
        return start != 0 and start == right.untyped_storage().data_ptr()


def is_constant(value: object, constant: Constant, pins: PinTable) -> bool:
    """Tell whether `value` is the constant that `constant` describes."""
    match constant:
        case EnumConst(pin, name):
            is_member = isinstance(value, enum.Enum) and pins.bind(pin, type(value))
            return is_member and getattr(value, "_name_", None) == name
        case _:
            return is_same_constant(value, make_object(constant, pins.objects))


def has_keys(value: object, keys: Sequence[object]) -> bool:
    """Tell whether the keys of dict `value` are these, in order."""
    if not isinstance(value, dict) or dict.__len__(value) != len(keys):
        return False
    return all(map(is_same_constant, keys_of(value), keys))


def has_key(value: object, key: Any) -> bool | None:
    """Tell whether dict or set `value` has `key`; None when it is neither."""
    match value:
        case dict():
            return dict.__contains__(value, key)
        case set():
            return set.__contains__(value, key)
        case frozenset():
            return frozenset.__contains__(value, key)
        case _:
            return None


def lacks_attr(value: object, name: str) -> bool:
    """Tell whether the instance has no attribute `name` of its own."""
    attributes = read_instance_dict(value)
    return attributes is MISSING or has_key(attributes, name) is False


def lacks_type_attr(cls: object, name: str) -> bool:
    """Tell whether no class along the method resolution order of `cls` defines `name`."""
    return isinstance(cls, type) and read_type_attr(cls, name) is MISSING


def are_distinct(values: Sequence[object]) -> bool:
    """Tell whether no two of `values` are one object."""
    return len(set(map(id, values))) == len(values)
