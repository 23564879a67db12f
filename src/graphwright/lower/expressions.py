"""Scalar expressions over the arguments of a node: what a row of a pointwise table says.

In: operators and functions applied to `Operand`s, when a table is built.   Out: an expression tree as data, its cost,
and its evaluation in a `ScalarBuilder`.
Keeps: an expression has no dtype of its own; it is computed in the dtype that the row's rule chooses.

    x, y = Operand(0), Operand(1)
    x + y * Operand(2, name="alpha", default=1)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.dtypes import DType
from graphwright.ir.ops import FACTS, ScalarOp
from graphwright.lower.scalars import Number, Scalar, ScalarBuilder

_WHERE_ARITY: Final = FACTS[ScalarOp.WHERE].arity
_PYTHON_DTYPES: Final = {bool: DType.BOOL, int: DType.INT64, float: DType.FLOAT64}
_BOOL_TWINS: Final = {
    ScalarOp.ADD: ScalarOp.BITWISE_OR,
    ScalarOp.MUL: ScalarOp.BITWISE_AND,
    ScalarOp.MAXIMUM: ScalarOp.BITWISE_OR,
    ScalarOp.MINIMUM: ScalarOp.BITWISE_AND,
}
"""What arithmetic on bools means."""
_KEEPS_PRECISION: Final = frozenset(
    (ScalarOp.NEG, ScalarOp.ABS, ScalarOp.MAXIMUM, ScalarOp.MINIMUM, ScalarOp.WHERE)
)
"""Their results are their operands, which have been rounded already."""


class Expression:
    """Base of all expressions: the operators."""

    def __add__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.ADD, self, other)

    def __sub__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.SUB, self, other)

    def __rsub__(self, other: Number) -> Apply:
        return Apply(ScalarOp.SUB, other, self)

    def __mul__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.MUL, self, other)

    def __rmul__(self, other: Number) -> Apply:
        return Apply(ScalarOp.MUL, other, self)

    def __radd__(self, other: Number) -> Apply:
        return Apply(ScalarOp.ADD, other, self)

    def __truediv__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.DIV, self, other)

    def __rtruediv__(self, other: Number) -> Apply:
        return Apply(ScalarOp.DIV, other, self)

    def __neg__(self) -> Apply:
        return Apply(ScalarOp.NEG, self)

    def __lt__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.LT, self, other)

    def __le__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.LE, self, other)

    def __gt__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.GT, self, other)

    def __ge__(self, other: Expression | Number) -> Apply:
        return Apply(ScalarOp.GE, self, other)

    def equals(self, other: Expression | Number) -> Apply:
        """`self == other`, as a value."""
        return Apply(ScalarOp.EQ, self, other)

    def differs(self, other: Expression | Number) -> Apply:
        """`self != other`, as a value."""
        return Apply(ScalarOp.NE, self, other)


class Operand(Expression):
    """Argument number `position` of the node, or keyword `name`: a tensor, or a number that stands for one.

    It is cast to the node's common dtype, then to that of the computation, as eager's iterator does.

    Args:
        position: where it stands among positional arguments.
        name: its keyword, where it may be given by keyword.
        default: what it is when not given.
    """

    __slots__ = ("default", "name", "position")

    def __init__(self, position: int, name: str = "", default: Number | None = None) -> None:
        self.position = position
        self.name = name
        self.default = default


class Exact(Expression):
    """An operand that is not rounded to the common dtype where it is a number or has no dimensions.

    Eager's kernels for bfloat16 and float16 multiply and divide by such an operand as it is, in float32.
    """

    __slots__ = ("operand",)

    def __init__(self, operand: Operand) -> None:
        self.operand = operand


class Parameter(Expression):
    """A number among the arguments that is no operand (a slope, a limit): used in the computation's dtype."""

    __slots__ = ("default", "name", "position")

    def __init__(self, position: int, name: str = "", default: Number | None = None) -> None:
        self.position = position
        self.name = name
        self.default = default


class Truth(Expression):
    """`operand != 0` in the operand's own dtype."""

    __slots__ = ("operand",)

    def __init__(self, operand: Operand) -> None:
        self.operand = operand


class Raw(Expression):
    """The operand in its own dtype."""

    __slots__ = ("operand",)

    def __init__(self, operand: Operand) -> None:
        self.operand = operand


class Apply(Expression):
    """An operation on expressions."""

    __slots__ = ("args", "op")

    def __init__(self, op: ScalarOp, *args: Expression | Number) -> None:
        self.op = op
        self.args = args


class InDouble(Expression):
    """An expression that is computed in float64, and rounded once to the dtype of the computation around it.

    What is accurate in float64 to a few units in the last place is so exactly rounded in float32, nearly always.
    """

    __slots__ = ("inner",)

    def __init__(self, inner: Expression) -> None:
        self.inner = inner


class Rounded(Expression):
    """An expression whose value is rounded to the common dtype: bfloat16 or float16, where the computation is in float32."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expression | Number) -> None:
        self.inner = inner


def function(op: ScalarOp) -> Callable[..., Apply]:
    """Give the function that applies `op`."""

    def apply(*args: Expression | Number) -> Apply:
        if len(args) != FACTS[op].arity:
            message = f"{op.value} takes {FACTS[op].arity} operands, not {len(args)}"
            raise InternalError(message)
        return Apply(op, *args)

    return apply


def where(condition: Expression, first: Expression | Number, second: Expression | Number) -> Apply:
    """`first` where `condition`, else `second`."""
    return Apply(ScalarOp.WHERE, condition, first, second)


def polynomial(coefficients: Sequence[float], variable: Expression) -> Expression:
    """`Σ coefficients[i] * variable**i`, of two coefficients at least, by Horner's rule."""
    value: Expression = coefficients[-1] * variable + coefficients[-2]
    for coefficient in reversed(coefficients[:-2]):
        value = value * variable + coefficient
    return value


exp: Final = function(ScalarOp.EXP)
expm1: Final = function(ScalarOp.EXPM1)
log: Final = function(ScalarOp.LOG)
log1p: Final = function(ScalarOp.LOG1P)
tanh: Final = function(ScalarOp.TANH)
normal_cdf: Final = function(ScalarOp.NORMAL_CDF)
sigmoid: Final = function(ScalarOp.SIGMOID)
sqrt: Final = function(ScalarOp.SQRT)
absolute: Final = function(ScalarOp.ABS)
maximum: Final = function(ScalarOp.MAXIMUM)
minimum: Final = function(ScalarOp.MINIMUM)
power: Final = function(ScalarOp.POW)
is_nan: Final = function(ScalarOp.IS_NAN)
is_inf: Final = function(ScalarOp.IS_INF)
copysign: Final = function(ScalarOp.COPYSIGN)

NAN: Final = math.nan


class Environment(Protocol):
    """What gives the arguments of the node at hand."""

    def operand(self, operand: Operand) -> Scalar | Number:
        """Give a tensor operand's element, in its own dtype; or the number that stands for it."""
        ...

    def is_scalar(self, operand: Operand) -> bool:
        """Tell whether the operand is a number, or a tensor without dimensions beside one that has some."""
        ...

    def parameter(self, parameter: Parameter) -> Number:
        """Give a number argument."""
        ...


class Evaluation(msgspec.Struct, frozen=True):
    """How an expression is evaluated."""

    builder: ScalarBuilder
    environment: Environment
    common: DType
    """What operands are cast to: the node's promoted dtype."""
    dtype: DType
    """The dtype of the computation: `common`, or float32 in place of a narrower float."""
    rounds_each: bool = False
    """The result of each operation is rounded to `common`."""
    known: dict[int, Scalar] = msgspec.field(default_factory=dict)
    """Values by the identity of their expression: a part that occurs often is evaluated once."""

    def run(self, expression: Expression | Number) -> Scalar:
        """Give the value of `expression`."""
        match expression:
            case Operand():
                return self._operand(expression, self.common)
            case Exact():
                operand = expression.operand
                is_scalar = self.environment.is_scalar(operand)
                return self._operand(operand, self.dtype if is_scalar else self.common)
            case Apply():
                return self._apply(expression)
            case InDouble() | Rounded():
                return self.builder.cast(self._other_precision(expression), self.dtype)
            case Parameter():
                return self.builder.const(self.environment.parameter(expression), self.dtype)
            case Truth():
                return truth(self.builder, self._raw(expression.operand))
            case Raw():
                return self._raw(expression.operand)
            case bool() | int() | float():
                return self.builder.const(expression, self.dtype)
            case _:
                message = f"no expression: {expression!r}"
                raise InternalError(message)

    def _other_precision(self, expression: InDouble | Rounded) -> Scalar:
        """Give a value before it comes back to the dtype of the computation."""
        if isinstance(expression, Rounded):
            return self.builder.cast(self.run(expression.inner), self.common)
        wide = msgspec.structs.replace(self, dtype=DType.FLOAT64, known={})
        return wide.run(expression.inner)

    def _operand(self, operand: Operand, through: DType) -> Scalar:
        value = self.environment.operand(operand)
        builder = self.builder
        value = (
            builder.cast(value, through)
            if isinstance(value, Scalar)
            else builder.const(value, through)
        )
        return builder.cast(value, self.dtype)

    def _raw(self, operand: Operand) -> Scalar:
        value = self.environment.operand(operand)
        if isinstance(value, Scalar):
            return value
        dtype = _PYTHON_DTYPES[type(value)]
        return self.builder.const(value, dtype)

    def _apply(self, expression: Apply) -> Scalar:
        value = self.known.get(id(expression))
        if value is None:
            value = self.known[id(expression)] = self._compute(expression)
        return value

    def _compute(self, expression: Apply) -> Scalar:
        op = expression.op
        args = self._arguments(expression.args)
        last = args[-1].dtype
        if last is DType.BOOL:
            op = _BOOL_TWINS.get(op, op)
        dtype = DType.BOOL if FACTS[op].gives_bool else last
        value = self.builder.compute(op, args, dtype)
        if not self.rounds_each or dtype is not self.dtype or op in _KEEPS_PRECISION:
            return value
        return self.builder.cast(self.builder.cast(value, self.common), dtype)

    def _arguments(self, args: Sequence[Expression | Number]) -> list[Scalar]:
        """Numbers take the dtype of the last argument that is none."""
        values = [self.run(arg) if isinstance(arg, Expression) else None for arg in args]
        dtypes = [value.dtype for value in values if value is not None]
        dtype = dtypes[-1] if dtypes else self.dtype
        if len(args) == len(dtypes) + 2 and len(args) == _WHERE_ARITY:
            dtype = self.dtype
        return [
            value if value is not None else self.builder.const(_number(arg), dtype)
            for value, arg in zip(values, args, strict=True)
        ]


def _number(arg: Expression | Number) -> Number:
    assert not isinstance(arg, Expression), "expressions have been evaluated"
    return arg


def truth(builder: ScalarBuilder, value: Scalar) -> Scalar:
    """Give `value != 0`."""
    if value.dtype is DType.BOOL:
        return value
    return builder.compute(ScalarOp.NE, (value, builder.const(0, value.dtype)), DType.BOOL)


def cost_of(expression: Expression | Number) -> int:
    """Give the rough cost of computing `expression`, its operands being known."""
    found: dict[int, Apply] = {}
    waiting: list[Expression | Number] = [expression]
    while waiting:
        part = waiting.pop()
        match part:
            case InDouble() | Rounded():
                waiting.append(part.inner)
            case Apply() if id(part) not in found:
                found[id(part)] = part
                waiting.extend(part.args)
            case _:
                pass
    return sum(FACTS[part.op].cost for part in found.values())
