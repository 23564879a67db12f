"""Fold what scales and shifts the channels of a convolution into its weight and bias.

In: a graph, the inputs that are frozen.   Out: the graph with fewer nodes behind its convolutions: batch norms with running statistics
are such nodes by now. Folding (`freezing.py`) is to take the new weights out of the calls.
Keeps: values, up to the rounding of products in another order; convolutions whose weight each call brings anew, narrow
floats (they are rounded between convolution and norm) and convolutions that something else reads, too.

    %5 = convolution(%x, %w, %b)          %6 = mul(%w, view(%scale, [c, 1, 1, 1]))
    %6 = mul(%5, %scale)            →     %7 = add(mul(%b, view(%scale, [c])), view(%shift, [c]))
    %7 = add(%6, %shift)                  %8 = convolution(%x, %6, %7)
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from graphwright.graph.decomps.emitter import Emitter, static_shape
from graphwright.graph.freezing import find_sources
from graphwright.ir.aten import AtenGraph, AtenNode, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import flag_of
from graphwright.ir.renumbering import iter_metas, sole_readers, with_nodes

_CONVOLUTION: Final = "aten.convolution.default"
_SCALE: Final = "aten.mul.Tensor"
_SHIFT: Final = "aten.add.Tensor"
_CHANNEL: Final = 1


def scaling(graph: AtenGraph, fixed: Collection[int]) -> AtenGraph:
    """Fold scales and shifts of channels into convolutions.

    Args:
        graph: the graph, of static shapes.
        fixed: the numbers of its frozen inputs.
    """
    search = _Search(graph, fixed)
    chains = [chain for node in graph.nodes if len(chain := search.chain(node)) > 1]
    if not chains:
        return graph
    last_of = {chain[-1].results[0]: chain for chain in chains}
    inner = {node.results[0] for chain in chains for node in chain[:-1]}
    nodes: list[AtenNode] = []
    for node in graph.nodes:
        value = node.results[0] if node.results else -1
        if value in last_of:
            nodes += _folded(last_of[value], search.metas)
        elif value not in inner:
            nodes.append(node)
    return with_nodes(graph, nodes, {})


class _Search:
    """Finds convolutions with the scales and shifts behind them.

    Attributes:
        metas: of all values, by number.
    """

    def __init__(self, graph: AtenGraph, fixed: Collection[int]) -> None:
        self.metas: Final = list(iter_metas(graph))
        self._sources = find_sources(graph, fixed)
        self._is_input = range(len(graph.inputs)).__contains__
        self._readers = sole_readers(graph)

    def chain(self, node: AtenNode) -> list[AtenNode]:
        """Give a convolution and the scales and shifts behind it; nothing for another node."""
        if not self._can_take(node):
            return []
        chain = [node]
        while (reader := self._next(chain[-1])) is not None:
            chain.append(reader)
        return chain

    def _can_take(self, node: AtenNode) -> bool:
        if node.op != _CONVOLUTION or flag_of(node, 6, "transposed"):
            return False
        meta = self.metas[node.results[0]]
        given = [arg.id for arg in node.args[1:3] if isinstance(arg, Ref)]
        dtypes = {self.metas[value].dtype for value in given}
        is_wide = dtypes == {meta.dtype} and meta.dtype in (DType.FLOAT32, DType.FLOAT64)
        # What is made from constants alone is not folded.
        is_fixed = any(map(self._is_input, self._sources.get(given[0], ())))
        return is_wide and is_fixed and all(value in self._sources for value in given)

    def _next(self, node: AtenNode) -> AtenNode | None:
        value = node.results[0]
        reader = self._readers.get(value)
        if reader is None or reader.op not in (_SCALE, _SHIFT) or reader.kwargs:
            return None
        operand, meta = _other_operand(reader, value), self.metas[value]
        if operand is None or operand.id not in self._sources:
            return None
        given, result = self.metas[operand.id], self.metas[reader.results[0]]
        is_same = (meta.dtype, meta.shape, meta.strides) == (
            result.dtype,
            result.shape,
            result.strides,
        )
        is_channel = _varies_by_channel(given, meta) and given.dtype is meta.dtype
        return reader if is_same and is_channel else None


def _other_operand(node: AtenNode, value: int) -> Ref | None:
    """Give what `value` is scaled or shifted by, where that is a tensor."""
    others = [arg for arg in node.args if arg != Ref(value)]
    return others[0] if len(others) == 1 and isinstance(others[0], Ref) else None


def _varies_by_channel(given: TensorMeta, image: TensorMeta) -> bool:
    """Tell whether an operand has an element for each channel of the images that it is broadcast to."""
    rank = len(image.shape)
    shape = (1,) * (rank - len(given.shape)) + static_shape(given)
    channels = static_shape(image)[_CHANNEL]
    return shape == tuple(channels if axis == _CHANNEL else 1 for axis in range(rank))


def _folded(chain: list[AtenNode], metas: list[TensorMeta]) -> Iterator[AtenNode]:
    """Give the nodes of a convolution that scales and shifts by itself, in the place of a chain's last node."""
    node, last = chain[0], chain[-1]
    emit = Emitter(metas, last.loc)
    weight, bias, *rest = node.args[1:]
    assert isinstance(weight, Ref), "a convolution has a weight"
    for before, step in itertools.pairwise(chain):
        operand = _other_operand(step, before.results[0])
        assert operand is not None, "checked when the chain was found"
        row = emit.row_major(operand)
        channels = static_shape(emit.meta(weight))[0]
        along_bias = emit.view(row, (channels,))
        if step.op == _SCALE:
            kernel = [1] * (len(emit.shape(weight)) - 1)
            weight = emit.pointwise(_SCALE, weight, emit.view(row, (channels, *kernel)))
        if isinstance(bias, Ref):
            bias = emit.pointwise(step.op, bias, along_bias)
        elif step.op == _SHIFT:
            bias = along_bias
    yield from emit.nodes
    yield msgspec.structs.replace(
        node,
        args=(node.args[0], weight, bias, *rest),
        results=last.results,
        metas=last.metas,
    )
