"""What a decomposition is.

In: nothing.   Out: `Decomposition`, `rows` to make a table of them, `Reduction`, and what their functions read nodes with.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from graphwright.base.errors import InternalError
from graphwright.graph.decomps.emitter import Emitter, as_list, static_shape
from graphwright.ir.aten import AtenNode, Ref, TensorMeta
from graphwright.ir.node_arguments import argument, integers_of


class Reduction(enum.IntEnum):
    """ATen's `Reduction` argument of losses."""

    NONE = 0
    MEAN = 1
    SUM = 2


class Decomposition(msgspec.Struct, frozen=True):
    """An op in terms of simpler ones."""

    op: str
    write: Callable[[Emitter, AtenNode], bool]
    """Writes the nodes that compute the results, with `give` for each of them; False where this node must stay as it is."""


def rows(*given: Decomposition) -> Mapping[str, Decomposition]:
    """Make a table.

    Raises:
        InternalError: an overload has two rows.
    """
    table: dict[str, Decomposition] = {}
    for row in given:
        if row.op in table:
            message = f"{row.op} has two decompositions"
            raise InternalError(message)
        table[row.op] = row
    return MappingProxyType(table)


def tensor(node: AtenNode, position: int) -> Ref:
    """Give a tensor argument."""
    given = node.args[position]
    assert isinstance(given, Ref), f"argument {position} of {node.op} is a tensor, not {given}"
    return given


def maybe_tensor(node: AtenNode, position: int, name: str = "") -> Ref | None:
    """Give an optional tensor argument."""
    given = argument(node, position, name)
    return given if isinstance(given, Ref) else None


def axes_of(node: AtenNode, position: int, rank: int, name: str = "dim") -> tuple[int, ...]:
    """Give the axes that an argument names; all where it names none."""
    given = integers_of(argument(node, position, name))
    if not given or not rank:
        return tuple(range(rank))
    return tuple(sorted({axis % rank for axis in given}))


def result_meta(node: AtenNode, place: int = 0) -> TensorMeta:
    """Give the metadata of a result."""
    meta = node.metas[place]
    assert meta is not None, f"{node.op} has a result {place}"
    return meta


def give(emit: Emitter, node: AtenNode, value: Ref, place: int = 0) -> None:
    """Say what result `place` of the decomposed node is."""
    if node.results[place] >= 0:
        emit.give(value, node.results[place], result_meta(node, place))


def give_reduced(
    emit: Emitter, node: AtenNode, value: Ref, axes: Sequence[int], place: int = 0
) -> None:
    """The same for a value whose reduced axes (of extent 1) the result may lack."""
    if node.results[place] < 0:
        return
    meta = result_meta(node, place)
    if len(static_shape(meta)) != len(emit.shape(value)):
        value = squeeze(emit, value, axes)
    give(emit, node, value, place)


def squeeze(emit: Emitter, value: Ref, axes: Sequence[int]) -> Ref:
    """Leave out axes of extent 1."""
    meta = emit.meta(value)
    kept = [axis for axis in range(len(meta.shape)) if axis not in axes]
    squeezed = msgspec.structs.replace(
        meta,
        shape=tuple(meta.shape[axis] for axis in kept),
        strides=tuple(meta.strides[axis] for axis in kept),
    )
    return emit.node("aten.squeeze.dims", [value, as_list(axes)], squeezed)
