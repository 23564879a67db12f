"""Put numbers in the place of size symbols.

In: a graph with symbols, a value for each.   Out: the static graph of these sizes.
Keeps: nodes, their order and their numbers; only extents, strides, offsets and integer arguments change (constants have no symbols).

    graph(%0: f32[s0, 4] = [4, 1]):                    graph(%0: f32[6, 4] = [4, 1]):
      %1: f32[2*s0, 2] = [2, 1] =                →       %1: f32[12, 2] = [2, 1] =
          aten.view.default(%0, [2*s0, 2])                   aten.view.default(%0, [12, 2])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import msgspec

from graphwright.ir.aten import (
    Arg,
    AtenGraph,
    AtenNode,
    KwArg,
    ListArg,
    LiteralArg,
    SymArg,
    TensorMeta,
)
from graphwright.ir.dims import evaluate_dim


def specialise(graph: AtenGraph, values: Mapping[str, int]) -> AtenGraph:
    """Give the static graph that `graph` is for these values of its symbols (others are ignored)."""
    if not graph.symbols:
        return graph
    return _Specialisation(values).graph(graph)


@final
class _Specialisation:
    """One set of values. Metas are shared by many nodes of a graph, so each is worked out once."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values: Final = values
        self._metas: Final[dict[int, tuple[TensorMeta, TensorMeta]]] = {}

    def graph(self, graph: AtenGraph) -> AtenGraph:
        return msgspec.structs.replace(
            graph,
            inputs=tuple(map(self._meta, graph.inputs)),
            symbols=(),
            nodes=tuple(map(self._node, graph.nodes)),
            outputs=tuple(
                msgspec.structs.replace(output, meta=self._meta(output.meta))
                for output in graph.outputs
            ),
        )

    def _meta(self, meta: TensorMeta) -> TensorMeta:
        known = self._metas.get(id(meta))
        if known is not None:
            return known[1]
        values = self._values
        made = TensorMeta(
            dtype=meta.dtype,
            shape=tuple([evaluate_dim(extent, values) for extent in meta.shape]),
            strides=tuple([evaluate_dim(stride, values) for stride in meta.strides]),
            device=meta.device,
            offset=evaluate_dim(meta.offset, values),
            requires_grad=meta.requires_grad,
        )
        self._metas[id(meta)] = (meta, made)  # held, so that its `id` stays its own
        return made

    def _node(self, node: AtenNode) -> AtenNode:
        return AtenNode(
            op=node.op,
            args=tuple([self._arg(arg) for arg in node.args]),
            kwargs=tuple([KwArg(kwarg.name, self._arg(kwarg.value)) for kwarg in node.kwargs]),
            results=node.results,
            metas=tuple([None if meta is None else self._meta(meta) for meta in node.metas]),
            loc=node.loc,
        )

    def _arg(self, arg: Arg) -> Arg:
        if isinstance(arg, SymArg):
            return LiteralArg(evaluate_dim(arg.expr, self._values))
        if isinstance(arg, ListArg):
            return ListArg(tuple([self._arg(item) for item in arg.items]))
        return arg
