"""The captured program: guards, graph inputs, result and effects, as data.

In: what `capture/` found out about one call.   Out: `Program`, which `runtime/` turns into a callable.

A program belongs to one *call pattern* (number of positional arguments, keyword names in order): arguments are
addressed by position or keyword, so nothing is bound at call time.

Keeps:
- all guards hold before anything runs; a guard's source is evaluated only after the guards that stand before it held, so
  that `x.y.z` is reached through checked objects;
- objects that have no value of their own (classes, functions, modules) are *pins*: the program names them by `pin` number,
  `Program.pins` describes each by content, and the live object is found by the first guard that meets it (in the process that
  captured it, it is known from the start);
- `inputs` lists where each input of the ATen graph comes from.
"""

from __future__ import annotations

import enum

import msgspec

from graphwright.ir.aten import AtenGraph, TensorMeta
from graphwright.ir.locations import Loc
from graphwright.ir.symint import SymExpr


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
)


class TypeGuard(msgspec.Struct, frozen=True, tag="type"):
    """`type(source) is pin`."""

    source: Source
    pin: int
    loc: Loc | None = None


class IdentityGuard(msgspec.Struct, frozen=True, tag="identity"):
    """`source is pin`: classes, builtins, modules."""

    source: Source
    pin: int
    loc: Loc | None = None


class CodeGuard(msgspec.Struct, frozen=True, tag="code"):
    """`source` is a Python function and `source.__code__` is the pinned code. Defaults and closure are guarded where used."""

    source: Source
    pin: int
    loc: Loc | None = None


class ConstantGuard(msgspec.Struct, frozen=True, tag="constant"):
    """`type(source) is type(value) and source == value`; floats bit for bit (any NaN equals any NaN of the same sign)."""

    source: Source
    value: Constant
    loc: Loc | None = None


class TensorGuard(msgspec.Struct, frozen=True, tag="tensor"):
    """A strided tensor with this metadata. `meta.shape` entries that are symbolic bind or check symbols.

    The storage offset is not checked. Also checked: `requires_grad`, no conjugate or negative bit, layout strided.
    """

    source: Source
    meta: TensorMeta
    type_pin: int
    """The exact Python type (`torch.Tensor`, `torch.nn.Parameter`, …)."""
    loc: Loc | None = None


class LengthGuard(msgspec.Struct, frozen=True, tag="length"):
    """`len(source) == length`, by the C size of a builtin container."""

    source: Source
    length: int
    loc: Loc | None = None


class DictKeysGuard(msgspec.Struct, frozen=True, tag="dict_keys"):
    """The keys of dict `source`, in order, are these constants."""

    source: Source
    keys: tuple[Constant, ...]
    loc: Loc | None = None


class DictContainsGuard(msgspec.Struct, frozen=True, tag="dict_contains"):
    """`(key in source) == is_present`, for a dict or a set."""

    source: Source
    key: Constant
    is_present: bool
    loc: Loc | None = None


class AttrAbsentGuard(msgspec.Struct, frozen=True, tag="attr_absent"):
    """`source.__dict__` has no key `name` (or there is no `__dict__`): the class attribute is not shadowed."""

    source: Source
    name: str
    loc: Loc | None = None


class TypeAttrAbsentGuard(msgspec.Struct, frozen=True, tag="type_attr_absent"):
    """No class along the method resolution order of class `source` defines `name`."""

    source: Source
    name: str
    loc: Loc | None = None


class SameObjectGuard(msgspec.Struct, frozen=True, tag="same_object"):
    """`source is other`."""

    source: Source
    other: Source
    loc: Loc | None = None


class DistinctTensorsGuard(msgspec.Struct, frozen=True, tag="distinct_tensors"):
    """No two of these sources are the same tensor object."""

    sources: tuple[Source, ...]
    loc: Loc | None = None


class NoOverlapGuard(msgspec.Struct, frozen=True, tag="no_overlap"):
    """The memory of tensor `source` (which the program writes) does not overlap that of any of `others`."""

    source: Source
    others: tuple[Source, ...]
    loc: Loc | None = None


class GlobalStateKind(enum.Enum):
    """A piece of PyTorch's global state."""

    GRAD_MODE = "grad_mode"
    INFERENCE_MODE = "inference_mode"
    DEFAULT_DTYPE = "default_dtype"
    DEFAULT_DEVICE = "default_device"
    AUTOCAST_CPU = "autocast_cpu"
    """Text: `off`, or the autocast dtype's leaf name; likewise for CUDA."""
    AUTOCAST_CUDA = "autocast_cuda"
    AUTOCAST_CACHE = "autocast_cache"
    DETERMINISTIC_ALGORITHMS = "deterministic_algorithms"
    TORCH_FUNCTION_MODES = "torch_function_modes"
    """Number of active modes on top of the default-device one, in decimal."""
    DISPATCH_MODES = "dispatch_modes"
    SAVED_TENSORS_HOOKS = "saved_tensors_hooks"
    FLOAT32_MATMUL_PRECISION = "float32_matmul_precision"
    GLOBAL_MODULE_HOOKS = "global_module_hooks"
    """Number of `torch.nn.modules.module.register_module_*_hook` hooks in force, in decimal."""


class GlobalStateGuard(msgspec.Struct, frozen=True, tag="global_state"):
    """A piece of global state has this value."""

    kind: GlobalStateKind
    text: str
    loc: Loc | None = None


class Comparison(enum.Enum):
    """How a shape guard compares."""

    EQ = "=="
    NE = "!="
    LE = "<="
    LT = "<"


class ShapeGuard(msgspec.Struct, frozen=True, tag="shape"):
    """`left comparison right`, over size symbols."""

    left: SymExpr
    comparison: Comparison
    right: SymExpr
    loc: Loc | None = None


Guard = (
    TypeGuard
    | IdentityGuard
    | CodeGuard
    | ConstantGuard
    | TensorGuard
    | LengthGuard
    | DictKeysGuard
    | DictContainsGuard
    | AttrAbsentGuard
    | TypeAttrAbsentGuard
    | SameObjectGuard
    | DistinctTensorsGuard
    | NoOverlapGuard
    | GlobalStateGuard
    | ShapeGuard
)

# --- recipes: how a Python value is made after the graph has run ---------------------------------------------------


class FromOutput(msgspec.Struct, frozen=True, tag="output"):
    """Graph output number `index`."""

    index: int


class FromSource(msgspec.Struct, frozen=True, tag="source"):
    """A value that existed before the call."""

    source: Source


class FromConstant(msgspec.Struct, frozen=True, tag="constant"):
    """A constant."""

    value: Constant


class FromPin(msgspec.Struct, frozen=True, tag="pin"):
    """A pinned object (a class, a function)."""

    pin: int


class FromSymbol(msgspec.Struct, frozen=True, tag="symbol"):
    """An int computed from size symbols."""

    expr: SymExpr


class FromBuilt(msgspec.Struct, frozen=True, tag="built"):
    """Object number `index` of `Program.built`: used wherever one object appears more than once, or in a cycle."""

    index: int


class BuildTuple(msgspec.Struct, frozen=True, tag="build_tuple"):
    """A tuple; with `type_pin`, an instance of that tuple subclass (named tuples), made with `tuple.__new__`."""

    items: tuple[Recipe, ...]
    type_pin: int | None = None


class BuildList(msgspec.Struct, frozen=True, tag="build_list"):
    """A list."""

    items: tuple[Recipe, ...]


class DictEntry(msgspec.Struct, frozen=True):
    """A key and its value."""

    key: Recipe
    value: Recipe


class BuildDict(msgspec.Struct, frozen=True, tag="build_dict"):
    """A dict, in order; with `type_pin`, `collections.OrderedDict` or `collections.defaultdict` (with `factory`)."""

    entries: tuple[DictEntry, ...]
    type_pin: int | None = None
    factory: Recipe | None = None


class BuildSet(msgspec.Struct, frozen=True, tag="build_set"):
    """A set, or frozenset."""

    items: tuple[Recipe, ...]
    is_frozen: bool = False


class BuildSlice(msgspec.Struct, frozen=True, tag="build_slice"):
    """A slice."""

    start: Recipe
    stop: Recipe
    step: Recipe


class AttrEntry(msgspec.Struct, frozen=True):
    """An attribute and its value."""

    name: str
    value: Recipe


class BuildObject(msgspec.Struct, frozen=True, tag="build_object"):
    """An instance of a user's class: `cls.__new__` of its builtin base, then its state, with no user code run.

    `attrs` go into `__dict__` (or slots, by `object.__setattr__`); `items` are the contents of a list/tuple/set base, `entries`
    those of a dict base, filled in with the base's own methods.
    """

    type_pin: int
    attrs: tuple[AttrEntry, ...]
    items: tuple[Recipe, ...] = ()
    entries: tuple[DictEntry, ...] = ()


class BuildCell(msgspec.Struct, frozen=True, tag="build_cell"):
    """A closure cell; None: an empty one. Always an object of `Program.built`, as functions share it."""

    contents: Recipe | None


class BuildReduced(msgspec.Struct, frozen=True, tag="build_reduced"):
    """An iterator of CPython's own, by what its `__reduce__` gives: `function(*args)`, then `__setstate__(state)`."""

    function: Recipe
    args: tuple[Recipe, ...]
    state: Recipe | None = None


class BuildBuiltinMethod(msgspec.Struct, frozen=True, tag="build_builtin_method"):
    """The method `name`, written in C, of an object."""

    receiver: Recipe
    name: str


class BuildFunction(msgspec.Struct, frozen=True, tag="build_function"):
    """A Python function made in the program: pinned code, globals of `globals_source`, cells, defaults."""

    code_pin: int
    globals_source: Source
    name: str
    qualname: str
    cells: tuple[Recipe, ...] = ()
    defaults: Recipe | None = None
    kw_defaults: Recipe | None = None
    annotations: Recipe | None = None
    attrs: tuple[AttrEntry, ...] = ()


class BuildMethod(msgspec.Struct, frozen=True, tag="build_method"):
    """A bound method."""

    function: Recipe
    receiver: Recipe


class BuildPartial(msgspec.Struct, frozen=True, tag="build_partial"):
    """A `functools.partial`."""

    function: Recipe
    args: tuple[Recipe, ...]
    kwargs: tuple[AttrEntry, ...]


class CallLate(msgspec.Struct, frozen=True, tag="call_late"):
    """What a PyTorch function gives that is called once the graph has run, as its result's size or value depends on values."""

    function: Recipe
    args: tuple[Recipe, ...]
    kwargs: tuple[AttrEntry, ...]


Recipe = (
    FromOutput
    | FromSource
    | FromConstant
    | FromPin
    | FromSymbol
    | FromBuilt
    | BuildTuple
    | BuildList
    | BuildDict
    | BuildSet
    | BuildSlice
    | BuildObject
    | BuildCell
    | BuildReduced
    | BuildBuiltinMethod
    | BuildFunction
    | BuildMethod
    | BuildPartial
    | CallLate
)


class SetAttrEffect(msgspec.Struct, frozen=True, tag="set_attr"):
    """`object.__setattr__(target, name, value)` (for modules: into the dict that held it)."""

    target: Recipe
    name: str
    value: Recipe
    loc: Loc | None = None


class DeleteAttrEffect(msgspec.Struct, frozen=True, tag="delete_attr"):
    """`del target.name`."""

    target: Recipe
    name: str
    loc: Loc | None = None


class SetItemEffect(msgspec.Struct, frozen=True, tag="set_item"):
    """`target[key] = value`, by the builtin base's method."""

    target: Recipe
    key: Recipe
    value: Recipe
    loc: Loc | None = None


class DeleteItemEffect(msgspec.Struct, frozen=True, tag="delete_item"):
    """`del target[key]`."""

    target: Recipe
    key: Recipe
    loc: Loc | None = None


class ReplaceContentsEffect(msgspec.Struct, frozen=True, tag="replace_contents"):
    """`target` (a list, dict, set or deque) gets the contents of `contents`, keeping its identity."""

    target: Recipe
    contents: Recipe
    loc: Loc | None = None


class ExtendListEffect(msgspec.Struct, frozen=True, tag="extend_list"):
    """`target` (a list) gets the items of `items` at its end."""

    target: Recipe
    items: Recipe
    loc: Loc | None = None


class SetCellEffect(msgspec.Struct, frozen=True, tag="set_cell"):
    """`function.__closure__[index].cell_contents = value`."""

    function: Source
    index: int
    value: Recipe
    loc: Loc | None = None


class SetGlobalEffect(msgspec.Struct, frozen=True, tag="set_global"):
    """`globals[name] = value`, where `globals_source` gives the dict."""

    globals_source: Source
    name: str
    value: Recipe
    loc: Loc | None = None


class SetGlobalStateEffect(msgspec.Struct, frozen=True, tag="set_global_state"):
    """A piece of PyTorch's global state is left at this value."""

    kind: GlobalStateKind
    text: str
    loc: Loc | None = None


Effect = (
    SetAttrEffect
    | DeleteAttrEffect
    | SetItemEffect
    | DeleteItemEffect
    | ReplaceContentsEffect
    | ExtendListEffect
    | SetCellEffect
    | SetGlobalEffect
    | SetGlobalStateEffect
)


class CallPattern(msgspec.Struct, frozen=True):
    """The form of the calls that a program serves."""

    num_positional: int
    keywords: tuple[str, ...] = ()
    """In the order of the call."""


class SymbolBinding(msgspec.Struct, frozen=True):
    """Where a size symbol gets its value: dimension `dim` of the tensor `source`, or (`dim` None) the int `source`."""

    symbol: str
    source: Source
    dim: int | None


class Break(msgspec.Struct, frozen=True):
    """Where a program ends before its function does, and why.

    The program's result is then a tuple: a function with the closure and the globals of the frame (its code goes on at the break, in
    plain CPython), the values on the frame's stack, and those of the slots `names`.
    """

    code_pin: int
    """The code of the frame."""
    index: int
    """Number of the instruction (of its normalised form) that runs in plain CPython."""
    stack: tuple[bool, ...]
    """The stack there, bottom first: True for a value, False for one of CPython's empty slots."""
    names: tuple[str, ...]
    callee: int | None
    """Number of the value on the stack that the instruction calls, if it is to be compiled on its own."""
    met: str
    why: str
    remedy: str
    location: str
    """The line that could not be captured, which may be in a function that the frame called."""
    frames: tuple[str, ...] = ()
    """The lines that the user's frames were at then, outermost first."""


class Program(msgspec.Struct, frozen=True):
    """One captured program: what must hold, what is computed, what comes back."""

    name: str
    """Name of the function, for people."""
    pattern: CallPattern
    pins: tuple[Pin, ...]
    guards: tuple[Guard, ...]
    symbols: tuple[SymbolBinding, ...]
    inputs: tuple[Source, ...]
    """Source of each input of `graph`."""
    graph: AtenGraph
    built: tuple[Recipe, ...]
    """Objects made by the program that are used more than once. One may refer to any other, and from its attributes or
    contents to itself."""
    result: Recipe
    effects: tuple[Effect, ...] = ()
    loc: Loc | None = None
    ends_at: Break | None = None
