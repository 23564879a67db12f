"""What must hold before a program runs.

In: sources.   Out: `Guard`: a check, with what it expects, as data.
"""

from __future__ import annotations

import enum

from graphwright.ir.aten import TensorMeta
from graphwright.ir.data import Data
from graphwright.ir.locations import Loc
from graphwright.ir.sources import Constant, Source
from graphwright.ir.symint import SymExpr


class TypeGuard(Data, frozen=True, tag="type"):
    """`type(source) is pin`."""

    source: Source
    pin: int
    loc: Loc | None = None


class IdentityGuard(Data, frozen=True, tag="identity"):
    """`source is pin`: classes, builtins, modules."""

    source: Source
    pin: int
    loc: Loc | None = None


class CodeGuard(Data, frozen=True, tag="code"):
    """`source` is a Python function and `source.__code__` is the pinned code. Defaults and closure are guarded where used."""

    source: Source
    pin: int
    loc: Loc | None = None


class ConstantGuard(Data, frozen=True, tag="constant"):
    """`type(source) is type(value) and source == value`; floats bit for bit (any NaN equals any NaN of the same sign)."""

    source: Source
    value: Constant
    loc: Loc | None = None


class TensorGuard(Data, frozen=True, tag="tensor"):
    """A strided tensor with this metadata. `meta.shape` entries that are symbolic bind or check symbols.

    The storage offset is not checked (see `StorageOffsetGuard`).
    Also checked: `requires_grad`, no conjugate or negative bit, layout strided.
    """

    source: Source
    meta: TensorMeta
    type_pin: int
    """The exact Python type (`torch.Tensor`, `torch.nn.Parameter`, …)."""
    loc: Loc | None = None


class StorageOffsetGuard(Data, frozen=True, tag="storage_offset"):
    """Tensor `source` begins `offset` elements after the beginning of its memory. Only for programs that look at that."""

    source: Source
    offset: int
    loc: Loc | None = None


class LengthGuard(Data, frozen=True, tag="length"):
    """`len(source) == length`, by the C size of a builtin container."""

    source: Source
    length: int
    loc: Loc | None = None


class DictKeysGuard(Data, frozen=True, tag="dict_keys"):
    """The keys of dict `source`, in order, are these constants."""

    source: Source
    keys: tuple[Constant, ...]
    loc: Loc | None = None


class DictContainsGuard(Data, frozen=True, tag="dict_contains"):
    """`(key in source) == is_present`, for a dict or a set."""

    source: Source
    key: Constant
    is_present: bool
    loc: Loc | None = None


class AttrAbsentGuard(Data, frozen=True, tag="attr_absent"):
    """`source.__dict__` has no key `name` (or there is no `__dict__`): the class attribute is not shadowed."""

    source: Source
    name: str
    loc: Loc | None = None


class TypeAttrAbsentGuard(Data, frozen=True, tag="type_attr_absent"):
    """No class along the method resolution order of class `source` defines `name`."""

    source: Source
    name: str
    loc: Loc | None = None


class SameObjectGuard(Data, frozen=True, tag="same_object"):
    """`source is other`."""

    source: Source
    other: Source
    loc: Loc | None = None


class DistinctTensorsGuard(Data, frozen=True, tag="distinct_tensors"):
    """No two of these sources are the same tensor object."""

    sources: tuple[Source, ...]
    loc: Loc | None = None


class NoOverlapGuard(Data, frozen=True, tag="no_overlap"):
    """The memory of tensor `source` (which the program writes) does not overlap that of any of `others`."""

    source: Source
    others: tuple[Source, ...]
    is_whole: bool = False
    """What the tensors do not show of their memory counts too: the program makes `source` larger in place."""
    loc: Loc | None = None


class FrozenGuard(Data, frozen=True, tag="frozen"):
    """The tensors of `sources` are those that the entry's folded constants were made from, and were not written to since.

    The last guard of its program: a call that fails no other is served once the constants are made from its tensors.
    """

    sources: tuple[Source, ...]
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
    FORWARD_AD_LEVELS = "forward_ad_levels"
    """Number of levels of forward-mode differentiation that were entered, in decimal: only within one do tensors have tangents."""
    JIT_TRACING = "jit_tracing"
    """Text: `on` within `torch.jit.trace`, which would write down what a program gives as constants."""
    FLOAT32_MATMUL_PRECISION = "float32_matmul_precision"
    GLOBAL_MODULE_HOOKS = "global_module_hooks"
    """Number of `torch.nn.modules.module.register_module_*_hook` hooks in force, in decimal."""


class GlobalStateGuard(Data, frozen=True, tag="global_state"):
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


class ShapeGuard(Data, frozen=True, tag="shape"):
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
    | StorageOffsetGuard
    | LengthGuard
    | DictKeysGuard
    | DictContainsGuard
    | AttrAbsentGuard
    | TypeAttrAbsentGuard
    | SameObjectGuard
    | DistinctTensorsGuard
    | NoOverlapGuard
    | FrozenGuard
    | GlobalStateGuard
    | ShapeGuard
)
