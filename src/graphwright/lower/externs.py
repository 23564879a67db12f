"""Steps that call an overload as it is.

In: a node that no row serves, and the buffer of each value.   Out: a `CallExtern`.
Keeps: operands are strided views over buffers, never copies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch

from graphwright.ir.aten import Arg, AtenNode, ListArg, Ref
from graphwright.ir.lookups import CHECK_LOOKUP
from graphwright.ir.node_arguments import argument
from graphwright.ir.overloads import find_overload, schema_of
from graphwright.ir.plan import CallExtern, ExternArg, ExternKind, NamedArg, TensorArg, TupleArg
from graphwright.lower.rules import OUT_VARIANTS
from graphwright.lower.values import Values, operands_of, refs_of

SUBSTITUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aten._conj.default": "aten.conj_physical.default",
        "aten._neg_view.default": "aten.neg.default",
    }
)
"""Ops that set a flag on a view → the op that computes the values."""
LONG_FLOPS: Final = 1_000_000
"""Matrix products of fewer operations take less than about 20 µs."""
LONG_NUMEL: Final = 1 << 16
"""Other calls on fewer elements do so too."""
_PRODUCTS: Final = frozenset({"mm", "addmm", "bmm", "baddbmm"})


class ExternMaker:
    """Makes the calls.

    Args:
        values: the graph's values.
        buffer_of: the buffer of a value that is no view.
    """

    def __init__(self, values: Values, buffer_of: Callable[[int], int]) -> None:
        self._values = values
        self._buffer_of = buffer_of

    def calls(self, node: AtenNode, kept: Callable[[int], bool]) -> list[CallExtern]:
        """Give the calls that `node` stands for; `kept` tells which of its results are needed.

        An op that writes to arguments writes to copies of them, which are the node's last results.
        """
        copies = written_copies(node)
        if not copies:
            return [self._call(node, kept)]
        steps = [
            self._copy(self.tensor(copy), self.tensor(source), node)
            for source, copy in copies.items()
        ]
        args = tuple(self._argument(arg, copies) for arg in node.args)
        kwargs = tuple(
            NamedArg(kwarg.name, self._argument(kwarg.value, copies)) for kwarg in node.kwargs
        )
        new = iter(node.results[: len(node.results) - len(_written_sources(node))])
        outs = tuple(
            None if _is_written(item) else self._kept_tensor(next(new), kept)
            for item in schema_of(find_overload(node.op)).returns
        )
        kind = ExternKind.FUNCTIONAL if outs else ExternKind.INPLACE
        return [*steps, CallExtern(node.op, args, kwargs, kind, outs, loc=node.loc)]

    def _kept_tensor(self, value: int, kept: Callable[[int], bool]) -> TensorArg | None:
        return self.tensor(value) if value >= 0 and kept(value) else None

    def _call(self, node: AtenNode, kept: Callable[[int], bool]) -> CallExtern:
        is_out = uses_planned_memory(self._values, node)
        op = OUT_VARIANTS[node.op] if is_out else SUBSTITUTES.get(node.op, node.op)
        outs = tuple(
            self.tensor(value) if value >= 0 and (is_out or kept(value)) else None
            for value in node.results
        )
        return CallExtern(
            op=op,
            args=tuple(self._argument(arg) for arg in node.args),
            kwargs=tuple(
                NamedArg(kwarg.name, self._argument(kwarg.value)) for kwarg in node.kwargs
            ),
            kind=_kind_of(node, is_out=is_out),
            outs=outs,
            loc=node.loc,
            is_long=node.op != CHECK_LOOKUP and is_long(self._values, node),
        )

    def copy_into(self, node: AtenNode, target: int) -> CallExtern:
        """Give the call that copies the operand of `node` into input `target`."""
        return self._copy(self.tensor(target), self._argument(node.args[0]), node)

    def _copy(self, target: TensorArg, source: ExternArg, node: AtenNode) -> CallExtern:
        return CallExtern(
            op="aten.copy_.default",
            args=(target, source),
            kwargs=(),
            kind=ExternKind.INPLACE,
            outs=(),
            loc=node.loc,
            is_long=is_long(self._values, node),
        )

    def tensor(self, value: int) -> TensorArg:
        """Give `value` as a tensor over its buffer."""
        layout = self._values.layouts[value]
        return TensorArg(
            self._buffer_of(self._values.bases[value]),
            self._values.dtype(value),
            layout.shape,
            layout.strides,
            layout.offset,
        )

    def _argument(self, arg: Arg, renamed: Mapping[int, int] = MappingProxyType({})) -> ExternArg:
        if isinstance(arg, Ref):
            return self.tensor(renamed.get(arg.id, arg.id))
        if isinstance(arg, ListArg):
            return TupleArg(tuple(self._argument(item, renamed) for item in arg.items))
        return arg


def _kind_of(node: AtenNode, *, is_out: bool) -> ExternKind:
    if node.op == CHECK_LOOKUP:
        return ExternKind.CHECK
    return ExternKind.OUT if is_out else ExternKind.FUNCTIONAL


def written_copies(node: AtenNode) -> dict[int, int]:
    """Give, for each value that the op of `node` writes to, the result that is the written copy of it."""
    sources = _written_sources(node)
    copies = node.results[len(node.results) - len(sources) :]
    return {
        source: copy
        for source, copy in zip(sources, copies, strict=True)
        if source is not None and copy >= 0
    }


def _written_sources(node: AtenNode) -> list[int | None]:
    """Give the values that are written to, in the schema's order; None for an argument that was not given."""
    schema = schema_of(find_overload(node.op))
    sources: list[int | None] = []
    for position, item in enumerate(schema.arguments if schema.is_mutable else ()):
        if _is_written(item):
            given = argument(node, position, item.name)
            sources += refs_of([given]) if given is not None else []
            sources += [None] if not isinstance(given, (Ref, ListArg)) else []
    return sources


def _is_written(item: torch.Argument) -> bool:
    return item.alias_info is not None and item.alias_info.is_write


def uses_planned_memory(values: Values, node: AtenNode) -> bool:
    """Tell whether the call writes into planned memory."""
    return node.op in OUT_VARIANTS and all(
        value < 0 or values.layouts[value].is_dense for value in node.results
    )


def is_written_copy(node: AtenNode, value: int) -> bool:
    """Tell whether a result is a copy of an argument that the op writes to."""
    return value in written_copies(node).values()


def is_long(values: Values, node: AtenNode) -> bool:
    """Tell whether a call is expected to take over about 20 µs."""
    results = node.tensors
    numel = max((values.layouts[value].numel for value in results), default=0)
    if node.op.split(".")[1] in _PRODUCTS and results:
        first = values.layouts[operands_of(node)[-2]]
        return 2 * numel * first.shape[-1] > LONG_FLOPS
    operands = [values.layouts[value].numel for value in operands_of(node)]
    return max([numel, *operands]) > LONG_NUMEL
