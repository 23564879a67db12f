"""The element of a pointwise node.

In: a value whose node has a pointwise row, and an index.   Out: the scalar that is its element there.
Keeps: eager's promotion and rounding: operands cast to the common dtype, computation in float32 for narrower floats, the
result rounded to the node's dtype.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from graphwright.base.errors import InternalError
from graphwright.ir.aten import AtenNode, FloatArg, LiteralArg, Ref
from graphwright.ir.dtypes import DType
from graphwright.ir.node_arguments import argument, is_number, number_of
from graphwright.lower.expressions import Evaluation, Expression, Operand, Parameter
from graphwright.lower.promotion import computation_dtype, promote
from graphwright.lower.reader import Indices, Reader
from graphwright.lower.rules import CHOICES, ELEMENTS, POINTWISE, SCATTERS
from graphwright.lower.rules.rows import CommonDType
from graphwright.lower.scalars import Number, Scalar
from graphwright.lower.values import Values


class _NodeEnvironment(msgspec.Struct, frozen=True):
    reader: Reader
    node: AtenNode
    indices: Indices

    def operand(self, operand: Operand) -> Scalar | Number:
        given = argument(self.node, operand.position, operand.name)
        if isinstance(given, Ref):
            return self.reader.read_broadcast(given.id, self.indices)
        if given is None or given == LiteralArg(None):
            assert operand.default is not None, f"{self.node.op} lacks operand {operand.position}"
            return operand.default
        return number_of(given)

    def is_scalar(self, operand: Operand) -> bool:
        given = argument(self.node, operand.position, operand.name)
        if not isinstance(given, Ref):
            return True
        return bool(self.indices) and not self.reader.values.layouts[given.id].shape

    def parameter(self, parameter: Parameter) -> Number:
        given = argument(self.node, parameter.position, parameter.name)
        if given is not None and is_number(given):
            return number_of(given)
        assert parameter.default is not None, f"{self.node.op} lacks {parameter.name}"
        return parameter.default


def define_element(reader: Reader, value: int, indices: Indices) -> Scalar:
    """Give element `indices` of a value that a pointwise or element row defines; of a scatter, what it starts from."""
    values = reader.values
    node = values.nodes[value]
    assert node is not None, "a source is in memory, it is not defined"
    define = _definition(node, value)
    if define is not None:
        return reader.builder.cast(define(reader, node, indices), values.dtype(value))
    expression, common_from = expression_of(node)
    is_result = common_from is CommonDType.RESULT
    common = values.dtype(value) if is_result else common_dtype(values, node)
    environment = _NodeEnvironment(reader, node, indices)
    row = POINTWISE.get(node.op) or CHOICES[node.op]
    dtype = computation_dtype(common)
    evaluation = Evaluation(reader.builder, environment, common, dtype, row.rounds_each)
    return reader.builder.cast(evaluation.run(expression), values.dtype(value))


def _definition(node: AtenNode, value: int) -> Callable[[Reader, AtenNode, Indices], Scalar] | None:
    row = ELEMENTS.get(node.op)
    if row is not None:
        return row.element if row.second is None or value == node.results[0] else row.second
    scatter = SCATTERS.get(node.op)
    return None if scatter is None else scatter.initial


def expression_of(node: AtenNode) -> tuple[Expression, CommonDType]:
    """Give the expression of a pointwise node, and where its common dtype comes from."""
    row = POINTWISE.get(node.op)
    if row is not None:
        return row.expression, row.common
    choice = CHOICES.get(node.op)
    expression = None if choice is None else choice.choose(node)
    if choice is None or expression is None:
        message = f"{node.op} has no scalar expression"
        raise InternalError(message)
    return expression, choice.common


def common_dtype(values: Values, node: AtenNode) -> DType:
    """Give the promotion of all operands of a node: tensors and positional numbers."""
    operands = [
        arg.id if isinstance(arg, Ref) else arg
        for arg in node.args
        if isinstance(arg, (Ref, FloatArg, LiteralArg))
    ]
    return promote(values, operands)
