"""Reading and renumbering the values of nodes.

In: an `AtenNode`.   Out: the values it reads; the node with its values renamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from graphwright.ir.aten import Arg, AtenNode, KwArg, ListArg, Ref


def iter_reads(node: AtenNode) -> Iterator[int]:
    """Give the values that `node` reads, in the order of its arguments, with repetition."""
    for arg in node.args:
        yield from _iter_refs(arg)
    for kwarg in node.kwargs:
        yield from _iter_refs(kwarg.value)


def _iter_refs(arg: Arg) -> Iterator[int]:
    if isinstance(arg, Ref):
        yield arg.id
    elif isinstance(arg, ListArg):
        for item in arg.items:
            yield from _iter_refs(item)


def renumber(node: AtenNode, numbers: Mapping[int, int]) -> AtenNode:
    """Give `node` with each value `v` that it reads or gives called `numbers[v]`."""
    return msgspec.structs.replace(
        node,
        args=tuple(_renumber_arg(arg, numbers) for arg in node.args),
        kwargs=tuple(
            KwArg(kwarg.name, _renumber_arg(kwarg.value, numbers)) for kwarg in node.kwargs
        ),
        results=tuple(value if value < 0 else numbers[value] for value in node.results),
    )


def _renumber_arg(arg: Arg, numbers: Mapping[int, int]) -> Arg:
    if isinstance(arg, Ref):
        return Ref(numbers[arg.id])
    if isinstance(arg, ListArg):
        return ListArg(tuple(_renumber_arg(item, numbers) for item in arg.items))
    return arg
