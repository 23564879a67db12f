"""The plan: the steps of one call, as data.

In: what `lower/` decided.   Out: `Plan`, from which `runtime/` makes both the native call and the readable Python wrapper.

Keeps:
- every buffer has one place, known before the call; arena buffers that share bytes are never live together;
- steps run in order; a step reads buffers that an earlier step, an input or a constant defines;
- nothing is written to an input but for `mutated_inputs`, and there only by the steps that come after all reads of
  its old value.
"""

from __future__ import annotations

import enum

from graphwright.ir.aten import (
    ComplexArg,
    ConstantTensor,
    DeviceArg,
    DTypeArg,
    FloatArg,
    LayoutArg,
    LiteralArg,
    MemoryFormatArg,
    SymArg,
    TensorMeta,
    ViewKind,
)
from graphwright.ir.data import Data
from graphwright.ir.dtypes import DType
from graphwright.ir.fold import Fold
from graphwright.ir.locations import Loc
from graphwright.ir.symint import Dim


class InputPlace(Data, frozen=True, tag="input"):
    """The memory of graph input `index`; element 0 of the buffer is the input's first element (its data pointer)."""

    index: int


class ArenaPlace(Data, frozen=True, tag="arena"):
    """Bytes of the plan's arena, from `offset_bytes` (64-byte aligned)."""

    offset_bytes: int


class OutputPlace(Data, frozen=True, tag="output"):
    """Fresh memory, allocated in the call, that the caller gets as output buffer (see `Plan.outputs`)."""


class ExternPlace(Data, frozen=True, tag="extern"):
    """Memory of a tensor that a functional extern call returned; released after its last use."""


class ConstantPlace(Data, frozen=True, tag="constant"):
    """Constant number `index` of `Plan.constants`."""

    index: int


Place = InputPlace | ArenaPlace | OutputPlace | ExternPlace | ConstantPlace


class Buffer(Data, frozen=True):
    """Memory for one value. `shape` and `strides` in elements; `size_bytes` covers them."""

    dtype: DType
    shape: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    size_bytes: int
    place: Place
    device: str = "cpu"


class TensorArg(Data, frozen=True, tag="tensor_arg"):
    """A strided tensor over buffer number `buffer`: its first element is element `offset` of the buffer."""

    buffer: int
    dtype: DType
    shape: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    offset: Dim = 0


class TupleArg(Data, frozen=True, tag="tuple_arg"):
    """A list argument of an extern call."""

    items: tuple[ExternArg, ...]


ExternArg = (
    TensorArg
    | TupleArg
    | DTypeArg
    | DeviceArg
    | LayoutArg
    | MemoryFormatArg
    | FloatArg
    | ComplexArg
    | SymArg
    | LiteralArg
)


class NamedArg(Data, frozen=True):
    """One keyword argument of an extern call."""

    name: str
    value: ExternArg


class ExternKind(enum.Enum):
    """How an extern call gives its results."""

    OUT = "out"
    """An out-variant: writes into `outs` given as keyword arguments named as in the schema."""
    FUNCTIONAL = "functional"
    """Returns new tensors, which become the buffers of `outs` (place `ExternPlace`). The runtime checks that their
    strides are those of the buffers, and copies them where they are not."""
    INPLACE = "inplace"
    """Writes into its arguments; `outs` is empty."""
    CHECK = "check"
    """A check of lookups (`ir/lookups.py`): raises where its first argument, a BOOL, holds; else nothing is called."""


class RunKernel(Data, frozen=True, tag="run_kernel"):
    """Run kernel number `kernel` of `Plan.kernels` on buffers, in the order of the kernel's params."""

    kernel: int
    buffers: tuple[int, ...]
    offsets_bytes: tuple[int, ...] = ()
    """Added to the base pointer of each buffer; empty means all zero."""
    loc: Loc | None = None


class CallExtern(Data, frozen=True, tag="call_extern"):
    """Call an ATen (or user's) overload."""

    op: str
    """The overload to call, e.g. `aten.addmm.out`."""
    args: tuple[ExternArg, ...]
    kwargs: tuple[NamedArg, ...]
    kind: ExternKind
    outs: tuple[TensorArg | None, ...]
    """For OUT: the out arguments, in the schema's order. For FUNCTIONAL: one for each tensor result (None: not kept)."""
    loc: Loc | None = None
    is_long: bool = True
    """Expected to take over about 20 µs: the interpreter lock is released around it."""


class Release(Data, frozen=True, tag="release"):
    """Buffer number `buffer` (of an `ExternPlace`) is not used any more."""

    buffer: int


Step = RunKernel | CallExtern | Release


class NewOutput(Data, frozen=True, tag="new"):
    """A tensor over output (or extern) buffer number `buffer`; `meta` as eager gives it."""

    buffer: int
    meta: TensorMeta


class InputOutput(Data, frozen=True, tag="input"):
    """The very tensor object of graph input `index`."""

    index: int


class ViewOfInput(Data, frozen=True, tag="view_of_input"):
    """A view of graph input `index`: `as_strided` with `meta`'s shape, strides and offset.

    The offset is relative: `meta.offset` elements are added to the input's own storage offset.
    """

    index: int
    meta: TensorMeta
    kind: ViewKind = ViewKind.VIEW
    is_of_detached: bool = False


class ViewOfOutput(Data, frozen=True, tag="view_of_output"):
    """A view of the earlier output number `index`, `meta.offset` relative to that output's first element."""

    index: int
    meta: TensorMeta
    kind: ViewKind = ViewKind.VIEW
    is_of_detached: bool = False


PlanOutput = NewOutput | InputOutput | ViewOfInput | ViewOfOutput


class KernelRef(Data, frozen=True):
    """A compiled kernel: its symbol in the object code, and the content hash of its loop IR."""

    symbol: str
    key: str


class Plan(Data, frozen=True):
    """All that one call of a graph does."""

    inputs: tuple[TensorMeta, ...]
    symbols: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    """The first `len(inputs)` are the inputs, in order."""
    kernels: tuple[KernelRef, ...]
    steps: tuple[Step, ...]
    outputs: tuple[PlanOutput, ...]
    mutated_inputs: tuple[int, ...]
    arena_bytes: int
    constants: tuple[ConstantTensor, ...] = ()
    versioned_inputs: tuple[int, ...] = ()
    """The inputs whose version is raised (see `AtenGraph.versioned_inputs`)."""
    fold: Fold | None = None
    """What gives the folded ones among `constants`."""
    is_long: bool = True
    """The whole call is expected to take over about 20 µs."""

    @property
    def num_calls(self) -> int:
        """How many steps call an op; checks call none."""
        calls = [step for step in self.steps if isinstance(step, CallExtern)]
        return sum(call.kind is not ExternKind.CHECK for call in calls)
