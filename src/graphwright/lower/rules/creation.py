"""Ops that make tensors from numbers and indices: one row an overload.

In: nothing.   Out: `CREATION`, overload name → `ElementRow`.
Does not: draw random numbers (those are extern calls, which keep eager's stream).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Final

from graphwright.ir.aten import Arg, AtenNode, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, integer_of, is_number, number_of
from graphwright.ir.ops import ScalarOp
from graphwright.lower.affine import Affine
from graphwright.lower.promotion import computation_dtype
from graphwright.lower.reader import Reader
from graphwright.lower.rules.rows import ElementRow, rows
from graphwright.lower.scalars import Number, Scalar
from graphwright.lower.values import Values

Element = Callable[[Reader, AtenNode, tuple[Affine, ...]], Scalar]
_Serves = Callable[[Values, AtenNode], bool]
_SPACED: Final = frozenset({DType.FLOAT32, DType.FLOAT64})


def always(_values: Values, _node: AtenNode) -> bool:
    """Every node is served."""
    return True


def _result_dtype(node: AtenNode) -> DType:
    meta = node.metas[0]
    assert meta is not None, f"{node.op} has a result"
    return meta.dtype


def _filled(value_of: Callable[[AtenNode], Number]) -> Element:
    def element(reader: Reader, node: AtenNode, _indices: tuple[Affine, ...]) -> Scalar:
        return reader.builder.const(value_of(node), _result_dtype(node))

    return element


def _fill_row(name: str, value_of: Callable[[AtenNode], Number]) -> ElementRow:
    return ElementRow(f"aten.{name}", _filled(value_of), always, cost=0, reads=False)


def _number_at(position: int) -> Callable[[AtenNode], Number]:
    return lambda node: number_of(node.args[position])


def _has_number_at(position: int) -> Callable[[Values, AtenNode], bool]:
    return lambda _values, node: is_number(node.args[position])


def _number_row(name: str, position: int) -> ElementRow:
    element = _filled(_number_at(position))
    return ElementRow(f"aten.{name}", element, _has_number_at(position), cost=0, reads=False)


def _arange_bounds(node: AtenNode) -> tuple[Arg, Arg]:
    """Give the start and the step."""
    numbers = [arg for arg in node.args if is_number(arg)]
    zero, one = LiteralArg(0), LiteralArg(1)
    match node.op.rsplit(".", 1)[1]:
        case "default":
            return zero, one
        case "start":
            return numbers[0], one
        case _:
            return numbers[0], numbers[2] if len(numbers) > 2 else one


def _arange(reader: Reader, node: AtenNode, indices: tuple[Affine, ...]) -> Scalar:
    """Start + index * step: for integers as an index, for floats as eager computes it."""
    start, step = (number_of(arg) for arg in _arange_bounds(node))
    builder = reader.builder
    dtype = _result_dtype(node)
    if isinstance(start, int) and isinstance(step, int) and not dtype.is_float:
        return builder.cast(builder.index(indices[0].times(step).shifted(start)), dtype)
    wide = computation_dtype(dtype)
    if dtype is DType.FLOAT32 and not (isinstance(start, int) and isinstance(step, int)):
        wide = DType.FLOAT64  # the start and the step may be no float32
    position = builder.cast(builder.index(indices[0]), wide)
    scaled = builder.compute(ScalarOp.MUL, (builder.const(step, wide), position), wide)
    total = builder.compute(ScalarOp.ADD, (builder.const(start, wide), scaled), wide)
    return builder.cast(total, dtype) if wide is DType.FLOAT64 else total


def _arange_is_known(_values: Values, node: AtenNode) -> bool:
    return all(is_number(arg) for arg in _arange_bounds(node))


def _spaced(reader: Reader, node: AtenNode, indices: tuple[Affine, ...]) -> Scalar:
    """linspace(start, end, steps): the first half counted from the start, the other one from the end, as eager does.

    Eager rounds `start + step * index` once; of float32, float64 makes that sure.
    """
    builder, dtype = reader.builder, _result_dtype(node)
    own = dtype if dtype.is_float else DType.FLOAT64
    start, end = (
        builder.cast(builder.cast(_bound(reader, node, place), dtype), own) for place in (0, 1)
    )
    count = integer_of(node, 2, "steps", 0)
    if count == 1:
        return start
    distance = builder.compute(ScalarOp.SUB, (end, start), own)
    step = builder.compute(ScalarOp.DIV, (distance, builder.const(count - 1, own)), own)
    wide = DType.FLOAT64
    start, end, step = (builder.cast(value, wide) for value in (start, end, step))
    from_start = builder.cast(builder.index(indices[0]), wide)
    from_end = builder.cast(builder.index(indices[0].times(-1).shifted(count - 1)), wide)
    low = builder.compute(ScalarOp.MUL, (step, from_start), wide)
    low = builder.compute(ScalarOp.ADD, (start, low), wide)
    high = builder.compute(ScalarOp.MUL, (step, from_end), wide)
    high = builder.compute(ScalarOp.SUB, (end, high), wide)
    half = builder.const(count // 2, DType.INT64)
    is_first = builder.compute(ScalarOp.LT, (builder.index(indices[0]), half), DType.BOOL)
    return builder.cast(builder.compute(ScalarOp.WHERE, (is_first, low, high), wide), own)


def _powers(reader: Reader, node: AtenNode, indices: tuple[Affine, ...]) -> Scalar:
    """logspace(start, end, steps, base): the base to the power of what `linspace` gives."""
    exponent = _spaced(reader, node, indices)
    given, builder, own = argument(node, 3, "base"), reader.builder, exponent.dtype
    number = 10.0 if given is None else float(number_of(given))
    if own is DType.FLOAT64 or not 1e-30 < number < 1e30:
        return builder.compute(ScalarOp.POW, (builder.const(number, own), exponent), own)
    wide = DType.FLOAT64  # powers in float32 would be off by twice what eager's are; in float64 they take three times as long
    logarithm = builder.const(math.log2(_float32(number)), wide)
    scaled = builder.compute(ScalarOp.MUL, (builder.cast(exponent, wide), logarithm), wide)
    return builder.cast(builder.compute(ScalarOp.EXP2, (scaled,), wide), own)


def _float32(number: float) -> float:
    """Round to float32."""
    (rounded,) = struct.unpack("f", struct.pack("f", number))
    return float(rounded)


def _bound(reader: Reader, node: AtenNode, place: int) -> Scalar:
    given = node.args[place]
    if isinstance(given, Ref):
        return reader.read(given.id, ())
    number = number_of(given)
    return reader.builder.const(number, DType.FLOAT64 if isinstance(number, float) else DType.INT64)


def _is_spaced(values: Values, node: AtenNode) -> bool:
    """Tell whether eager would compute in the very dtype: narrow floats are rounded at each step; bounds have no dimensions."""
    dtype = _result_dtype(node)
    are_single = not any(isinstance(arg, Ref) and values.layouts[arg.id].shape for arg in node.args)
    is_known = all(is_number(arg) or isinstance(arg, Ref) for arg in node.args[:3])
    return are_single and is_known and (dtype in _SPACED or dtype.is_integer)


def _are_powers(values: Values, node: AtenNode) -> bool:
    """The powers of integers are cut to integers: a last bit less would be one less."""
    return _is_spaced(values, node) and _result_dtype(node).is_float


def _spaced_rows(name: str, element: Element, serves: _Serves) -> tuple[ElementRow, ...]:
    overloads = ("default", "Tensor_Tensor", "Tensor_Scalar", "Scalar_Tensor")
    return tuple(ElementRow(f"aten.{name}.{own}", element, serves, cost=6) for own in overloads)


def _triangle(op: ScalarOp) -> Element:
    """X where column - row `op` diagonal, else 0."""

    def element(reader: Reader, node: AtenNode, indices: tuple[Affine, ...]) -> Scalar:
        builder = reader.builder
        distance = indices[-1].plus(indices[-2].times(-1))
        diagonal = builder.const(integer_of(node, 1, "diagonal", 0), DType.INT64)
        is_kept = builder.compute(op, (builder.index(distance), diagonal), DType.BOOL)
        value = reader.operand(node, 0, indices)
        zero = builder.const(0, value.dtype)
        return builder.compute(ScalarOp.WHERE, (is_kept, value, zero), value.dtype)

    return element


def _eye(reader: Reader, node: AtenNode, indices: tuple[Affine, ...]) -> Scalar:
    builder = reader.builder
    row, column = (builder.index(index) for index in indices)
    is_diagonal = builder.compute(ScalarOp.EQ, (row, column), DType.BOOL)
    return builder.cast(is_diagonal, _result_dtype(node))


def _zero(_node: AtenNode) -> Number:
    return 0


def _one(_node: AtenNode) -> Number:
    return 1


def _is_given_without_tensor(_values: Values, node: AtenNode) -> bool:
    return not any(isinstance(arg, Ref) for arg in node.args)


def _has_scalar_value(values: Values, node: AtenNode) -> bool:
    value = argument(node, 1, "value")
    return is_number(value) or (isinstance(value, Ref) and not values.layouts[value.id].shape)


CREATION: Final[Mapping[str, ElementRow]] = rows(
    _fill_row("zeros.default", _zero),
    _fill_row("ones.default", _one),
    _fill_row("zeros_like.default", _zero),
    _fill_row("ones_like.default", _one),
    _fill_row("new_zeros.default", _zero),
    _fill_row("new_ones.default", _one),
    _fill_row("zero.default", _zero),
    # What an empty tensor holds is nobody's business: zeros cost nothing where they are never read.
    _fill_row("empty.memory_format", _zero),
    _fill_row("empty_like.default", _zero),
    _fill_row("new_empty.default", _zero),
    _fill_row("empty_strided.default", _zero),
    _fill_row("new_empty_strided.default", _zero),
    _number_row("full.default", 1),
    _number_row("full_like.default", 1),
    _number_row("new_full.default", 2),
    _number_row("scalar_tensor.default", 0),
    ElementRow("aten.arange.default", _arange, _arange_is_known),
    ElementRow("aten.arange.start", _arange, _arange_is_known),
    ElementRow("aten.arange.start_step", _arange, _arange_is_known),
    *_spaced_rows("linspace", _spaced, _is_spaced),
    *_spaced_rows("logspace", _powers, _are_powers),
    ElementRow("aten.eye.default", _eye, always),
    ElementRow("aten.eye.m", _eye, always),
    ElementRow("aten.tril.default", _triangle(ScalarOp.LE), always, cost=3, same_index=(0,)),
    ElementRow("aten.triu.default", _triangle(ScalarOp.GE), always, cost=3, same_index=(0,)),
)
