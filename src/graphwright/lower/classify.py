"""Decide how each node is lowered: as a view, by a row of a rule table, or by a call.

In: an `AtenGraph` of static shapes.   Out: `Values`, with the kind of every value.
Keeps: every node has a place. What no row serves (other dtypes or devices, arguments that a row cannot take) is a call.
"""

from __future__ import annotations

from typing import Final

from graphwright.ir.aten import Arg, AtenGraph, AtenNode, ComplexArg, ListArg, Ref, TensorMeta
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, is_number, number_of
from graphwright.ir.numerics import DEFAULT, Numerics
from graphwright.ir.overloads import UNDECLARED_VIEWS, find_overload, gives_view
from graphwright.lower.exactness import is_exact
from graphwright.lower.intervals import interval_of
from graphwright.lower.products import PRODUCTS, serves_product
from graphwright.lower.promotion import SUPPORTED
from graphwright.lower.rules import (
    CHOICES,
    ELEMENTS,
    POINTWISE,
    REDUCTIONS,
    SCANS,
    SCATTERS,
    scan_axis,
)
from graphwright.lower.rules.rows import ElementRow, Lookup, ScatterRow, no_lookups
from graphwright.lower.values import ValueKind, Values, operands_of, refs_of

FEWEST_DEAR_LINES: Final = 8
"""A scan that is dear to compute is left to eager where it goes along fewer lines."""
_INDEX_DTYPES: Final = frozenset({DType.INT64, DType.INT32})
LAZY_FLAGS: Final = frozenset({"aten._conj.default", "aten._neg_view.default"})
"""Ops whose result is a view with a flag that changes its values: memory alone does not tell them."""


def classify(graph: AtenGraph, numerics: Numerics = DEFAULT) -> Values:
    """Give the values of `graph`, whose numbers are to be as close to eager's as `numerics` says.

    Raises:
        InternalError: an extent is symbolic.
    """
    values = Values(graph, numerics)
    for meta in graph.inputs:
        values.add_source(meta)
    for constant in graph.constants:
        values.add_source(constant.meta)
    view_ops: dict[str, bool] = {}
    for node in graph.nodes:
        is_view = view_ops.get(node.op)
        if is_view is None:
            is_view = view_ops[node.op] = _is_view_op(node.op)
        if is_view:
            _add_views(values, node)
        else:
            _add_computed(values, node)
    return values


def _is_view_op(op: str) -> bool:
    if op in UNDECLARED_VIEWS:
        return True
    return op not in LAZY_FLAGS and gives_view(find_overload(op))


def _add_views(values: Values, node: AtenNode) -> None:
    base = refs_of(node.args)[0]
    for value, meta in zip(node.results, node.metas, strict=True):
        if value >= 0 and meta is not None:
            number = values.add_view(meta, node, base)
            assert number == value, f"values are numbered densely: {value}, not {number}"


def _add_computed(values: Values, node: AtenNode) -> None:
    kind = kind_of(values, node)
    for value, meta in zip(node.results, node.metas, strict=True):
        if value >= 0 and meta is not None:
            number = values.add_computed(kind, meta, node)
            assert number == value, f"values are numbered densely: {value}, not {number}"


def kind_of(values: Values, node: AtenNode) -> ValueKind:
    """Tell how a node that gives no view is lowered."""
    kind = _kind_by_rows(values, node)
    if values.numerics.is_strict and not is_exact(kind, node):
        return ValueKind.EXTERN
    return kind


def _kind_by_rows(values: Values, node: AtenNode) -> ValueKind:
    op = node.op
    if op in POINTWISE:
        is_served = _is_plain(values, node) and _serves_pointwise(values, node)
        return ValueKind.POINTWISE if is_served else ValueKind.EXTERN
    if op in CHOICES:
        is_served = _is_plain(values, node) and CHOICES[op].choose(node) is not None
        return ValueKind.POINTWISE if is_served else ValueKind.EXTERN
    if op in ELEMENTS:
        is_served = _serves_lookups(values, node, ELEMENTS[op])
        return ValueKind.ELEMENTS if is_served else ValueKind.EXTERN
    if op in SCATTERS:
        is_served = _serves_lookups(values, node, SCATTERS[op])
        return ValueKind.SCATTER if is_served else ValueKind.EXTERN
    if op in REDUCTIONS:
        is_served = _is_plain(values, node) and _serves_reduction(values, node)
        return ValueKind.REDUCTION if is_served else ValueKind.EXTERN
    if op in PRODUCTS:
        is_served = _is_plain(values, node) and serves_product(values, node)
        return ValueKind.PRODUCT if is_served else ValueKind.EXTERN
    if op in SCANS:
        is_served = _is_plain(values, node) and _serves_scan(values, node)
        return ValueKind.SCAN if is_served else ValueKind.EXTERN
    return ValueKind.EXTERN


def _is_plain(values: Values, node: AtenNode) -> bool:
    """Operands and results are of dtypes that kernels compute with, on the CPU, results without gaps."""
    for operand in operands_of(node):
        if not _is_plain_tensor(values.metas[operand]):
            return False
    for value, meta in zip(node.results, node.metas, strict=True):
        if value >= 0 and (meta is None or not _is_plain_tensor(meta)):
            return False
    return not any(_has_complex(arg) for arg in node.args)


def _is_plain_tensor(meta: TensorMeta) -> bool:
    return meta.dtype in SUPPORTED and meta.device == "cpu"


def _has_complex(arg: Arg) -> bool:
    if isinstance(arg, ListArg):
        return any(_has_complex(item) for item in arg.items)
    return isinstance(arg, ComplexArg)


def _serves_pointwise(values: Values, node: AtenNode) -> bool:
    row = POINTWISE[node.op]
    if not row.divides:
        return True
    result = node.metas[0]
    if result is not None and result.dtype.is_float:
        return True
    divisor = argument(node, 1, "other")
    return not is_number(divisor) or number_of(divisor) != 0


def _serves_lookups(values: Values, node: AtenNode, row: ElementRow | ScatterRow) -> bool:
    """Tell whether a row serves `node`, whose indices are known to be in range."""
    if not _is_plain(values, node) or not row.can_lower(values, node):
        return False
    return all(is_in_range(values, lookup) for lookup in row.lookups(values, node))


def unchecked_lookups(values: Values, node: AtenNode) -> tuple[Lookup, ...]:
    """Give the lookups of a node that a row would serve if all indices were known to be in range; none where they are."""
    row = ELEMENTS.get(node.op) or SCATTERS.get(node.op)
    if row is None or row.lookups is no_lookups:
        return ()
    if not _is_plain(values, node) or not row.can_lower(values, node):
        return ()
    lookups = row.lookups(values, node)
    can_check = all(
        lookup.extent
        and values.dtype(lookup.indices) in _INDEX_DTYPES
        and values.layouts[lookup.indices].numel
        for lookup in lookups
    )
    is_known = all(is_in_range(values, lookup) for lookup in lookups)
    return lookups if can_check and not is_known else ()


def unchecked_divisor(values: Values, node: AtenNode) -> int | None:
    """Give the divisor of a node that divides integers by own code, where it may hold a zero.

    A kernel divides by zero as by any number, and gives 0; eager refuses to, where there is anything to divide.
    """
    row = POINTWISE.get(node.op) or CHOICES.get(node.op)
    divisor = argument(node, 1, "other")
    value = node.first_tensor
    if row is None or not row.divides or not isinstance(divisor, Ref) or value is None:
        return None
    is_own = values.kinds[value] is ValueKind.POINTWISE
    if not is_own or values.dtype(value).is_float or not values.layouts[value].numel:
        return None
    if values.dtype(divisor.id) is not values.dtype(value):
        return divisor.id
    interval = interval_of(values, divisor.id)
    is_known = interval is not None and (interval.low > 0 or interval.high < 0)
    return None if is_known else divisor.id


def is_in_range(values: Values, lookup: Lookup) -> bool:
    """Tell whether all indices are known to be in range, or pass over what is not."""
    if not lookup.is_checked:
        return True
    interval = interval_of(values, lookup.indices)
    return interval is not None and interval.low >= lookup.lowest and interval.high < lookup.extent


def _serves_reduction(values: Values, node: AtenNode) -> bool:
    """An empty reduction that has no identity is an error in eager: the call raises it."""
    operand = node.args[0]
    if not isinstance(operand, Ref):
        return False
    shape = values.layouts[operand.id].shape
    return 0 not in shape or node.op.startswith(
        ("aten.sum.", "aten.any.", "aten.all.", "aten.prod.")
    )


def _serves_scan(values: Values, node: AtenNode) -> bool:
    """A number has no axis; what is dear is worth vector code, which needs several lines."""
    layout = values.layouts[refs_of(node.args)[0]]
    if not layout.shape:
        return False
    length = layout.shape[scan_axis(values, node)]
    return not SCANS[node.op].is_dear or layout.numel >= FEWEST_DEAR_LINES * length
