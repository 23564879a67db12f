"""Ask for singular values and eigenvalues alone where nobody reads the vectors.

In: a graph without dead nodes.   Out: the graph whose decompositions of matrices compute no vectors in vain.
Eager decides so by itself, but ATen computes the vectors too where it meets a tensor subclass, as the recorder's are. The routine
for values alone is faster, and rounds otherwise.

    %1, %2, %3 = _linalg_svd(%0)          →      -, %1, - = _linalg_svd(%0, compute_uv=false)
    return %2                                    return %1
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import msgspec

from graphwright.ir.aten import AtenGraph, AtenNode, KwArg, LiteralArg
from graphwright.ir.renumbering import iter_reads, with_nodes


class _Alone(msgspec.Struct, frozen=True):
    """How the values are asked for alone."""

    values: int
    """Which of the results they are."""
    flag: tuple[int, str] | None = None
    """Position and name of the argument that asks for vectors."""
    op: str = ""
    """Where there is no such argument: the op that gives the values."""


_ALONE: Final = {
    "aten._linalg_svd.default": _Alone(1, flag=(2, "compute_uv")),
    "aten._linalg_eigh.default": _Alone(0, flag=(2, "compute_v")),
    "aten.linalg_eig.default": _Alone(0, op="aten._linalg_eigvals.default"),
}


def values_alone(graph: AtenGraph) -> AtenGraph:
    """Ask for singular values and eigenvalues alone where nobody reads the vectors."""
    if not any(node.op in _ALONE for node in graph.nodes):
        return graph
    read = {value for node in graph.nodes for value in iter_reads(node)}
    read.update(output.value_id for output in graph.outputs)
    read.update(mutation.value_id for mutation in graph.mutations)
    return with_nodes(graph, [_without_vectors(node, read) for node in graph.nodes], {})


def _without_vectors(node: AtenNode, read: Container[int]) -> AtenNode:
    how = _ALONE.get(node.op)
    if how is None or any(
        value in read for index, value in enumerate(node.results) if index != how.values
    ):
        return node
    values, meta = node.results[how.values], node.metas[how.values]
    if how.flag is None:
        return msgspec.structs.replace(node, op=how.op, results=(values,), metas=(meta,))
    position, name = how.flag
    return msgspec.structs.replace(
        node,
        args=node.args[:position],
        kwargs=(*node.kwargs, KwArg(name, LiteralArg(value=False))),
        results=tuple(value if value == values else -1 for value in node.results),
        metas=tuple(meta if value == values else None for value in node.results),
    )
