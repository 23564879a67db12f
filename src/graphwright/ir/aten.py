"""The ATen graph: functional calls of ATen overloads on values with known metadata.

In: what `record/` observed.   Out: `AtenGraph`, which `graph/` simplifies and `lower/` takes.

Keeps:
- functional: no node mutates or aliases a value that another node reads. Views are nodes like any other (their result
  is a new value); an in-place op of the program has become its functional twin, and the last value of a mutated input is
  listed in `mutations`. An op that has no such twin (a user's op that writes to its arguments; a random fill of a tensor that
  is not contiguous) stays as it is, but works on copies of the arguments that its schema says it writes to, strides kept: its
  results are the tensors that it gives anew, then the new values of those arguments, in the schema's order.
- a node's metas are what ATen gives for its op on operands that have the metas listed for them, strides included.
- values are numbered densely: the graph's inputs first, then its constants, then each node's results in order; a node reads only smaller
  numbers (topological order).
- nodes whose op draws random numbers or is otherwise effectful keep the program's order among themselves.
- `loc` is the user's line; it is never lost.

Text form (`render`), which `parse` reads back:

    graph(%0: f32[8, 8] = [8, 1]):
      %1: f32[8, 8] = [8, 1] = aten.mul.Tensor(%0, 2)   # model.py:3 in f
      return (%1)
"""

from __future__ import annotations

import enum

from graphwright.ir.data import Data
from graphwright.ir.dtypes import DType
from graphwright.ir.locations import Loc
from graphwright.ir.symint import Dim, SymExpr


class TensorMeta(Data, frozen=True, tag="tensor"):
    """What is known of a tensor without its data. Strides and offset in elements."""

    dtype: DType
    shape: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    device: str = "cpu"
    offset: Dim = 0
    requires_grad: bool = False


class Ref(Data, frozen=True, tag="ref"):
    """Value number `id` of the graph (an input or a node's result)."""

    id: int


class DTypeArg(Data, frozen=True, tag="dtype"):
    """An element type passed as an argument."""

    dtype: DType


class DeviceArg(Data, frozen=True, tag="device"):
    """A device passed as an argument, e.g. `cpu`."""

    device: str


class LayoutArg(Data, frozen=True, tag="layout"):
    """A layout passed as an argument, by PyTorch's leaf name (`strided`)."""

    layout: str


class MemoryFormatArg(Data, frozen=True, tag="memory_format"):
    """A memory format passed as an argument, by PyTorch's leaf name (`contiguous_format`)."""

    memory_format: str


class FloatArg(Data, frozen=True, tag="float"):
    """A float with all its bits (`float.hex`), so that NaN, infinities and `2.0` versus `2` survive a round trip."""

    hex: str

    @property
    def value(self) -> float:
        """The number itself."""
        return float.fromhex(self.hex)


class ComplexArg(Data, frozen=True, tag="complex"):
    """A complex number, both parts as `float.hex`."""

    real: str
    imag: str


class ListArg(Data, frozen=True, tag="list"):
    """A list or tuple argument."""

    items: tuple[Arg, ...]


class SymArg(Data, frozen=True, tag="sym"):
    """A symbolic integer argument."""

    expr: SymExpr


class LiteralArg(Data, frozen=True, tag="literal"):
    """None, a bool, an int or a string."""

    value: bool | int | str | None


Arg = (
    Ref
    | DTypeArg
    | DeviceArg
    | LayoutArg
    | MemoryFormatArg
    | FloatArg
    | ComplexArg
    | ListArg
    | SymArg
    | LiteralArg
)


class KwArg(Data, frozen=True):
    """One keyword argument of a node."""

    name: str
    value: Arg


class AtenNode(Data, frozen=True):
    """One call of an ATen overload (or of a user's registered op)."""

    op: str
    """Qualified overload name with the namespace: `aten.add.Tensor`, `mylib.foo.default`."""
    args: tuple[Arg, ...]
    kwargs: tuple[KwArg, ...]
    results: tuple[int, ...]
    """Value numbers of the tensor results, in the schema's order; a result that is None or not a tensor is -1."""
    metas: tuple[TensorMeta | None, ...]
    """One for each entry of `results`."""
    loc: Loc | None = None

    @property
    def tensors(self) -> tuple[int, ...]:
        """Value numbers of the results that are tensors."""
        return tuple([value for value in self.results if value >= 0])

    @property
    def first_tensor(self) -> int | None:
        """The first of them; None where there is none. The first *result* may be none (a gradient nobody asks for)."""
        return next((value for value in self.results if value >= 0), None)


class ConstantTensor(Data, frozen=True):
    """A tensor whose values are part of the graph (`torch.tensor([1, 2])` in the program), kept small by `record/`.

    Or one that is computed from frozen inputs before the graph is run, and whose values are not part of it.
    """

    meta: TensorMeta
    """On the CPU; contiguous, unless it is folded."""
    data: bytes
    """The elements, native byte order; none of a folded constant."""
    folded: int | None = None
    """The output of the fold (see `ir/fold.py`) that gives its values."""


class InputMutation(Data, frozen=True):
    """After the call, input number `input_index` holds the value `value_id`."""

    input_index: int
    value_id: int


class ViewKind(enum.StrEnum):
    """What autograd makes of a tensor that shares the memory of another; it decides what a later write to it does."""

    VIEW = "view"
    """A differentiable view, made with gradients on."""
    DETACHED = "detached"
    """No view: of `detach()` and the like, or made in inference mode of a tensor made there."""
    DATA = "data"
    """No view, and with a version of its own: of `.data`."""
    NO_GRAD = "no_grad"
    """Made in `torch.no_grad()`."""
    INFERENCE = "inference"
    """Made in inference mode, of a tensor from outside it."""
    ONE_OF_MANY = "one_of_many"
    """One of the results of a split or the like."""
    OF_FUNCTION = "of_function"
    """Made by an `autograd.Function`."""


class GraphOutput(Data, frozen=True):
    """One output of the graph."""

    value_id: int
    """The functional value; of a part, the value of its whole memory."""
    meta: TensorMeta
    """What eager returns: its strides are the ones that the caller must see."""
    alias_of_input: int | None = None
    """The input whose storage eager's result shares, if any: the caller must get a view of that input
    (`meta.shape`, `meta.strides`, `meta.offset` describe it), made after the mutations."""
    is_input_itself: bool = False
    """Eager returned the very tensor object `alias_of_input`."""
    alias_of_output: int | None = None
    """An earlier output with the same storage, if any: the two must share memory."""
    view_kind: ViewKind = ViewKind.VIEW
    """How eager's result is a view, where it shares memory."""
    is_of_detached: bool = False
    """It is a view, but not of what it shares memory with: of a `detach()` of that."""
    is_part: bool = False
    """It shows (by `meta`) a part of its memory, of which later outputs show others, or the same as numbers of another dtype."""


class AtenGraph(Data, frozen=True):
    """A functional program over tensors."""

    inputs: tuple[TensorMeta, ...]
    symbols: tuple[str, ...]
    """Names of the size symbols that occur, in order of first appearance; empty for a static graph."""
    nodes: tuple[AtenNode, ...]
    outputs: tuple[GraphOutput, ...]
    mutations: tuple[InputMutation, ...] = ()
    constants: tuple[ConstantTensor, ...] = ()
    versioned_inputs: tuple[int, ...] = ()
    """The inputs whose version eager raises, in order: autograd then knows that what it kept of them is no more.
    A write through `.data` raises none, `unsqueeze_` raises one and writes nothing."""
