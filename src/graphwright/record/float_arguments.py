"""Floats that are not fixed, as arguments of ATen ops: the op as it is called with a tensor in the number's place.

In:  an overload and its arguments, a `torch.SymFloat` among them.   Out: an overload that takes a tensor there, and the tensor.

    mul(x, f)   →   %1 = input f, float64 without dimensions; mul(x, %1)
    lt(n, f)    →   %2 = _to_copy(%1, dtype=float32); lt(n, %2)          for integers `n`

Keeps: dtypes and rounding are those of the call with the number: a number counts less than a tensor without dimensions, so it gets
the dtype that the result has wherever that of a tensor would decide.
Does not: handle other ops, whose floats are then fixed by a guard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

import torch

from graphwright.ir.calculations import Operation
from graphwright.record.abstract import AbstractTensor
from graphwright.record.floats import SymbolicNumber, calculate
from graphwright.record.promotion import real_dtype, result_dtype
from graphwright.record.specs import TensorSpec
from graphwright.record.symnodes import number_of

aten = torch.ops.aten
_TO_COPY: Final = aten._to_copy.default  # noqa: SLF001  (the op's name)


class OpCall(NamedTuple):
    """A call of an ATen op."""

    func: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@final
class FloatArguments:
    """Puts tensors in the places of floats.

    Args:
        add_input: makes the graph input that holds a number, once each.
        spec_of: gives what a tensor is.
        dispatch: records an op.
    """

    def __init__(
        self,
        add_input: Callable[[SymbolicNumber], AbstractTensor | None],
        spec_of: Callable[[torch.Tensor], TensorSpec],
        dispatch: Callable[[Any, Sequence[Any], Mapping[str, Any]], Any],
    ) -> None:
        self.add_input = add_input
        self.spec_of: Final = spec_of
        self.dispatch: Final = dispatch

    def as_tensors(self, call: OpCall) -> OpCall:
        """Give the call with tensors where it can have them."""
        if not any(isinstance(value, torch.SymFloat) for value in call.args):
            return call
        rule = _RULES.get(call.func)
        return call if rule is None else rule(self, call) or call

    def beside(self, tensor: Any, value: Any) -> AbstractTensor | None:
        """Give the tensor for a float beside a tensor that promotes with it; None where the number itself is needed."""
        number = _symbolic(value)
        if number is None or not isinstance(tensor, torch.Tensor):
            return None
        spec = self.spec_of(tensor)
        if spec.device.type != "cpu":
            return None
        if spec.shape and (spec.dtype.is_floating_point or spec.dtype.is_complex):
            return self.add_input(number)
        dtype = real_dtype(result_dtype(spec, number.value))
        # A number beside a low-precision tensor without dimensions is not rounded to its dtype.
        return None if dtype.itemsize < torch.float32.itemsize else self.of_dtype(number, dtype)

    def filling(self, value: Any, dtype: torch.dtype) -> AbstractTensor | None:
        """Give the tensor for a float that becomes elements of a dtype; None where the number itself is needed."""
        number = _symbolic(value)
        if number is None or dtype not in (torch.float32, torch.float64):
            return None
        # torch refuses finite numbers that float32 cannot hold.
        largest = torch.finfo(torch.float32).max
        is_large = bool(calculate(Operation.GT, calculate(Operation.ABS, number), largest))
        return None if is_large and dtype is torch.float32 else self.add_input(number)

    def of_dtype(self, number: SymbolicNumber, dtype: torch.dtype) -> AbstractTensor | None:
        """Give a float, converted."""
        made = self.add_input(number)
        if made is None or dtype is torch.float64:
            return made
        converted: AbstractTensor = self.dispatch(_TO_COPY, (made,), {"dtype": dtype})
        return converted


def _symbolic(value: Any) -> SymbolicNumber | None:
    number = number_of(value) if isinstance(value, torch.SymFloat) else None
    return number if isinstance(number, SymbolicNumber) else None


Rule = Callable[[FloatArguments, OpCall], OpCall | None]


def _second(func: Any) -> Rule:
    """Make the rule of an op whose second argument may be a tensor, as that of `func`."""

    def rule(floats: FloatArguments, call: OpCall) -> OpCall | None:
        tensor, value, *rest = call.args
        made = floats.beside(tensor, value)
        return None if made is None else OpCall(func, (tensor, made, *rest), call.kwargs)

    return rule


def _reversed_sub(floats: FloatArguments, call: OpCall) -> OpCall | None:
    if len(call.args) != 2:
        return None
    made = floats.beside(*call.args)
    return None if made is None else OpCall(aten.sub.Tensor, (made, call.args[0]), {})


def _scalar_tensor(floats: FloatArguments, call: OpCall) -> OpCall | None:
    dtype = call.kwargs.get("dtype") or torch.get_default_dtype()
    made = floats.filling(call.args[0], dtype) if _is_on_cpu(call) else None
    return None if made is None else OpCall(_TO_COPY, (made,), {"dtype": dtype})


def _full(floats: FloatArguments, call: OpCall) -> OpCall | None:
    size, value = call.args
    dtype = call.kwargs.get("dtype") or torch.get_default_dtype()
    made = floats.filling(value, dtype) if _is_on_cpu(call) else None
    if made is None:
        return None
    empty = floats.dispatch(call.func, (size, 0.0), {**call.kwargs, "dtype": dtype})
    return OpCall(aten.fill.Tensor, (empty, made), {})


def _is_on_cpu(call: OpCall) -> bool:
    return torch.device(call.kwargs.get("device") or "cpu").type == "cpu"


def _last(func: Any) -> Rule:
    """Make the rule of an op that puts its last argument into the first, a tensor, as `func` does."""

    def rule(floats: FloatArguments, call: OpCall) -> OpCall | None:
        *others, value = call.args
        spec = floats.spec_of(others[0])
        made = floats.filling(value, spec.dtype) if spec.device.type == "cpu" else None
        return None if made is None else OpCall(func, (*others, made), call.kwargs)

    return rule


_RULES: Final[Mapping[Any, Rule]] = {
    **{
        op: _second(op)
        for op in (
            *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor),
            *(aten.add_.Tensor, aten.sub_.Tensor, aten.mul_.Tensor, aten.div_.Tensor),
        )
    },
    aten.lt.Scalar: _second(aten.lt.Tensor),
    aten.le.Scalar: _second(aten.le.Tensor),
    aten.gt.Scalar: _second(aten.gt.Tensor),
    aten.ge.Scalar: _second(aten.ge.Tensor),
    aten.eq.Scalar: _second(aten.eq.Tensor),
    aten.ne.Scalar: _second(aten.ne.Tensor),
    aten.rsub.Scalar: _reversed_sub,
    aten.scalar_tensor.default: _scalar_tensor,
    aten.full.default: _full,
    aten.fill.Scalar: _last(aten.fill.Tensor),
    aten.fill_.Scalar: _last(aten.fill_.Tensor),
    aten.masked_fill.Scalar: _last(aten.masked_fill.Tensor),
    aten.masked_fill_.Scalar: _last(aten.masked_fill_.Tensor),
}
