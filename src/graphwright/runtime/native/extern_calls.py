"""Extern calls: which go straight to a function of PyTorch's C shim, and how the others are made by Python.

In: `CallExtern` steps.   Out: `ShimCall` (symbol, signature, operands) where the shim has the op; a Python function for every step.
Keeps: both forms of a call have the same effect; the Python one raises what eager raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, final

import msgspec
import torch

from graphwright.ir.aten import ComplexArg, ConstantTensor, FloatArg, LiteralArg
from graphwright.ir.lookups import check_lookup
from graphwright.ir.plan import CallExtern, ExternArg, ExternKind, Plan, TensorArg, TupleArg
from graphwright.ir.plan_text import iter_tensor_args
from graphwright.runtime import tensors
from graphwright.runtime.plan_code import (
    PlanCode,
    arg_symbols,
    called_name,
    out_names,
    render_form,
)

PythonCall = Callable[..., Any]


class Shim(msgspec.Struct, frozen=True):
    """A function of the C shim."""

    symbol: str
    signature: str
    """A letter an argument (see `run_functions`)."""
    arguments: tuple[str, ...]
    """For each argument that is passed: its name in the op's schema."""


SHIMS: Final[dict[str, Shim]] = {
    "aten.mm.out": Shim("aoti_torch_cpu_mm_out", "hhh", ("out", "self", "mat2")),
    "aten.bmm.out": Shim("aoti_torch_cpu_bmm_out", "hhh", ("out", "self", "mat2")),
    "aten.addmm.out": Shim(
        "aoti_torch_cpu_addmm_out", "hhhhdd", ("out", "self", "mat1", "mat2", "beta", "alpha")
    ),
    "aten.baddbmm.out": Shim(
        "aoti_torch_cpu_baddbmm_out", "hhhhdd", ("out", "self", "batch1", "batch2", "beta", "alpha")
    ),
    "aten.convolution.default": Shim(
        "aoti_torch_cpu_convolution",
        "hhoLLLiLlr",
        (
            "input",
            "weight",
            "bias",
            "stride",
            "padding",
            "dilation",
            "transposed",
            "output_padding",
            "groups",
        ),
    ),
    "aten._scaled_dot_product_flash_attention_for_cpu.default": Shim(
        "aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu",
        "hhhdiopr?",
        ("query", "key", "value", "dropout_p", "is_causal", "attn_mask", "scale"),
    ),
}
"""The ops that models call most, by overload."""


def find_shim(step: CallExtern) -> Shim | None:
    """Give the function of the C shim for an extern call; None when it must be made by Python."""
    shim = SHIMS.get(step.op)
    if shim is None:
        return None
    args = [*step.args, *(kwarg.value for kwarg in step.kwargs)]
    if any(arg_symbols(arg) and not isinstance(arg, TensorArg) for arg in args):
        return None
    if any(isinstance(arg, ComplexArg) for arg in args):
        return None  # the shim takes factors as doubles
    is_returned = "r" in shim.signature
    if is_returned != (step.kind is ExternKind.FUNCTIONAL):
        return None
    has_first = bool(step.outs) and step.outs[0] is not None
    if not has_first or any(out is not None for out in step.outs[1:]):
        return None
    if is_returned and arg_symbols(step.outs[0] or TupleArg(())):
        return None
    return shim


def bind_arguments(step: CallExtern) -> dict[str, ExternArg]:
    """Give the arguments of a call by the names of the op's schema; defaults included."""
    schema = torch._C._get_schema(*_schema_name(step.op))  # noqa: SLF001  (no public reader)
    bound: dict[str, ExternArg] = {}
    for argument in schema.arguments:
        if argument.has_default_value():
            bound[argument.name] = _as_argument(argument.default_value)
    names = [argument.name for argument in schema.arguments]
    bound.update(zip(names, step.args, strict=False))
    bound.update((kwarg.name, kwarg.value) for kwarg in step.kwargs)
    if step.kind is ExternKind.OUT:
        outs = zip(out_names(step.op), step.outs, strict=True)
        bound.update((name, out) for name, out in outs if out is not None)
    return bound


def _schema_name(op: str) -> tuple[str, str]:
    namespace, name, overload = op.split(".")
    return f"{namespace}::{name}", "" if overload == "default" else overload


def _as_argument(value: object) -> ExternArg:
    match value:
        case float():
            return FloatArg(value.hex())
        case list() | tuple():
            return TupleArg(tuple(_as_argument(item) for item in value))
        case None | bool() | int() | str():
            return LiteralArg(value)
        case _:
            return LiteralArg(None)


@final
class _NoCode:
    def address(self, symbol: str) -> int:
        raise KeyError(symbol)


def make_python_call(plan: Plan, step: CallExtern) -> tuple[PythonCall, tuple[TensorArg, ...]]:
    """Make the Python form of an extern call.

    Returns:
        A function of the call's tensors and the tuple of size symbols, which gives a tuple of the results that are kept; and
        the tensors, in order.
    """
    args = [*step.args, *(kwarg.value for kwarg in step.kwargs)]
    if step.kind is ExternKind.OUT:
        args += [out for out in step.outs if out is not None]
    found = [tensor for arg in args for tensor in iter_tensor_args(arg)]
    writer = _CallWriter(plan, step, tuple(dict.fromkeys(found)))
    return writer.make(), writer.tensors


@final
class _CallWriter:
    def __init__(self, plan: Plan, step: CallExtern, arguments: tuple[TensorArg, ...]) -> None:
        self._plan = plan
        self._step = step
        self.tensors: Final = arguments
        empty = msgspec.structs.replace(plan, kernels=(), constants=tuple[ConstantTensor, ...]())
        self._texts = PlanCode(empty, _NoCode())

    def make(self) -> PythonCall:
        names = [f"t{number}" for number in range(len(self.tensors))]
        lines = [f"def call({', '.join([*names, 'symbols'])}):"]
        if self._plan.symbols:
            listed = ", ".join(self._plan.symbols)
            lines.append(f"    ({listed},) = symbols")
        call = f"{called_name(self._step)}({', '.join(self._iter_arguments())})"
        if self._step.kind is ExternKind.FUNCTIONAL:
            lines.append(f"    results = list(iter_results({call}))")
            lines.append(f"    return ({''.join(self._iter_results(names))})")
        else:
            lines += [f"    {call}", "    return ()"]
        namespace: dict[str, Any] = {
            "torch": torch,
            check_lookup.__name__: check_lookup,
            "adopt": tensors.adopt,
            "iter_results": tensors.iter_results,
        }
        exec("\n".join(lines), namespace)
        made: PythonCall = namespace["call"]
        return made

    def _iter_arguments(self) -> Iterable[str]:
        for arg in self._step.args:
            yield self._render(arg)
        for kwarg in self._step.kwargs:
            yield f"{kwarg.name}={self._render(kwarg.value)}"
        if self._step.kind is ExternKind.OUT:
            for name, out in zip(out_names(self._step.op), self._step.outs, strict=True):
                if out is not None:
                    yield f"{name}={self._render(out)}"

    def _iter_results(self, names: Sequence[str]) -> Iterable[str]:
        arguments = f"({''.join(f'{name}, ' for name in names)})"
        for number, out in enumerate(self._step.outs):
            if out is not None:
                yield f"adopt(results[{number}], {arguments}, {render_form(out)}), "

    def _render(self, arg: ExternArg) -> str:
        match arg:
            case TensorArg():
                return f"t{self.tensors.index(arg)}"
            case TupleArg(items):
                return f"[{', '.join(map(self._render, items))}]"
            case _:
                return self._texts.render_arg(arg)


def number_tensors(calls: Iterable[tuple[TensorArg, ...]]) -> Mapping[TensorArg, int]:
    """Number the different tensors that extern calls take."""
    return {tensor: i for i, tensor in enumerate(dict.fromkeys(t for call in calls for t in call))}
