"""The range of integer values, as far as it is known when compiling.

In: a value of a graph.   Out: the least and the greatest number that it can hold, or None.
Does not: look at inputs; what a caller passes can be anything.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import torch

from graphwright.ir.aten import AtenNode, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, is_number, number_of
from graphwright.lower.values import ValueKind, Values

_DEPTH: Final = 12
_SMALLEST_SAFE: Final = 2**30


class Interval(msgspec.Struct, frozen=True):
    """`low <= value <= high`."""

    low: int
    high: int


def interval_of(values: Values, value: int, depth: int = _DEPTH) -> Interval | None:
    """Give the range of the integers in `value`; None where it is not known."""
    if depth == 0 or not (values.dtype(value).is_integer or values.dtype(value) is DType.BOOL):
        return None
    if values.kinds[value] is ValueKind.VIEW:
        base = values.bases[value]
        return (
            interval_of(values, base, depth) if values.dtype(base) is values.dtype(value) else None
        )
    if values.kinds[value] is ValueKind.SOURCE:
        return _constant_interval(values, value)
    node = values.nodes[value]
    assert node is not None, "only sources have no node"
    found = _node_interval(values, node, value, depth - 1)
    if found is None or max(-found.low, found.high) >= _SMALLEST_SAFE:
        return None
    limits = (
        torch.iinfo(values.dtype(value).torch_dtype) if values.dtype(value).is_integer else None
    )
    is_kept = limits is None or (limits.min <= found.low and found.high <= limits.max)
    return found if is_kept else None


def _constant_interval(values: Values, value: int) -> Interval | None:
    place = value - len(values.graph.inputs)
    if place < 0:
        return None
    constant = values.graph.constants[place]
    if not constant.data:
        return None
    tensor = torch.frombuffer(bytearray(constant.data), dtype=constant.meta.dtype.torch_dtype)
    return Interval(int(tensor.min()), int(tensor.max()))


def _node_interval(values: Values, node: AtenNode, value: int, depth: int) -> Interval | None:
    name = node.op.split(".")[1]
    first = _argument_interval(values, node, 0, depth)
    match name:
        case "arange":
            return _arange_interval(values, node, value)
        case "full" | "full_like":
            filled = node.args[1]
            return _point(int(number_of(filled))) if is_number(filled) else None
        case "zeros" | "zeros_like" | "ones" | "ones_like":
            return _point(int(name.startswith("ones")))
        case "_to_copy" | "clone" | "repeat" | "flip":
            return first
        case "argmax" | "argmin":
            assert isinstance(node.args[0], Ref), "a tensor"
            return Interval(0, max(values.layouts[node.args[0].id].numel - 1, 0))
        case "clamp":
            return _clamp_interval(node, first)
        case "remainder":
            return _remainder_interval(node)
        case "where":
            second, third = (_argument_interval(values, node, place, depth) for place in (1, 2))
            return None if second is None or third is None else _union(second, third)
        case _:
            return _arithmetic(values, node, name, first, depth)


def _remainder_interval(node: AtenNode) -> Interval | None:
    divisor = node.args[1]
    if is_number(divisor) and int(number_of(divisor)) > 0:
        return Interval(0, int(number_of(divisor)) - 1)
    return None


def _arithmetic(
    values: Values, node: AtenNode, name: str, first: Interval | None, depth: int
) -> Interval | None:
    second = _argument_interval(values, node, 1, depth)
    if first is None or second is None:
        return None
    match name:
        case "add" | "sub" if argument(node, 2, "alpha") in (None, LiteralArg(1)):
            if name == "add":
                return Interval(first.low + second.low, first.high + second.high)
            return Interval(first.low - second.high, first.high - second.low)
        case "mul":
            corners = [a * b for a in (first.low, first.high) for b in (second.low, second.high)]
            return Interval(min(corners), max(corners))
        case "minimum":
            return Interval(min(first.low, second.low), min(first.high, second.high))
        case "maximum":
            return Interval(max(first.low, second.low), max(first.high, second.high))
        case "floor_divide" | "div" if second.low == second.high and second.low > 0:
            if name == "div" and argument(node, 2, "rounding_mode") != LiteralArg("floor"):
                return None
            return Interval(first.low // second.low, first.high // second.low)
        case _:
            return None


def _argument_interval(
    values: Values, node: AtenNode, position: int, depth: int
) -> Interval | None:
    if position >= len(node.args):
        return None
    given = node.args[position]
    if isinstance(given, Ref):
        return interval_of(values, given.id, depth)
    if is_number(given) and float(number_of(given)).is_integer():
        return _point(int(number_of(given)))
    return None


def _arange_interval(values: Values, node: AtenNode, value: int) -> Interval | None:
    numbers = [number_of(arg) for arg in node.args if is_number(arg)]
    if len(numbers) != len(node.args) or not all(isinstance(number, int) for number in numbers):
        return None
    start = int(numbers[0]) if len(numbers) > 1 else 0
    step = int(numbers[2]) if len(numbers) > 2 else 1
    last = start + step * (max(values.layouts[value].numel, 1) - 1)
    return Interval(min(start, last), max(start, last))


def _clamp_interval(node: AtenNode, given: Interval | None) -> Interval | None:
    low, high = argument(node, 1, "min"), argument(node, 2, "max")
    least = number_of(low) if is_number(low) else (given.low if given else -math.inf)
    most = number_of(high) if is_number(high) else (given.high if given else math.inf)
    if math.isinf(least) or math.isinf(most):
        return None
    if given is not None:
        least, most = max(least, min(given.low, most)), min(most, max(given.high, least))
    return Interval(int(least), int(most))


def _point(value: int) -> Interval:
    return Interval(value, value)


def _union(first: Interval, second: Interval) -> Interval:
    return Interval(min(first.low, second.low), max(first.high, second.high))
