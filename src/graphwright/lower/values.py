"""What each value of a graph is to the lowering.

In: an `AtenGraph` with static shapes, and how each of its nodes is lowered.   Out: `Values`: per value its kind, its layout,
and for views the value whose memory they show.
Keeps: values that are no views have a layout of their own (`offset` 0); the layout of a view is relative to the first
element of its base, which is no view.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.aten import Arg, AtenGraph, AtenNode, ListArg, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.numerics import DEFAULT, Numerics
from graphwright.ir.strides import is_dense
from graphwright.ir.symint import Dim


class ValueKind(enum.Enum):
    """How a value comes about."""

    SOURCE = "source"
    """A graph input or constant: in memory from the start."""
    VIEW = "view"
    """The memory of another value, seen in another way."""
    POINTWISE = "pointwise"
    """Each element is computed from operands' elements at the same (broadcast) index."""
    ELEMENTS = "elements"
    """Each element is computed from elements of operands at other indices."""
    REDUCTION = "reduction"
    PRODUCT = "product"
    """A product of matrices that a kernel computes tile by tile."""
    SCAN = "scan"
    """Each element is computed from the operand's elements up to its own place along one axis."""
    SCATTER = "scatter"
    """Elements that updates, which name their places, change one after the other."""
    EXTERN = "extern"
    """A result of a call."""


class Layout(msgspec.Struct, frozen=True):
    """Where the elements of a value are, in elements of its dtype from the first element of its base."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """The elements fill one piece of memory, each place once, from the base's first element on."""
        return not self.offset and is_dense(self.shape, self.strides)


class Values:
    """The values of one graph, by number. Filled by `classify.py`; synthetic nodes may be added at the end.

    Args:
        graph: the graph.
        numerics: how close to eager's its numbers must be.
    """

    def __init__(self, graph: AtenGraph, numerics: Numerics = DEFAULT) -> None:
        self.graph = graph
        self.numerics = numerics
        self.kinds: list[ValueKind] = []
        self.metas: list[TensorMeta] = []
        self.layouts: list[Layout] = []
        self.nodes: list[AtenNode | None] = []
        """The node that gives the value; None for sources."""
        self.bases: list[int] = []
        """For views the value whose memory they show; for others the value itself."""
        self.num_sources = len(graph.inputs) + len(graph.constants)
        self.num_graph_values = self.num_sources + sum(
            value >= 0 for node in graph.nodes for value in node.results
        )
        """Values from this number on were added by the lowering."""
        self._used = {ref for node in graph.nodes for ref in operands_of(node)}
        self._used |= {output.value_id for output in graph.outputs}
        self._used |= {mutation.value_id for mutation in graph.mutations}

    def is_used(self, value: int) -> bool:
        """Tell whether anything in the graph names a result."""
        return value in self._used

    def add_source(self, meta: TensorMeta) -> int:
        """Add a graph input or constant."""
        return self._add(ValueKind.SOURCE, meta, None, len(self.kinds))

    def add_computed(self, kind: ValueKind, meta: TensorMeta, node: AtenNode) -> int:
        """Add a value with memory of its own, if it has memory at all."""
        return self._add(kind, meta, node, len(self.kinds))

    def add_view(self, meta: TensorMeta, node: AtenNode, base: int) -> int:
        """Add a view of `base`, which may be a view itself."""
        return self._add(ValueKind.VIEW, meta, node, self.bases[base])

    def dtype(self, value: int) -> DType:
        """Give the element type of a value."""
        return self.metas[value].dtype

    def _add(self, kind: ValueKind, meta: TensorMeta, node: AtenNode | None, base: int) -> int:
        number = len(self.kinds)
        self.kinds.append(kind)
        self.metas.append(meta)
        self.nodes.append(node)
        self.bases.append(base)
        offset = 0
        if base != number:
            offset = static(meta.offset) - self._offset_in(base, meta.dtype)
        self.layouts.append(Layout(static_dims(meta.shape), static_dims(meta.strides), offset))
        return number

    def _offset_in(self, base: int, dtype: DType) -> int:
        """Give the storage offset of the base's first element, in elements of `dtype`."""
        meta = self.metas[base]
        offset = static(meta.offset)
        return offset and offset * meta.dtype.size_bytes // dtype.size_bytes


def static(dim: Dim) -> int:
    """Give an extent that must be known.

    Raises:
        InternalError: it depends on a size symbol; only graphs of static shapes are lowered.
    """
    if isinstance(dim, int):
        return dim
    message = f"the extent {dim} is symbolic: only graphs of static shapes are lowered"
    raise InternalError(message)


def static_dims(dims: Iterable[Dim]) -> tuple[int, ...]:
    """Give extents that must be known."""
    return tuple(dim if isinstance(dim, int) else static(dim) for dim in dims)


def refs_of(args: Iterable[Arg]) -> list[int]:
    """Give the values that occur in arguments, in order."""
    found: list[int] = []
    for arg in args:
        if isinstance(arg, Ref):
            found.append(arg.id)
        elif isinstance(arg, ListArg):
            found += refs_of(arg.items)
    return found


def operands_of(node: AtenNode) -> list[int]:
    """Give the values that a node reads, in order."""
    found = refs_of(node.args)
    if node.kwargs:
        found += refs_of(kwarg.value for kwarg in node.kwargs)
    return found
