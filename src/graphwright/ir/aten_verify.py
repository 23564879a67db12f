"""What every ATen graph keeps, checked; and a hash of what it computes.

In:  an `AtenGraph`.   Out: nothing, or `InternalError` with all faults, each with its node (`verify_graph`); a hash.

Checked: values are numbered densely, inputs, then constants, then results; a node reads smaller numbers only; results and
metas match; shapes and strides are of one length; constants hold as many bytes as their shape says; symbols are all
declared; mutations name inputs, once each, and values of the input's shape and dtype; outputs' aliases exist.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    GraphOutput,
    ListArg,
    Ref,
    SymArg,
    TensorMeta,
)
from graphwright.ir.aten_text import render_meta, render_node
from graphwright.ir.dims import symbols_of
from graphwright.ir.encoding import structural_hash
from graphwright.ir.symint import Dim

_WINDOW = 10


def hash_graph(graph: AtenGraph) -> str:
    """Hash what a graph computes: equal for graphs that differ in locations only."""
    nodes = tuple(msgspec.structs.replace(node, loc=None) for node in graph.nodes)
    return structural_hash(msgspec.structs.replace(graph, nodes=nodes))


def verify_graph(graph: AtenGraph) -> None:
    """Check that a graph keeps its invariants.

    Raises:
        InternalError: it does not; the message lists the faults, and the nodes around the first one.
    """
    checker = _Checker(graph)
    faults = list(checker.iter_faults())
    if not faults:
        return
    lines = [fault.text for fault in faults]
    first = next((fault.node_index for fault in faults if fault.node_index is not None), None)
    if first is not None:
        lines.append("around the first fault:")
        for index in range(max(first - _WINDOW, 0), min(first + _WINDOW + 1, len(graph.nodes))):
            mark = ">" if index == first else " "
            lines.append(f" {mark} {render_node(graph.nodes[index])}")
    message = "the ATen graph is malformed:\n" + "\n".join(lines)
    raise InternalError(message)


class _Fault(msgspec.Struct, frozen=True):
    text: str
    node_index: int | None = None


class _Checker:
    def __init__(self, graph: AtenGraph) -> None:
        self._graph = graph
        self._symbols = frozenset(graph.symbols)
        self._metas: list[TensorMeta] = []

    def iter_faults(self) -> Iterator[_Fault]:
        """Give the faults in the order of the graph."""
        graph = self._graph
        for number, meta in enumerate(graph.inputs):
            yield from self._meta_faults(meta, f"input {number}")
            self._metas.append(meta)
        for number, constant in enumerate(graph.constants):
            yield from self._meta_faults(constant.meta, f"constant {number}")
            if constant.folded is None:
                yield from _constant_faults(number, constant.meta, len(constant.data))
            self._metas.append(constant.meta)
        for index, node in enumerate(graph.nodes):
            for text in self._node_faults(node):
                yield _Fault(f"node {index} ({node.op}): {text}", index)
        yield from self._mutation_faults()
        for index, output in enumerate(graph.outputs):
            for text in self._output_faults(index, output):
                yield _Fault(f"output {index}: {text}")

    def _node_faults(self, node: AtenNode) -> Iterator[str]:
        if node.op.count(".") != 2:
            yield "the op's name is not of the form namespace.op.overload"
        for arg in (*node.args, *(kwarg.value for kwarg in node.kwargs)):
            yield from self._arg_faults(arg)
        if len(node.results) != len(node.metas):
            yield f"{len(node.results)} results, {len(node.metas)} metas"
            return
        for value, meta in zip(node.results, node.metas, strict=True):
            if (value < 0) is not (meta is None):
                yield f"result {value} and meta {meta} do not match"
            if meta is None:
                continue
            if value != len(self._metas):
                yield f"result %{value} should be number {len(self._metas)}"
            yield from (fault.text for fault in self._meta_faults(meta, f"%{value}"))
            self._metas.append(meta)

    def _arg_faults(self, arg: Arg) -> Iterator[str]:
        if isinstance(arg, Ref) and not 0 <= arg.id < len(self._metas):
            yield f"reads %{arg.id}, which is not defined before it"
        elif isinstance(arg, ListArg):
            for item in arg.items:
                yield from self._arg_faults(item)
        elif isinstance(arg, SymArg):
            yield from self._symbol_faults(arg.expr, "an argument")

    def _meta_faults(self, meta: TensorMeta, name: str) -> Iterator[_Fault]:
        if len(meta.shape) != len(meta.strides):
            yield _Fault(f"{name}: {len(meta.shape)} extents, {len(meta.strides)} strides")
        for dim in (*meta.shape, *meta.strides, meta.offset):
            for text in self._symbol_faults(dim, name):
                yield _Fault(text)
        if any(isinstance(extent, int) and extent < 0 for extent in meta.shape):
            yield _Fault(f"{name}: a negative extent in {render_meta(meta)}")

    def _symbol_faults(self, dim: Dim, name: str) -> Iterator[str]:
        unknown = symbols_of(dim) - self._symbols
        if unknown:
            yield f"{name}: symbols {sorted(unknown)} are not declared"

    def _mutation_faults(self) -> Iterator[_Fault]:
        seen: set[int] = set()
        for mutation in self._graph.mutations:
            place = f"the mutation of input {mutation.input_index}"
            if not 0 <= mutation.input_index < len(self._graph.inputs):
                yield _Fault(f"{place}: there is no such input")
                continue
            if mutation.input_index in seen:
                yield _Fault(f"{place}: it is listed twice")
            seen.add(mutation.input_index)
            if not 0 <= mutation.value_id < len(self._metas):
                yield _Fault(f"{place}: value %{mutation.value_id} is not defined")
                continue
            target = self._graph.inputs[mutation.input_index]
            value = self._metas[mutation.value_id]
            if (target.shape, target.dtype) != (value.shape, value.dtype):
                yield _Fault(f"{place}: {render_meta(value)} is written to {render_meta(target)}")
        for index in self._graph.versioned_inputs:
            if not 0 <= index < len(self._graph.inputs):
                yield _Fault(f"the version of input {index} is raised: there is no such input")

    def _output_faults(self, index: int, output: GraphOutput) -> Iterator[str]:
        if not 0 <= output.value_id < len(self._metas):
            yield f"value %{output.value_id} is not defined"
            return
        value = self._metas[output.value_id]
        is_alike = (value.shape, value.dtype) == (output.meta.shape, output.meta.dtype)
        if not is_alike and not output.is_part:
            yield f"value {render_meta(value)} is returned as {render_meta(output.meta)}"
        source = output.alias_of_input
        if source is not None and not 0 <= source < len(self._graph.inputs):
            yield f"it aliases input {source}, which does not exist"
        if output.is_input_itself and source is None:
            yield "it is an input, but does not say which"
        if output.alias_of_output is not None and not 0 <= output.alias_of_output < index:
            yield f"it aliases output {output.alias_of_output}, which is not an earlier one"


def _constant_faults(number: int, meta: TensorMeta, num_bytes: int) -> Iterator[_Fault]:
    numel = 1
    for extent in meta.shape:
        if not isinstance(extent, int):
            yield _Fault(f"constant {number}: a symbolic extent")
            return
        numel *= extent
    expected = numel * meta.dtype.size_bytes
    if expected != num_bytes:
        yield _Fault(f"constant {number}: {num_bytes} bytes, its shape takes {expected}")
