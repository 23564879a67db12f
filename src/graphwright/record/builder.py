"""The ATen graph while it grows.

In:  inputs, constants and nodes, in the order they are met.   Out: an `AtenGraph` (`freeze`).
Keeps: while it grows, values are numbered in the order they appear; `freeze` numbers them as `AtenGraph` demands
(inputs, constants, results) and puts in place of each symbol what a guard has shown it to equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    ConstantTensor,
    GraphOutput,
    InputMutation,
    KwArg,
    ListArg,
    LiteralArg,
    Ref,
    SymArg,
    TensorMeta,
)
from graphwright.ir.dtypes import FROM_TORCH
from graphwright.ir.symint import Dim
from graphwright.ir.symint_algebra import as_expr, free_symbols
from graphwright.record.sizes import Extent, SizeTable, dim_of
from graphwright.record.specs import TensorSpec

if TYPE_CHECKING:
    from graphwright.ir.locations import Loc
    from graphwright.record.abstract import Storage

NO_VALUE = -1
"""Stands for a result that is no tensor."""


class PendingNode:
    """A node whose values still have provisional numbers."""

    __slots__ = ("args", "kwargs", "loc", "op", "results", "specs")

    def __init__(
        self,
        op: str,
        args: Sequence[Arg],
        kwargs: Sequence[KwArg],
        results: tuple[int, ...],
        specs: tuple[TensorSpec | None, ...],
        loc: Loc | None,
    ) -> None:
        self.op = op
        self.args = args
        self.kwargs = kwargs
        self.results = results
        self.specs = specs
        self.loc = loc


class GraphBuilder:
    """Nodes in order, and the spec of every value."""

    def __init__(self, table: SizeTable, location: Callable[[], Loc | None]) -> None:
        self.table = table
        self.location = location
        self.specs: list[TensorSpec] = []
        """What each value is, by provisional number."""
        self.nodes: list[PendingNode] = []
        self.inputs: list[int] = []
        self.constants: list[int] = []
        self.constant_data: list[bytes] = []
        self.written: list[Storage] = []
        """The storages that were written to, in order."""

    def add_input(self, spec: TensorSpec) -> int:
        """Make the value of the next graph input."""
        value = self._new_value(spec)
        self.inputs.append(value)
        return value

    def add_constant(self, spec: TensorSpec, data: bytes) -> int:
        """Make the value of a tensor whose elements are part of the graph."""
        value = self._new_value(spec)
        self.constants.append(value)
        self.constant_data.append(data)
        return value

    def constant_bytes_of(self, value: int) -> bytes:
        """Give the elements of a constant."""
        return self.constant_data[self.constants.index(value)]

    def emit(self, op: str, args: Sequence[Arg], kwargs: Sequence[KwArg], spec: TensorSpec) -> int:
        """Add a node with one tensor result and give its value."""
        value = len(self.specs)
        self.specs.append(spec)
        self.nodes.append(PendingNode(op, args, kwargs, (value,), (spec,), self.location()))
        return value

    def emit_many(
        self,
        op: str,
        args: Sequence[Arg],
        kwargs: Sequence[KwArg],
        specs: Sequence[TensorSpec | None],
    ) -> tuple[int, ...]:
        """Add a node with any number of results and give their values, `NO_VALUE` where there is no tensor."""
        values = tuple(NO_VALUE if spec is None else self._new_value(spec) for spec in specs)
        self.nodes.append(PendingNode(op, args, kwargs, values, tuple(specs), self.location()))
        return values

    def freeze(
        self,
        outputs: Sequence[GraphOutput],
        mutations: Sequence[InputMutation],
        requires_grad: Sequence[bool],
        versioned_inputs: Sequence[int],
    ) -> AtenGraph:
        """Give the finished graph; the outputs and mutations carry provisional numbers."""
        numbers = self._final_numbers()
        rewrite = _Rewriter(numbers, self.table)
        nodes = tuple(self._frozen_node(node, numbers, rewrite) for node in self.nodes)
        inputs = tuple(
            rewrite.meta(self.specs[value], requires_grad=needs)
            for value, needs in zip(self.inputs, requires_grad, strict=True)
        )
        constants = tuple(
            ConstantTensor(rewrite.meta(self.specs[value]), data)
            for value, data in zip(self.constants, self.constant_data, strict=True)
        )
        return AtenGraph(
            inputs=inputs,
            symbols=tuple(rewrite.symbols),
            nodes=nodes,
            outputs=tuple(
                GraphOutput(
                    numbers[output.value_id],
                    output.meta,
                    output.alias_of_input,
                    output.is_input_itself,
                    output.alias_of_output,
                    output.view_kind,
                    output.is_of_detached,
                    output.is_part,
                )
                for output in outputs
            ),
            mutations=tuple(
                InputMutation(item.input_index, numbers[item.value_id]) for item in mutations
            ),
            constants=constants,
            versioned_inputs=tuple(versioned_inputs),
        )

    def meta(self, spec: TensorSpec, *, requires_grad: bool = False) -> TensorMeta:
        """Give a spec as data."""
        return _Rewriter((), self.table).meta(spec, requires_grad=requires_grad)

    def _new_value(self, spec: TensorSpec) -> int:
        self.specs.append(spec)
        return len(self.specs) - 1

    def _final_numbers(self) -> list[int]:
        numbers = [NO_VALUE] * len(self.specs)
        following = 0
        for value in (*self.inputs, *self.constants):
            numbers[value] = following
            following += 1
        for node in self.nodes:
            for value in node.results:
                if value != NO_VALUE:
                    numbers[value] = following
                    following += 1
        return numbers

    @staticmethod
    def _frozen_node(node: PendingNode, numbers: list[int], rewrite: _Rewriter) -> AtenNode:
        kwargs = node.kwargs and tuple(
            [KwArg(kwarg.name, rewrite.arg(kwarg.value)) for kwarg in node.kwargs]
        )
        args = tuple([rewrite.arg(arg) for arg in node.args])
        if len(node.results) == 1 and node.specs[0] is not None:
            results: tuple[int, ...] = (numbers[node.results[0]],)
            metas: tuple[TensorMeta | None, ...] = (rewrite.meta(node.specs[0]),)
        else:
            results = tuple([v if v == NO_VALUE else numbers[v] for v in node.results])
            metas = tuple([None if spec is None else rewrite.meta(spec) for spec in node.specs])
        return AtenNode(node.op, args, tuple(kwargs), results, metas, node.loc)


class _Rewriter:
    """Turns provisional numbers and extents into data, and collects the symbols met."""

    def __init__(self, numbers: Sequence[int], table: SizeTable) -> None:
        self._refs = [Ref(number) for number in numbers]
        self._table = table
        self._is_static = not table.hints
        self._metas: dict[int, tuple[TensorSpec, TensorMeta]] = {}
        self.symbols: dict[str, None] = {}

    def arg(self, arg: Arg) -> Arg:
        kind = type(arg)
        if kind is Ref:
            return self._refs[arg.id]  # type: ignore[union-attr]
        if kind is LiteralArg:
            return arg
        if isinstance(arg, ListArg):
            return ListArg(tuple([self.arg(item) for item in arg.items]))
        if isinstance(arg, SymArg):
            dim = self._dim(arg.expr)
            return LiteralArg(dim) if isinstance(dim, int) else SymArg(as_expr(dim))
        return arg

    def meta(self, spec: TensorSpec, *, requires_grad: bool = False) -> TensorMeta:
        known = self._metas.get(id(spec))
        if known is not None and not requires_grad:
            return known[1]
        shape: Any = spec.shape
        strides: Any = spec.strides
        offset: Any = spec.offset
        if not self._is_static:
            shape, strides = self._extents(shape), self._extents(strides)
            offset = offset if isinstance(offset, int) else self._dim(offset.dim)
        device = _device_text(spec.device)
        made = TensorMeta(FROM_TORCH[spec.dtype], shape, strides, device, offset, requires_grad)
        if not requires_grad:
            self._metas[id(spec)] = (spec, made)
        return made

    def _extents(self, extents: tuple[Extent, ...]) -> tuple[Dim, ...]:
        return tuple(
            [item if isinstance(item, int) else self._dim(dim_of(item)) for item in extents]
        )

    def _dim(self, dim: Dim) -> Dim:
        dim = self._table.simplify(dim)
        for name in free_symbols(dim):
            self.symbols.setdefault(name)
        return dim


def _device_text(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else str(device)
