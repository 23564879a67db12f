"""Where the values of a program come from: constants, pins, sources.

In: nothing.   Out: `Constant`, a value as data; `Pin`, an object that is known by what it is; `Source`, the way to a value that existed
before the call, or is calculated of floats that did.
Keeps: a source is evaluated only after the guards that stand before it held, so that `x.y.z` is reached through checked objects; a pin
describes by content what has no value of its own (a class, a function, a module). The live object is found by the first guard that meets
it; in the process that captured it, it is known from the start.
"""

from __future__ import annotations

import enum

import msgspec

from graphwright.ir.calculations import Operation


class PlainConst(msgspec.Struct, frozen=True, tag="plain"):
    """None, a bool, an int that fits 64 bits, or a str."""

    value: bool | int | str | None


class BigIntConst(msgspec.Struct, frozen=True, tag="big_int"):
    """An int of any size, in decimal."""

    digits: str


class FloatConst(msgspec.Struct, frozen=True, tag="float"):
    """A float, by `float.hex` (`nan` with its sign for NaN)."""

    hex: str


class ComplexConst(msgspec.Struct, frozen=True, tag="complex"):
    """A complex number, parts by `float.hex`."""

    real: str
    imag: str


class BytesConst(msgspec.Struct, frozen=True, tag="bytes"):
    """A bytes object."""

    value: bytes


class TupleConst(msgspec.Struct, frozen=True, tag="tuple"):
    """A tuple of constants (exactly `tuple`)."""

    items: tuple[Constant, ...]


class FrozensetConst(msgspec.Struct, frozen=True, tag="frozenset"):
    """A frozenset of constants, items sorted by their encoded form."""

    items: tuple[Constant, ...]


class SliceConst(msgspec.Struct, frozen=True, tag="slice"):
    """A slice of constants."""

    start: Constant
    stop: Constant
    step: Constant


class RangeConst(msgspec.Struct, frozen=True, tag="range"):
    """A range."""

    start: int
    stop: int
    step: int


class TorchConstKind(enum.Enum):
    """What kind of PyTorch constant."""

    DTYPE = "dtype"
    DEVICE = "device"
    LAYOUT = "layout"
    MEMORY_FORMAT = "memory_format"
    SIZE = "size"
    """`torch.Size`; text is comma-separated ints."""


class TorchConst(msgspec.Struct, frozen=True, tag="torch"):
    """A dtype, device, layout, memory format (by leaf name) or `torch.Size`."""

    kind: TorchConstKind
    text: str


class EllipsisConst(msgspec.Struct, frozen=True, tag="ellipsis"):
    """The constant `...`."""


class NotImplementedConst(msgspec.Struct, frozen=True, tag="not_implemented"):
    """The constant `NotImplemented`."""


class EnumConst(msgspec.Struct, frozen=True, tag="enum"):
    """Member `name` of the enum class that is pin `pin`."""

    pin: int
    name: str


Constant = (
    PlainConst
    | BigIntConst
    | FloatConst
    | ComplexConst
    | BytesConst
    | TupleConst
    | FrozensetConst
    | SliceConst
    | RangeConst
    | TorchConst
    | EllipsisConst
    | NotImplementedConst
    | EnumConst
)


class PinKind(enum.Enum):
    """What kind of object a pin stands for."""

    CLASS = "class"
    FUNCTION = "function"
    """A Python function: the pin is its *code object*."""
    BUILTIN = "builtin"
    MODULE = "module"
    OBJECT = "object"
    """Any other object, compared by identity (a singleton reachable by import path, or process-bound)."""


class Pin(msgspec.Struct, frozen=True):
    """An object described by what it is."""

    kind: PinKind
    module: str
    qualname: str
    digest: str = ""
    """For `FUNCTION`: hash of the code object's content, nested code included. For `CLASS`: empty."""
    is_importable: bool = False
    """`module` and `qualname` lead to the very object; a new process finds it by import."""


class TargetSource(msgspec.Struct, frozen=True, tag="target"):
    """The object that was compiled: a function, or the module or object whose method is run."""


class ArgSource(msgspec.Struct, frozen=True, tag="arg"):
    """Positional argument `index` of the call. `name` is the parameter's, for people."""

    index: int
    name: str


class KwargSource(msgspec.Struct, frozen=True, tag="kwarg"):
    """Keyword argument `name` of the call."""

    name: str


class ImportSource(msgspec.Struct, frozen=True, tag="import"):
    """`sys.modules[module]`."""

    module: str


class GlobalsSource(msgspec.Struct, frozen=True, tag="globals"):
    """`function.__globals__`, for a function whose globals are not those of an imported module."""

    function: Source


class ModuleDictSource(msgspec.Struct, frozen=True, tag="module_dict"):
    """`sys.modules[module].__dict__`: the globals of a function."""

    module: str


class ClosureSource(msgspec.Struct, frozen=True, tag="closure"):
    """`function.__closure__[index].cell_contents`; `name` is the free variable's, for people."""

    function: Source
    index: int
    name: str


class DefaultSource(msgspec.Struct, frozen=True, tag="default"):
    """`function.__defaults__[index]`."""

    function: Source
    index: int


class KwDefaultSource(msgspec.Struct, frozen=True, tag="kw_default"):
    """`function.__kwdefaults__[name]`."""

    function: Source
    name: str


class AttrSource(msgspec.Struct, frozen=True, tag="attr"):
    """`getattr(base, name)`, descriptors included. Used where the getter is C code (slots, properties of builtins)."""

    base: Source
    name: str


class InstanceDictSource(msgspec.Struct, frozen=True, tag="instance_dict"):
    """`base.__dict__`."""

    base: Source


class TypeSource(msgspec.Struct, frozen=True, tag="type"):
    """`type(base)`."""

    base: Source


class TypeAttrSource(msgspec.Struct, frozen=True, tag="type_attr"):
    """The raw class attribute `name` found along the method resolution order of class `base` (no descriptor applied)."""

    base: Source
    name: str


class ItemSource(msgspec.Struct, frozen=True, tag="item"):
    """`base[key]`, for exact lists, tuples and dicts (subclasses: through the base type's getter)."""

    base: Source
    key: Constant


class DictKeySource(msgspec.Struct, frozen=True, tag="dict_key"):
    """Key number `index` of dict `base`, in its order."""

    base: Source
    index: int


class DictValueSource(msgspec.Struct, frozen=True, tag="dict_value"):
    """The value under key number `index` of dict `base`, in its order (for keys that are no constants)."""

    base: Source
    index: int


class PinSource(msgspec.Struct, frozen=True, tag="pin"):
    """Pin number `pin` itself (a class or function known by identity)."""

    pin: int


class NumberSource(msgspec.Struct, frozen=True, tag="number"):
    """A number of the program's own, beside one of the call's in a calculation."""

    value: Constant


class SizeSource(msgspec.Struct, frozen=True, tag="size"):
    """Size `dim` of the tensor `tensor`."""

    tensor: Source
    dim: int


class CalculatedSource(msgspec.Struct, frozen=True, tag="calculated"):
    """`operation(*operands)`, of one or two numbers."""

    operation: Operation
    operands: tuple[Source, ...]


class FloatTensorSource(msgspec.Struct, frozen=True, tag="float_tensor"):
    """A new tensor on the CPU, float64 without dimensions, of the float `number`."""

    number: Source


class ArrayTensorSource(msgspec.Struct, frozen=True, tag="array_tensor"):
    """The tensor on the memory of the NumPy array `array`, which can be written to."""

    array: Source


Source = (
    TargetSource
    | ArgSource
    | KwargSource
    | ImportSource
    | GlobalsSource
    | ModuleDictSource
    | ClosureSource
    | DefaultSource
    | KwDefaultSource
    | AttrSource
    | InstanceDictSource
    | TypeSource
    | TypeAttrSource
    | ItemSource
    | DictKeySource
    | DictValueSource
    | PinSource
    | NumberSource
    | SizeSource
    | CalculatedSource
    | FloatTensorSource
    | ArrayTensorSource
)
