"""Python values that a program can hold as data, and back.

In: a Python object.   Out: a `Constant` of `ir/program.py`, when the object's value says all there is about it.
Keeps: a constant has no identity that a program may observe and nothing in it can change.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any, Final

import torch

from graphwright.ir.sources import (
    BigIntConst,
    BytesConst,
    ComplexConst,
    Constant,
    EllipsisConst,
    EnumConst,
    FloatConst,
    FrozensetConst,
    NotImplementedConst,
    PlainConst,
    RangeConst,
    SliceConst,
    TorchConst,
    TorchConstKind,
    TupleConst,
)

ATOMIC_TYPES: Final = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        type(...),
        type(NotImplemented),
        torch.dtype,
        torch.device,
        torch.layout,
        torch.memory_format,
        torch.Size,
    }
)
"""Exact types whose objects are constants whatever they hold."""

_INT64: Final = range(-(2**63), 2**63)


def is_constant(value: object) -> bool:
    """Tell whether `value` is a constant through and through."""
    kind = type(value)
    if kind in ATOMIC_TYPES:
        return kind is not torch.Size or all(type(extent) is int for extent in value)  # type: ignore[attr-defined]
    if kind is tuple or kind is frozenset:
        return all(map(is_constant, value))  # type: ignore[call-overload]
    if kind is slice:
        return is_constant(value.start) and is_constant(value.stop) and is_constant(value.step)  # type: ignore[attr-defined]
    return isinstance(value, enum.Enum) and is_named_member(value)


def is_named_member(value: enum.Enum) -> bool:
    """Tell whether a member is found by its name; a combination of flags may have none."""
    return value._name_ in type(value).__members__


def is_native_member(value: object) -> bool:
    """Tell whether `value` is a member of an enumeration that native code made with pybind11: one object, which cannot change."""
    entries = type(value).__dict__.get("__entries")
    return type(entries) is dict and any(entry[0] is value for entry in entries.values())


def _hex(value: float) -> str:
    if math.isnan(value):
        return "-nan" if math.copysign(1.0, value) < 0 else "nan"
    return value.hex()


def _leaf(value: object) -> str:
    return str(value).rpartition(".")[2]


def make_constant(value: object, pin: Callable[[type], int]) -> Constant:
    """Turn a constant into data; `pin` numbers the class of an enum member.

    Raises:
        TypeError: `value` is no constant (see `is_constant`).
    """
    match value:
        case enum.Enum():
            return EnumConst(pin=pin(type(value)), name=value.name)
        case None | bool() | str():
            return PlainConst(value)
        case int():
            return PlainConst(value) if value in _INT64 else BigIntConst(str(value))
        case float():
            return FloatConst(_hex(value))
        case complex():
            return ComplexConst(_hex(value.real), _hex(value.imag))
        case bytes():
            return BytesConst(value)
        case tuple() | frozenset() | slice():
            return _make_compound(value, pin)
        case _:
            return _make_leaf(value)


def _make_compound(
    value: tuple[Any, ...] | frozenset[Any] | slice, pin: Callable[[type], int]
) -> Constant:
    match value:
        case torch.Size():
            return TorchConst(TorchConstKind.SIZE, ",".join(map(str, value)))
        case tuple():
            return TupleConst(tuple(make_constant(item, pin) for item in value))
        case frozenset():
            items = [make_constant(item, pin) for item in value]
            return FrozensetConst(tuple(sorted(items, key=repr)))
        case slice():
            parts = (value.start, value.stop, value.step)
            return SliceConst(*(make_constant(part, pin) for part in parts))


def _make_leaf(value: object) -> Constant:
    match value:
        case range():
            return RangeConst(value.start, value.stop, value.step)
        case torch.dtype():
            return TorchConst(TorchConstKind.DTYPE, _leaf(value))
        case torch.device():
            return TorchConst(TorchConstKind.DEVICE, str(value))
        case torch.layout():
            return TorchConst(TorchConstKind.LAYOUT, _leaf(value))
        case torch.memory_format():
            return TorchConst(TorchConstKind.MEMORY_FORMAT, _leaf(value))
        case _:
            return _make_singleton(value)


def _make_singleton(value: object) -> Constant:
    if value is ...:
        return EllipsisConst()
    if value is NotImplemented:
        return NotImplementedConst()
    msg = f"{type(value).__name__} is no constant"
    raise TypeError(msg)
