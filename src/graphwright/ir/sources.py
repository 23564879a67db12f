"""Where the values of a program come from: constants, pins, sources.

In: nothing.   Out: `Constant`, a value as data; `Pin`, an object that is known by what it is; `Source`, the way to a value that existed
before the call, or is calculated of floats that did.
Keeps: a source is evaluated only after the guards that stand before it held, so that `x.y.z` is reached through checked objects; a pin
describes by content what has no value of its own (a class, a function, a module). The live object is found by the first guard that meets
it; in the process that captured it, it is known from the start.
"""

from __future__ import annotations

import enum

from graphwright.ir.calculations import Operation
from graphwright.ir.data import Data


class PlainConst(Data, frozen=True, tag="plain"):
    """None, a bool, an int that fits 64 bits, or a str."""

    value: bool | int | str | None


class BigIntConst(Data, frozen=True, tag="big_int"):
    """An int of any size, in decimal."""

    digits: str


class FloatConst(Data, frozen=True, tag="float"):
    """A float, by `float.hex` (`nan` with its sign for NaN)."""

    hex: str


class ComplexConst(Data, frozen=True, tag="complex"):
    """A complex number, parts by `float.hex`."""

    real: str
    imag: str


class BytesConst(Data, frozen=True, tag="bytes"):
    """A bytes object."""

    value: bytes


class TupleConst(Data, frozen=True, tag="tuple"):
    """A tuple of constants (exactly `tuple`)."""

    items: tuple[Constant, ...]


class FrozensetConst(Data, frozen=True, tag="frozenset"):
    """A frozenset of constants, items sorted by their encoded form."""

    items: tuple[Constant, ...]


class SliceConst(Data, frozen=True, tag="slice"):
    """A slice of constants."""

    start: Constant
    stop: Constant
    step: Constant


class RangeConst(Data, frozen=True, tag="range"):
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


class TorchConst(Data, frozen=True, tag="torch"):
    """A dtype, device, layout, memory format (by leaf name) or `torch.Size`."""

    kind: TorchConstKind
    text: str


class EllipsisConst(Data, frozen=True, tag="ellipsis"):
    """The constant `...`."""


class NotImplementedConst(Data, frozen=True, tag="not_implemented"):
    """The constant `NotImplemented`."""


class EnumConst(Data, frozen=True, tag="enum"):
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


class Pin(Data, frozen=True):
    """An object described by what it is."""

    kind: PinKind
    module: str
    qualname: str
    digest: str = ""
    """For `FUNCTION`: hash of the code object's content, nested code included. For `CLASS`: hash of what it is derived from."""
    is_importable: bool = False
    """`module` and `qualname` lead to the very object; a new process finds it by import."""


class TargetSource(Data, frozen=True, tag="target"):
    """The object that was compiled: a function, or the module or object whose method is run."""


class ArgSource(Data, frozen=True, tag="arg"):
    """Positional argument `index` of the call. `name` is the parameter's, for people."""

    index: int
    name: str


class KwargSource(Data, frozen=True, tag="kwarg"):
    """Keyword argument `name` of the call."""

    name: str


class ImportSource(Data, frozen=True, tag="import"):
    """`sys.modules[module]`."""

    module: str


class GlobalsSource(Data, frozen=True, tag="globals"):
    """`function.__globals__`, for a function whose globals are not those of an imported module."""

    function: Source


class ModuleDictSource(Data, frozen=True, tag="module_dict"):
    """`sys.modules[module].__dict__`: the globals of a function."""

    module: str


class ClosureSource(Data, frozen=True, tag="closure"):
    """`function.__closure__[index].cell_contents`; `name` is the free variable's, for people."""

    function: Source
    index: int
    name: str


class DefaultSource(Data, frozen=True, tag="default"):
    """`function.__defaults__[index]`."""

    function: Source
    index: int


class KwDefaultSource(Data, frozen=True, tag="kw_default"):
    """`function.__kwdefaults__[name]`."""

    function: Source
    name: str


class AttrSource(Data, frozen=True, tag="attr"):
    """`getattr(base, name)`, descriptors included. Used where the getter is C code (slots, properties of builtins)."""

    base: Source
    name: str


class InstanceDictSource(Data, frozen=True, tag="instance_dict"):
    """`base.__dict__`."""

    base: Source


class TypeSource(Data, frozen=True, tag="type"):
    """`type(base)`."""

    base: Source


class TypeAttrSource(Data, frozen=True, tag="type_attr"):
    """The raw class attribute `name` found along the method resolution order of class `base` (no descriptor applied)."""

    base: Source
    name: str


class ItemSource(Data, frozen=True, tag="item"):
    """`base[key]`, for exact lists, tuples and dicts (subclasses: through the base type's getter)."""

    base: Source
    key: Constant


class DictKeySource(Data, frozen=True, tag="dict_key"):
    """Key number `index` of dict `base`, or member number `index` of a set, in its order."""

    base: Source
    index: int


class DictValueSource(Data, frozen=True, tag="dict_value"):
    """The value under key number `index` of dict `base`, in its order (for keys that are no constants)."""

    base: Source
    index: int


class PinSource(Data, frozen=True, tag="pin"):
    """Pin number `pin` itself (a class or function known by identity)."""

    pin: int


class NumberSource(Data, frozen=True, tag="number"):
    """A number of the program's own, beside one of the call's in a calculation."""

    value: Constant


class SizeSource(Data, frozen=True, tag="size"):
    """Size `dim` of the tensor `tensor`."""

    tensor: Source
    dim: int


class CalculatedSource(Data, frozen=True, tag="calculated"):
    """`operation(*operands)`, of one or two numbers."""

    operation: Operation
    operands: tuple[Source, ...]


class AnswerSource(Data, frozen=True, tag="answer"):
    """`function(*args)`: what a function that changes nothing tells of a setting (`torch.is_warn_always_enabled()`)."""

    function: Source
    args: tuple[Constant, ...]


class FloatTensorSource(Data, frozen=True, tag="float_tensor"):
    """A new tensor on the CPU, float64 without dimensions, of the float `number`."""

    number: Source


class ArrayTensorSource(Data, frozen=True, tag="array_tensor"):
    """The tensor on the memory of the NumPy array `array`, which can be written to."""

    array: Source


MadeSource = (
    NumberSource
    | SizeSource
    | CalculatedSource
    | AnswerSource
    | FloatTensorSource
    | ArrayTensorSource
)
"""Sources of what is made at the call, and is not found anywhere."""

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
    | AnswerSource
    | FloatTensorSource
    | ArrayTensorSource
)
