"""The face that symbolic sizes show to torch: nodes for `torch.SymInt`, `torch.SymBool` and `torch.SymFloat`.

In:  extents.   Out: what torch's functions take (`to_torch`), and back (`to_extent`).

torch's C++ and Python call the methods below by name, on integers, truths and floats alike. A truth is decided as late
as possible, by the same rules as `SymbolicSize`'s comparisons. A float is symbolic where it is calculated of the call's floats
(see `floats.py`); one that was made of sizes specialises them when it is looked at.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphwright.ir.calculations import FUNCTIONS, Operation
from graphwright.ir.guards import Comparison
from graphwright.record.floats import Number, SymbolicNumber, calculate
from graphwright.record.layout import (
    is_channels_last,
    is_contiguous,
    is_dense,
    prefers_channels_last,
)
from graphwright.record.sizes import (
    Extent,
    SizeTable,
    SymbolicSize,
    compare,
    dim_of,
    greatest,
    least,
)


def to_torch(extent: Extent) -> int | torch.SymInt:
    """Give what torch's functions take for an extent."""
    if isinstance(extent, int):
        return extent
    if extent.symint is None:
        extent.symint = torch.SymInt(_IntNode(extent, extent.table))
    made: torch.SymInt = extent.symint  # type: ignore[assignment]
    return made


def is_settled(value: torch.SymInt) -> bool:
    """Tell whether a symbolic integer has one value only, by the guards taken so far."""
    extent = to_extent(value)
    return isinstance(extent, int) or isinstance(extent.table.simplify(extent.dim), int)


def to_extent(value: int | torch.SymInt) -> Extent:
    """Give the extent for an int of torch's."""
    if isinstance(value, int):
        return value
    return _extent_of(value.node)


def _extent_of(node: Any) -> Extent:
    if isinstance(node, _IntNode):
        return node.extent
    constant = node.maybe_as_int()
    if constant is None:
        msg = f"a symbolic integer of another kind: {node!r}"
        raise TypeError(msg)
    return int(constant)


class _Node:
    """What torch asks of every node, whatever its type."""

    __slots__ = ("table",)

    def __init__(self, table: SizeTable) -> None:
        self.table = table

    def is_int(self) -> bool:
        return False

    def is_float(self) -> bool:
        return False

    def is_bool(self) -> bool:
        return False

    def is_nested_int(self) -> bool:
        return False

    def nested_int(self) -> None:
        return None

    def nested_int_coeff(self) -> None:
        return None

    def has_hint(self) -> bool:
        return True

    def is_symbolic(self) -> bool:
        return True

    def is_constant(self) -> bool:
        return False

    @property
    def constant(self) -> object:
        return None

    def maybe_as_int(self) -> int | None:
        return None

    def constant_int(self) -> int | None:
        return self.maybe_as_int()

    def clone(self) -> _Node:
        return self

    def wrap_int(self, value: int) -> _IntNode:
        return constant_int(value, self.table)

    def wrap_float(self, value: float) -> _FloatNode:
        return _FloatNode(value, (), self.table)

    def wrap_bool(self, value: bool) -> _BoolNode:  # noqa: FBT001  (a value, no switch)
        return constant_bool(value, self.table)

    def _graph_repr(self) -> str:
        return repr(self)

    # Last, so that it hides no annotation.
    def str(self) -> str:
        return repr(self)


class _IntNode(_Node):
    """The node of a `torch.SymInt`."""

    __slots__ = ("_constant", "_made_before", "extent")

    def __init__(self, extent: Extent, table: SizeTable) -> None:
        super().__init__(table)
        self.extent = extent
        self._constant = extent if isinstance(extent, int) else None
        self._made_before: dict[tuple[str, int], Any] = {}
        """Results by operation and the other node; nodes live as long as their table, so `id` names them."""

    def __repr__(self) -> str:
        return repr(self.extent)

    def is_int(self) -> bool:
        return True

    @property
    def hint(self) -> int:
        return self.extent if isinstance(self.extent, int) else self.extent.hint

    def require_hint(self, _fallback: object = None) -> int:
        return self.hint

    @property
    def expr(self) -> object:
        return dim_of(self.extent)

    def is_constant(self) -> bool:
        return isinstance(self.extent, int)

    def is_symbolic(self) -> bool:
        return not isinstance(self.extent, int)

    def maybe_as_int(self) -> int | None:
        # torch asks this about twenty times for each tensor it makes.
        return self._constant

    def int_(self) -> int:
        return self.guard_int("", 0)

    def guard_int(self, _file: str, _line: int) -> int:
        return self.extent if isinstance(self.extent, int) else self.extent.specialise()

    def bool_(self) -> bool:
        return bool(self.extent != 0)

    def guard_bool(self, _file: str, _line: int) -> bool:
        return self.bool_()

    def guard_float(self, file: str, line: int) -> float:
        return float(self.guard_int(file, line))

    def expect_size(self, _file: str, _line: int) -> bool:
        return bool(self.extent >= 0)

    def _made(self, extent: Extent) -> _IntNode:
        if isinstance(extent, int):
            return constant_int(extent, self.table)
        node: _IntNode = to_torch(extent).node  # type: ignore[union-attr]
        return node

    def _combined(
        self, name: str, operation: Callable[[Any, Any], Extent], other: _Node
    ) -> _IntNode:
        key = (name, id(other))
        made: _IntNode | None = self._made_before.get(key)
        if made is None:
            made = self._made(operation(self.extent, _extent_of(other)))
            if isinstance(other, _IntNode):
                self._made_before[key] = made
        return made

    def add(self, other: _Node) -> _IntNode:
        return self._combined("add", operator.add, other)

    def sub(self, other: _Node) -> _IntNode:
        return self._combined("sub", operator.sub, other)

    def mul(self, other: _Node) -> _IntNode:
        return self._combined("mul", operator.mul, other)

    def floordiv(self, other: _Node) -> _IntNode:
        return self._combined("floordiv", operator.floordiv, other)

    int_floordiv = floordiv

    def mod(self, other: _Node) -> _IntNode:
        return self._combined("mod", operator.mod, other)

    def neg(self) -> _IntNode:
        return self._made(-self.extent)

    def pos(self) -> _IntNode:
        return self

    def abs(self) -> _IntNode:
        return self if self.extent >= 0 else self.neg()

    def floor(self) -> _IntNode:
        return self

    def ceil(self) -> _IntNode:
        return self

    def trunc(self) -> _IntNode:
        return self

    def pow_by_natural(self, other: _Node) -> _IntNode:
        exponent = _extent_of(other)
        return self._made(
            self.extent ** (exponent if isinstance(exponent, int) else exponent.specialise())
        )

    def pow(self, other: _Node) -> _IntNode:
        return self.pow_by_natural(other)

    def sym_min(self, other: _Node) -> _IntNode:
        return self._combined("min", least, other)

    def sym_max(self, other: _Node) -> _IntNode:
        return self._combined("max", greatest, other)

    def sym_sum(self, parts: Sequence[_Node]) -> _IntNode:
        total: Extent = 0
        for part in parts:
            total = total + _extent_of(part)
        return self._made(total)

    def sym_float(self) -> _FloatNode:
        sizes = () if isinstance(self.extent, int) else (self.extent,)
        return _FloatNode(float(self.hint), sizes, self.table)

    def int_truediv(self, other: _Node) -> _FloatNode:
        return self.sym_float().float_truediv(other)

    truediv = int_truediv

    def eq(self, other: _Node) -> _BoolNode:
        return self._compared(Comparison.EQ, other)

    def ne(self, other: _Node) -> _BoolNode:
        return self._compared(Comparison.NE, other)

    def lt(self, other: _Node) -> _BoolNode:
        return self._compared(Comparison.LT, other)

    def le(self, other: _Node) -> _BoolNode:
        return self._compared(Comparison.LE, other)

    def gt(self, other: _Node) -> _BoolNode:
        return self._made(_extent_of(other)).lt(self)

    def ge(self, other: _Node) -> _BoolNode:
        return self._made(_extent_of(other)).le(self)

    def _compared(self, comparison: Comparison, other: _Node) -> _BoolNode:
        key = (comparison.value, id(other))
        made: _BoolNode | None = self._made_before.get(key)
        if made is None:
            left, right, table = self.extent, _extent_of(other), self.table
            made = _BoolNode(
                lambda: compare(left, comparison, right),
                lambda: table.can_prove(dim_of(left), comparison, dim_of(right)),
                table,
            )
            if isinstance(other, _IntNode):
                self._made_before[key] = made
        return made

    def is_contiguous(self, sizes: Sequence[_Node], strides: Sequence[_Node]) -> _BoolNode:
        return self._layout(is_contiguous, sizes, strides)

    def is_channels_last_contiguous_2d(
        self, sizes: Sequence[_Node], strides: Sequence[_Node]
    ) -> _BoolNode:
        return self._layout(is_channels_last, sizes, strides)

    is_channels_last_contiguous_3d = is_channels_last_contiguous_2d

    def is_channels_last_strides_2d(
        self, sizes: Sequence[_Node], strides: Sequence[_Node]
    ) -> _BoolNode:
        return self._layout(prefers_channels_last, sizes, strides)

    is_channels_last_strides_3d = is_channels_last_strides_2d

    def is_non_overlapping_and_dense(
        self, sizes: Sequence[_Node], strides: Sequence[_Node]
    ) -> _BoolNode:
        return self._layout(is_dense, sizes, strides)

    def _layout(
        self,
        question: Callable[[tuple[Extent, ...], tuple[Extent, ...]], bool],
        sizes: Sequence[_Node],
        strides: Sequence[_Node],
    ) -> _BoolNode:
        shape = tuple(map(_extent_of, sizes))
        steps = tuple(map(_extent_of, strides))
        return constant_bool(question(shape, steps), self.table)


def constant_int(value: int, table: SizeTable) -> _IntNode:
    """Give the one node of a table for an int."""
    node = table.constant_nodes.get(value)
    if node is None:
        node = table.constant_nodes[value] = _IntNode(value, table)
    assert isinstance(node, _IntNode), "only int nodes are kept"
    return node


class _BoolNode(_Node):
    """The node of a `torch.SymBool`: a truth that is decided when it is looked at."""

    __slots__ = ("_decide", "_prove")

    def __init__(
        self, decide: Callable[[], bool], prove: Callable[[], bool], table: SizeTable
    ) -> None:
        super().__init__(table)
        self._decide = decide
        self._prove = prove

    def __repr__(self) -> str:
        return "a comparison of symbolic sizes"

    def is_bool(self) -> bool:
        return True

    def bool_(self) -> bool:
        return self._decide()

    def guard_bool(self, _file: str, _line: int) -> bool:
        return self._decide()

    def expect_true(self, _file: str, _line: int) -> bool:
        return self._decide()

    def guard_size_oblivious(self, _file: str, _line: int) -> bool:
        return self._decide()

    def guard_or_false(self, _file: str, _line: int) -> bool:
        return self._decide()

    def guard_or_true(self, _file: str, _line: int) -> bool:
        return self._decide()

    def statically_known_true(self, _file: str, _line: int) -> bool:
        return self._prove()

    def sym_and(self, other: _BoolNode) -> _BoolNode:
        return _BoolNode(
            lambda: self._decide() and other._decide(),
            lambda: self._prove() and other._prove(),
            self.table,
        )

    def sym_or(self, other: _BoolNode) -> _BoolNode:
        return _BoolNode(
            lambda: self._decide() or other._decide(),
            lambda: self._prove() or other._prove(),
            self.table,
        )

    and_ = sym_and
    or_ = sym_or

    def sym_not(self) -> _BoolNode:
        return _BoolNode(lambda: not self._decide(), lambda: False, self.table)

    def sym_ite(self, then: _Node, otherwise: _Node) -> _Node:
        return then if self._decide() else otherwise


def constant_bool(value: bool, table: SizeTable) -> _BoolNode:  # noqa: FBT001  (a value, no switch)
    """Give the node of a truth that is known."""
    return _BoolNode(lambda: value, lambda: value, table)


class _FloatNode(_Node):
    """The node of a `torch.SymFloat`: its value in the example, and what it depends on."""

    __slots__ = ("parts", "value")

    def __init__(
        self, value: float, parts: tuple[SymbolicSize | SymbolicNumber, ...], table: SizeTable
    ) -> None:
        super().__init__(table)
        self.value = value
        self.parts = parts

    def __repr__(self) -> str:
        return repr(self.value)

    @property
    def number(self) -> Number | None:
        """The number that it stands for; None where it was made of sizes."""
        match self.parts:
            case ():
                return self.value
            case (SymbolicNumber() as number,):
                return number
            case _:
                return None

    def is_float(self) -> bool:
        return True

    @property
    def hint(self) -> float:
        return self.value

    def is_constant(self) -> bool:
        return not self.parts

    @property
    def constant(self) -> object:
        return None if self.parts else self.value

    def guard_float(self, _file: str, _line: int) -> float:
        for part in self.parts:
            part.specialise()
        return self.value

    def guard_int(self, file: str, line: int) -> int:
        return int(self.guard_float(file, line))

    def guard_bool(self, file: str, line: int) -> bool:
        return bool(self.ne(self.wrap_float(0.0)).guard_bool(file, line))

    bool_ = guard_bool

    def _calculated(self, operation: Operation, *others: _Node) -> _FloatNode:
        nodes = (self, *(_float_node(other) for other in others))
        numbers = [node.number for node in nodes]
        if None not in numbers:
            result = calculate(operation, *numbers)  # type: ignore[arg-type]
            return _node_of(result, self.table)
        value = float(FUNCTIONS[operation](*(node.value for node in nodes)))
        return _FloatNode(value, tuple(part for node in nodes for part in node.parts), self.table)

    def sym_float(self) -> _FloatNode:
        return self

    def add(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.ADD, other)

    def sub(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.SUB, other)

    def mul(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.MUL, other)

    def float_truediv(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.TRUEDIV, other)

    truediv = float_truediv

    def float_pow(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.POW, other)

    pow = float_pow

    def mod(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.MOD, other)

    def sym_min(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.MIN, other)

    def sym_max(self, other: _Node) -> _FloatNode:
        return self._calculated(Operation.MAX, other)

    def neg(self) -> _FloatNode:
        return self._calculated(Operation.NEG)

    def abs(self) -> _FloatNode:
        return self._calculated(Operation.ABS)

    def sym_sqrt(self) -> _FloatNode:
        return self._calculated(Operation.SQRT)

    def _rounded(self, operation: Callable[[float], int]) -> _IntNode:
        return constant_int(operation(self.guard_float("", 0)), self.table)

    def floor(self) -> _IntNode:
        return self._rounded(math.floor)

    def ceil(self) -> _IntNode:
        return self._rounded(math.ceil)

    def trunc(self) -> _IntNode:
        return self._rounded(math.trunc)

    def round(self, ndigits: int | None = None) -> _Node:
        value = round(self.guard_float("", 0), ndigits)
        return (
            constant_int(value, self.table)
            if isinstance(value, int)
            else _FloatNode(value, (), self.table)
        )

    def _compared(self, operation: Operation, other: _Node) -> _BoolNode:
        right = _float_node(other)
        left, other_number = self.number, right.number
        if left is None or other_number is None:
            left, other_number = self.guard_float("", 0), right.guard_float("", 0)
        return constant_bool(bool(calculate(operation, left, other_number)), self.table)

    def eq(self, other: _Node) -> _BoolNode:
        return self._compared(Operation.EQ, other)

    def ne(self, other: _Node) -> _BoolNode:
        return self._compared(Operation.NE, other)

    def lt(self, other: _Node) -> _BoolNode:
        return self._compared(Operation.LT, other)

    def le(self, other: _Node) -> _BoolNode:
        return self._compared(Operation.LE, other)

    def gt(self, other: _Node) -> _BoolNode:
        return self._compared(Operation.GT, other)

    def ge(self, other: _Node) -> _BoolNode:
        return self._compared(Operation.GE, other)


def _float_node(node: _Node) -> _FloatNode:
    found = node.sym_float() if isinstance(node, _IntNode) else node
    if not isinstance(found, _FloatNode):
        msg = f"a float and {node!r} do not combine"
        raise TypeError(msg)
    return found


def _node_of(number: Number, table: SizeTable) -> _FloatNode:
    if isinstance(number, SymbolicNumber):
        return _FloatNode(float(number.value), (number,), table)
    return _FloatNode(float(number), (), table)


def to_symfloat(number: SymbolicNumber, table: SizeTable) -> torch.SymFloat:
    """Give what torch's functions take for a float that is not fixed; always the same object."""
    if number.symfloat is None:
        number.symfloat = torch.SymFloat(_node_of(number, table))
    made: torch.SymFloat = number.symfloat  # type: ignore[assignment]
    return made


def number_of(value: torch.SymFloat | float) -> Number:
    """Give the number for a float of torch's; one that was made of sizes is fixed with them."""
    if isinstance(value, torch.SymFloat):
        node: _FloatNode = value.node
        number = node.number
        return node.guard_float("", 0) if number is None else number
    return value
