"""Constants as data and as Python objects.

In: a Python object whose value says all there is about it.   Out: a `Constant`; and back.
Keeps: `make_object(make_constant(x))` has the type and value of `x`, floats bit for bit (but for the payload of a NaN).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Final, assert_never

import msgspec
import torch

from graphwright.base.errors import InternalError
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

_INT64: Final = range(-(2**63), 2**63)


def make_number(value: float) -> Constant:
    """Turn a bool, int or float into data."""
    return make_constant(value, _no_pin)


def _no_pin(kind: type) -> int:
    message = f"{kind.__qualname__} is no class of numbers"
    raise AssertionError(message)


def make_constant(value: object, pin: Callable[[type], int]) -> Constant:
    """Turn a constant into data; `pin` numbers the class of an enum member.

    Raises:
        TypeError: `value` is no constant.
    """
    kind = type(value)
    if isinstance(value, enum.Enum):
        return EnumConst(pin=pin(kind), name=value.name)
    if value is None or kind in (bool, str):
        return PlainConst(value)  # type: ignore[arg-type]  # narrowed by exact type
    match value:
        case int() if kind is int:
            return PlainConst(value) if value in _INT64 else BigIntConst(str(value))
        case float() if kind is float:
            return FloatConst(hex_of_float(value))
        case complex() if kind is complex:
            return ComplexConst(hex_of_float(value.real), hex_of_float(value.imag))
        case bytes() if kind is bytes:
            return BytesConst(value)
        case range():
            return RangeConst(value.start, value.stop, value.step)
        case _:
            return _make_container(value, pin)


def _make_container(value: object, pin: Callable[[type], int]) -> Constant:
    kind = type(value)
    match value:
        case torch.Size():
            return TorchConst(TorchConstKind.SIZE, ",".join(map(str, value)))
        case tuple() if kind is tuple:
            return TupleConst(tuple(make_constant(item, pin) for item in value))
        case frozenset() if kind is frozenset:
            items = [make_constant(item, pin) for item in value]
            return FrozensetConst(tuple(sorted(items, key=msgspec.msgpack.encode)))
        case slice():
            return SliceConst(
                make_constant(value.start, pin),
                make_constant(value.stop, pin),
                make_constant(value.step, pin),
            )
        case _:
            return _make_singleton(value)


def _make_singleton(value: object) -> Constant:
    match value:
        case torch.dtype():
            return TorchConst(TorchConstKind.DTYPE, _leaf(value))
        case torch.device():
            return TorchConst(TorchConstKind.DEVICE, str(value))
        case torch.layout():
            return TorchConst(TorchConstKind.LAYOUT, _leaf(value))
        case torch.memory_format():
            return TorchConst(TorchConstKind.MEMORY_FORMAT, _leaf(value))
        case _:
            pass
    if value is ...:
        return EllipsisConst()
    if value is NotImplemented:
        return NotImplementedConst()
    message = f"{type(value).__name__} is no constant"
    raise TypeError(message)


def _leaf(value: object) -> str:
    return str(value).rpartition(".")[2]


def hex_of_float(value: float) -> str:
    """Give `float.hex`, with the sign of a NaN."""
    if math.isnan(value):
        return "-nan" if math.copysign(1.0, value) < 0 else "nan"
    return value.hex()


def make_object(  # noqa: C901, PLR0912  (one arm for each case of a closed union)
    constant: Constant, pins: Sequence[object]
) -> object:
    """Turn data into the Python object that it describes.

    Args:
        constant: the data.
        pins: live objects by pin number, for the classes of enum members.

    Returns:
        An object of the very type and value; singletons are the singletons.
    """
    match constant:
        case PlainConst(value):
            return value
        case BigIntConst(digits):
            return int(digits)
        case FloatConst(text):
            return float.fromhex(text)
        case ComplexConst(real, imag):
            return complex(float.fromhex(real), float.fromhex(imag))
        case BytesConst(value):
            return value
        case TupleConst(items):
            return tuple(make_object(item, pins) for item in items)
        case FrozensetConst(items):
            return frozenset(make_object(item, pins) for item in items)
        case SliceConst(start, stop, step):
            return slice(*(make_object(part, pins) for part in (start, stop, step)))
        case RangeConst(start, stop, step):
            return range(start, stop, step)
        case TorchConst():
            return _make_torch_object(constant)
        case EllipsisConst():
            return ...
        case NotImplementedConst():
            return NotImplemented
        case EnumConst(pin, name):
            return _find_member(pins[pin], name)
        case _:
            assert_never(constant)


def _make_torch_object(constant: TorchConst) -> object:
    match constant.kind:
        case TorchConstKind.DTYPE | TorchConstKind.LAYOUT | TorchConstKind.MEMORY_FORMAT:
            found: object = getattr(torch, constant.text)
            return found
        case TorchConstKind.DEVICE:
            return torch.device(constant.text)
        case TorchConstKind.SIZE:
            return torch.Size([int(part) for part in constant.text.split(",") if part])
        case _:
            assert_never(constant.kind)


def _find_member(cls: object, name: str) -> object:
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
        message = f"an enum constant's pin stands for {cls!r}, which is no enum class"
        raise InternalError(message)
    return cls[name]


def is_same_constant(left: object, right: object) -> bool:
    """Tell whether two constants have one type and value, in every part.

    Floats are compared bit for bit, but any NaN equals any NaN of its sign. Enum members are compared by identity.
    """
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    match left:
        case enum.Enum():
            return False
        case float():
            return hex_of_float(left) == hex_of_float(right)  # type: ignore[arg-type]  # of the same type
        case complex():
            return _is_same_complex(left, right)  # type: ignore[arg-type]  # of the same type
        case tuple():
            others: tuple[object, ...] = right  # type: ignore[assignment]  # of the same type
            return len(left) == len(others) and all(map(is_same_constant, left, others))
        case frozenset():
            return _is_same_frozenset(left, right)  # type: ignore[arg-type]  # of the same type
        case slice():
            return all(
                is_same_constant(getattr(left, part), getattr(right, part))
                for part in ("start", "stop", "step")
            )
        case range():
            return repr(left) == repr(right)
        case _:
            return bool(left == right)


def _is_same_complex(left: complex, right: complex) -> bool:
    return hex_of_float(left.real) == hex_of_float(right.real) and hex_of_float(
        left.imag
    ) == hex_of_float(right.imag)


def _is_same_frozenset(left: frozenset[object], right: frozenset[object]) -> bool:
    return len(left) == len(right) and all(
        any(is_same_constant(item, other) for other in right) for item in left
    )
